"""A process that compiles the kernels gets the bits of one that loads them. Numba may call a kernel's own copy in the
first and the caller's copy in the second, and the two round differently: kernels are put into their callers whole.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

STEPS = """
import hashlib, torch
torch.set_num_threads(1)
from husai.saes import config as c
from husai.training.config import TrainingConfig
from husai.training.engines.cpu import CpuEngine
from husai.training.state import start

SHARED = {"d_sae": 64, "k": 4, "aux_k": 8, "dead_after": 300}
KINDS = c.TopKConfig, c.AlignedConfig, c.SwitchConfig, c.GlobalMaskConfig, c.BatchTopKConfig, c.MatryoshkaConfig
for config in [kind(**SHARED) for kind in KINDS]:
    training = TrainingConfig(batch=100)
    state, engine = start(config, training, 32, (0,), 0), CpuEngine(config, training, threads=1)
    state.last_fired_SF[:, :10] = -1000
    generator = torch.Generator().manual_seed(0)
    for _ in range(3):
        engine.step(state, torch.randn(1, 100, 32, generator=generator), 1e-2)
    for name, tensor in state.parameters.items():
        print(config.kind, name, hashlib.sha256(tensor.numpy().tobytes()).hexdigest())
"""


def bits(cache: Path) -> str:
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(cache), "OMP_NUM_THREADS": "1"}
    run = subprocess.run(
        [sys.executable, "-c", STEPS], capture_output=True, text=True, env=environment, timeout=300, check=False
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_both_get_the_same_bits(tmp_path: Path) -> None:
    compiled = bits(tmp_path)
    assert any(tmp_path.rglob("*.nbc")), "nothing was compiled: the test would compare a thing with itself"
    assert bits(tmp_path) == compiled != ""
