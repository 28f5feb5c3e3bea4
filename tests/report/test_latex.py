"""Tables as LaTeX: every special character escaped, cells that come back as they were, environments that close."""

from __future__ import annotations

import os
import re
import shutil
import string
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from husai.report.cells import Number, Small
from husai.report.latex import PACKAGES, escaped, latex
from husai.report.tables import Column, Table

# Written out once more, the other way round, from the LaTeX companion rather than from the module.
BACK = {
    r"\textbackslash{}": "\\", r"\textasciitilde{}": "~", r"\textasciicircum{}": "^", r"\textless{}": "<",
    r"\textgreater{}": ">", r"\textbar{}": "|", r"\textquotedbl{}": '"', r"\{": "{", r"\}": "}", r"\$": "$",
    r"\&": "&", r"\#": "#", r"\_": "_", r"\%": "%", "$-$": "\N{MINUS SIGN}",
}  # fmt: skip
TOKEN = re.compile("|".join(re.escape(name) for name in sorted(BACK, key=len, reverse=True)) + r"|\\.|.", re.DOTALL)


def back(text: str) -> str:
    """Text that a LaTeX source shows; an escape that is not known stays, and differs."""
    return "".join(BACK.get(token, token) for token in TOKEN.findall(text))


@given(st.text(alphabet=string.printable.replace("\n", "") + "é\N{MINUS SIGN}", max_size=40))
def test_text_comes_back(text: str) -> None:
    made = escaped(text)
    assert back(made) == text
    bare = TOKEN.sub(lambda m: "" if m.group() in BACK else m.group(), made)
    assert not set(bare) & set('\\{}$&#_%~^<>|"'), "nothing that LaTeX would read"


def test_what_has_no_letter_becomes_a_question_mark() -> None:
    assert escaped("a\N{SNOWMAN}b \N{GREATER-THAN OR EQUAL TO} 2") == r"a?b $\geq$ 2"


@given(
    st.lists(
        st.tuples(st.text(alphabet="ab&%_#{}", min_size=1, max_size=50), st.floats(-9, 9)), min_size=1, max_size=40
    )
)
def test_a_table_has_its_cells_and_closes(rows: list[tuple[str, float]]) -> None:
    bounds = Small((Number(-1.5, "r", "low"), " to ", Number(2.5, "r", "high")))
    made = Table(
        "t", "A & B", [Column("name_x", text=True), Column("value", "group")],
        [[text, (Number(value, "r"), bounds)] for text, value in rows],
    )  # fmt: skip
    lines = latex(made).splitlines()
    assert [line for line in lines if line.startswith((r"\begin", r"\end"))][0::3] == [r"\begin{table}", r"\end{table}"]
    assert r"\caption{A \& B}" in lines and r"name\_x & group value \\" in lines
    body = lines[lines.index(r"\midrule") + 1 : lines.index(r"\bottomrule")]
    assert len(body) == len(rows)
    for line, (text, value) in zip(body, rows, strict=True):
        first, second = re.split(r"(?<!\\) & ", line.removesuffix(r" \\"))
        assert back(first) == text
        shown = float(back(second).split(" (")[0].replace("\N{MINUS SIGN}", "-"))
        assert shown == pytest.approx(value, abs=6e-4) and back(second).endswith(" (\N{MINUS SIGN}1.500 to 2.500)")


WIDE = Table(
    "t", "Wide & long", [Column("a", text=True), Column("b_c", "group"), Column("note", text=True)],
    [
        ["w " * 40 * (i % 7), (Number(i, "r", "value", "d"), Small((" (", Number(-i, "r", "low"), ")"))), "x_%"]
        for i in range(60)
    ],
)  # fmt: skip


def test_what_is_wide_or_long_has_pages_of_its_own_and_its_head_on_each() -> None:
    for made in (WIDE, Table("t", "t", [Column("a")], [[Number(i, "r", "value", "d")] for i in range(41)])):
        text = latex(made)
        assert text.startswith(r"\begin{landscape}") and text.endswith("\\end{landscape}\n")
        assert text.index(r"\midrule") < text.index(r"\endhead") < text.index(r"\bottomrule")
    shares = [float(share) for share in re.findall(r"dimexpr (0\.\d+)", latex(WIDE))]
    assert len(shares) == 3 and 0.99 < sum(shares) <= 1 and shares[0] == max(shares)
    assert latex(Table("t", "t", WIDE.columns, WIDE.rows[7:8])).startswith(r"\begin{table}"), "narrow and short"


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex")
def test_it_compiles_and_nothing_runs_over_the_edge(tmp_path: Path) -> None:
    small = Table("t", "Small", WIDE.columns, WIDE.rows[7:8])
    body = "".join(map(latex, (small, WIDE, Table("t", "None", WIDE.columns, [], "100% of it"))))
    head = rf"\documentclass{{article}}\usepackage[margin=2cm]{{geometry}}\usepackage{{{PACKAGES}}}"
    (tmp_path / "t.tex").write_text(rf"{head}\begin{{document}}{body}\end{{document}}")
    run = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"], cwd=tmp_path, timeout=120, check=False,
        capture_output=True, text=True, env=os.environ | {"TEXMFVAR": str(tmp_path)},
    )  # fmt: skip
    assert run.returncode == 0, run.stdout
    assert "Overfull" not in run.stdout and "too large" not in run.stdout, run.stdout


def test_a_table_without_rows_says_why() -> None:
    assert "missing: 100\\% of it" in latex(Table("t", "t", [Column("a")], [], "100% of it"))
