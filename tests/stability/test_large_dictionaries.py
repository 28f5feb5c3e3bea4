"""Above about 16,000 features: every metric streamed, the same numbers, and the report says how they were made."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from husai.errors import UserError
from husai.stability import matching, nulls, tiles
from husai.stability.features import feature_table
from husai.stability.hungarian import Sparse
from husai.stability.matching import EXACT, how, match_all, match_features
from husai.stability.metrics import (
    activation_match,
    mcc_abs,
    mcc_signed,
    mean_max_cos,
    shared_at,
    subspace_overlap,
)
from husai.stability.nulls import floor_mcc
from husai.stability.pairwise import POPULATIONS, PairTable, pairwise
from husai.stability.reappearance import reappearance
from husai.stability.shared_init import shared_initialisation
from husai.stability.similarity import best_abs, nearest_neighbour
from husai.stability.strata import stratified
from husai.stability.trajectory import trajectory

S, F, D, N = 3, 260, 24, 80
RNG = np.random.default_rng(0)
BASE = RNG.standard_normal((F, D))
W = np.stack(
    [(BASE + RNG.uniform(0.1, 1.5, (F, 1)) * RNG.standard_normal((F, D)))[RNG.permutation(F)] for _ in range(S)]
)
W = W.astype(np.float32)
E = W + 0.3 * RNG.standard_normal((S, F, D)).astype(np.float32)
X = np.maximum(np.einsum("nd,sfd->snf", RNG.standard_normal((N, D)), W), 0).astype(np.float32)
ALIVE = RNG.random((S, F)) < 0.8


@pytest.fixture
def streamed(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """As if so few features were too many to be compared at once."""
    monkeypatch.setattr(tiles, "EXACT_UP_TO", 16)
    nulls._draw.cache_clear()
    yield monkeypatch
    nulls._draw.cache_clear()


def table() -> PairTable:
    return pairwise(W, E, ALIVE, activations_SNF=X, d_in=D, thresholds=(0.5, 0.7), ranks=(4,), tile=1)


def test_every_metric_is_that_of_the_whole_matrix(streamed: pytest.MonkeyPatch) -> None:
    got = table()
    streamed.undo()
    exact = table()
    assert got.metrics == exact.metrics and len(got.metrics) == 7
    for p in POPULATIONS:
        for metric in got.metrics:
            assert np.allclose(got.matrix(metric, p), exact.matrix(metric, p), atol=1e-6, rtol=0, equal_nan=True)
        assert np.allclose(got.margin[p], exact.margin[p], atol=1e-6, equal_nan=True)
        for some, other in zip(got.own[p], exact.own[p], strict=True):
            assert some.abs_F == pytest.approx(other.abs_F, abs=1e-6)
            assert some.signed_F == pytest.approx(other.signed_F, abs=1e-6)


def test_single_metrics_switch_too(streamed: pytest.MonkeyPatch) -> None:
    def values() -> list[float]:
        a, b = W[0], W[1][:200]
        return [
            mcc_signed(a, b), mcc_abs(a, b), mcc_abs(b, a), mean_max_cos(a, b), shared_at(a, b, E[0], E[1][:200], 0.5),
            activation_match(X[0], X[1][:, :200]), subspace_overlap(a, b, 5), *best_abs(a, b)[0][:3],
            nearest_neighbour(a).mean or 0.0,
        ]  # fmt: skip

    got = values()
    assert match_features(W[0], W[1]).sparse is not None
    streamed.undo()
    assert match_features(W[0], W[1]).sparse is None
    assert got == pytest.approx(values(), abs=1e-6)


def test_the_text_says_how(streamed: pytest.MonkeyPatch) -> None:
    got = table()
    for metric in ("mcc_signed", "mcc_abs", "shared_at(0.5)", "activation_match"):
        assert got.how(metric, "all").startswith("sparse assignment on 32 nearest neighbours, gap <= ")
        assert (np.nan_to_num(got.gap(metric, "all")) >= 0).all() and np.isnan(got.gap(metric, "all")[0, 0])
    assert got.how("mean_max_cos") == "" and np.isnan(got.gap("mean_max_cos")).all()
    assert got.matches.how == got.how("mcc_signed", "alive")
    with pytest.raises(UserError, match="unknown metric"):
        got.how("mcc")
    streamed.undo()
    exact = table()
    assert {exact.how(m, p) for m in ("mcc_signed", "shared_at(0.7)") for p in POPULATIONS} == {EXACT}
    assert (exact.gap("mcc_signed")[~np.eye(S, dtype=bool)] == 0).all()


def test_the_gap_of_a_table_is_that_of_its_matchings(streamed: pytest.MonkeyPatch) -> None:
    streamed.setattr(matching, "NEIGHBOURS", 4)
    got = pairwise(W, E)
    dec, enc = match_features(W[0], W[2]).gap, match_features(E[0], E[2]).gap
    assert got.gap("mcc_signed")[0, 2] == dec > 0
    assert got.gap("shared_at(0.7)")[2, 0] == max(dec, enc)
    assert got.gap("mcc_abs")[0, 2] == match_features(W[0], W[2], kind="abs").gap
    assert "on 4 nearest neighbours" in got.how("mcc_abs")


def test_words_for_a_gap_are_never_below_it() -> None:
    def words(gap: float, left: int = 0) -> str:
        return how([Sparse(32, left, 1.0, 1.0, gap), None])

    assert "gap <= 0.0013" in words(0.001201) and "(1 of 2 matchings; the others exact)" in words(0.1)
    assert "gap <= 3.1e-06" in words(3.01e-6) and "gap <= 0 " in words(0.0) + " "
    assert "up to 7 features matched outside them" in words(0.1, 7) and "outside" not in words(0.1)
    assert how([]) == how([None, None]) == EXACT


def test_matches_are_made_once_and_used_again(streamed: pytest.MonkeyPatch) -> None:
    got = table()
    again = match_all(W, ALIVE, tile=4096)
    for name in ("partner_SSF", "cosine_SSF", "margin_SSF"):
        assert np.array_equal(getattr(got.matches, name), getattr(again, name), equal_nan=True)
    frequency = RNG.uniform(0, 1, (S, F))
    known = stratified(W, frequency, (0.5,), ALIVE, matches=got.matches)
    assert np.array_equal(known.values_QSS, stratified(W, frequency, (0.5,), ALIVE).values_QSS, equal_nan=True)
    with pytest.raises(UserError, match="other features"):
        stratified(W, frequency, (0.5,), matches=got.matches)
    rows = feature_table(1, W, got.matches, own_neighbour=got.own["alive"][1])
    assert rows.csv() == feature_table(1, W, got.matches).csv()
    with pytest.raises(UserError, match="alive ones"):
        feature_table(1, W, got.matches, own_neighbour=got.own["all"][1])
    streamed.undo()
    for t in (0.5, 0.7):
        assert np.array_equal(reappearance(got.matches, t), reappearance(match_all(W, ALIVE), t), equal_nan=True)


def test_floors_are_drawn_as_dictionaries_are_matched(streamed: pytest.MonkeyPatch) -> None:
    got = [floor_mcc(metric, 32, 100, 140) for metric in ("mcc_signed", "mcc_abs")]
    assert all("sparse assignment on 32 nearest neighbours" in floor.made for floor in got)
    streamed.undo()
    nulls._draw.cache_clear()
    for floor, metric in zip(got, ("mcc_signed", "mcc_abs"), strict=True):
        exact = floor_mcc(metric, 32, 100, 140)
        assert "sparse" not in exact.made
        assert floor.value == pytest.approx(exact.value, abs=5 * (floor.se + exact.se))


def test_curves_and_initialisations(streamed: pytest.MonkeyPatch) -> None:
    snapshots = np.stack([E, W])
    curve, shared = trajectory(snapshots, [0, 9], ALIVE), shared_initialisation(W)
    streamed.undo()
    for p in POPULATIONS:
        assert np.allclose(
            curve.mcc_signed[p], trajectory(snapshots, [0, 9], ALIVE).mcc_signed[p], atol=1e-6, equal_nan=True
        )
    assert shared.finding == shared_initialisation(W).finding


def test_mapped_files_are_read_in_place(streamed: pytest.MonkeyPatch, tmp_path: Path) -> None:
    np.save(tmp_path / "W.npy", W)
    mapped = np.load(tmp_path / "W.npy", mmap_mode="r")
    got, plain = pairwise(mapped, alive_masks_SF=ALIVE), pairwise(W, alive_masks_SF=ALIVE)
    for metric in plain.metrics:
        assert np.array_equal(got.matrix(metric), plain.matrix(metric), equal_nan=True)


@pytest.mark.parametrize("shape", [(40, 3), (3, 40)])
def test_a_side_that_is_far_smaller(streamed: pytest.MonkeyPatch, shape: tuple[int, int]) -> None:
    streamed.setattr(tiles, "EXACT_UP_TO", 2)
    A, B = RNG.standard_normal((shape[0], 8)), RNG.standard_normal((shape[1], 8))
    got = [mcc_signed(A, B), mcc_abs(A, B), mean_max_cos(A, B)]
    streamed.undo()
    assert got == pytest.approx([mcc_signed(A, B), mcc_abs(A, B), mean_max_cos(A, B)], abs=1e-6)


ONE_PAIR = """
import json, resource, sys
import numpy as np
from husai.stability.matching import compare_rows, how
from husai.stability.rows import directions
from husai.stability.similarity import own_neighbour

W = np.load(sys.argv[1], mmap_mode="r")
sides = [directions(w) for w in W]  # every page of all dictionaries has been read
found = compare_rows(sides[0], sides[1])
own = own_neighbour(sides[0])
order = np.load(sys.argv[2])
print(json.dumps({
    "signed": found.signed.score, "absolute": found.absolute.score, "gap": found.signed.gap,
    "how": how([found.signed.sparse]), "own": own.mean,
    "right": float((order[found.signed.partner()] == np.arange(W.shape[1])).mean()),
    "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
}))
"""


@pytest.mark.slow
def test_the_largest_size_within_4_gib(tmp_path: Path) -> None:
    """One pair of five dictionaries of 65,536 features of width 1,024, all of them mapped and read."""
    n, d = 65_536, 1024
    rng = np.random.default_rng(0)
    W = np.lib.format.open_memmap(tmp_path / "W.npy", mode="w+", dtype=np.float32, shape=(5, n, d))
    for w in W:
        w[:] = rng.standard_normal((n, d), dtype=np.float32)
    order = rng.permutation(n)
    W[1] = (W[0] + 0.5 * rng.standard_normal((n, d), dtype=np.float32))[order]
    W.flush()
    np.save(tmp_path / "order.npy", order)
    command = [sys.executable, "-c", ONE_PAIR, str(tmp_path / "W.npy"), str(tmp_path / "order.npy")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    got = json.loads(done.stdout)
    assert got["peak"] < 4 * 2**30
    assert got["signed"] == pytest.approx(1 / np.sqrt(1.25), abs=1e-3) and got["right"] == 1
    assert got["gap"] < 1e-5 and got["how"].startswith("sparse assignment on 32 nearest neighbours, gap <= ")
    assert 0.1 < got["own"] < 0.2
