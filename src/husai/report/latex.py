r"""Tables as LaTeX: booktabs, special characters escaped, and in front of each the lines that say where it is from.

\usepackage{booktabs,longtable,array,pdflscape}
\input{tables/front}

What fits on a page floats; what is wider or longer lies on pages of its own, with its head on each of them.
"""

from __future__ import annotations

import math

from husai.report.cells import plain
from husai.report.tables import Table, noted

SPECIAL = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "_": r"\_", "%": r"\%",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': r"\textquotedbl{}",
    "\N{MINUS SIGN}": r"$-$", "\N{PLUS-MINUS SIGN}": r"$\pm$", "\N{MULTIPLICATION SIGN}": r"$\times$",
    "\N{GREATER-THAN OR EQUAL TO}": r"$\geq$", "\N{LESS-THAN OR EQUAL TO}": r"$\leq$", "\N{EN DASH}": "--",
    "\N{EM DASH}": "---", "\N{LEFT DOUBLE QUOTATION MARK}": "``", "\N{RIGHT DOUBLE QUOTATION MARK}": "''",
    "\N{LEFT SINGLE QUOTATION MARK}": "`", "\N{RIGHT SINGLE QUOTATION MARK}": "'", "\N{MIDDLE DOT}": r"$\cdot$",
    "\N{CHECK MARK}": "yes", "\N{MULTIPLICATION X}": "no", "\n": " ",
}  # fmt: skip
PACKAGES = "booktabs, longtable, array, pdflscape"
LINE, BROAD = 90, 180  # characters on a line: of a float, of a page on its side
ROWS = 40  # of a float


def escaped(text: str) -> str:
    """Text as LaTeX shows it; what pdfTeX has no letter for becomes a question mark."""
    return "".join(SPECIAL.get(c, c if ord(c) < 0x250 else "?") for c in text)


def latex(given: Table) -> str:
    """A table with its caption and notes; one without rows says why."""
    made, notes = noted(given)
    caption = rf"\caption{{{escaped(made.caption)}}}"
    if not made.rows:
        return rf"\begin{{table}}{caption}missing: {escaped(made.empty)}\end{{table}}" + "\n"
    below = [rf"\par\smallskip ({letter}) {escaped(plain(note))}" for letter, note in notes]
    rows = [_row([plain(cell) for cell in row]) for row in made.rows]
    fits = sum(_longest(cells) + 2 for cells in _texts(made)) <= LINE and len(rows) <= ROWS
    return "\n".join((_float if fits else _pages)(made, caption, rows, below)) + "\n"


def _float(table: Table, caption: str, rows: list[str], below: list[str]) -> list[str]:
    columns = "".join("l" if column.text else "r" for column in table.columns)
    return [
        r"\begin{table}", r"\centering\small", caption, rf"\begin{{tabular}}{{{columns}}}", r"\toprule",
        _row(heads(table)), r"\midrule", *rows, r"\bottomrule", r"\end{tabular}", *below, r"\end{table}",
    ]  # fmt: skip


def _pages(table: Table, caption: str, rows: list[str], below: list[str]) -> list[str]:
    return [
        r"\begin{landscape}", r"\scriptsize\tabcolsep=3pt", rf"\begin{{longtable}}{{{_columns(table)}}}",
        caption + r" \\", r"\toprule", _row(heads(table)), r"\midrule", r"\endhead",
        *rows, r"\bottomrule", r"\end{longtable}", *below, r"\end{landscape}",
    ]  # fmt: skip


def heads(table: Table) -> list[str]:
    """The head of each column, with the wider one above it in front."""
    return [" ".join(part for part in (plain(c.group), plain(c.head)) if part) for c in table.columns]


def _row(cells: list[str]) -> str:
    return " & ".join(escaped(cell) for cell in cells) + r" \\"


def _columns(table: Table) -> str:
    """Paragraphs that share a line: each has its longest word; what is left goes by the root of the longest text."""
    words = [_longest(" ".join(cells).split()) + 2 for cells in _texts(table)]
    wanted = [max(4 * math.sqrt(_longest(cells)) - word, 1) for word, cells in zip(words, _texts(table), strict=True)]
    left = max(BROAD - sum(words), 1) / sum(wanted)
    sizes = [word + want * left for word, want in zip(words, wanted, strict=True)]
    return "".join(
        rf">{{\{'raggedright' if column.text else 'raggedleft'}\arraybackslash}}"
        rf"p{{\dimexpr {math.floor(1000 * size / sum(sizes)) / 1000:.3f}\linewidth-2\tabcolsep\relax}}"
        for column, size in zip(table.columns, sizes, strict=True)
    )


def _longest(texts: list[str]) -> int:
    return max(map(len, texts), default=0)


def _texts(table: Table) -> list[list[str]]:
    """Head and cells, column by column."""
    rows = [heads(table), *([plain(cell) for cell in row] for row in table.rows)]
    return [list(column) for column in zip(*rows, strict=True)]
