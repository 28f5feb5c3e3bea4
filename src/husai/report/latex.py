r"""Tables as LaTeX: booktabs, special characters escaped, and in front of each the lines that say where it is from.

\input{tables/front}          in a document with \usepackage{booktabs}
"""

from __future__ import annotations

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
PARAGRAPH = 40  # characters from which a column is set as paragraphs


def escaped(text: str) -> str:
    """Text as LaTeX shows it; what pdfTeX has no letter for becomes a question mark."""
    return "".join(SPECIAL.get(c, c if ord(c) < 0x250 else "?") for c in text)


def latex(given: Table) -> str:
    """A table that floats, with its caption and notes; one without rows says why."""
    made, notes = noted(given)
    body = [_row(heads(made)), r"\midrule", *(_row([plain(cell) for cell in row]) for row in made.rows)]
    below = [rf"\par\smallskip ({letter}) {escaped(plain(note))}" for letter, note in notes]
    if not made.rows:
        return rf"\begin{{table}}\caption{{{escaped(made.caption)}}}missing: {escaped(made.empty)}\end{{table}}" + "\n"
    lines = [
        r"\begin{table}", r"\centering\small", rf"\caption{{{escaped(made.caption)}}}",
        rf"\begin{{tabular}}{{{_columns(made)}}}", r"\toprule", *body, r"\bottomrule", r"\end{tabular}", *below,
        r"\end{table}",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def heads(table: Table) -> list[str]:
    """The head of each column, with the wider one above it in front."""
    return [" ".join(part for part in (plain(c.group), plain(c.head)) if part) for c in table.columns]


def _row(cells: list[str]) -> str:
    return " & ".join(escaped(cell) for cell in cells) + r" \\"


def _columns(table: Table) -> str:
    """Numbers to the right, words to the left; long words in paragraphs that share the line."""
    longest = [max(len(plain(row[i])) for row in table.rows) if table.rows else 0 for i in range(len(table.columns))]
    wide = sum(size > PARAGRAPH for size, column in zip(longest, table.columns, strict=True) if column.text)
    left = max(0.2 * wide, 0.95 - 0.08 * (len(longest) - wide))
    share = f"p{{{left / max(wide, 1):.2f}\\linewidth}}"
    return "".join(
        (share if size > PARAGRAPH else "l") if column.text else "r"
        for size, column in zip(longest, table.columns, strict=True)
    )
