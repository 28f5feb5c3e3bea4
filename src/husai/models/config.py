"""What can be set about the models and their training. Imports no torch; `build()` does when it is called."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field, model_validator

from husai.config import Config
from husai.errors import UserError
from husai.seeds import Role, derive

if TYPE_CHECKING:
    from husai.models.transformer import Transformer
    from husai.tasks.task import Task


class TransformerConfig(Config):
    """A small causal transformer, as used for modular arithmetic (arXiv 2301.05217): one layer, no layer norm.

    `d_vocab`, `n_ctx` and `d_vocab_out` may stay open (None) until the task is known: see `fitted`.
    """

    kind: Literal["transformer"] = "transformer"
    n_layers: int = Field(default=1, ge=1)
    d_model: int = Field(default=128, ge=1)
    n_heads: int = Field(default=4, ge=1)
    d_mlp: int = Field(default=512, ge=1)
    activation: Literal["relu", "gelu"] = "relu"
    layer_norm: bool = False
    d_vocab: int | None = Field(default=None, ge=1)
    n_ctx: int | None = Field(default=None, ge=1)
    d_vocab_out: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _heads_fit(self) -> Self:
        if self.d_model % self.n_heads:
            raise ValueError(f"d_model ({self.d_model}) must be a multiple of n_heads ({self.n_heads})")
        return self

    @property
    def d_head(self) -> int:
        """Width of one attention head."""
        return self.d_model // self.n_heads

    def sizes(self) -> tuple[int, int, int]:
        """(d_vocab, n_ctx, d_vocab_out).

        Raises:
            UserError: one of them is still open.
        """
        if self.d_vocab is None or self.n_ctx is None or self.d_vocab_out is None:
            raise UserError("the model's d_vocab, n_ctx and d_vocab_out are open: set them, or take them from a task")
        return self.d_vocab, self.n_ctx, self.d_vocab_out

    def fitted(self, task: Task) -> TransformerConfig:
        """Copy with the open sizes taken from the task.

        Raises:
            UserError: a size that was set is too small for the task.
        """
        needed = {"d_vocab": task.d_vocab, "n_ctx": task.tokens_NT.shape[1], "d_vocab_out": task.n_classes}
        for name, least in needed.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise UserError(f"model {name}={value} is too small for task {task.name}: it needs {least}")
        return self.model_copy(update={name: n for name, n in needed.items() if getattr(self, name) is None})

    def build(self, seed: int) -> Transformer:
        """Untrained model whose weights are drawn from the stream `model_init` of the root seed."""
        from husai.models.transformer import Transformer

        return Transformer(self, derive(seed, Role.MODEL_INIT))


ModelConfig = TransformerConfig


class PretrainConfig(Config):
    """How a model is trained on a task: AdamW with warm-up, until it has generalised.

    Training ends when `hold` evaluations in a row reach `target_accuracy` on held-out rows and at least
    `extra_steps` have passed since that first happened, or at `max_steps`.

    The defaults make a one-layer model generalise on (a + b) mod 113 with half of the unordered pairs in about 500 to
    1,000 steps. Weight decay matters: with 1.0 and lr 1e-3 it takes 5,900 steps, since no mirrored pair leaks.
    """

    batch: int = Field(default=1024, ge=1)
    lr: float = Field(default=2e-3, gt=0)
    warmup_steps: int = Field(default=10, ge=0)
    weight_decay: float = Field(default=2.0, ge=0)
    beta1: float = Field(default=0.9, ge=0, lt=1)
    beta2: float = Field(default=0.98, ge=0, lt=1)
    max_steps: int = Field(default=6000, ge=1)
    eval_every: int = Field(default=100, ge=1)
    target_accuracy: float = Field(default=0.99, gt=0, le=1)
    hold: int = Field(default=2, ge=1)
    extra_steps: int = Field(default=200, ge=0)
