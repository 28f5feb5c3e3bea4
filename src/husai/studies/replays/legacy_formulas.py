"""Formulas of published reports that are wrong, as they were. Only the replay of a claim may import them.

What is kept here gives a number its authors gave; nothing here is a measurement of anything.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from husai.stability.metrics import mean_max_cos

Floats = NDArray[np.floating]


def guessed_axes(W_FD: Floats) -> Floats:
    """An array whose first axis is the longer one is taken as it is, any other is transposed: T04's rule.

    Features must be rows below; with fewer latents than dimensions this makes features of the dimensions.
    """
    return W_FD if W_FD.shape[0] >= W_FD.shape[1] else W_FD.T


def mean_max_cos_by_guess(A_FD: Floats, B_FD: Floats) -> float:
    """Agreement of two dictionaries whose axes were guessed."""
    return mean_max_cos(guessed_axes(A_FD), guessed_axes(B_FD))


def conjugate_share(profile_PF: Floats, frequencies: NDArray[np.integer]) -> Floats:
    """Share of each column [F] in some frequencies, the two complex coefficients of each added before squaring: T05.

    `sum_w ((c_w + c_(p-w)) / 2)^2 / sum_w |c_w|^2`: the imaginary parts of a conjugate pair cancel, so that a sine
    scores 0, a cosine one half, and all else what its phase makes of it.
    """
    spectrum = np.fft.fft(profile_PF - profile_PF.mean(0), axis=0)
    both = (spectrum[frequencies] + spectrum[-frequencies]).real / 2
    total = (np.abs(spectrum) ** 2).sum(0)
    return np.divide((both**2).sum(0), total, out=np.zeros(profile_PF.shape[1]), where=total > 0)


def raw_draw(seed: int, rows: int, columns: int) -> Floats:
    """`randn(rows, columns)` from a bare seed, as reports draw: whoever has the same seed has the same numbers."""
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed)).numpy()


def rows_of_seed(seed: int, n: int, share: float) -> NDArray[np.integer]:
    """The training rows that a run keeps when its one seed also shuffles the data before the split: T28."""
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed)).numpy()
    return np.sort(order[: int(share * n)])


def with_reference(values: list[float], reference: float) -> float:
    """A mean over coupled seeds that counts the untouched reference among them: T11."""
    return float(np.mean([*values, reference]))
