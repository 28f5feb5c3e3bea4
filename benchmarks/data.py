"""The rows that every tool is given: sparse sums of planted directions, and noise."""

from __future__ import annotations

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor

from benchmarks.sizes import Size
from husai.seeds import Role, generator
from husai.tasks.planted import CHUNK, PlantedConfig, draw_codes, draw_dictionary

POOL_ROWS = 65_536
NOISE = 0.1  # norm of the noise relative to the norm of a row


def batch_count(size: Size) -> int:
    """Batches in the pool: about POOL_ROWS rows, at least two batches for every seed, the same number for each."""
    wanted = max(POOL_ROWS // size.batch, 2 * size.seeds)
    return -(-wanted // size.seeds) * size.seeds


def make_batches(size: Size, count: int, device: str = "cpu", seed: int = 0) -> Tensor:
    """[count, B, D] float32, contiguous. Rows are independent draws, so batches are cut in order.

    They are cut, and moved to the device, before any clock starts: gathering rows is in nobody's time.
    """
    rows_ND = _rows(size, count * size.batch, seed)
    return torch.from_numpy(rows_ND).view(count, size.batch, size.d_in).to(device)


def _rows(size: Size, n: int, seed: int) -> np.ndarray:
    planted = PlantedConfig(d_in=size.d_in, n_features=2 * size.d_in, n_active=size.k, n_rows=n, seed=seed)
    dictionary_FD, (indices_NK, values_NK) = draw_dictionary(planted), draw_codes(planted)
    noise, rows_ND = generator(seed, Role.AUXILIARY), np.empty((n, size.d_in), dtype=np.float32)
    for start in range(0, n, CHUNK):
        stop = min(start + CHUNK, n)
        pointers = np.arange(stop - start + 1) * size.k
        data = (values_NK[start:stop].ravel(), indices_NK[start:stop].ravel(), pointers)
        rows_ND[start:stop] = csr_array(data, shape=(stop - start, planted.n_features)) @ dictionary_FD
        scale = np.float32(NOISE * (size.k / size.d_in) ** 0.5)
        rows_ND[start:stop] += scale * noise.standard_normal((stop - start, size.d_in), dtype=np.float32)
    return rows_ND
