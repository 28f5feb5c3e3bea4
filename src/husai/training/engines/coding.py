"""What sparse kernels need to know of an architecture, and which architectures they can train."""

from __future__ import annotations

from dataclasses import dataclass

from husai.saes.config import (
    AbsTopKConfig,
    AlignedConfig,
    AnySAEConfig,
    BatchSelectConfig,
    MatryoshkaConfig,
    Routed,
    SkipTranscoderConfig,
    TopKConfig,
    TranscoderConfig,
)
from husai.training.engines.kernels.latents import FREE, PROJECTED, UNIT

NORMS = {"free": FREE, "unit": UNIT, "projected": PROJECTED}


@dataclass(frozen=True)
class Coding:
    """An SAE whose rows have `k` active latents, each with the value of its pre-activation.

    `centred`: pre-activations are taken of x - b_dec. `signed`: the k of largest absolute value. `split`: width of what
    is encoded, where a row holds more than that. `skip`: a dense path beside. `song_l1`: see `objective.py`.
    `aligned`: the encoder follows the decoder after each step. `routed`: a router sends rows to experts.
    `widths`: k is a mean over the batch, which is selected from as a whole; prefixes of the dictionary that reconstruct
    on their own, the last of them all of it.
    """

    config: TopKConfig | AbsTopKConfig | TranscoderConfig | AlignedConfig | Routed | BatchSelectConfig
    k: int
    d_sae: int
    centred: bool
    signed: bool = False
    song_l1: float | None = None
    aligned: bool = False
    routed: Routed | None = None
    widths: tuple[int, ...] = ()

    @property
    def norm(self) -> int:
        """What is done about the norm of decoder rows."""
        return NORMS[self.config.decoder_norm]

    @property
    def trained(self) -> tuple[bool, bool]:
        """Whether encoder and decoder are."""
        return self.config.freeze != "encoder", self.config.freeze != "decoder"

    @property
    def open_to_row(self) -> int:
        """Latents among which the k of a row are selected."""
        if self.routed is None or self.routed.kind == "global_mask":
            return self.d_sae
        return self.d_sae // self.routed.experts * self.routed.active_experts

    @property
    def skip(self) -> bool:
        """Whether a dense path runs beside."""
        return isinstance(self.config, SkipTranscoderConfig)

    def columns(self, width: int) -> tuple[int, int]:
        """Columns that are encoded and columns that are reconstructed; the same where the second begins at 0."""
        return self.config.widths(width) if isinstance(self.config, TranscoderConfig) else (width, width)


def coding(config: AnySAEConfig) -> Coding | str:
    """How kernels see a configuration, or why they cannot train it."""
    if config.supervised is not None:
        return "a supervised head reads labels of the rows, which kernels are not given"
    if isinstance(config, TranscoderConfig):
        return Coding(config, config.k, config.d_sae, centred=False)
    if isinstance(config, AbsTopKConfig):
        return Coding(config, config.k, config.d_sae, config.subtract_b_dec, signed=True)
    if isinstance(config, AlignedConfig):
        return Coding(config, config.k, config.d_sae, config.subtract_b_dec, aligned=True)
    if isinstance(config, BatchSelectConfig):
        widths = config.widths if isinstance(config, MatryoshkaConfig) else (config.d_sae,)
        return Coding(config, max(1, round(config.k)), config.d_sae, config.subtract_b_dec, widths=widths)
    if isinstance(config, Routed):
        return Coding(config, config.k, config.d_sae, config.subtract_b_dec, routed=config)
    if isinstance(config, TopKConfig):
        return Coding(config, config.k, config.d_sae, config.subtract_b_dec, song_l1=config.song_l1)
    return WHY.get(config.kind, f"{config.kind} has no fixed number of active latents")


def plain_topk(config: AnySAEConfig) -> str:
    """Why an engine that knows TopK as it was published, and nothing else, cannot train a configuration."""
    found = coding(config)
    if isinstance(found, str):
        return found
    if not isinstance(config, TopKConfig):
        return f"this engine has no kernels for {config.kind}"
    if config.song_l1 is not None or config.decorrelation or config.decoder_norm == "projected":
        return "song_l1, decorrelation and projected decoder norms are not among this engine's terms"
    return "" if config.subtract_b_dec else "this engine takes pre-activations of x - b_dec"


WHY = {
    "archetypal": "the decoder of archetypal is made of mixtures and relaxations, which are dense",
    "random": "random is not trained",
    "hierarchical_topk": "what a code of hierarchical_topk sees goes by its rank in the row, not by its latent",
    "matching_pursuit": "each step of matching_pursuit needs the products of all latents as the last one left them",
    "route": "the router of route picks the rows that are coded, and moves with them",
    "jsae": "jsae ties the latents of two SAEs",
}
