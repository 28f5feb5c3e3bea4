"""Compile every kernel of a step for compute capability 9.0, at a size and in the types of real work, without a GPU.

Launches are caught, and what would have been launched is compiled; all other work is on the `meta` device, which only
knows shapes. One line for each kernel: its name, its registers, the bytes of its stack (where the rest goes).
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from triton.runtime.jit import JITFunction

from husai.saes.config import TopKConfig
from husai.training.engines.cuda_state import SeedTensors, wide
from husai.training.engines.cuda_step import Scalars, Step
from husai.training.engines.cuda_work import Workspace
from husai.training.engines.triton_kernels.adam import Moved

NAMES = {torch.float32: "fp32", torch.bfloat16: "bf16", torch.int8: "i8"}
NAMES |= {torch.int16: "i16", torch.int32: "i32", torch.int64: "i64"}
ALIGNED = [["tt.divisibility", 16]]
META = torch.device("meta")
seen: set[str] = set()


def catch(function: Any, grid: Any) -> Callable[..., None]:
    def launch(*arguments: Any, **named: Any) -> None:
        options = {name: named.pop(name) for name in ("num_warps", "maxnreg") if name in named}
        bound = dict(zip(function.arg_names, arguments, strict=False)) | named
        signature, constants, attributes = {}, {}, {}
        for position, parameter in enumerate(function.params):
            value = bound[parameter.name]
            if parameter.is_constexpr:
                signature[parameter.name], constants[parameter.name] = "constexpr", value
            elif isinstance(value, torch.Tensor):
                signature[parameter.name], attributes[(position,)] = f"*{NAMES[value.dtype]}", ALIGNED
            else:
                signature[parameter.name] = "i32"
        if (key := f"{function.__name__} {signature} {constants}") not in seen:
            seen.add(key)
            source = ASTSource(fn=function, signature=signature, constexprs=constants, attrs=attributes)
            made = triton.compile(source, target=GPUTarget("cuda", 90, 32), options=options)
            print(function.__name__, resources(made.asm["cubin"]), flush=True)

    return launch


def resources(binary: bytes) -> str:
    tool = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(binary)
        file.flush()
        said = subprocess.run([tool, "-res-usage", file.name], capture_output=True, text=True, check=True).stdout
    found = re.search(r"REG:(\d+) STACK:(\d+)", said)
    assert found is not None, said
    return f"registers {found[1]} stack {found[2]}"


def moved(*shape: int) -> Moved:
    return Moved(*(torch.empty(*shape, device=META) for _ in range(3)))


def main() -> None:
    JITFunction.__getitem__ = catch  # type: ignore[method-assign]
    D, F, B = 768, 24576, 8192
    parameters = {"W_enc": moved(F, D), "b_enc": moved(F), "W_dec": moved(F, D), "b_dec": moved(D)}
    copies = (torch.empty(F, columns, dtype=torch.bfloat16, device=META) for columns in (wide(D), D))
    seed = SeedTensors(parameters, torch.empty(F, dtype=torch.int64, device=META), *copies, None)
    config = TopKConfig(d_sae=F, k=32, aux_k=D // 2)
    work = Workspace(config, B, D, torch.float32, torch.bfloat16, META)
    scalars = Scalars(0.9, 0.999, 1e-8, B, torch.float32, META)
    for path in ("sparse", "dense"):
        paths = dict.fromkeys(("decode", "gradients", "aux decode", "aux gradients"), path)
        step = Step(config, "recomputed", work, scalars, paths)  # type: ignore[arg-type]
        for with_aux in (False, True):
            step.run(seed, torch.empty(B, D, device=META), torch.empty(2, device=META), with_aux)


if __name__ == "__main__":
    main()
