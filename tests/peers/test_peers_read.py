"""Their folders in husai: features and reconstructions are those of their own classes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import husai
from peers.their_saes import CASES, needs

D, F, N, BOUND = 6, 12, 500, 1e-5


@pytest.mark.parametrize("name", CASES)
def test_it_computes_what_theirs_computes(name: str, tmp_path: Path) -> None:
    pytest.importorskip(needs(name), reason=f"{needs(name)} is not installed: make peers")
    d_sae = 3 * D if name == "sparsify-multi-topk" else F
    theirs = CASES[name](tmp_path / "layers.5.mlp", D, d_sae)
    sae = husai.load(tmp_path / "layers.5.mlp")
    x = torch.randn(N, D, generator=torch.Generator().manual_seed(9)) * 1.5 + 0.2
    f, decoded, y = theirs(x)
    assert (f != 0).any() and (f == 0).any()
    assert (sae.encode(x) - f).abs().max() <= BOUND
    assert (sae(x) - y).abs().max() <= BOUND
    if "skip" not in name:
        assert (sae.decode(f) - decoded).abs().max() <= BOUND
    assert sae.W_enc.shape == (D, d_sae) and sae.W_dec.shape[0] == d_sae
    assert sae.cfg.hook_name or name.startswith(("saelens-checkpoint", "gemma", "saelens-bfl"))
