"""What rows look like, in two passes over chunks of fixed size: the same numbers whatever the shards and blocks are."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from husai.activations.manifest import NormStatistics, RowStatistics
from husai.activations.spectrum import effective_rank, participation_ratio
from husai.activations.uniqueness import near_row_hashes, row_hashes, row_statistics
from husai.errors import UserError

CHUNK = 1024
COVARIANCE_LIMIT = 4096
OUTLIER_FACTOR = 5.0
TOP_SHARE = 0.001
QUANTILES = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)
_CONSTANT = 1e-12  # variance over mean square norm: rows that differ by rounding only

Read = Callable[[int, int], np.ndarray]


@dataclass(frozen=True, eq=False)
class Description:
    """Statistics of N rows of width D. `covariance_DD` (population, float64) is None above `COVARIANCE_LIMIT`."""

    mean_D: np.ndarray
    variance_D: np.ndarray
    covariance_DD: np.ndarray | None
    mean_square_norm: float
    variance: float
    excess_kurtosis: float
    effective_rank: float | None
    participation_ratio: float | None
    rows: RowStatistics
    norms: NormStatistics
    near_hashes_N: np.ndarray
    rows_sha256: str


def describe(read: Read, n_rows: int, d_in: int, positions_N: np.ndarray | None = None) -> Description:
    """Describe the rows that `read(start, stop)` returns (float32 [stop - start, D]); `positions_N` if known.

    Raises:
        UserError: NaN or infinity (names the first bad row), fewer than two rows, or rows that are all the same.
    """
    if n_rows < 2:
        raise UserError(f"{n_rows} rows are too few for activations: at least 2 are needed")
    first = _first_pass(read, n_rows, d_in)
    second = _second_pass(read, n_rows, first.mean_D, positions_N)
    variance = math.fsum(second.centred_N**2) / n_rows
    if variance <= _CONSTANT * first.mean_square:
        raise UserError(
            f"the activations are constant: every row equals row 0 (all {n_rows} of them), so there is nothing to"
            " learn; choose another hook or position"
        )
    covariance = second.covariance_DD
    return Description(
        mean_D=first.mean_D,
        variance_D=second.variance_D,
        covariance_DD=covariance,
        mean_square_norm=first.mean_square,
        variance=variance,
        excess_kurtosis=second.excess_kurtosis,
        effective_rank=None if covariance is None else effective_rank(covariance),
        participation_ratio=None if covariance is None else participation_ratio(covariance),
        rows=row_statistics(first.exact_N, first.near_N),
        norms=norm_statistics(first.norms_N, second.centred_N).model_copy(update=second.first_position),
        near_hashes_N=first.near_N,
        rows_sha256=first.sha256,
    )


def describe_array(rows_ND: np.ndarray) -> Description:
    """`describe` for rows in memory."""
    rows = np.asarray(rows_ND, dtype=np.float32)
    return describe(lambda start, stop: rows[start:stop], *rows.shape)


def check_finite(rows_ND: np.ndarray, first_row: int) -> None:
    """Refuse NaN and infinity; `first_row` is the number of the block's first row.

    Raises:
        UserError: names the first bad row and dimension.
    """
    good = np.isfinite(rows_ND)
    if not good.all():
        row, dimension = np.argwhere(~good)[0]
        raise UserError(
            f"activation row {first_row + row} holds {rows_ND[row, dimension]} in dimension {dimension}:"
            " mend or leave out such rows (a model that overflows in half precision makes them)"
        )


def _chunks(read: Read, n_rows: int) -> Iterator[tuple[int, np.ndarray]]:
    for start in range(0, n_rows, CHUNK):
        yield start, read(start, min(start + CHUNK, n_rows))


@dataclass(frozen=True, eq=False)
class _First:
    mean_D: np.ndarray
    mean_square: float
    norms_N: np.ndarray
    exact_N: np.ndarray
    near_N: np.ndarray
    sha256: str


def _first_pass(read: Read, n_rows: int, d_in: int) -> _First:
    total_D = np.zeros(d_in)
    norms, exact, near = np.empty(n_rows), np.empty(n_rows, dtype=np.uint64), np.empty(n_rows, dtype=np.uint64)
    digest = hashlib.sha256()
    for start, rows_ND in _chunks(read, n_rows):
        check_finite(rows_ND, start)
        wide = rows_ND.astype(np.float64)
        stop = start + len(wide)
        total_D += wide.sum(axis=0)
        norms[start:stop] = np.sqrt((wide**2).sum(axis=1))
        exact[start:stop], near[start:stop] = row_hashes(rows_ND), near_row_hashes(rows_ND)
        digest.update(np.ascontiguousarray(rows_ND).tobytes())
    return _First(total_D / n_rows, math.fsum(norms**2) / n_rows, norms, exact, near, digest.hexdigest())


@dataclass(frozen=True, eq=False)
class _Second:
    variance_D: np.ndarray
    covariance_DD: np.ndarray | None
    centred_N: np.ndarray
    excess_kurtosis: float
    first_position: dict[str, float]


def _second_pass(read: Read, n_rows: int, mean_D: np.ndarray, positions_N: np.ndarray | None) -> _Second:
    d_in = len(mean_D)
    later_N = np.ones(n_rows, dtype=bool) if positions_N is None else positions_N != 0
    later_D = np.zeros(d_in)
    covariance = np.zeros((d_in, d_in)) if d_in <= COVARIANCE_LIMIT else None
    second_D, fourth_D, centred = np.zeros(d_in), np.zeros(d_in), np.empty(n_rows)
    for start, rows_ND in _chunks(read, n_rows):
        x = rows_ND.astype(np.float64) - mean_D
        square = x**2
        second_D += square.sum(axis=0)
        fourth_D += (square**2).sum(axis=0)
        later_D += x[later_N[start : start + len(x)]].sum(axis=0)
        centred[start : start + len(x)] = np.sqrt(square.sum(axis=1))
        if covariance is not None:
            covariance += x.T @ x
    alive = second_D > 0
    kurtosis = n_rows * fourth_D[alive] / second_D[alive] ** 2 - 3
    covariance = None if covariance is None else covariance / n_rows
    first = {} if positions_N is None else _first_position(centred, later_N, later_D)
    excess = float(kurtosis.mean()) if alive.any() else 0.0
    return _Second(second_D / n_rows, covariance, centred, excess, first)


def norm_statistics(norms_N: np.ndarray, centred_N: np.ndarray) -> NormStatistics:
    """Who carries the variance, from the norms [N] of the rows and of the centred rows."""
    energy = np.sort(centred_N**2)[::-1]
    total = float(energy.sum())
    median = float(np.median(centred_N))
    threshold = OUTLIER_FACTOR * median
    top = max(1, math.ceil(TOP_SHARE * len(energy)))
    outliers = int((centred_N > threshold).sum())
    half = int(np.searchsorted(np.cumsum(energy), total / 2)) + 1
    return NormStatistics(
        quantiles={f"{q:g}": float(np.quantile(norms_N, q)) for q in QUANTILES},
        median_centred=median,
        outlier_threshold=threshold,
        outliers=outliers,
        outlier_variance_share=min(1.0, float(energy[:outliers].sum()) / total),
        top_rows=top,
        top_rows_variance_share=min(1.0, float(energy[:top].sum()) / total),
        rows_for_half_variance=min(half, len(energy)),
    )


def _first_position(centred_N: np.ndarray, later_N: np.ndarray, later_D: np.ndarray) -> dict[str, float]:
    """What the sum of squares loses without the first position; `later_D` sums the centred rows of the others."""
    total = max(float((centred_N**2).sum()), np.finfo(float).tiny)
    kept = float((centred_N[later_N] ** 2).sum())
    kept -= float((later_D**2).sum()) / max(1, int(later_N.sum()))  # about their own mean
    return {
        "first_position_share": float((~later_N).mean()),
        "first_position_variance_share": min(1.0, max(0.0, 1 - kept / total)),
    }
