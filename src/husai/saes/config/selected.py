"""Architectures that keep a number of latents: `k` in each row, or on average. Torch-free."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal, Self

from pydantic import Field, model_validator

from husai.saes.config.common import AuxKConfig, CommonConfig, KConfig


class TopKConfig(KConfig):
    """TopK: the `k` largest of relu(pre-activations); AuxK revives dead latents when `aux_k > 0` (2406.04093)."""

    kind: Literal["topk"] = "topk"
    song_l1: float | None = Field(default=None, ge=0, description="trains the objective of 2505.20254 with this weight")


class AbsTopKConfig(KConfig):
    """AbsTopK: the `k` pre-activations of largest absolute value, with their sign (2510.00404)."""

    kind: Literal["abstopk"] = "abstopk"


class BatchSelectConfig(AuxKConfig):
    """Options of architectures that select in the whole batch, and by a threshold once they are trained."""

    k: float = Field(default=32, gt=0, description="latents per row, on average over a batch of training")
    threshold_momentum: float = Field(default=0.99, ge=0, lt=1, description="of the running mean behind the threshold")


class BatchTopKConfig(BatchSelectConfig):
    """BatchTopK: `k` latents per row on average in training, a threshold afterwards (2412.06410)."""

    kind: Literal["batchtopk"] = "batchtopk"


class MatryoshkaConfig(BatchSelectConfig):
    """Matryoshka BatchTopK: the first m latents reconstruct on their own, for every m of `prefixes` (2503.17547)."""

    kind: Literal["matryoshka"] = "matryoshka"
    prefixes: tuple[int, ...] | None = Field(
        default=None, description="ascending, the last one d_sae; none: d_sae / 16, / 8, / 4, / 2 and d_sae"
    )

    @property
    def widths(self) -> tuple[int, ...]:
        """The prefixes as they are used: those given, or d_sae halved up to four times, without zeros and repeats."""
        halved = (self.d_sae // part for part in (16, 8, 4, 2, 1))
        return self.prefixes if self.prefixes is not None else tuple(sorted({width for width in halved if width}))

    @model_validator(mode="after")
    def _nested(self) -> Self:
        if not _ascending(self.widths) or self.widths[-1] != self.d_sae:
            raise ValueError(f"prefixes must ascend from 1 or more to d_sae = {self.d_sae}, not {self.widths}")
        return self


class HierarchicalTopKConfig(KConfig):
    """HierarchicalTopK: TopK whose k' largest reconstruct on their own, for every k' of `levels` (2505.24473)."""

    kind: Literal["hierarchical_topk"] = "hierarchical_topk"
    levels: tuple[int, ...] | None = Field(default=None, description="numbers below k that count too; none: all")

    @property
    def smaller(self) -> tuple[int, ...]:
        """The levels as they are used."""
        return self.levels if self.levels is not None else tuple(range(1, self.k))

    @model_validator(mode="after")
    def _below_k(self) -> Self:
        if self.levels and not (_ascending(self.levels) and self.levels[-1] < self.k):
            raise ValueError(f"levels must ascend from 1 or more to below k = {self.k}, not {self.levels}")
        return self


class MatchingPursuitConfig(CommonConfig):
    """MP-SAE: `k` steps of matching pursuit with a tied dictionary of unit rows (2506.03093).

    Its encoder is its decoder: options that would tell them apart are refused.
    """

    kind: Literal["matching_pursuit"] = "matching_pursuit"
    k: int = Field(default=32, ge=1, description="steps; a latent may be chosen in several of them")

    @model_validator(mode="after")
    def _tied(self) -> Self:
        if self.decoder_norm == "free":
            raise ValueError(
                "decoder_norm = free makes no sense for matching_pursuit, which needs unit rows: choose unit"
            )
        if not (self.tied_init and self.subtract_b_dec):
            raise ValueError(
                "matching_pursuit pursues x - b_dec with its decoder: leave tied_init, subtract_b_dec at true"
            )
        if self.freeze in ("encoder", "soft_decoder"):
            raise ValueError(
                f"freeze = {self.freeze} makes no sense for matching_pursuit, which is tied: none or decoder"
            )
        return self


def _ascending(numbers: tuple[int, ...]) -> bool:
    return bool(numbers) and numbers[0] >= 1 and all(low < high for low, high in pairwise(numbers))
