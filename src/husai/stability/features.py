"""The table of one seed's features: does each come back, where, how often does it fire, what does it carry?"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from husai.errors import UserError
from husai.stability.matching import Bools, Matches
from husai.stability.reappearance import reappearance
from husai.stability.rows import Floats, directions
from husai.stability.similarity import OwnNeighbour
from husai.stability.similarity import own_neighbour as neighbours_of
from husai.store.files import write_text

Column = list[int] | list[float | None] | list[bool]


@dataclass(frozen=True)
class FeatureTable:
    """Columns of equal length, one row per feature. Missing numbers are None (an empty cell), never 0.

    `feature`, `alive`, `reappearance`, `frequency`, `mean_activation`, `explained_variance`, `own_neighbour`; then for
    each other seed j `partner_j` (its matched feature, -1 for none), `cosine_j` and `margin_j`.
    """

    seed: int
    t: float
    columns: Mapping[str, Column]

    def __len__(self) -> int:
        return len(self.columns["feature"])

    def row(self, feature: int) -> dict[str, Any]:
        """One feature as name -> value.

        Raises:
            UserError: there is no such feature.
        """
        if not 0 <= feature < len(self):
            raise UserError(f"feature {feature} does not exist: 0 to {len(self) - 1}")
        return {name: column[feature] for name, column in self.columns.items()}

    def csv(self) -> str:
        """The table as CSV text; numbers with nine significant digits."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(self.columns)
        writer.writerows([_cell(x) for x in row] for row in zip(*self.columns.values(), strict=True))
        return out.getvalue()

    def to_csv(self, path: Path) -> Path:
        """Write the table atomically."""
        return write_text(path, self.csv())


def feature_table(
    seed: int,
    W_dec_SFD: Sequence[ArrayLike] | NDArray[np.floating],
    matches: Matches,
    *,
    t: float = 0.7,
    frequency_F: ArrayLike | None = None,
    mean_activation_F: ArrayLike | None = None,
    explained_variance_F: ArrayLike | None = None,
    own_neighbour: OwnNeighbour | None = None,
) -> FeatureTable:
    """Table of `seed` from the matches of all seeds (never by index). Columns that were not measured are all None.

    `own_neighbour` is that of the alive features, where it is known already (`PairTable.own`). Partners are written as
    indices of the other seed's own features.

    Raises:
        UserError: no such seed, or an array that is not [F].
    """
    S, F = matches.alive_SF.shape
    if not 0 <= seed < S:
        raise UserError(f"seed {seed} does not exist: 0 to {S - 1}")
    alive = matches.alive_SF[seed]
    own = np.full(F, np.nan)
    own[alive] = _own(np.asarray(W_dec_SFD[seed]), alive, own_neighbour)
    columns: dict[str, Column] = {
        "feature": list(range(F)),
        "alive": [bool(a) for a in alive],
        "reappearance": _numbers(reappearance(matches, t)[seed], F),
        "frequency": _numbers(frequency_F, F),
        "mean_activation": _numbers(mean_activation_F, F),
        "explained_variance": _numbers(explained_variance_F, F),
        "own_neighbour": _numbers(own, F),
    }
    for j in (j for j in range(S) if j != seed):
        columns[f"partner_{j}"] = [int(p) for p in matches.partner_SSF[seed, j]]
        columns[f"cosine_{j}"] = _numbers(matches.cosine_SSF[seed, j], F)
        columns[f"margin_{j}"] = _numbers(matches.margin_SSF[seed, j], F)
    return FeatureTable(seed, t, columns)


def _own(W_FD: NDArray[np.floating], alive_F: Bools, known: OwnNeighbour | None) -> Floats:
    own = neighbours_of(directions(W_FD, keep=np.flatnonzero(alive_F))) if known is None else known
    if len(own.abs_F) != alive_F.sum():
        raise UserError(f"own neighbours of {len(own.abs_F)} features for {alive_F.sum()} alive ones")
    return own.abs_F


def _numbers(values: ArrayLike | None, F: int) -> list[float | None]:
    if values is None:
        return [None] * F
    x = np.asarray(values, dtype=np.float64)
    if x.shape != (F,):
        raise UserError(f"a column of the feature table has one value per feature [{F}]; given: {x.shape}")
    return [float(v) if math.isfinite(v) else None for v in x]


def _cell(value: object) -> object:
    if value is None:
        return ""
    if isinstance(value, bool):
        return int(value)
    return f"{value:.9g}" if isinstance(value, float) else value
