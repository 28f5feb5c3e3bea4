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
        *_listed("Reasons", [reason["text"] for reason in facts["verdict"]["reasons"]]),
        *_listed("Caveats", facts.get("caveats", [])),
        f"What varied: {plain(view.fact('facts.what_varied'))}.",
        *(_table(made) for made in (tables.stability(view), tables.excess(view), tables.quality(view))),
        _table(model_tables.recovered(view)),
        *_listed("Recovery of the planted dictionary", facts.get("recovery", [])),
        *_listed("Convergence", [f"{e['source']} {e['arm']}: {e['words']}" for e in facts.get("convergence", [])]),
        *_listed("Remarks", facts.get("remarks", [])),
        *_listed("Warnings", facts.get("warnings", [])),
        *_listed("Not run", facts.get("not_run", [])),
        "Everything else: report.html.",
    ]
    return "\n\n".join(parts) + "\n"


def _listed(title: str, lines: list[str]) -> list[str]:
    return [f"## {title}\n\n" + "\n".join(f"- {line}" for line in lines)] if lines else []


def _table(made: Table) -> str:
    table, notes = noted(made)
    if not table.rows:
        return f"## {table.caption}\n\nmissing: {table.empty}"
    heads = [_head(column.group, column.head) for column in table.columns]
    lines = [heads, ["---" if column.text else "---:" for column in table.columns]]
    lines += [[plain(cell) for cell in row] for row in table.rows]
    drawn = "\n".join(f"| {' | '.join(_safe(c) for c in line)} |" for line in lines)
    below = "".join(f"\n\n({letter}) {plain(note)}" for letter, note in notes)
    return f"## {table.caption}\n\n{drawn}{below}"


def _head(group: Cell, head: Cell) -> str:
    return " ".join(part for part in (plain(group), plain(head)) if part)


def _safe(text: str) -> str:
    return text.replace("|", "/").replace("\n", " ")
