"""How many rows are really different, and what a row is a function of (its token, or more)."""

from __future__ import annotations

from hashlib import blake2b

import numpy as np

from husai.activations.manifest import Follows, RowStatistics, TokenStatistics

_NEAR_BITS = 10


def row_hashes(rows_ND: np.ndarray) -> np.ndarray:
    """64-bit content hash [N] uint64 of each row's bytes; 0.0 and -0.0 are the same."""
    data = np.ascontiguousarray(rows_ND + 0 if rows_ND.dtype.kind == "i" else rows_ND + np.float32(0.0))
    width = data.itemsize * data.shape[1]
    view = memoryview(data.tobytes())
    digests = b"".join(blake2b(view[i : i + width], digest_size=8).digest() for i in range(0, len(view), width))
    return np.frombuffer(digests, dtype="<u8")


def near_row_hashes(rows_ND: np.ndarray) -> np.ndarray:
    """Hash [N] of rows rounded to 1/1024 of (the power of two above) their largest coordinate.

    The same prompt gives other last bits at another place of a batch. Such repeats differ in `row_hashes` and agree
    here, unless a coordinate sits on the edge of a step (about one chance in 10,000 for each coordinate).
    """
    exponent_N = np.frexp(np.abs(rows_ND).max(axis=1))[1].astype(np.int64)
    scaled_ND = np.ldexp(rows_ND.astype(np.float64), (_NEAR_BITS - exponent_N)[:, None])
    return row_hashes(np.column_stack([np.rint(scaled_ND).astype(np.int16), exponent_N.astype(np.int16)]))


def row_statistics(exact_N: np.ndarray, near_N: np.ndarray) -> RowStatistics:
    """Counts from the two hashes of every row."""
    counts = np.unique(near_N, return_counts=True)[1]
    unique = int(np.unique(exact_N).size)
    return RowStatistics(
        unique=unique,
        near_unique=int(counts.size),
        duplicate_share=1 - counts.size / len(near_N),
        commonest_share=int(counts.max()) / len(near_N),
    )


def token_statistics(tokens_N: np.ndarray, positions_N: np.ndarray, near_N: np.ndarray) -> TokenStatistics:
    """What the rows stand on: tokens [N], positions [N] in the sequence, hashes [N] of the rows."""
    tokens, counts = np.unique(tokens_N, return_counts=True)
    commonest = int(counts.argmax())
    return TokenStatistics(
        unique=int(tokens.size),
        commonest=int(tokens[commonest]),
        commonest_share=int(counts[commonest]) / len(tokens_N),
        follows=_follows(tokens_N, positions_N, near_N),
    )


def _follows(tokens_N: np.ndarray, positions_N: np.ndarray, near_N: np.ndarray) -> Follows:
    """`token`: every occurrence of a token has the same row (an embedding table); likewise with its position."""
    token, place = _number(tokens_N), _number(positions_N)
    spot = _number(token * (int(place.max()) + 1) + place)
    row = _number(near_N)
    if _is_function(token, row):
        return "token"
    if _is_function(spot, row):
        return "token_and_position"
    repeated = int(spot.max()) + 1 < len(spot)
    return "context" if repeated else "unknown"


def _number(values_N: np.ndarray) -> np.ndarray:
    return np.unique(values_N, return_inverse=True)[1].astype(np.int64)


def _is_function(key_N: np.ndarray, value_N: np.ndarray) -> bool:
    """Whether equal keys always have equal values, seen on at least one repeated key."""
    keys = int(key_N.max()) + 1
    pairs = np.unique(key_N * (int(value_N.max()) + 1) + value_N).size
    return keys < len(key_N) and pairs == keys
