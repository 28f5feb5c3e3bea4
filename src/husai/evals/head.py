"""How often a head names the label of a row from its codes, on rows whose label no training has seen."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from husai.evals.fidelity import blocks
from husai.saes.sae import SAE
from husai.saes.supervised import logits


@torch.no_grad()
def head_answers(sae: SAE, x_ND: Tensor) -> np.ndarray:
    """[N] int64: the class of the largest logit of each row, ties to the lowest."""
    answers = [logits(sae.parameters, sae.encode(sae.split(block)[0])).argmax(-1) for block in blocks(x_ND)]
    return torch.cat(answers).numpy()
