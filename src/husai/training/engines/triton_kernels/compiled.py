"""How the loops are compiled: by Triton, when they are first launched, for the sizes and types of that launch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import triton


def kernel(function: Callable[..., Any]) -> Any:
    """What `kernel[grid](...)` launches and other kernels call. On the CPU, Triton's interpreter can run it."""
    return triton.jit(function)
