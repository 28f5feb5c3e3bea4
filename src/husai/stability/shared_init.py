"""Did the seeds start from the same place? Agreement that was put in at initialisation is not stability.

Initialisations from the data (means, centroids, data rows) give every seed much of the same dictionary before a step is
made. Detected from the initial decoders, whatever the code that made them said.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from husai.errors import UserError
from husai.events import check_stop
from husai.stability.matching import match_features, stack
from husai.stability.nulls import floor_mcc
from husai.stability.rows import Floats

Finding = Literal["identical", "near copies", "alike", "independent"]
IDENTICAL, NEAR_COPY, ALIKE = 0.9999, 0.9, 0.05


@dataclass(frozen=True)
class SharedInit:
    """What the initial decoders of each pair of seeds have in common; the worst finding counts.

    `mcc_SS` is their mcc_signed [S, S] (NaN diagonal), `floor` the value of independent isotropic ones. "identical":
    matched cosine >= .9999 (in any order); "near copies": >= .9; "alike": floor-normalised above .05. Each of
    them also lies more than five standard deviations of independent pairs above the floor.
    """

    finding: Finding
    pairs: tuple[tuple[int, int, Finding], ...]
    mcc_SS: Floats
    floor: float

    @property
    def shared(self) -> bool:
        """Whether any pair has more in common than independent initialisations would."""
        return self.finding != "independent"

    def words(self) -> str:
        """The sentence that belongs beside the stability of these seeds."""
        if not self.shared:
            most = f"mcc_signed at step 0 at most {self._most:.3f}, floor {self.floor:.3f}"
            return f"initialisations are independent ({most})"
        counts = Counter(finding for *_, finding in self.pairs if finding != "independent")
        found = ", ".join(f"{n} of {len(self.pairs)} pairs {finding}" for finding, n in counts.items())
        return (
            f"SHARED INITIALISATION: at step 0 {found} (mcc_signed up to {self._most:.3f}, floor {self.floor:.3f}); "
            "agreement after training is partly put in, not found"
        )

    @property
    def _most(self) -> float:
        return float(np.nanmax(self.mcc_SS))


def shared_initialisation(W_init_SFD: ArrayLike, d_in: int | None = None, root: int = 0) -> SharedInit:
    """Compare the decoders of all seeds at initialisation [S, F, D], by matching (copies may be permuted).

    Raises:
        UserError: fewer than two seeds, or shapes that do not fit.
    """
    W = stack(W_init_SFD, d_in)
    S, F, D = W.shape
    if S < 2:
        raise UserError("a shared initialisation needs at least two seeds")
    floor = floor_mcc("mcc_signed", D, F, F, root)
    limit = max(floor.value + ALIKE * (1 - floor.value), floor.value + 5 * (floor.spread or 0.0))
    mcc, pairs = np.full((S, S), np.nan), []
    for i in range(S):
        for j in range(i + 1, S):
            check_stop()
            mcc[i, j] = mcc[j, i] = match_features(W[i], W[j]).score
            pairs.append((i, j, _judge(mcc[i, j], limit)))
    order: tuple[Finding, ...] = ("identical", "near copies", "alike", "independent")
    worst = min((finding for *_, finding in pairs), key=order.index)
    return SharedInit(worst, tuple(pairs), mcc, floor.value)


def _judge(mcc: float, limit: float) -> Finding:
    if mcc <= limit:
        return "independent"
    if mcc >= IDENTICAL:
        return "identical"
    return "near copies" if mcc >= NEAR_COPY else "alike"
