"""Hungarian matching against brute force; matches of all seeds."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from husai import events
from husai.errors import Interrupted, UserError
from husai.stability import matching
from husai.stability.hungarian import match_in_place
from husai.stability.matching import compare_rows, mask, match, match_all, match_features, stack
from husai.stability.rows import directions
from husai.stability.similarity import cosine


def brute_force(similarity: np.ndarray) -> float:
    """Best sum over all one-to-one matchings."""
    if similarity.shape[0] > similarity.shape[1]:
        similarity = similarity.T
    n, m = similarity.shape
    return max(sum(similarity[i, p[i]] for i in range(n)) for p in permutations(range(m), n))


@given(st.integers(0, 10_000), st.integers(1, 5), st.integers(1, 5))
def test_it_is_the_best_matching(seed: int, n: int, m: int) -> None:
    similarity = np.random.default_rng(seed).uniform(-1, 1, (n, m))
    found = match(similarity)
    assert found.score == pytest.approx(brute_force(similarity) / max(n, m))
    assert len(set(found.rows)) == len(set(found.cols)) == min(n, m)


def test_margin_is_matched_minus_runner_up() -> None:
    found = match(np.array([[0.9, 0.8, 0.1], [0.85, 0.2, 0.1]]))
    assert found.partner().tolist() == [1, 0]
    assert found.margin == pytest.approx([0.8 - 0.9, 0.85 - 0.2])
    assert found.mean_margin == pytest.approx((-0.1 + 0.65) / 2)


@pytest.mark.parametrize("shape", [(9, 5), (5, 9)])
def test_the_matrix_is_never_turned_by_the_solver(monkeypatch: pytest.MonkeyPatch, shape: tuple[int, int]) -> None:
    """It would copy it: 2 GiB more at 16,384 features."""
    seen: list[tuple[int, ...]] = []
    monkeypatch.setattr(matching, "match_in_place", lambda C: seen.append(C.shape) or match_in_place(C))
    rng = np.random.default_rng(0)
    A, B = rng.standard_normal((shape[0], 4)), rng.standard_normal((shape[1], 4))
    a, b = directions(A), directions(B)
    found, both = match_features(A, B), compare_rows(a, b)
    assert seen == [(5, 9)] * 3
    C = cosine(A, B)
    for got, S in ((found, C), (both.signed, C), (both.absolute, np.abs(C))):
        best = match(S)
        assert (got.partner() == best.partner()).all() and got.score == pytest.approx(best.score)
        assert got.margin == pytest.approx(best.margin, nan_ok=True)
        assert got.margin_back == pytest.approx(best.margin_back, nan_ok=True)
    assert both.largest_a == pytest.approx(np.abs(C).max(axis=1))
    assert both.largest_b == pytest.approx(np.abs(C).max(axis=0))


def test_a_matrix_that_is_matched_is_as_it_was() -> None:
    S = np.random.default_rng(0).uniform(-1, 1, (4, 6))
    before = S.copy()
    match(S)
    match_in_place(S)
    assert (before == S).all()


def test_nobody_else_to_compare_with() -> None:
    found = match(np.array([[0.4], [0.6]]))
    assert np.isnan(found.margin).all() and np.isnan(found.mean_margin)
    assert found.partner().tolist() == [-1, 0]
    assert found.score == pytest.approx(0.3)


def test_empty_sides() -> None:
    assert np.isnan(match(np.zeros((0, 0))).score)
    assert match(np.zeros((0, 3))).score == 0


def test_not_finite() -> None:
    with pytest.raises(UserError, match="not finite"):
        match(np.array([[np.nan]]))


def test_matches_of_all_seeds_find_the_permutation() -> None:
    rng = np.random.default_rng(0)
    base = rng.standard_normal((7, 5))
    orders = [rng.permutation(7) for _ in range(3)]
    matches = match_all(np.stack([base[o] for o in orders]))
    for i in range(3):
        assert (matches.partner_SSF[i, i] == -1).all() and np.isnan(matches.cosine_SSF[i, i]).all()
        for j in range(3):
            if i != j:
                assert (orders[j][matches.partner_SSF[i, j]] == orders[i]).all()
                assert matches.cosine_SSF[i, j] == pytest.approx(np.ones(7))


def test_both_directions_tell_the_same_pairs() -> None:
    W = np.random.default_rng(1).standard_normal((3, 6, 4))
    alive = np.array([[True] * 6, [True] * 4 + [False] * 2, [True, False] * 3])
    matches = match_all(W, alive, d_in=4)
    for i in range(3):
        assert (matches.partner_SSF[i][:, ~alive[i]] == -1).all()
        for j in range(3):
            for f in range(6):
                g = matches.partner_SSF[i, j, f]
                if g >= 0:
                    assert alive[i, f] and alive[j, g]
                    assert matches.partner_SSF[j, i, g] == f
                    assert matches.cosine_SSF[i, j, f] == matches.cosine_SSF[j, i, g]
            if i != j:
                both = min(alive[i].sum(), alive[j].sum())
                assert (matches.partner_SSF[i, j] >= 0).sum() == both
                a = match_features(W[i][alive[i]], W[j][alive[j]])
                assert np.nansum(matches.cosine_SSF[i, j]) == pytest.approx(a.similarity.sum())
                assert np.sort(matches.margin_SSF[i, j][alive[i]]) == pytest.approx(
                    np.sort(np.append(a.margin, [np.nan] * (alive[i].sum() - len(a.margin)))), nan_ok=True
                )


@pytest.mark.parametrize("shape", [(3, 4), (0, 3, 4), (2, 3, 4, 5)])
def test_a_stack_has_three_axes(shape: tuple[int, ...]) -> None:
    with pytest.raises(UserError, match=r"\[S, F, D\]"):
        stack(np.ones(shape))


def test_masks_are_boolean() -> None:
    assert mask(None, 2, 3).all()
    with pytest.raises(UserError, match="boolean mask"):
        mask(np.ones((2, 3)), 2, 3)
    with pytest.raises(UserError, match=r"boolean mask \[2, 3\]"):
        mask(np.ones((3, 2), dtype=bool), 2, 3)
    with pytest.raises(UserError, match="d_in = 9"):
        stack(np.ones((2, 3, 4)), d_in=9)


def test_it_stops_when_asked() -> None:
    events.request_stop()
    try:
        with pytest.raises(Interrupted):
            match_all(np.ones((2, 3, 4)))
    finally:
        events.clear_stop()
