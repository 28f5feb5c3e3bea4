"""Every stability metric for every pair of seeds, over all and over alive latents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from husai.errors import UserError
from husai.events import check_stop, report
from husai.stability.correlation import Latents, latents
from husai.stability.hungarian import Matching, Sparse
from husai.stability.matching import Bools, Gathered, compare_rows, how, mask, match_rows, stack
from husai.stability.metrics import match_latents, mean_max, overlap, shared_share
from husai.stability.pair_table import POPULATIONS, Key, PairTable, Population, pairs_of
from husai.stability.rows import Directions, Floats, directions
from husai.stability.similarity import own_neighbour

THRESHOLDS = (0.5, 0.7, 0.9)
__all__ = ["POPULATIONS", "THRESHOLDS", "PairTable", "Population", "compare", "pairwise", "pairwise_of", "side"]


@dataclass(frozen=True)
class Side:
    """One dictionary of a comparison, restricted to a population."""

    dec: Directions
    enc: Directions | None = None
    acts: Latents | None = None


@dataclass(frozen=True)
class Wanted:
    """Which optional metrics to compute, and in tiles of how many features (`tiles.panels`)."""

    thresholds: Sequence[float] = THRESHOLDS
    ranks: Sequence[int] = field(default_factory=tuple)
    tile: int | None = None


@dataclass(frozen=True)
class PairResult:
    """Every metric of one pair, how those that have a matching were made, and the matching behind mcc_signed."""

    values: Mapping[str, float]
    made: Mapping[str, tuple[Sparse | None, ...]]
    signed: Matching


def pairwise(
    decoders_SFD: ArrayLike,
    encoders_SFD: ArrayLike | None = None,
    alive_masks_SF: ArrayLike | None = None,
    *,
    activations_SNF: ArrayLike | None = None,
    d_in: int | None = None,
    thresholds: Sequence[float] = THRESHOLDS,
    ranks: Sequence[int] = (),
    tile: int | None = None,
) -> PairTable:
    """Compare every pair of seeds.

    Always mcc_signed, mcc_abs and mean_max_cos; with encoders [S, F, D] (feature-major) `shared_at(t)` for each
    threshold; with activations [S, N, F] of the same N held-out rows `activation_match`; `subspace_overlap(r)` for each
    rank. Without masks every latent counts as alive. Each is computed for the populations "all" and "alive".

    Memory-mapped arrays are read in place: 5 seeds of 65,536 features of width 1,024 need less than 4 GiB. `tile`, the
    number of features of one side held at once above about 16,000, sets memory and speed, never a result.

    Raises:
        UserError: shapes that do not fit `d_in` or each other, a rank that does not fit, or values that are not finite.
    """
    W = stack(decoders_SFD, d_in)
    S, F, _ = W.shape
    E = None if encoders_SFD is None else stack(encoders_SFD, d_in)
    X = None if activations_SNF is None else np.asarray(activations_SNF)
    _fitting(W.shape, E, X, ranks)
    sides = [side(W[s], None if E is None else E[s], None if X is None else X[s]) for s in range(S)]
    return pairwise_of(sides, mask(alive_masks_SF, S, F), Wanted(tuple(thresholds), tuple(ranks), tile))


def pairwise_of(dictionaries: Sequence[Side], alive_SF: Bools, wanted: Wanted) -> PairTable:
    """`pairwise` of dictionaries that may differ in size.

    `alive_SF` [S, F] has the F of the largest and is False beyond the features of a smaller one; so are the rows of
    `PairTable.matches`.
    """
    everything = list(dictionaries)
    size_S = np.array([len(s.dec) for s in everything])
    sides: dict[Population, list[Side]] = {"all": everything, "alive": everything}
    if not np.array_equal(alive_SF.sum(axis=1), size_S):
        sides["alive"] = [_only(s, np.flatnonzero(k)) for s, k in zip(everything, alive_SF, strict=True)]
    filled = _Filled(len(everything), alive_SF)
    _fill(filled, sides, wanted)
    own = tuple(own_neighbour(s.dec, wanted.tile) for s in everything)
    alive = sides["alive"]
    own_alive = own if alive is everything else tuple(own_neighbour(s.dec, wanted.tile) for s in alive)
    return PairTable(
        everything[0].dec.width,
        filled.values,
        filled.margin,
        {"all": own, "alive": own_alive},
        {"all": size_S, "alive": alive_SF.sum(axis=1)},
        filled.gathered.matches(),
        {key: how(made) for key, made in filled.made.items()},
        filled.gaps,
    )


def compare(a: Side, b: Side, wanted: Wanted) -> PairResult:
    """Every metric of one pair. The cosines of the decoders are computed once."""
    dec = compare_rows(a.dec, b.dec, wanted.tile)
    values = {
        "mcc_signed": dec.signed.score,
        "mcc_abs": dec.absolute.score,
        "mean_max_cos": mean_max(dec.largest_a, dec.largest_b),
    }
    made: dict[str, tuple[Sparse | None, ...]] = {"mcc_signed": (dec.signed.sparse,), "mcc_abs": (dec.absolute.sparse,)}
    if a.enc is not None and b.enc is not None:
        enc = match_rows(a.enc, b.enc, tile=wanted.tile)
        for t, share in zip(wanted.thresholds, shared_share(dec.signed, enc, wanted.thresholds), strict=True):
            values[f"shared_at({t:g})"], made[f"shared_at({t:g})"] = share, (dec.signed.sparse, enc.sparse)
    if a.acts is not None and b.acts is not None:
        found = match_latents(a.acts, b.acts, wanted.tile)
        values["activation_match"], made["activation_match"] = found.score, (found.sparse,)
    for r in wanted.ranks:
        fits = r <= min(len(a.dec), len(b.dec))
        values[f"subspace_overlap({r})"] = overlap(a.dec, b.dec, r) if fits else float("nan")
    return PairResult(values, made, dec.signed)


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


class _Filled:
    """The tables in the making, pair by pair: no matching outlives its pair but in `gathered`."""

    def __init__(self, S: int, alive_SF: Bools) -> None:
        self.S = S
        self.gathered = Gathered(alive_SF)
        self.values: dict[Key, Floats] = {}
        self.gaps: dict[Key, Floats] = {}
        self.margin: dict[Population, Floats] = {p: np.full((S, S), np.nan) for p in POPULATIONS}
        self.made: dict[Key, list[Sparse | None]] = {}

    def add(self, i: int, j: int, population: Population, pair: PairResult) -> None:
        for name, value in pair.values.items():
            self._put(self.values, (name, population), i, j, value)
        for name, made in pair.made.items():
            self.made.setdefault((name, population), []).extend(made)
            self._put(self.gaps, (name, population), i, j, max(0.0 if s is None else s.gap for s in made))
        self.margin[population][i, j] = self.margin[population][j, i] = pair.signed.mean_margin
        if population == "alive":
            self.gathered.add(i, j, pair.signed)

    def _put(self, tables: dict[Key, Floats], key: Key, i: int, j: int, value: float) -> None:
        table = tables.setdefault(key, np.full((self.S, self.S), np.nan))
        table[i, j] = table[j, i] = value


def _fill(filled: _Filled, sides: Mapping[Population, list[Side]], wanted: Wanted) -> None:
    pairs = pairs_of(filled.S)
    for done, (i, j) in enumerate(pairs):
        check_stop()
        pair = compare(sides["all"][i], sides["all"][j], wanted)
        filled.add(i, j, "all", pair)
        if sides["alive"] is not sides["all"]:
            pair = compare(sides["alive"][i], sides["alive"][j], wanted)
        filled.add(i, j, "alive", pair)
        report("stability", "comparing seeds", done + 1, len(pairs))


def side(W_FD: NDArray[np.floating], E_FD: NDArray[np.floating] | None, X_NF: NDArray[np.floating] | None) -> Side:
    """A dictionary [F, D] whole, with its encoder [F, D] and the activations of its latents [N, F] where they are had.

    Raises:
        UserError: a value that is not finite.
    """
    return Side(directions(W_FD), None if E_FD is None else directions(E_FD), None if X_NF is None else latents(X_NF))


def _only(side: Side, keep: NDArray[np.intp]) -> Side:
    enc, acts = side.enc, side.acts
    return Side(side.dec.only(keep), None if enc is None else enc.only(keep), None if acts is None else acts.only(keep))
