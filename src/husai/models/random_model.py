"""The control `random_model`: the same architecture, never trained."""

from __future__ import annotations

from husai.models.config import TransformerConfig
from husai.models.transformer import Transformer
from husai.seeds import Role, derive


def random_model(config: TransformerConfig, seed: int, index: int) -> Transformer:
    """Untrained model number `index`; its stream is neither that of a trained model's start nor of another index.

    A study that compares with it needs at least 5 of them: the unit is the model, not the SAE trained on it.
    """
    return Transformer(config, derive(seed, Role.CONTROL, "random_model", index))
