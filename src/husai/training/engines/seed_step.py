"""One optimisation step of one TopK seed by sparse kernels: codes, residual, AuxK, gradients and Adam."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch

from husai.saes.config import TopKConfig
from husai.training.dead import dead_mask
from husai.training.engines.coded import Coded, Lists, row_blocks
from husai.training.engines.kernels.latents import LATENTS_PER_BLOCK, update_bias, update_latents
from husai.training.engines.kernels.rounding import ROWS_PER_BLOCK, centre_rows
from husai.training.engines.kernels.rows import code_rows
from husai.training.engines.screening import Found, Rounded, Screen

Share = Callable[[Iterable[int], Callable[[int, int], None]], None]

Moments = tuple[np.ndarray, np.ndarray, np.ndarray]  # weights, m, v


@dataclass
class SeedArrays:
    """Views of one seed's (weights, m, v): b_enc as a column, b_dec as a row; its dead counters, and its screen."""

    W_enc: Moments
    b_enc: Moments
    W_dec: Moments
    b_dec: Moments
    last_fired_F: np.ndarray
    screen: Screen

    @property
    def weights(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What coding needs."""
        return self.W_enc[0], self.b_enc[0][:, 0], self.W_dec[0]


class Scratch:
    """What one lane needs for itself."""

    def __init__(self, config: TopKConfig, tile: int, d_in: int, dtype: np.dtype, rounded: bool) -> None:
        F = config.d_sae
        self.tile = tile
        self.dtype, self.is_rounded = dtype, rounded
        self.found = Found.room(tile, F, config.k, dtype, rounded)
        self.rounded = Rounded(tile, d_in) if rounded else None
        values = np.zeros(F, dtype)
        self.selected = (np.zeros(F, np.int32), values, values.view(f"i{dtype.itemsize}"))
        self.row = (np.zeros(d_in, dtype), np.zeros(d_in, dtype), np.zeros(1, dtype))
        self.lists, self.aux_lists = Lists(), Lists()
        self._aux_found: tuple[tuple[int, int], Found] | None = None

    def aux_found(self, dead: int, k: int) -> Found:
        """Room for candidates among the dead latents."""
        if self._aux_found is None or self._aux_found[0] != (dead, k):
            self._aux_found = ((dead, k), Found.room(self.tile, dead, k, self.dtype, self.is_rounded))
        return self._aux_found[1]


class Workspace:
    """What one seed in flight needs."""

    def __init__(self, config: TopKConfig, batch: int, d_in: int, dtype: np.dtype) -> None:
        self.x_BD, self.square_B = np.zeros((batch, d_in), dtype), np.zeros(batch, dtype)
        self.columns_ND = np.zeros((row_blocks(batch), d_in), dtype)
        self.main = Coded(batch, config.k, d_in, dtype)
        self.aux: Coded | None = None
        self.pull_ND = np.zeros((-(-config.d_sae // LATENTS_PER_BLOCK), d_in), dtype)
        self.nobody_F = np.full(config.d_sae, -1, np.int32)


@dataclass
class Aux:
    """The dead latents' codes of the residual; `weight` is that of their gradients beside the main ones."""

    coded: Coded
    dead_N: np.ndarray
    weight: float
    term: float


class SeedStep:
    """One step of one seed; `share` deals tiles and latents out to the lanes whose `scratch` is given."""

    def __init__(
        self, config: TopKConfig, seed: SeedArrays, workspace: Workspace, scratch: list[Scratch], share: Share
    ) -> None:
        self.config, self.seed, self.space, self.scratch, self.share = config, seed, workspace, scratch, share

    def run(self, x_BD: np.ndarray, adam: np.ndarray, rows: int) -> dict[str, float]:
        """Advance the seed after `rows` rows seen; returns the loss terms."""
        dead_N = self._dead(rows)
        self._tiles(lambda lane, first, last: self._code(lane, first, last, x_BD))
        terms = {"mse": float(self.space.main.error_B.mean(dtype=np.float64))}
        aux = self._aux(dead_N) if len(dead_N) else None
        if aux is not None:
            terms["aux"] = aux.term
        self._update(aux, adam, rows + len(x_BD))
        return terms

    def _dead(self, rows: int) -> np.ndarray:
        if not self.config.aux_k:
            return np.zeros(0, np.int64)
        last_fired_F = torch.from_numpy(self.seed.last_fired_F)
        return np.flatnonzero(dead_mask(last_fired_F, rows, self.config.dead_after).numpy())

    def _tiles(self, task: Callable[[int, int, int], None]) -> None:
        batch, tile = len(self.space.x_BD), self.scratch[0].tile
        self.share(range(0, batch, tile), lambda lane, first: task(lane, first, min(first + tile, batch)))

    def _code(self, lane: int, first: int, last: int, x_BD: np.ndarray) -> None:
        space = self.space
        blocks = slice(first // ROWS_PER_BLOCK, row_blocks(last))
        centre_rows(
            x_BD[first:last], self.seed.b_dec[0][0], space.x_BD[first:last], space.square_B[first:last],
            space.columns_ND[blocks],
        )  # fmt: skip
        self._encode(lane, first, last, self.seed.screen, self.seed.weights, space.main, space.x_BD)

    def _encode(
        self, lane: int, first: int, last: int, screen: Screen, weights: tuple[np.ndarray, ...], into: Coded,
        target_BO: np.ndarray,
    ) -> None:  # fmt: skip
        space, scratch, k = self.space, self.scratch[lane], into.index_BK.shape[1]
        found = scratch.found if into is space.main else scratch.aux_found(len(weights[1]), k)
        n, rows = last - first, slice(first, last)
        if scratch.rounded is not None:
            scratch.rounded.fill(space.x_BD[rows], 0, n)
        screen.candidates(space.x_BD[rows], space.square_B[rows], scratch.rounded, k, found)
        code_rows(
            space.x_BD[rows], target_BO[rows], weights, (found.number_TC[:n], found.count_T[:n]), scratch.selected,
            into.codes(first, last), into.residual_BO[rows], into.error_B[rows],
            into.columns_NO[first // ROWS_PER_BLOCK : row_blocks(last)],
        )  # fmt: skip

    def _aux(self, dead_N: np.ndarray) -> Aux:
        """The best `aux_k` dead latents of each row predict the residual, through which no gradient runs."""
        space, seed, k = self.space, self.seed, min(self.config.aux_k, len(dead_N))
        if space.aux is None or space.aux.index_BK.shape[1] != k:
            space.aux = Coded(len(space.x_BD), k, space.x_BD.shape[1], space.x_BD.dtype)
        weights = tuple(part[dead_N] for part in seed.weights)
        rounded = seed.screen.rounded.subset(dead_N) if seed.screen.rounded is not None else None
        screen, coded, residual = Screen(weights[0], weights[1], rounded), space.aux, space.main.residual_BO
        self._tiles(lambda lane, first, last: self._encode(lane, first, last, screen, weights, coded, residual))
        spread = _variance(space.square_B, space.columns_ND)
        left = max(_variance(space.main.error_B, space.main.columns_NO), 1e-12)
        weight = self.config.aux_coefficient * spread / left
        return Aux(coded, dead_N, weight, weight * float(coded.error_B.mean(dtype=np.float64)))

    def _update(self, aux: Aux | None, adam: np.ndarray, rows_seen: int) -> None:
        place_F = self.space.nobody_F
        if aux is not None:
            place_F = place_F.copy()
            place_F[aux.dead_N] = np.arange(len(aux.dead_N), dtype=np.int32)
        F, lanes = self.config.d_sae, len(self.scratch)
        per_lane = -(-F // (lanes * LATENTS_PER_BLOCK)) * LATENTS_PER_BLOCK
        first = range(0, F, per_lane)
        self.share(first, lambda lane, f: self._latents(lane, f, min(f + per_lane, F), aux, place_F, adam, rows_seen))
        seed, space = self.seed, self.space
        update_bias(seed.b_dec, space.main.columns_NO, space.pull_ND, adam, self.scratch[0].row[1])
        seed.screen.ready()

    def _latents(
        self, lane: int, first: int, last: int, aux: Aux | None, place_F: np.ndarray, adam: np.ndarray, rows_seen: int
    ) -> None:
        seed, space, scratch = self.seed, self.space, self.scratch[lane]
        coded, weight, place = space.main, 0.0, 0
        if aux is not None:
            coded, weight = aux.coded, aux.weight
            place, end = np.searchsorted(aux.dead_N, (first, last))
            scratch.aux_lists.fill(coded, int(place), int(end))
        update_latents(
            first, last, space.x_BD, space.main.gradient, scratch.lists.fill(space.main, first, last), coded.gradient,
            scratch.aux_lists.lists, place_F, int(place), space.x_BD.dtype.type(weight), seed.W_enc, seed.b_enc,
            seed.W_dec, seed.last_fired_F, rows_seen, self._trained(), self.config.decoder_norm == "unit", adam,
            scratch.row, space.pull_ND,
        )  # fmt: skip
        if seed.screen.rounded is not None:
            seed.screen.rounded.fill(seed.W_enc[0], first, last)

    def _trained(self) -> tuple[bool, bool]:
        return self.config.freeze != "encoder", self.config.freeze != "decoder"


def _variance(square_B: np.ndarray, columns_ND: np.ndarray) -> float:
    """Mean squared distance of rows from their mean."""
    mean_D = columns_ND.sum(0, dtype=np.float64) / len(square_B)
    return float(square_B.mean(dtype=np.float64) - mean_D @ mean_D)
