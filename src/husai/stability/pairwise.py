"""Every stability metric for every pair of seeds, over all and over alive latents: `PairTable`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from husai.errors import UserError, unknown
from husai.events import check_stop, report
from husai.stability.matching import Bools, mask, match, stack
from husai.stability.metrics import correlation, shared_share, subspace_overlap
from husai.stability.nulls import floor_of
from husai.stability.similarity import Floats, OwnNeighbour, cosine, nearest_neighbour

Population = Literal["all", "alive"]
POPULATIONS: tuple[Population, Population] = ("all", "alive")
THRESHOLDS = (0.5, 0.7, 0.9)
Key = tuple[str, Population]


@dataclass(frozen=True)
class PairTable:
    """Symmetric matrices [S, S] per (metric, population); NaN on the diagonal and where nothing could be compared.

    `margin` is the mean matching margin of mcc_signed (matched cosine minus runner-up) and `own` each dictionary's own
    nearest-neighbour cosines: both stand beside every stability number. `count_S` are the features per seed.
    """

    d_in: int
    values: Mapping[Key, Floats]
    margin: Mapping[Population, Floats]
    own: Mapping[Population, tuple[OwnNeighbour, ...]]
    count_S: Mapping[Population, NDArray[np.intp]]

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

    def floors(self, metric: str, population: Population = "alive") -> Floats | None:
        """Floors [S, S] at the sizes actually compared; None for a metric that has none."""
        self.matrix(metric, population)
        n_S = self.count_S[population]
        floors = np.full((len(n_S), len(n_S)), np.nan)
        for i, j in _pairs(len(n_S)):
            floor = floor_of(metric, self.d_in, int(n_S[i]), int(n_S[j]))
            if floor is not None:
                floors[i, j] = floors[j, i] = floor.value
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


@dataclass(frozen=True)
class Side:
    """One dictionary of a comparison, restricted to a population."""

    dec_FD: Floats
    enc_FD: Floats | None = None
    acts_NF: NDArray[np.floating] | None = None


@dataclass(frozen=True)
class Wanted:
    """Which optional metrics to compute."""

    thresholds: Sequence[float] = THRESHOLDS
    ranks: Sequence[int] = field(default_factory=tuple)


def pairwise(
    decoders_SFD: ArrayLike,
    encoders_SFD: ArrayLike | None = None,
    alive_masks_SF: ArrayLike | None = None,
    *,
    activations_SNF: ArrayLike | None = None,
    d_in: int | None = None,
    thresholds: Sequence[float] = THRESHOLDS,
    ranks: Sequence[int] = (),
) -> PairTable:
    """Compare every pair of seeds.

    Always mcc_signed, mcc_abs and mean_max_cos; with encoders [S, F, D] (feature-major) `shared_at(t)` for each
    threshold; with activations [S, N, F] of the same N held-out rows `activation_match`; `subspace_overlap(r)` for each
    rank. Without masks every latent counts as alive. Each is computed for the populations "all" and "alive".

    Raises:
        UserError: shapes that do not fit `d_in` or each other, a rank that does not fit, or values that are not finite.
    """
    W = stack(decoders_SFD, d_in)
    S, F, D = W.shape
    E = None if encoders_SFD is None else stack(encoders_SFD, d_in)
    X = None if activations_SNF is None else np.asarray(activations_SNF)
    _fitting(W.shape, E, X, ranks)
    keep = {"all": mask(None, S, F), "alive": mask(alive_masks_SF, S, F)}
    sides: dict[Population, list[Side]] = {
        p: [_side(W[s], None if E is None else E[s], None if X is None else X[s], keep[p][s]) for s in range(S)]
        for p in POPULATIONS
    }
    if keep["alive"].all():
        sides["alive"] = sides["all"]
    values, margin = _fill(sides, S, Wanted(tuple(thresholds), tuple(ranks)))
    own: dict[Population, tuple[OwnNeighbour, ...]] = {
        p: tuple(nearest_neighbour(side.dec_FD) for side in sides[p]) for p in POPULATIONS
    }
    return PairTable(D, values, margin, own, {p: keep[p].sum(axis=1) for p in POPULATIONS})


def compare(a: Side, b: Side, wanted: Wanted) -> tuple[dict[str, float], float]:
    """Every metric of one pair, and the mean matching margin of mcc_signed. One cosine matrix serves them all."""
    C = cosine(a.dec_FD, b.dec_FD)
    found = match(C)
    size = np.abs(C)
    out = {"mcc_signed": found.score, "mcc_abs": match(size).score, "mean_max_cos": _mean_max(size)}
    if a.enc_FD is not None and b.enc_FD is not None:
        shares = shared_share(C, cosine(a.enc_FD, b.enc_FD), list(wanted.thresholds))
        out |= {f"shared_at({t:g})": share for t, share in zip(wanted.thresholds, shares, strict=True)}
    if a.acts_NF is not None and b.acts_NF is not None:
        out["activation_match"] = match(correlation(a.acts_NF, b.acts_NF)).score
    for r in wanted.ranks:
        fits = r <= min(C.shape)
        out[f"subspace_overlap({r})"] = subspace_overlap(a.dec_FD, b.dec_FD, r) if fits else float("nan")
    return out, found.mean_margin


def _fitting(
    shape: tuple[int, ...],
    E: NDArray[np.floating] | None,
    X: NDArray[np.floating] | None,
    ranks: Sequence[int],
) -> None:
    S, F, D = shape
    if E is not None and E.shape != shape:
        raise UserError(f"encoders {E.shape} and decoders {shape} must both be [S, F, D], feature-major")
    if X is not None and (X.ndim != 3 or X.shape[0] != S or X.shape[2] != F):
        raise UserError(f"activations are [S, N, F] = [{S}, N, {F}]; given: {X.shape}")
    if any(not 1 <= r <= min(F, D) for r in ranks):
        raise UserError(f"a subspace must have between 1 and {min(F, D)} dimensions here; given: {list(ranks)}")


def _fill(
    sides: Mapping[Population, list[Side]], S: int, wanted: Wanted
) -> tuple[dict[Key, Floats], dict[Population, Floats]]:
    values: dict[Key, Floats] = {}
    margin: dict[Population, Floats] = {p: np.full((S, S), np.nan) for p in POPULATIONS}
    pairs = _pairs(S)
    for done, (i, j) in enumerate(pairs):
        check_stop()
        both: dict[Population, tuple[dict[str, float], float]] = {}
        for p in POPULATIONS:
            same = p == "alive" and sides["alive"] is sides["all"]
            both[p] = both["all"] if same else compare(sides[p][i], sides[p][j], wanted)
            for metric, value in both[p][0].items():
                table = values.setdefault((metric, p), np.full((S, S), np.nan))
                table[i, j] = table[j, i] = value
            margin[p][i, j] = margin[p][j, i] = both[p][1]
        report("stability", "comparing seeds", done + 1, len(pairs))
    return values, margin


def _side(W_FD: Floats, E_FD: Floats | None, X_NF: NDArray[np.floating] | None, keep_F: Bools) -> Side:
    return Side(W_FD[keep_F], None if E_FD is None else E_FD[keep_F], None if X_NF is None else X_NF[:, keep_F])


def _mean_max(size: Floats) -> float:
    if not size.size:
        return float("nan") if size.shape == (0, 0) else 0.0
    return float((size.max(axis=1).mean() + size.max(axis=0).mean()) / 2)


def _pairs(S: int) -> list[tuple[int, int]]:
    return [(i, j) for i in range(S) for j in range(i + 1, S)]
