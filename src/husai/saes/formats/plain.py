"""The SAE that tools share: one encoder, one activation, one decoder. What every format is read into and written from.

    pre = W_enc (x - b_dec) + b_enc      (`subtract_b_dec`; else W_enc x + b_enc)
    f = relu(pre) | the k largest of it | the k of largest |pre| | relu(pre) [pre > threshold] | gated
    y = f W_dec + b_dec                  (+ x W_skip^T)

Taking b_dec off the input and folding it into the biases are the same function, so a tool that knows only one of them
can hold both: with g = 1, or exp(r_mag) for b_mag,  W_enc (x - b_dec) g + b = W_enc x g + (b - g W_enc b_dec).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from husai.errors import UserError
from husai.saes.config import (
    AbsTopKConfig,
    AnySAEConfig,
    BatchSelectConfig,
    GatedConfig,
    JumpReluConfig,
    ReluL1Config,
    SkipTranscoderConfig,
    TopKConfig,
    TranscoderConfig,
)
from husai.saes.jumprelu import threshold
from husai.saes.parameters import Parameters
from husai.saes.sae import SAE

Activation = Literal["relu", "topk", "abstopk", "jumprelu", "gated"]
GATED = ("b_gate", "b_mag", "r_mag")

# Architectures of husai that are one of these once they are trained.
_TOPK = ("topk", "hierarchical_topk", "archetypal", "aligned", "random")
_RELU = ("relu_l1", "gba")
_NOT = {
    "linear": "it has no activation, and every tool has one",
    "pca": "it has no activation, and every tool has one",
    "matching_pursuit": "its codes are those of a pursuit, not of one encoder",
    "switch": "its codes carry the probability of a router",
    "expert_topk": "its codes carry the probability of a router",
    "global_mask": "its codes carry the probability of a router",
    "route": "it reads several hooks and a router picks one",
    "jsae": "it is a pair of SAEs with an MLP between",
}


@dataclass(frozen=True)
class Plain:
    """Parameters W_enc [F, D], W_dec [F, O], b_dec [O]; b_enc [F], or b_gate, b_mag and r_mag [F].

    And `threshold` [F] of a JumpReLU, `W_skip` [O, D] of a transcoder that has one; `k` of topk and abstopk.
    """

    activation: Activation
    p: Parameters
    subtract_b_dec: bool
    k: int = 0
    transcoder: bool = False

    @property
    def d_sae(self) -> int:
        """F."""
        return self.p["W_enc"].shape[0]

    @property
    def d_in(self) -> int:
        """D."""
        return self.p["W_enc"].shape[1]

    @property
    def d_out(self) -> int:
        """O."""
        return self.p["W_dec"].shape[1]

    @property
    def gains(self) -> dict[str, Tensor | float]:
        """The biases of pre-activations, each with what the product is multiplied by before it is added."""
        if self.activation == "gated":
            return {"b_gate": 1.0, "b_mag": self.p["r_mag"].double().exp()}
        return {"b_enc": 1.0}

    def subtracting(self, wanted: bool) -> Plain:
        """The same function, with b_dec taken off the input or not."""
        if wanted == self.subtract_b_dec:
            return self
        shift_F = self.p["W_enc"].double() @ self.p["b_dec"].double() * (1 if wanted else -1)
        moved = {name: (self.p[name].double() + gain * shift_F).float() for name, gain in self.gains.items()}
        return replace(self, p=self.p | moved, subtract_b_dec=wanted)

    def unscaled(self) -> Plain:
        """The same where codes are held in units of their decoder row: pre ||W_dec_f|| is selected, f decoded unit.

        The norms go into the encoder. Thresholds are in units of codes already.
        """
        norm_F = self.p["W_dec"].double().norm(dim=-1)
        if not (norm_F > 0).all():
            raise UserError("a row of W_dec is zero, where codes are to be divided by its norm")
        norms = {"W_enc": norm_F[:, None], "W_dec": 1 / norm_F[:, None], "b_enc": norm_F}
        return replace(self, p=self.p | {name: (self.p[name].double() * by).float() for name, by in norms.items()})


def sae_of(plain: Plain, hook_name: str) -> SAE:
    """As an SAE of husai on rows as they were captured: mean 0, factor 1, rows of any norm.

    The penalty that it was trained with is left out (0): other tools write theirs in other conventions, if at all.
    """
    width = plain.d_in + plain.d_out if plain.transcoder else plain.d_in
    return SAE(_config(plain), plain.p, torch.zeros(width), 1.0, hook_name)


def _config(plain: Plain) -> AnySAEConfig:
    common = {"d_sae": plain.d_sae, "decoder_norm": "free", "tied_init": False}
    if plain.transcoder:
        kind = SkipTranscoderConfig if "W_skip" in plain.p else TranscoderConfig
        k = plain.k if plain.activation == "topk" else plain.d_sae
        return kind.parse({**common, "d_out": plain.d_out, "activation": plain.activation, "k": k})
    common["subtract_b_dec"] = plain.subtract_b_dec
    if plain.activation == "relu":
        return ReluL1Config.parse({**common, "l1": 0.0})
    if plain.activation == "gated":
        return GatedConfig.parse({**common, "l1": 0.0})
    if plain.activation == "jumprelu":
        return JumpReluConfig.parse({**common, "threshold_as": "value", "l0_coefficient": 0.0})
    return (TopKConfig if plain.activation == "topk" else AbsTopKConfig).parse({**common, "k": plain.k})


@torch.no_grad()
def plain_of(sae: SAE, tool: str) -> Plain:
    """What an SAE of husai is to other tools, its scaling inside the parameters.

    Raises:
        UserError: no other tool's SAE is the same function.
    """
    if sae.config.kind in _NOT:
        raise UserError(
            f"{tool} cannot hold {sae.config.kind}: {_NOT[sae.config.kind]}. Nothing was written; use --to husai"
        )
    folded = sae.folded()
    p = {name: t.detach().float().contiguous() for name, t in folded.parameters.items()}
    config, core = folded.config, {name: p[name] for name in ("W_enc", "W_dec", "b_dec")}
    if isinstance(config, TranscoderConfig):
        rest = {name: p[name] for name in ("b_enc", "threshold", "W_skip") if name in p}
        k = config.k if config.activation == "topk" else 0
        return Plain(config.activation, core | rest, False, k, transcoder=True)
    if isinstance(config, GatedConfig):
        return Plain("gated", core | {name: p[name] for name in GATED}, config.subtract_b_dec)
    return _with_one_bias(config, core | {"b_enc": p["b_enc"]}, p)


def _with_one_bias(config: AnySAEConfig, core: Parameters, p: Parameters) -> Plain:
    subtract = config.subtract_b_dec
    if isinstance(config, JumpReluConfig):
        return Plain("jumprelu", core | {"threshold": threshold(config, p)}, subtract)
    if isinstance(config, BatchSelectConfig) and bool(p["threshold_batches"]):
        return Plain("jumprelu", core | {"threshold": p["threshold"].expand(len(p["b_enc"])).clone()}, subtract)
    if isinstance(config, BatchSelectConfig) or config.kind in _TOPK:  # without a threshold yet, the k largest
        return Plain("topk", core, subtract, max(1, round(getattr(config, "k", 0))))
    if config.kind == "abstopk":
        return Plain("abstopk", core, subtract, config.k)
    if config.kind in _RELU:
        return Plain("relu", core, subtract)
    raise UserError(f"no other tool is known to hold {config.kind}: use --to husai")
