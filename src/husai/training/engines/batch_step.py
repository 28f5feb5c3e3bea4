"""A step where the whole batch is selected from: the B k largest, ties to the lowest row, then to the lowest latent.

Latents that may reach a guess of the smallest of them are found by the screen, computed exactly, and kept if they do.
If B k are kept, the chosen are among them, whatever the guess was; if not, it was too high, and the rows are screened
again with a lower one. So the guess, which comes from the step before, costs or saves time and changes no bit.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from husai.saes.batch_select import kept
from husai.saes.config import BatchSelectConfig
from husai.training.engines.coded import LevelCoded
from husai.training.engines.kernels.batch import code_reaching, decode_levels, gather, keep_above
from husai.training.engines.seed_step import Aux, SeedStep


class BatchStep(SeedStep):
    """One step of BatchTopK or Matryoshka."""

    def _codes(self, rows_BW: np.ndarray) -> None:
        main, seed, reach = self.main, self.seed, self.seed.reach
        self._tiles(lambda lane, first, last: self._centre(first, last, rows_BW))
        if not reach.known:
            reach.start(self.space.x_BD, *seed.weights[:2], self.coding.k)
        assert isinstance(self.coding.config, BatchSelectConfig)
        chosen = kept(self.coding.config.k, len(rows_BW))
        while True:
            guess = reach.value
            self._tiles(lambda lane, first, last: self._find(lane, first, last))
            most, total = int(main.active_B.max()), int(main.active_B.sum(dtype=np.int64))
            if most > main.index_BK.shape[1]:
                main.widen(min(most + most // 4, self.coding.d_sae))
            elif total < chosen and guess > 0:
                reach.lower()
            else:
                break
        self.smallest = self._keep(chosen, total)
        reach.near(self.smallest)
        self._tiles(lambda lane, first, last: self._decode(first, last))

    @property
    def main(self) -> LevelCoded:
        """The codes, with a residual for each level."""
        assert isinstance(self.space.main, LevelCoded)
        return self.space.main

    def _centre(self, first: int, last: int, rows_BW: np.ndarray) -> None:
        self._centred(first, last, *self._columns(rows_BW[first:last]))

    def _find(self, lane: int, first: int, last: int) -> None:
        """Codes of some rows that reach the guess."""
        space, scratch, main, rows, n = self.space, self.scratch[lane], self.main, slice(first, last), last - first
        x_BD, reach, weights = space.x_BD[rows], space.x_BD.dtype.type(self.seed.reach.value), self.seed.weights
        if scratch.rounded is not None:
            scratch.rounded.fill(x_BD, 0, n)
        self.seed.screen.reaching(x_BD, space.square_B[rows], scratch.rounded, reach, scratch.found)
        index, active, value, _ = main.codes(first, last)
        number, count = scratch.found.number_TC[:n], scratch.found.count_T[:n]
        code_reaching(x_BD, weights[0], weights[1], number, count, reach, index, value, active)

    def _keep(self, chosen: int, total: int) -> float:
        """Leave the chosen of all codes that were found; returns the smallest."""
        main, limit, room = self.main, 0, 0
        bits_BK = main.value_BK.view(f"i{main.value_BK.itemsize}")
        if total > chosen:
            all_N = np.empty(total, bits_BK.dtype)
            gather(bits_BK, main.active_B, all_N)
            ordered = np.partition(all_N, total - chosen)
            limit = int(ordered[total - chosen])
            room = chosen - int((all_N > limit).sum())
        return float(keep_above(main.index_BK, main.value_BK, bits_BK, main.active_B, bits_BK.dtype.type(limit), room))

    def _decode(self, first: int, last: int) -> None:
        main, codes = self.main, (self.main.index_BK, self.main.active_B, self.main.value_BK, self.main.seen_BK)
        decode_levels(
            first, last, self.space.y_BO, self.seed.weights[2], main.widths_L, codes, main.residual_RO, main.error_LB,
            main.columns_NO, main.summed_NO,
        )  # fmt: skip

    def _fit(self) -> dict[str, float]:
        """`mse` of the whole dictionary, `mse_<m>` of every smaller prefix."""
        *smaller, whole = (float(error_B.mean(dtype=np.float64)) for error_B in self.main.error_LB)
        return {"mse": whole} | {f"mse_{m}": mse for m, mse in zip(self.coding.widths, smaller, strict=False)}

    def _seen(self, first: int, last: int) -> Iterator[tuple[int, int, np.ndarray]]:
        """Latents of one level after the other: each sees what its level and the later ones leave."""
        low = 0
        for level, high in enumerate(self.coding.widths):
            begin, end = max(first, low), min(last, high)
            if begin < end:
                yield begin, end, self.main.residual_LBO[level]
            low = high

    def _update(self, aux: Aux | None, more_FO: np.ndarray, adam: np.ndarray, rows_seen: int) -> None:
        super()._update(aux, more_FO, adam, rows_seen)
        config, seed = self.coding.config, self.seed
        assert isinstance(config, BatchSelectConfig) and seed.threshold and seed.threshold_batches
        if self.smallest == np.inf and not self.main.active_B.any():
            return  # a batch that kept nothing does not count
        threshold, batches = seed.threshold[0], seed.threshold_batches[0]
        batches += 1
        threshold += max(1 / float(batches), 1 - config.threshold_momentum) * (self.smallest - threshold)
