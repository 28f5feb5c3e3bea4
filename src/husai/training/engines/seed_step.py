"""One optimisation step of one seed by sparse kernels: codes, residual, AuxK, gradients and Adam."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import reduce

import numpy as np
import torch

from husai.saes.objective import overlap
from husai.training.dead import dead_mask
from husai.training.engines.coded import Coded, LevelCoded, Lists, row_blocks
from husai.training.engines.coding import Coding
from husai.training.engines.kernels.experts import code_routed_rows
from husai.training.engines.kernels.latents import LATENTS_PER_BLOCK, update_bias, update_latents, update_matrix
from husai.training.engines.kernels.rounding import ROWS_PER_BLOCK, centre_rows
from husai.training.engines.kernels.rows import code_rows
from husai.training.engines.routing import Routing, Share
from husai.training.engines.screening import Found, Rounded, Screen
from husai.training.engines.seed_arrays import SeedArrays


class Scratch:
    """What one lane needs for itself."""

    def __init__(self, coding: Coding, tile: int, widths: tuple[int, int], dtype: np.dtype, rounded: bool) -> None:
        F, (d_in, d_out) = coding.d_sae, widths
        self.tile = tile
        self.dtype, self.is_rounded = dtype, rounded
        self.found = Found.room(tile, F, coding.k, dtype, rounded, coding.open_to_row, F if coding.widths else 0)
        self.rounded = Rounded(tile, d_in) if rounded else None
        values = np.zeros(F, dtype)
        self.selected = (np.zeros(F, np.int32), values, values.view(f"i{dtype.itemsize}"), np.zeros(F, np.int8))
        self.row = (np.zeros(d_in, dtype), np.zeros(d_out, dtype), np.zeros(1, dtype))
        self.lists, self.aux_lists = Lists(), Lists()
        self._aux_found: tuple[tuple[int, int], Found] | None = None

    def aux_found(self, dead: int, k: int) -> Found:
        """Room for candidates among the dead latents."""
        if self._aux_found is None or self._aux_found[0] != (dead, k):
            self._aux_found = ((dead, k), Found.room(self.tile, dead, k, self.dtype, self.is_rounded))
        return self._aux_found[1]


class Workspace:
    """What one seed in flight needs: what is encoded (`x_BD`) and what is reconstructed (`y_BO`), which may be one."""

    def __init__(self, coding: Coding, batch: int, widths: tuple[int, int], dtype: np.dtype) -> None:
        d_in, d_out = widths
        self.y_BO, self.y_square_B = np.zeros((batch, d_out), dtype), np.zeros(batch, dtype)
        self.columns_NO = np.zeros((row_blocks(batch), d_out), dtype)
        self.x_BD, self.square_B = self.y_BO, self.y_square_B
        if not coding.centred:
            self.x_BD, self.square_B = np.zeros((batch, d_in), dtype), np.zeros(batch, dtype)
            self.x_columns_ND, self.nothing_D = np.zeros((row_blocks(batch), d_in), dtype), np.zeros(d_in, dtype)
        self.main = Coded(batch, coding.k, d_out, dtype)
        if coding.widths:
            self.main = LevelCoded(batch, min(coding.d_sae, 4 * coding.k), d_out, dtype, coding.widths)
        self.routing = Routing(coding.routed, batch, d_in, dtype) if coding.routed is not None else None
        self.aux: Coded | None = None
        self.pull_ND = np.zeros((-(-coding.d_sae // LATENTS_PER_BLOCK), d_in), dtype)
        self.nobody_F = np.full(coding.d_sae, -1, np.int32)
        self.no_rows_FO = np.zeros((0, d_out), dtype)


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
        self, coding: Coding, seed: SeedArrays, workspace: Workspace, scratch: list[Scratch], share: Share
    ) -> None:
        self.coding, self.seed, self.space, self.scratch, self.share = coding, seed, workspace, scratch, share
        self.config = coding.config

    def run(
        self, rows_BW: np.ndarray, adam: np.ndarray, rows: int, pull_FO: np.ndarray | None = None
    ) -> dict[str, float]:
        """Advance the seed after `rows` rows seen; returns the loss terms.

        `pull_FO` is what a coupling adds to the gradient of the decoder.
        """
        dead_N = self._dead(rows)
        self._codes(rows_BW)
        terms = self._fit()
        if self.space.routing is not None:
            terms |= self.space.routing.terms(_variance(self.space.y_square_B, self.space.columns_NO))
        aux = self._aux(dead_N) if len(dead_N) else None
        if aux is not None:
            terms["aux"] = aux.term
        more = [] if pull_FO is None else [pull_FO]
        if self.config.decorrelation:
            terms["decorrelation"], gradient_FO = self._decorrelation()
            more.append(gradient_FO)
        self._update(aux, self._in_units(more, adam), adam, rows + len(rows_BW))
        if self.space.routing is not None and self.seed.router is not None and self.coding.trained[0]:
            self.space.routing.update(rows_BW, self.seed.router, adam, self.share)
        return terms

    def _codes(self, rows_BW: np.ndarray) -> None:
        self._tiles(lambda lane, first, last: self._code(lane, first, last, rows_BW))

    def _fit(self) -> dict[str, float]:
        """Terms of the reconstruction and of the codes."""
        main, c = self.space.main, self.coding.song_l1
        mse = float(main.error_B.mean(dtype=np.float64))
        if c is None:
            return {"mse": mse}
        return {"mse": mse / self.space.y_BO.shape[1], "l1": c * float(main.value_BK.sum(1, np.float64).mean())}

    def _in_units(self, more: list[np.ndarray], adam: np.ndarray) -> np.ndarray:
        """Sum of dense gradients of decoder rows, in the units of all others here; no rows where there are none."""
        if not more:
            return self.space.no_rows_FO
        return np.ascontiguousarray(reduce(np.add, more) / adam[0])

    def _decorrelation(self) -> tuple[float, np.ndarray]:
        """Term, and the gradient of decoder rows."""
        spread = _variance(self.space.y_square_B, self.space.columns_NO)
        W_FO = torch.from_numpy(self.seed.W_dec[0]).clone().requires_grad_()
        term = self.config.decorrelation * spread * overlap(W_FO)
        (gradient_FO,) = torch.autograd.grad(term, [W_FO])
        return float(term.detach()), gradient_FO.numpy()

    def _dead(self, rows: int) -> np.ndarray:
        if not self.config.aux_k or self.coding.song_l1 is not None:
            return np.zeros(0, np.int64)
        last_fired_F = torch.from_numpy(self.seed.last_fired_F)
        return np.flatnonzero(dead_mask(last_fired_F, rows, self.config.dead_after).numpy())

    def _tiles(self, task: Callable[[int, int, int], None]) -> None:
        batch, tile = len(self.space.x_BD), self.scratch[0].tile
        self.share(range(0, batch, tile), lambda lane, first: task(lane, first, min(first + tile, batch)))

    def _code(self, lane: int, first: int, last: int, rows_BW: np.ndarray) -> None:
        space, rows = self.space, slice(first, last)
        read, wanted = self._columns(rows_BW[rows])
        self._centred(first, last, read, wanted)
        if space.routing is not None and self.seed.router is not None:
            space.routing.fill(first, read, self.seed.router)
        self._encode(lane, first, last, self.seed.screen, self.seed.weights, space.main, self._left(rows))

    def _centred(self, first: int, last: int, read: np.ndarray, wanted: np.ndarray) -> None:
        """Fill in rows as they are encoded and reconstructed."""
        space, rows, blocks = self.space, slice(first, last), slice(first // ROWS_PER_BLOCK, row_blocks(last))
        if not self.coding.centred:
            centre_rows(read, space.nothing_D, space.x_BD[rows], space.square_B[rows], space.x_columns_ND[blocks])
        centre_rows(wanted, self.seed.b_dec[0][0], space.y_BO[rows], space.y_square_B[rows], space.columns_NO[blocks])

    def _columns(self, rows_BW: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What of rows is encoded, and what is reconstructed."""
        d_in, d_out = self.coding.columns(rows_BW.shape[1])
        if d_in == rows_BW.shape[1]:
            return rows_BW, rows_BW
        return np.ascontiguousarray(rows_BW[:, :d_in]), np.ascontiguousarray(rows_BW[:, -d_out:])

    def _left(self, rows: slice) -> np.ndarray:
        """What codes are to reconstruct [T, O], for tiles that begin at 0: centred rows, less what goes beside."""
        y_BO = self.space.y_BO
        if self.seed.W_skip is not None:
            beside = torch.from_numpy(self.space.x_BD[rows]) @ torch.from_numpy(self.seed.W_skip[0]).T
            y_BO[rows] -= beside.numpy()
        return y_BO

    def _encode(
        self, lane: int, first: int, last: int, screen: Screen, weights: tuple[np.ndarray, ...], into: Coded,
        target_BO: np.ndarray,
    ) -> None:  # fmt: skip
        space, scratch, k = self.space, self.scratch[lane], into.index_BK.shape[1]
        found = scratch.found if into is space.main else scratch.aux_found(len(weights[1]), k)
        n, rows = last - first, slice(first, last)
        if scratch.rounded is not None:
            scratch.rounded.fill(space.x_BD[rows], 0, n)
        signed, routing = self.coding.signed, space.routing if into is space.main else None
        within = None if routing is None or routing.everywhere else routing.chosen_BE[rows]
        screen.candidates(space.x_BD[rows], space.square_B[rows], scratch.rounded, k, found, signed, within)
        which = space.x_BD[rows], target_BO[rows], weights, (found.number_TC[:n], found.count_T[:n])
        sums = into.columns_NO[first // ROWS_PER_BLOCK : row_blocks(last)]
        room = scratch.selected, into.codes(first, last), into.residual_BO[rows], into.error_B[rows], sums
        if routing is not None:
            code_routed_rows(*which, routing.of(rows), routing.everywhere, *room)
        else:
            code_rows(*which, signed, space.x_BD.dtype.type(self._shift if into is space.main else 0), *room)

    @property
    def _shift(self) -> float:
        """What an L1 penalty takes off the gradient of every active code, in units of -2 / (B D)."""
        return 0.0 if self.coding.song_l1 is None else self.coding.song_l1 * self.space.y_BO.shape[1] / 2

    def _aux(self, dead_N: np.ndarray) -> Aux:
        """The best `aux_k` dead latents of each row predict the residual, through which no gradient runs."""
        space, seed, k = self.space, self.seed, min(self.config.aux_k, len(dead_N))
        if space.aux is None or space.aux.index_BK.shape[1] != k:
            space.aux = Coded(len(space.x_BD), k, space.y_BO.shape[1], space.x_BD.dtype)
        weights = tuple(part[dead_N] for part in seed.weights)
        rounded = seed.screen.rounded.subset(dead_N) if seed.screen.rounded is not None else None
        screen, coded, residual = Screen(weights[0], weights[1], rounded), space.aux, space.main.residual_BO
        self._tiles(lambda lane, first, last: self._encode(lane, first, last, screen, weights, coded, residual))
        spread = _variance(space.y_square_B, space.columns_NO)
        left = max(_variance(space.main.error_B, space.main.columns_NO), 1e-12)
        weight = self.config.aux_coefficient * spread / left
        return Aux(coded, dead_N, weight, weight * float(coded.error_B.mean(dtype=np.float64)))

    def _update(self, aux: Aux | None, more_FO: np.ndarray, adam: np.ndarray, rows_seen: int) -> None:
        place_F = self.space.nobody_F
        if aux is not None:
            place_F = place_F.copy()
            place_F[aux.dead_N] = np.arange(len(aux.dead_N), dtype=np.int32)
        F, lanes = self.coding.d_sae, len(self.scratch)
        per_lane = -(-F // (lanes * LATENTS_PER_BLOCK)) * LATENTS_PER_BLOCK

        def owned(lane: int, first: int) -> None:
            self._latents(lane, first, min(first + per_lane, F), (aux, place_F), more_FO, adam, rows_seen)

        self.share(range(0, F, per_lane), owned)
        seed, space = self.seed, self.space
        pulled = space.pull_ND if self.coding.centred else space.no_rows_FO
        update_bias(seed.b_dec, space.main.pulling_NO, pulled, adam, self.scratch[0].row[1])
        if seed.W_skip is not None:
            gradient = torch.from_numpy(space.main.residual_BO).T @ torch.from_numpy(space.x_BD)
            update_matrix(seed.W_skip, gradient.numpy(), adam)
        seed.screen.ready()

    def _latents(
        self, lane: int, first: int, last: int, dead: tuple[Aux | None, np.ndarray], more_FO: np.ndarray,
        adam: np.ndarray, rows_seen: int,
    ) -> None:  # fmt: skip
        seed, space, scratch, (aux, place_F) = self.seed, self.space, self.scratch[lane], dead
        coded, weight, place = space.main, 0.0, 0
        if aux is not None:
            coded, weight = aux.coded, aux.weight
            place, end = np.searchsorted(aux.dead_N, (first, last))
            scratch.aux_lists.fill(coded, int(place), int(end))
        start_N, *entries = scratch.lists.fill(space.main, first, last)
        with seed.keeping(first, last):
            for begin, end, left_BO in self._seen(first, last):
                update_latents(
                    begin, end, space.x_BD, (left_BO, space.main.value_BK, space.main.seen_BK),
                    (start_N[begin - first :], *entries), coded.gradient, scratch.aux_lists.lists, place_F, int(place),
                    space.x_BD.dtype.type(weight), seed.W_enc, seed.b_enc, seed.W_dec, seed.last_fired_F, rows_seen,
                    self.coding.trained, self.coding.norm, self.coding.aligned, more_FO, adam, scratch.row,
                    space.pull_ND,
                )  # fmt: skip
        if seed.screen.rounded is not None:
            seed.screen.rounded.fill(seed.W_enc[0], first, last)

    def _seen(self, first: int, last: int) -> Iterator[tuple[int, int, np.ndarray]]:
        """Ranges of latents, each with the residual that moves its decoder rows."""
        yield first, last, self.space.main.residual_BO


def _variance(square_B: np.ndarray, columns_ND: np.ndarray) -> float:
    """Mean squared distance of rows from their mean."""
    mean_D = columns_ND.sum(0, dtype=np.float64) / len(square_B)
    with np.errstate(invalid="ignore"):  # of a row that is not finite, which the loss is to show
        return float(square_B.mean(dtype=np.float64) - mean_D @ mean_D)
