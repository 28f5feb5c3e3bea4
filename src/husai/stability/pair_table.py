"""`PairTable`: every metric of every pair of seeds, with what stands beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from husai.errors import UserError, unknown
from husai.events import report
from husai.stability.matching import Matches
from husai.stability.nulls import floor_of
from husai.stability.rows import Floats
from husai.stability.similarity import OwnNeighbour

Population = Literal["all", "alive"]
POPULATIONS: tuple[Population, Population] = ("all", "alive")
Key = tuple[str, Population]


@dataclass(frozen=True)
class PairTable:
    """Symmetric matrices [S, S] per (metric, population); NaN on the diagonal and where nothing could be compared.

    `margin` is the mean matching margin of mcc_signed (matched cosine minus runner-up) and `own` each dictionary's own
    nearest-neighbour cosines: both stand beside every stability number. `count_S` are the features per seed, `matches`
    the matching behind mcc_signed over alive features, the same as `match_all`.
    """

    d_in: int
    values: Mapping[Key, Floats]
    margin: Mapping[Population, Floats]
    own: Mapping[Population, tuple[OwnNeighbour, ...]]
    count_S: Mapping[Population, NDArray[np.intp]]
    matches: Matches
    made: Mapping[Key, str]
    gaps: Mapping[Key, Floats]

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the metrics that were computed."""
        return tuple(dict.fromkeys(metric for metric, _ in self.values))

    def matrix(self, metric: str, population: Population = "alive") -> Floats:
        """Raw values [S, S].

        Raises:
            UserError: that metric was not computed.
        """
        if (metric, population) not in self.values:
            raise unknown("metric", metric, self.metrics)
        return self.values[metric, population]

    def how(self, metric: str, population: Population = "alive") -> str:
        """How the matching behind a metric was made, for the text beside its value; "" for one without matching.

        Raises:
            UserError: that metric was not computed.
        """
        self.matrix(metric, population)
        return self.made.get((metric, population), "")

    def gap(self, metric: str, population: Population = "alive") -> Floats:
        """By how much the exact value may be larger [S, S]: 0 for an exact matching, NaN for a metric without one.

        For `shared_at` it is that of the matchings it counts in, not of the share.

        Raises:
            UserError: that metric was not computed.
        """
        return self.gaps.get((metric, population), np.full_like(self.matrix(metric, population), np.nan))

    def floors(self, metric: str, population: Population = "alive") -> Floats | None:
        """Floors [S, S] at the sizes actually compared; None for a metric that has none."""
        self.matrix(metric, population)
        n_S = self.count_S[population]
        floors = np.full((len(n_S), len(n_S)), np.nan)
        pairs = pairs_of(len(n_S))
        for done, (i, j) in enumerate(pairs):
            if metric.startswith("mcc_"):  # drawn, unlike the others: minutes for large dictionaries
                report("floors", f"floor of {metric}, {population} latents", done, len(pairs))
            floor = floor_of(metric, self.d_in, int(n_S[i]), int(n_S[j]))
            if floor is not None:
                floors[i, j] = floors[j, i] = floor.value
        if metric.startswith("mcc_"):
            report("floors", f"floor of {metric}, {population} latents", len(pairs), len(pairs))
        return None if np.isnan(floors).all() else floors

    def normalised(self, metric: str, population: Population = "alive") -> Floats:
        """`(v - floor) / (1 - floor)` [S, S].

        Raises:
            UserError: the metric has no floor.
        """
        floors = self.floors(metric, population)
        if floors is None:
            raise UserError(f"{metric} has no floor to normalise by: use its raw values")
        raw, room = self.matrix(metric, population), 1 - floors
        return np.divide(raw - floors, room, out=np.full_like(raw, np.nan), where=room > 0)

    @property
    def collapsed(self) -> tuple[int, ...]:
        """Seeds whose alive dictionary collapsed: their agreement with anything means nothing."""
        return tuple(s for s, own in enumerate(self.own["alive"]) if own.collapsed)


def pairs_of(S: int) -> list[tuple[int, int]]:
    """Pairs i < j of S seeds."""
    return [(i, j) for i in range(S) for j in range(i + 1, S)]
