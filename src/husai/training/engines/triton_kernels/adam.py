"""Adam (1412.6980), one step on numbers that a program holds; its scalars are read from the device."""

from __future__ import annotations

from typing import NamedTuple

import triton
import triton.language as tl
from torch import Tensor

from husai.training.engines.triton_kernels.compiled import kernel
from husai.training.engines.triton_kernels.screening import power_of_two

# Places in the vector of scalars: the scale -2 / B of all gradients, the step size with its bias correction, 1 - beta1,
# beta2, 1 - beta2, epsilon, the square root of the second bias correction.
SCALE, STEP_SIZE, NEW1, BETA2, NEW2, EPS, ROOT = range(7)


class Moved(NamedTuple):
    """A parameter of one seed and its two moments."""

    weight: Tensor
    m: Tensor
    v: Tensor


@kernel
def adam(w, m, v, g, adam_ptr):
    """New weights and moments for the gradient scale * g."""
    g *= tl.load(adam_ptr)
    m += (g - m) * tl.load(adam_ptr + 2)
    v = tl.load(adam_ptr + 3) * v + tl.load(adam_ptr + 4) * g * g
    w -= tl.load(adam_ptr + 1) * m / (tl.sqrt(v) / tl.load(adam_ptr + 6) + tl.load(adam_ptr + 5))
    return w, m, v


@kernel
def update_vector(w_ptr, m_ptr, v_ptr, columns_ptr, pull_ptr, adam_ptr, D: tl.constexpr, BLOCK: tl.constexpr):
    """Adam on b_dec: the residual's sum over rows, less what the encoder passes back to it."""
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = at < D
    g = tl.load(columns_ptr + at, mask=inside, other=0.0) - tl.load(pull_ptr + at, mask=inside, other=0.0)
    w = tl.load(w_ptr + at, mask=inside, other=0.0)
    m = tl.load(m_ptr + at, mask=inside, other=0.0)
    v = tl.load(v_ptr + at, mask=inside, other=0.0)
    w, m, v = adam(w, m, v, g, adam_ptr)
    tl.store(w_ptr + at, w, mask=inside)
    tl.store(m_ptr + at, m, mask=inside)
    tl.store(v_ptr + at, v, mask=inside)


def update_b_dec(b_dec: Moved, columns_O: Tensor, pull_O: Tensor, adam_scalars: Tensor) -> None:
    """One step on b_dec, in units of the scale."""
    D = columns_O.shape[0]
    block = min(power_of_two(D), 1024)
    update_vector[(triton.cdiv(D, block),)](*b_dec, columns_O, pull_O, adam_scalars, D=D, BLOCK=block)
