"""T11: a loss of explained variance looks smaller with the untouched reference in the mean."""

from __future__ import annotations

from husai.studies.node import Node
from husai.studies.replays.bench import Bench
from husai.studies.replays.claim import Check, Claim, Figure, Found, Reading
from husai.studies.replays.legacy_formulas import with_reference
from husai.studies.replays.t03_trade_off import SHARE
from husai.studies.replays.t09_pinning import free, reference
from husai.studies.replays.t10_copies import COUPLED, drawn

PUBLISHED = 0.258 / 0.32  # of the loss that was left by counting the reference


def nodes(bench: Bench) -> list[Node]:
    """The coupled seeds, their reference, and seeds without one."""
    return [bench.model, bench.rows, *reference(bench).nodes, *free(bench).nodes, drawn(bench)]


def read(found: Found) -> Reading:
    """The loss with and without the reference among the seeds."""
    b, n = found.bench, len(COUPLED)
    untied, its = (found.ev(trained).value for trained in (free(b), reference(b)))
    tied = found.value(drawn(b), "explained_variance")
    counted = untied - with_reference([tied] * n, its)
    loss = untied - tied
    ratio = counted / loss if loss > 0 else float("nan")
    return Reading(
        (Figure("loss of explained variance", counted, SHARE, f"{n} seeds and the reference"),),
        (
            Figure("loss of explained variance, coupled seeds alone", loss, SHARE, f"n = {n} seeds"),
            Figure("part of it that was reported", ratio, "share of the loss", "a ratio of two means"),
        ),
        (
            Check("loss of explained variance, coupled seeds alone", loss, "at least", 0.01),
            Check("distance of the part reported from the published one", abs(ratio - PUBLISHED), "at most", 0.05),
        ),
        (Check("loss that was left out", loss - counted, "at least", 0.002),),
    )


CLAIM = Claim(
    "T11",
    "What a consistency objective costs in reconstruction",
    "a published sweep of an assignment objective",
    (Figure("loss of explained variance", 0.258, SHARE),),
    "The reference, which nothing pulls at, was counted among the coupled seeds. The size of the loss depends on how "
    "hard they are pulled; the part that is hidden does not.",
    nodes,
    read,
)
