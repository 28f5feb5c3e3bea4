"""The router of SAEs whose latents are divided among experts, and what the routed architectures share.

    p = softmax(W_router (x - b_router));   A experts of each row: its `active_experts` largest p
    f = p_expert(f) * relu(W_enc (x - b_dec) + b_enc) on k latents that the architecture selects, 0 outside A
    x_hat = f W_dec + b_dec
    loss = mean_b ||x - x_hat||^2 + balance * V * E * sum_i f_i P_i + entropy * V * mean_b H(p_b) + AuxK

E experts of d_sae / E neighbouring latents each; f_i the share of the rows' choices that expert i gets (no gradient),
P_i the mean of p_i, so that sum_i f_i P_i is 1/E when both are even and 1 when all goes to one expert; H the entropy in
nats; V = mean_b ||x - mean x||^2 for the reason given in `aux.py`. The balancing term is equation 4 of the Switch
Transformer (2101.03961), which the Switch SAE (2410.08201) takes over; even routing costs balance * V. The code that
came with the latter weighs it by .01 d_in whatever the scale of the rows. Here .01 V left experts empty on clustered
and nearly so on planted rows; with the default, .1 V, all were used, and the explained variance of `switch` rose.

The choice of experts has no slope. The router learns because codes carry the probability of their expert, in training
and after it alike: `encode` and `objective` take their codes from the same function.

AuxK takes dead latents of all experts, whatever the router says and without its probability. It is all that reaches the
encoder of an expert that no row is sent to, and the router learns nothing from it. The published code has it off.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from husai.saes.architecture import Architecture, Batch, Shapes, Terms
from husai.saes.aux import aux_term
from husai.saes.codes import SparseCodes, decode
from husai.saes.config import Routed
from husai.saes.folding import fold_core
from husai.saes.parameters import Parameters, core_shapes, initial, pre_activations, squared_error, unit_rows
from husai.saes.select import largest


@dataclass(frozen=True)
class Routes:
    """Where rows go: the logarithm of p [B, E], and whether an expert is among those of the row [B, E]."""

    log_p_BE: Tensor
    chosen_BE: Tensor

    @property
    def gates_BE(self) -> Tensor:
        """p of the chosen experts, 0 for the others."""
        return self.log_p_BE.exp() * self.chosen_BE

    @property
    def entropy(self) -> Tensor:
        """Mean over rows of the entropy of p, in nats: ln E for a router that knows nothing."""
        return -(self.log_p_BE.exp() * self.log_p_BE).sum(-1).mean()

    @property
    def usage_E(self) -> Tensor:
        """Share of all choices that each expert gets."""
        return self.chosen_BE.to(self.log_p_BE.dtype).sum(0) / self.chosen_BE.sum()

    @property
    def imbalance(self) -> Tensor:
        """`E sum_i f_i P_i`: 1 when rows are spread evenly, E when all go to one of E experts."""
        return self.chosen_BE.shape[1] * self.usage_E @ self.log_p_BE.exp().mean(0)


def route(config: Routed, p: Parameters, x_BD: Tensor) -> Routes:
    """The experts of each row; ties go to the expert of the lowest index."""
    logits_BE = torch.addmm(-(p["W_router"] @ p["b_router"]), x_BD, p["W_router"].T)
    chosen_BE = torch.zeros_like(logits_BE, dtype=torch.bool)
    chosen_BE.scatter_(1, largest(logits_BE, config.active_experts), value=True)
    return Routes(logits_BE.log_softmax(-1), chosen_BE)


# Of the rectified pre-activations [B, F] and the routes: indices [B, k] of the latents that codes are made of.
Choose = Callable[[Routed, Tensor, Routes], Tensor]


def codes_of(config: Routed, pre_BF: Tensor, routes: Routes, choose: Choose) -> SparseCodes:
    """The chosen latents, each times the gate of its expert."""
    positive_BF = pre_BF.relu()
    indices = choose(config, positive_BF, routes)
    gates = routes.gates_BE.gather(-1, indices // (config.d_sae // config.experts))
    return SparseCodes(positive_BF.gather(-1, indices) * gates, indices, config.d_sae)


def encode(choose: Choose, config: Routed, p: Parameters, x_BD: Tensor) -> SparseCodes:
    """Codes with the gates of the router, as in training."""
    return codes_of(config, pre_activations(p, x_BD, config.subtract_b_dec), route(config, p, x_BD), choose)


def objective(choose: Choose, config: Routed, p: Parameters, batch: Batch) -> tuple[Terms, SparseCodes]:
    """`mse`, `aux`, and `balance` and `entropy` where they have a weight."""
    pre, routes = pre_activations(p, batch.x_BD, config.subtract_b_dec), route(config, p, batch.x_BD)
    codes = codes_of(config, pre, routes, choose)
    x_hat = decode(codes, p["W_dec"], p["b_dec"])
    terms = {"mse": squared_error(batch.y_BO, x_hat)} | aux_term(config, p, batch, pre, x_hat)
    if config.balance:
        terms["balance"] = config.balance * batch.variance * routes.imbalance
    if config.entropy:
        terms["entropy"] = config.entropy * batch.variance * routes.entropy
    return terms, codes


def shapes(config: Routed, d_in: int) -> Shapes:
    """The core, `W_router` [E, D] and `b_router` [D]."""
    return core_shapes(config.d_sae, d_in) | {"W_router": (config.experts, d_in), "b_router": (d_in,)}


def init(config: Routed, d_in: int, generator: torch.Generator, rows_ND: Tensor | None) -> Parameters:
    """The core as everywhere; unit Gaussian rows, for which logits have variance 1 on scaled rows, and a bias of 0."""
    core = initial(d_in, config.d_sae, config.tied_init, generator)
    W_router = unit_rows(torch.randn(config.experts, d_in, generator=generator))
    return core | {"W_router": W_router, "b_router": torch.zeros(d_in)}


def fold(config: Routed, p: Parameters, mean_D: Tensor, factor: float | Tensor) -> Parameters:
    """The router reads rows too: W_router' = factor W_router, b_router' = b_router / factor + mean."""
    folded = {"W_router": p["W_router"].double() * factor, "b_router": p["b_router"].double() / factor + mean_D}
    return fold_core(config, p, mean_D, factor) | {name: t.to(p[name].dtype) for name, t in folded.items()}


def routed(summary: str, source: str, choose: Choose) -> Architecture[Routed]:
    """An architecture that differs from the others in which latents it chooses."""
    return Architecture(
        summary=summary,
        source=source,
        sparse=True,
        knob="k",
        encode=partial(encode, choose),
        objective=partial(objective, choose),
        shapes=shapes,
        init=init,
        fold=fold,
        per_latent=(),
    )
