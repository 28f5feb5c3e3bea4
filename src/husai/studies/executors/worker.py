"""Computing one node in this process: draft folder, node code, record, rename."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from husai.store.index import Results
from husai.store.layout import building
from husai.store.provenance import now, provenance
from husai.store.record import RunRecord
from husai.studies.node import Outcome, Work
from husai.studies.nodes.registry import RESUMING, node_code

Compute = Callable[[Work], Outcome]


def compute(work: Work, root: Path) -> RunRecord:
    """Compute a node and file it; a node that is already complete is returned as it is.

    Raises:
        UserError: what the node's code refuses, or another process on the same node.
    """
    results = Results(root)
    done = results.node(work.kind, work.id)
    if done is not None:
        return done
    run = node_code(work.kind)
    with building(results.node_folder(work.kind, work.id), work.id, resume=work.kind in RESUMING) as draft:
        started, clock = now(), time.monotonic()
        outcome = run(Work(**{**vars(work), "draft": draft.path}))
        draft.scratch |= outcome.scratch
        record = RunRecord(
            id=work.id,
            kind=work.kind,
            name=work.title,
            status="ran",
            config=work.fields,
            seeds=outcome.seeds,
            parents=work.parents,
            provenance=provenance(started, time.monotonic() - clock),
            measurements=tuple(outcome.measurements),
            facts=outcome.facts,
        )
        return draft.complete(record)
