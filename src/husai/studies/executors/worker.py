"""Computing one node in this process: draft folder, node code, record, rename."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from husai.errors import Refused, UserError
from husai.store.index import Results
from husai.store.layout import building
from husai.store.provenance import now, provenance
from husai.store.record import RunRecord
from husai.studies.node import Work
from husai.studies.nodes.registry import RESUMING, node_code


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
        with _damaged_parents(work):
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
            provenance=provenance(started, time.monotonic() - clock, parts=outcome.seconds),
            measurements=tuple(outcome.measurements),
            facts=outcome.facts,
        )
        return draft.complete(record)


@contextmanager
def _damaged_parents(work: Work) -> Iterator[None]:
    """When what is wrong lies in the finished folder of a parent, say how to have it made again."""
    try:
        yield
    except Refused:
        raise
    except UserError as error:
        damaged = next((folder for folder in work.folders.values() if f"{folder}/" in str(error)), None)
        if damaged is None:
            raise
        raise UserError(f"{error}: remove {damaged} and run the same command again") from error
