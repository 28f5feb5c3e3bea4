"""An executor without processes."""

from __future__ import annotations

import traceback
from collections.abc import Iterable
from pathlib import Path

from husai.studies.executors.local import Failure, Hooks
from husai.studies.executors.worker import compute
from husai.studies.node import Node


class InProcess:
    """Stands in for `LocalExecutor` where it does not matter which process computes."""

    def __init__(self, root: Path, workers: int) -> None:
        self.root = root

    def __enter__(self) -> InProcess:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def run(self, nodes: Iterable[Node], hooks: Hooks) -> Failure | None:
        """One node after another, parents first."""
        for node in nodes:
            hooks.on_start(node)
            try:
                compute(hooks.work_of(node), self.root)
            except Exception as error:  # noqa: BLE001 - as a worker does
                return Failure(node, error, traceback.format_exc())
            hooks.on_done(node)
        return None
