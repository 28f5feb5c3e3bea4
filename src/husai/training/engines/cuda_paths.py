"""Two ways for each stage after coding, and which is faster here: gathers and lists, or dense products.

Sparse does not always win on a GPU: with k of F latents active it saves F / k of the arithmetic, but the arithmetic of
dense products is cheap. Both ways give the same sums but for their order.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from husai.training.engines.cuda_work import Group, Workspace
from husai.training.engines.triton_kernels.latents import Gradient
from husai.training.engines.triton_kernels.lists import Summed, list_codes, sum_listed
from husai.training.engines.triton_kernels.rows import decode, scatter

Path = Literal["sparse", "dense"]
STAGES = ("decode", "gradients")
TIMED_RUNS, WARM_RUNS = 5, 2
PREFERENCE = 0.9  # dense products must take less than this share of the time of the sparse path
MOST_DENSE_BYTES = 2**31
SPREAD, PERIOD = 7919, 251  # primes: codes of neighbouring rows in a trial are far apart, and numbers vary


def product(left: Tensor, right: Tensor, sums: torch.dtype) -> Tensor:
    """left @ right, summed and returned in the type of sums; the CPU has no product of mixed types."""
    if left.dtype == sums:
        return left @ right
    if left.is_cuda:
        return torch.mm(left, right, out_dtype=sums)
    return left.to(sums) @ right.to(sums)


def decode_group(
    work: Workspace, group: Group, path: Path, target_BO: Tensor, bias_O: Tensor | None, W_dec_FO: Tensor, scale: Tensor
) -> None:
    """Residual, its product with the active latents (both times `scale`) and the unscaled squared error of each row."""
    if path == "sparse":
        decode(
            target_BO, bias_O, group.index_BK, group.value_BK, W_dec_FO, scale, group.residual_BO, group.seen_BK,
            group.error_B,
        )  # fmt: skip
        return
    reconstruction_BO = product(_dense(work, group, group.value_BK), W_dec_FO, work.sums)
    left_BO = (target_BO if bias_O is None else target_BO - bias_O) - reconstruction_BO
    torch.sum(left_BO.square(), 1, out=group.error_B)
    group.residual_BO.copy_(left_BO.mul_(scale))
    torch.mm(group.residual_BO, W_dec_FO.T, out=work.dense_BF)
    somebody_BK = group.index_BK.clamp(max=W_dec_FO.shape[0] - 1).long()
    group.seen_BK.copy_(work.dense_BF.gather(1, somebody_BK))


def _dense(work: Workspace, group: Group, number_BK: Tensor) -> Tensor:
    work.dense_BF.zero_()
    scatter(group.index_BK, number_BK, work.dense_BF)
    return work.dense_BF


class Gradients(NamedTuple):
    """Of encoder and decoder, where they are trained; that of the encoder is always formed, for its biases' sake."""

    encoder: Gradient
    decoder: Gradient | None


def sum_gradients(work: Workspace, groups: list[tuple[Group, Path]], decoder: bool) -> Gradients:
    """Lists of groups that take the sparse path, the products' sum of those that take the dense one."""
    listed = [_listed(work, group, decoder) for group, path in groups if path == "sparse"]
    products = [_products(work, group, decoder) for group, path in groups if path == "dense"]
    of_encoder = Gradient(tuple(one for one, _ in listed), _total([one for one, _ in products]))
    of_decoder = Gradient(tuple(two for _, two in listed if two is not None), _total([two for _, two in products]))
    return Gradients(of_encoder, of_decoder if decoder else None)


def _total(products: list[Tensor | None]) -> Tensor | None:
    there = [product for product in products if product is not None]
    return there[0] + there[1] if len(there) > 1 else there[0] if there else None


def _listed(work: Workspace, group: Group, decoder: bool) -> tuple[Summed, Summed | None]:
    lists, windows = list_codes(group.index_BK, work.config.d_sae), group.windows
    of_encoder = sum_listed(lists, group.seen_BK, work.x_BX, windows[0])
    return of_encoder, sum_listed(lists, group.value_BK, group.residual_BO, windows[1]) if decoder else None


def _products(work: Workspace, group: Group, decoder: bool) -> tuple[Tensor, Tensor | None]:
    """Gradients [F, X] of the encoder, that of its bias in column D, and [F, O] of the decoder."""
    codes_BF = _dense(work, group, group.value_BK)
    of_decoder = product(codes_BF.T, group.residual_BO, work.sums) if decoder else None
    scatter(group.index_BK, group.seen_BK, codes_BF)  # to the same places
    return product(codes_BF.T, work.x_BX, work.sums), of_decoder


def has_room(work: Workspace) -> bool:
    """Whether a dense matrix of codes may be formed at all."""
    return work.batch * work.config.d_sae * work.kept.itemsize <= MOST_DENSE_BYTES


def fill_trial(work: Workspace, group: Group) -> None:
    """Codes of no meaning, spread over all latents, to be timed; they do not depend on data."""
    places = torch.arange(group.index_BK.numel(), device=work.device) * SPREAD
    group.index_BK.copy_((places % work.config.d_sae).view_as(group.index_BK))
    numbers = (places % PERIOD).to(work.sums) / PERIOD - 0.5  # products of equal numbers would take less time
    group.value_BK.copy_(numbers.view_as(group.value_BK))
    group.seen_BK.copy_(group.value_BK)
    for rows_BD in (group.residual_BO, work.x_BX[:, : work.d_in]):
        count = torch.arange(rows_BD.numel(), device=work.device)
        rows_BD.copy_((count % PERIOD - PERIOD / 2).view(rows_BD.shape))


def faster(ways: Mapping[Path, Callable[[], object]], on_device: bool) -> tuple[Path, dict[str, float]]:
    """The path that took less time, and the milliseconds of each; the sparse one unless dense clearly wins."""
    clock = _device_milliseconds if on_device else _milliseconds
    ms: dict[str, float] = {}
    for name, way in ways.items():
        clock(way, WARM_RUNS)
        ms[name] = clock(way, TIMED_RUNS) / TIMED_RUNS
    return "dense" if ms["dense"] < PREFERENCE * ms["sparse"] else "sparse", ms


def _device_milliseconds(work: Callable[[], object], runs: int) -> float:
    begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    begin.record()
    for _ in range(runs):
        work()
    end.record()
    end.synchronize()
    return begin.elapsed_time(end)


def _milliseconds(work: Callable[[], object], runs: int) -> float:
    begin = time.perf_counter()
    for _ in range(runs):
        work()
    return 1e3 * (time.perf_counter() - begin)
