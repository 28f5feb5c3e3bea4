"""One seed's part of a state, as kernels work on it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from husai.training.engines.reach import Reach
from husai.training.engines.routing import Moments
from husai.training.engines.screening import Screen


@dataclass
class SeedArrays:
    """Views of one seed's (weights, m, v): b_enc as a column, b_dec as a row; its dead counters, and its screen.

    `W_skip` where a dense path runs beside; `router` (W, and b as a row) where rows are sent to experts; `still_N` are
    latents that stay as they are, in order.
    """

    W_enc: Moments
    b_enc: Moments
    W_dec: Moments
    b_dec: Moments
    last_fired_F: np.ndarray
    screen: Screen
    W_skip: Moments | None = None
    router: tuple[Moments, Moments] | None = None
    threshold: Moments | None = None
    threshold_batches: Moments | None = None
    reach: Reach = field(default_factory=Reach, init=False)
    still_N: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64), init=False)

    @property
    def weights(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What coding needs."""
        return self.W_enc[0], self.b_enc[0][:, 0], self.W_dec[0]

    @contextmanager
    def keeping(self, first: int, last: int) -> Iterator[None]:
        """Put back, of latents `first` to `last`, what those that are to stay had before."""
        here_N = self.still_N[slice(*np.searchsorted(self.still_N, (first, last)))]
        parts = (*self.W_enc, *self.b_enc, *self.W_dec) if len(here_N) else ()
        before = [part[here_N] for part in parts]
        yield
        for part, rows in zip(parts, before, strict=True):
            part[here_N] = rows
