"""Was it the coupling that was trained, or the SAE? A weight that swamps the reconstruction is said in words.

Compared are loss terms, not gradients: where training ends the gradients of the two cancel, however large the weight.
And compared is the worst logged step, not the last one alone: a term that has won is small again at the end, when every
row is a copy of what it was drawn to.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from husai.statistics.estimate import show

MARK = "the weight draws more than the data do"
SWAMPED_ABOVE = 1.0  # the term over the reconstruction loss, both as means over seeds


def swamped(name: str, history: Mapping[str, Mapping[int, np.ndarray]]) -> str:
    """A warning where the coupling's term was larger than the reconstruction loss; empty where it never was.

    `history` is that of a `TrainState`: term -> step -> values of the seeds.
    """
    shares = {
        step: float(np.mean(term_S)) / max(float(np.mean(history["mse"][step])), 1e-30)
        for step, term_S in history.get(name, {}).items()
    }
    if not shares or max(shares.values()) <= SWAMPED_ABOVE:
        return ""
    worst, last = max(shares, key=lambda step: shares[step]), max(shares)
    return (
        f"coupling {name}: its term is {show(shares[worst])} times the reconstruction loss at step {worst} and "
        f"{show(shares[last])} times at the end: {MARK}, so look at the explained variance, or lower coupling.weight"
    )
