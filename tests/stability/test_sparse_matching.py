"""Matching among nearest neighbours against the exact one, where that can be had."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from husai.stability import sparse_matching
from husai.stability.hungarian import Matching, match
from husai.stability.nearest import NEIGHBOURS, Kind, neighbours
from husai.stability.rows import directions
from husai.stability.similarity import cosine
from husai.stability.sparse_matching import match_sparse

Two = tuple[np.ndarray, np.ndarray]


def independent(rng: np.random.Generator, n: int, k: int, d: int) -> Two:
    return rng.standard_normal((n, d)), rng.standard_normal((k, d))


def shared(rng: np.random.Generator, n: int, k: int, d: int) -> Two:
    """Half of the smaller dictionary comes back in the other, more or less noisy, in another order."""
    A, B = independent(rng, n, k, d)
    half = min(n, k) // 2
    B[:half] = A[:half] + rng.standard_normal((half, d)) * rng.uniform(0.2, 2, (half, 1))
    return A, rng.permutation(B)


def families(rng: np.random.Generator, n: int, k: int, d: int) -> Two:
    """Families of features, some far larger in one dictionary than in the other."""
    count = max(2, n // 20)
    base = rng.standard_normal((count, d))

    def members(size: int) -> np.ndarray:
        weights = rng.dirichlet(np.full(count, 0.5))
        return base[rng.choice(count, size, p=weights)] + 0.7 * rng.standard_normal((size, d))

    return members(n), members(k)


def padded(rng: np.random.Generator, n: int, k: int, d: int) -> Two:
    """Shared, with dead rows of zeros: few enough that each could take a feature's partner away."""
    A, B = shared(rng, n, k, d)
    A[rng.choice(n, 25, replace=False)] = 0
    B[rng.choice(k, 25, replace=False)] = 0
    return A, B


MAKE = {"independent": independent, "shared": shared, "families": families, "padded": padded}
seeds = st.integers(0, 2**31)


def sparse(
    A: np.ndarray, B: np.ndarray, m: int = NEIGHBOURS, kind: Kind = "signed", tile: int | None = None
) -> Matching:
    a, b = directions(A), directions(B)
    return match_sparse(a, b, neighbours(a, b, m, (kind,), tile)[kind], kind, tile)


def exact(A: np.ndarray, B: np.ndarray, kind: Kind = "signed") -> Matching:
    C = cosine(A, B)
    return match(np.abs(C) if kind == "abs" else C)


def greedy(A: np.ndarray, B: np.ndarray) -> float:
    """The best pair, then the best of the rest ..."""
    C = cosine(A, B)
    total = 0.0
    for _ in range(min(C.shape)):
        i, j = np.unravel_index(np.argmax(C), C.shape)
        total += C[i, j]
        C[i], C[:, j] = -np.inf, -np.inf
    return total / max(C.shape)


def check(found: Matching, best: Matching, most: float) -> None:
    """One-to-one, as large as the exact one, within its gap of it, and no further than `most`."""
    assert found.sparse is not None
    assert len(set(found.rows.tolist())) == len(set(found.cols.tolist())) == len(best.rows)
    assert (found.n_rows, found.n_cols) == (best.n_rows, best.n_cols)
    short = best.score - found.score
    assert -1e-9 <= short <= most
    assert short <= found.gap + 1e-6
    for bound in (found.sparse.bound_maxima, found.sparse.bound_prices):
        assert best.score <= bound + 1e-6
    assert found.gap == pytest.approx(max(0, min(found.sparse.bound_maxima, found.sparse.bound_prices) - found.score))


@pytest.mark.parametrize("kind", ["signed", "abs"])
@pytest.mark.parametrize("shape", [(1000, 1000), (1000, 700), (600, 900), (2000, 2000)])
@pytest.mark.parametrize("made", MAKE)
def test_it_is_the_exact_matching_but_for_rounding(made: str, shape: tuple[int, int], kind: Kind) -> None:
    A, B = MAKE[made](np.random.default_rng(1), *shape, 64)
    found, best = sparse(A, B, kind=kind), exact(A, B, kind)
    check(found, best, 2e-5)
    assert found.gap < 2e-3


@pytest.mark.parametrize("m", [1, 2, 4, 8])
@pytest.mark.parametrize("made", MAKE)
def test_fewer_neighbours_cost_what_the_gap_says(made: str, m: int) -> None:
    A, B = MAKE[made](np.random.default_rng(2), 300, 300, 32)
    check(sparse(A, B, m), exact(A, B), 0.06)


@settings(max_examples=40, deadline=None)
@given(
    seed=seeds, n=st.integers(1, 90), k=st.integers(1, 90), d=st.integers(2, 24), m=st.integers(1, 40),
    made=st.sampled_from(["independent", "shared", "families"]), kind=st.sampled_from(["signed", "abs"]),
)  # fmt: skip
def test_always_within_its_gap(seed: int, n: int, k: int, d: int, m: int, made: str, kind: Kind) -> None:
    A, B = MAKE[made](np.random.default_rng(seed), n, k, d)
    check(sparse(A, B, m, kind), exact(A, B, kind), 1.0)


@settings(max_examples=25, deadline=None)
@given(seed=seeds, n=st.integers(33, 120), k=st.integers(33, 120), made=st.sampled_from(sorted(MAKE)))
def test_never_below_greedy_and_never_above_the_bound(seed: int, n: int, k: int, made: str) -> None:
    A, B = MAKE[made](np.random.default_rng(seed), n, k, 16)
    found = sparse(A, B)
    assert found.sparse is not None
    assert greedy(A, B) - 1e-9 <= found.score <= min(found.sparse.bound_maxima, found.sparse.bound_prices) + 1e-6


@settings(max_examples=20, deadline=None)
@given(seed=seeds, n=st.integers(40, 150), k=st.integers(40, 150))
def test_the_order_of_features_does_not_matter(seed: int, n: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    A, B = shared(rng, n, k, 16)
    p, q = rng.permutation(n), rng.permutation(k)
    found, other = sparse(A, B), sparse(A[p], B[q])
    assert other.score == pytest.approx(found.score, abs=1e-9)
    assert (q[other.partner()] == np.where(other.partner() < 0, -1, found.partner()[p]))[other.partner() >= 0].all()


@pytest.mark.parametrize("kind", ["signed", "abs"])
def test_a_dictionary_against_itself_in_another_order(kind: Kind) -> None:
    rng = np.random.default_rng(3)
    A, order = rng.standard_normal((1500, 48)), rng.permutation(1500)
    found = sparse(A, A[order], kind=kind)
    assert found.score == pytest.approx(1, abs=1e-12) and found.gap < 1e-6
    assert (order[found.partner()] == np.arange(1500)).all()
    assert found.sparse is not None and found.sparse.left == 0


def test_margins_are_those_of_the_exact_matching() -> None:
    A, B = shared(np.random.default_rng(4), 700, 500, 48)
    found, best = sparse(A, B), exact(A, B)
    assert (found.partner() == best.partner()).all()
    assert found.similarity == pytest.approx(best.similarity, abs=1e-12)
    assert found.margin == pytest.approx(best.margin, abs=1e-6)
    assert found.margin_back == pytest.approx(best.margin_back, abs=1e-6)
    turned = sparse(B, A)
    assert (turned.rows == found.turned().rows).all() and (turned.cols == found.turned().cols).all()
    assert turned.margin == pytest.approx(found.turned().margin, abs=1e-6)


def test_no_bit_depends_on_the_tile() -> None:
    A, B = families(np.random.default_rng(5), 2600, 2100, 16)
    one, other = sparse(A, B, tile=1), sparse(A, B, tile=4096)
    assert one.similarity.tobytes() == other.similarity.tobytes() and (one.cols == other.cols).all()
    assert one.sparse == other.sparse


@pytest.mark.parametrize("rest", [4096, 40])
def test_copies_beyond_the_neighbours_are_matched_too(monkeypatch: pytest.MonkeyPatch, rest: int) -> None:
    """300 copies of one feature on either side have the same few neighbours: the others still find a partner."""
    monkeypatch.setattr(sparse_matching, "REST_UP_TO", rest)
    rng = np.random.default_rng(6)
    A = np.vstack([np.tile(rng.standard_normal((1, 24)), (300, 1)), rng.standard_normal((200, 24))])
    B = A[rng.permutation(500)]
    found = sparse(A, B, m=8)
    assert found.score == pytest.approx(1, abs=1e-9)
    assert found.sparse is not None and found.sparse.left > 200


def test_thousands_of_rows_without_a_direction(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sparse_matching, "REST_UP_TO", 10)
    A, B = np.zeros((400, 8)), np.zeros((300, 8))
    A[:50], B[100:150] = np.random.default_rng(0).standard_normal((2, 50, 8))
    check(sparse(A, B), exact(A, B), 1e-9)
    check(sparse(A[50:], B[150:]), exact(A[50:], B[150:]), 0.0)


def test_a_partner_of_zeros_is_better_than_an_opposed_one() -> None:
    A, B = padded(np.random.default_rng(0), 33, 33, 16)
    found = sparse(A, B)
    assert (found.similarity == 0).sum() > 20
    check(found, exact(A, B), 1e-9)


def test_orthogonal_dictionaries_leave_the_others_without_a_candidate() -> None:
    A, B = np.eye(100, 64), np.eye(100, 64)[::-1]
    found = sparse(A, B)
    assert found.score == exact(A, B).score == 0.64
    assert found.sparse is not None and found.sparse.left == 36 and found.gap < 1e-6
