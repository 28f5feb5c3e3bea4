"""SAEs that nobody trained, for measuring."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from husai.saes.config import AnySAEConfig, TopKConfig
from husai.saes.formats.load import Loaded
from husai.saes.sae import SAE


def random_sae(config: AnySAEConfig, d_in: int, seed: int, hook_name: str = "hook") -> SAE:
    """Gaussian rows of free length, encoder and decoder drawn apart."""
    rng = np.random.default_rng(seed)
    draw = lambda *shape: torch.from_numpy(rng.standard_normal(shape).astype(np.float32))  # noqa: E731
    F = config.d_sae
    p = {"W_enc": draw(F, d_in), "b_enc": torch.zeros(F), "W_dec": draw(F, d_in), "b_dec": torch.zeros(d_in)}
    return SAE(config, p, torch.zeros(d_in), 1.0, hook_name)


def near_sae(truth_FD: np.ndarray, noise: float, seed: int, k: int = 3) -> SAE:
    """Rows of `truth` with noise, tied."""
    sae = random_sae(TopKConfig(d_sae=len(truth_FD), k=k), truth_FD.shape[1], seed)
    rows = np.random.default_rng([seed, 1]).standard_normal(truth_FD.shape) * noise + truth_FD
    sae.parameters["W_dec"].copy_(torch.from_numpy(rows.astype(np.float32)))
    sae.parameters["W_enc"].copy_(sae.parameters["W_dec"])
    return sae


def loaded(*saes: SAE, name: str = "sae") -> list[Loaded]:
    """As if from folders."""
    return [Loaded(sae, f"{name}{i}", Path(f"{name}{i}"), "test", i) for i, sae in enumerate(saes)]
