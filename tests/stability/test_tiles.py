"""Panels: every cosine once, the same bits whatever the tile."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest

from husai import events
from husai.errors import Interrupted, UserError
from husai.stability import tiles
from husai.stability.rows import directions
from husai.stability.similarity import cosine
from husai.stability.tiles import PANEL, dots, held_whole, panels

RNG = np.random.default_rng(0)
A, B = RNG.standard_normal((2 * PANEL + 300, 24)), RNG.standard_normal((PANEL + 77, 24))


def assembled(tile: int | None, upper: bool = False) -> np.ndarray:
    a = directions(A)
    b = a if upper else directions(B)
    out = np.full((len(a), len(b)), np.nan, dtype=np.float32)
    for row, col, C in panels(a, b, tile, upper=upper):
        part = out[row : row + C.shape[0], col : col + C.shape[1]]
        assert np.isnan(part).all()
        part[:] = C
    return out


def test_panels_are_the_cosine_matrix() -> None:
    assert np.abs(assembled(None) - cosine(A, B)).max() < 1e-6


@pytest.mark.parametrize("tile", [1, PANEL, PANEL + 1, 10 * PANEL])
def test_no_bit_depends_on_the_tile(tile: int) -> None:
    assert assembled(tile).tobytes() == assembled(None).tobytes()


def test_a_panel_does_not_depend_on_what_lies_beyond_it() -> None:
    """The last, short panel is summed as a whole one is."""
    whole, fewer = assembled(None), directions(A[: PANEL + 5])
    for row, col, C in panels(fewer, directions(B[:9])):
        assert (whole[row : row + C.shape[0], col : col + C.shape[1]] == C).all()


@pytest.mark.parametrize("tile", [1, 2 * PANEL, None])
def test_the_upper_half_is_enough_for_a_dictionary_with_itself(tile: int | None) -> None:
    half = assembled(tile, upper=True)
    assert np.abs(np.where(np.isnan(half), half.T, half) - cosine(A, A)).max() < 1e-6
    assert np.isnan(half).mean() > 0.2


def test_dots_are_single_cosines() -> None:
    rows, cols = RNG.integers(0, len(A), 3000), RNG.integers(0, len(B), 3000)
    assert np.abs(dots(directions(A), directions(B), rows, cols) - cosine(A, B)[rows, cols]).max() < 1e-12


def test_the_memory_of_a_tile_is_that_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    plain = tiles._padded
    monkeypatch.setattr(tiles, "_padded", lambda rows, start: asked.append(start) or plain(rows, start))
    next(panels(directions(A), directions(B), PANEL))
    assert asked == [0, 0]  # one panel of either side
    monkeypatch.setattr(tiles, "TILE_BYTES", 4 * 24 * 2 * PANEL)
    asked.clear()
    next(panels(directions(A), directions(B)))
    assert asked == [0, PANEL, 0]


def test_what_is_held_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    assert held_whole(16_384, 16_384) and not held_whole(16_384, 16_385) and held_whole(65_536, 2_000)


def test_bad_input() -> None:
    with pytest.raises(UserError, match="other spaces"):
        next(panels(directions(A), directions(B[:, :5])))
    with pytest.raises(UserError, match="at least one row"):
        next(panels(directions(A), directions(B), 0))


def test_progress_of_what_takes_long(monkeypatch: pytest.MonkeyPatch) -> None:
    class Listener(events.Silent):
        told: ClassVar[list[tuple[int, int]]] = []

        def progress(self, event: events.Progress) -> None:
            self.told.append((event.done, event.total))

    with events.listening(Listener()):
        assembled(None)
        assert not Listener.told
        monkeypatch.setattr(tiles, "PANEL", 40)
        assembled(400)
        assert Listener.told == [(n + 1, 6 * 28) for n in range(6 * 28)]
        Listener.told.clear()
        assembled(400, upper=True)
        assert [done for done, _ in Listener.told] == list(range(1, Listener.told[0][1] + 1))


def test_it_stops_when_asked() -> None:
    events.request_stop()
    try:
        with pytest.raises(Interrupted):
            next(panels(directions(A), directions(B)))
    finally:
        events.clear_stop()
