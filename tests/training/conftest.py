"""Where there is no GPU, the kernels of the engine `cuda` run on the CPU in Triton's interpreter.

It is switched on by an environment variable that must be set before triton is imported, and has three faults that are
mended here: it cannot count up to a number it has loaded (NumPy from 2.4 on; mended upstream), it cuts float32 off to
bfloat16 instead of rounding, and it replaces the whole language again at every call of a function.
"""

from __future__ import annotations

import importlib.util
import os
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"


def _mend() -> None:
    import triton.language as tl
    from triton.runtime import interpreter

    replace_tensor, cast = interpreter._patch_lang_tensor, interpreter.InterpreterBuilder.cast_impl

    def with_index(tensor: Any, scope: Any) -> None:
        replace_tensor(tensor, scope)
        scope.set_attr(tensor, "__index__", lambda self: int(self.handle.data.reshape(-1)[0]))

    def rounding(self: Any, source: Any, target: Any) -> Any:
        if (source.dtype.scalar, target.scalar) != (tl.float32, tl.bfloat16):
            return cast(self, source, target)
        rounded = torch.from_numpy(np.array(source.data)).to(torch.bfloat16).view(torch.int16).numpy().view(np.uint16)
        return interpreter.TensorHandle(rounded, tl.bfloat16)

    interpreter._patch_lang_tensor = with_index
    interpreter.InterpreterBuilder.cast_impl = rounding
    interpreter.InterpreterBuilder.create_fp_trunc = rounding
    interpreter._patch_lang(SimpleNamespace(__globals__={"tl": tl, "core": tl.core}))
    interpreter._patch_lang = lambda function: SimpleNamespace(restore=lambda: None)


if not torch.cuda.is_available() and importlib.util.find_spec("triton") is not None:
    _mend()
