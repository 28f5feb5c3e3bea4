"""What the terminal shows of a replay: the plan, and one line for each claim."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from husai.store.record import RunRecord
from husai.studies.presenting.present import REPORT
from husai.studies.replays.replay import Replay

SUMMARY = "summary.md"


def replay_dry_run(replay: Replay, workers: int) -> tuple[dict[str, Any], str]:
    """The nodes with ids; nothing is run."""
    from husai.studies.replays.run import check_replay, replay_nodes

    nodes, warnings = replay_nodes(replay), check_replay(replay)
    data = {
        "replay": replay.plain(),
        "nodes": [{"kind": n.kind, "id": n.id, "title": n.title} for n in nodes],
        "workers": workers,
        "warnings": warnings,
    }
    lines = [f"{n.kind:<12} {n.id}  {n.title}" for n in nodes]
    kinds = [n.kind for n in nodes]
    counts = ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))
    lines += [f"{len(nodes)} nodes: {counts}; nothing was run", *(f"warning: {text}" for text in warnings)]
    return data, "\n".join(lines)


def replay_answer(folder: Path, record: RunRecord) -> tuple[dict[str, Any], str]:
    """One line for each claim, and the path of the report, always last."""
    report, summary = (str((folder / name).resolve()) for name in (REPORT, SUMMARY))
    claims = record.facts["claims"]
    data = {
        "answer": record.facts["answer"], "scale": record.facts["scale"], "claims": claims, "run": str(folder),
        "report": report, "summary": summary, "id": record.id,
    }  # fmt: skip
    lines = [f"{claim['claim']} {claim['title']}: {claim['words']}" for claim in claims]
    return data, "\n".join([*lines, record.facts["answer"], f"scale: {record.facts['scale']}", report])
