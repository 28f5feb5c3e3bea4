"""Unit rows of parts of a dictionary, wherever it lies."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from husai.errors import UserError
from husai.stability import rows
from husai.stability.correlation import correlated, correlation, latents
from husai.stability.rows import directions
from husai.stability.similarity import unit_rows, whole

A = np.random.default_rng(0).standard_normal((20, 6)).astype(np.float32)


def test_parts_are_the_rows_of_the_whole() -> None:
    a = directions(A)
    which = np.array([3, 19, 0])
    assert (a.unit(which) == unit_rows(A)[which]).all()
    assert (a.unit(slice(4, 9)) == unit_rows(A)[4:9]).all()
    some = a.only(np.arange(2, 12))
    assert len(some) == 10 and (some.unit() == unit_rows(A)[2:12]).all()
    assert (some.only(np.array([1, 0])).unit() == unit_rows(A)[[3, 2]]).all()
    assert (directions(A, keep=which).unit() == unit_rows(A)[which]).all()


def test_a_file_is_read_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "PIECE", 12)
    path = tmp_path / "W.npy"
    np.save(path, A)
    mapped = np.load(path, mmap_mode="r")
    a = directions(mapped)
    assert np.shares_memory(a.A_FD, mapped)
    assert (a.unit() == unit_rows(A)).all()


def test_only_rows_that_are_kept_must_be_whole() -> None:
    damaged = A.copy()
    damaged[[4, 7]] = np.nan
    assert len(directions(damaged, keep=np.array([0, 1, 19]))) == 3
    with pytest.raises(UserError, match="feature 7"):
        directions(damaged, keep=np.array([3, 7, 4]))


def test_latents_are_rows_whose_dot_product_is_the_correlation() -> None:
    rng = np.random.default_rng(1)
    X, Y = rng.standard_normal((50, 7)), rng.standard_normal((50, 5))
    X[:, 2] = 3.0
    x, y = latents(X), latents(Y)
    assert whole(x, y) == pytest.approx(correlation(X, Y), abs=1e-12)
    assert (whole(x, y)[2] == 0).all()
    some, fewer = np.array([6, 0, 3]), np.array([4, 1])
    assert correlated(x.only(some), y.only(fewer)) == pytest.approx(correlation(X, Y)[np.ix_(some, fewer)], abs=1e-12)


@pytest.mark.parametrize("wide", [1, 2, 1024])
def test_correlation_in_pieces(monkeypatch: pytest.MonkeyPatch, wide: int) -> None:
    monkeypatch.setattr("husai.stability.correlation.WIDE", wide)
    X = np.random.default_rng(2).standard_normal((40, 5))
    assert correlation(X, X, block=9) == pytest.approx(np.corrcoef(X.T))
