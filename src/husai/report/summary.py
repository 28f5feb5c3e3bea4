"""The summary of a study in Markdown: verdict, reasons and the numbers they rest on, all from the record."""

from __future__ import annotations

from husai.report import model_tables, tables
from husai.report.cells import Cell, plain
from husai.report.tables import Table, noted
from husai.report.view import View


def summary(view: View) -> str:
    """Markdown text; every number in it also stands in the report."""
    facts = view.facts
    parts = [
        f"# {view.record.name}: {facts['verdict']['state']}",
        facts["question"],
        f"**{facts['verdict']['words']}**",
        *listed("Reasons", [reason["text"] for reason in facts["verdict"]["reasons"]]),
        *listed("Caveats", facts.get("caveats", [])),
        f"What varied: {plain(view.fact('facts.what_varied'))}.",
        *(table(made) for made in (tables.stability(view), tables.excess(view), tables.quality(view))),
        table(model_tables.recovered(view)),
        *listed("Recovery of the planted dictionary", facts.get("recovery", [])),
        *listed("Convergence", [f"{e['source']} {e['arm']}: {e['words']}" for e in facts.get("convergence", [])]),
        *listed("Remarks", facts.get("remarks", [])),
        *listed("Warnings", facts.get("warnings", [])),
        *listed("Not run", facts.get("not_run", [])),
        "Everything else: report.html.",
    ]
    return "\n\n".join(parts) + "\n"


def listed(title: str, lines: list[str]) -> list[str]:
    """Lines under a heading; nothing without lines."""
    return [f"## {title}\n\n" + "\n".join(f"- {line}" for line in lines)] if lines else []


def table(given: Table, title: str = "") -> str:
    """A table as Markdown under a heading."""
    made, notes = noted(given)
    heading = title or made.caption
    if not made.rows:
        return f"## {heading}\n\nmissing: {made.empty}"
    heads = [_head(column.group, column.head) for column in made.columns]
    lines = [heads, ["---" if column.text else "---:" for column in made.columns]]
    lines += [[plain(cell) for cell in row] for row in made.rows]
    drawn = "\n".join(f"| {' | '.join(_safe(c) for c in line)} |" for line in lines)
    below = "".join(f"\n\n({letter}) {plain(note)}" for letter, note in notes)
    return f"## {heading}\n\n{drawn}{below}"


def _head(group: Cell, head: Cell) -> str:
    return " ".join(part for part in (plain(group), plain(head)) if part)


def _safe(text: str) -> str:
    return text.replace("|", "/").replace("\n", " ")
