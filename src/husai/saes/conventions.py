"""What the weights of loss terms multiply, in words: "lambda = 1e-3" alone says nothing. Torch-free.

Papers and tools write one penalty as a mean over latents and as a sum, which differ by a factor of d_sae; beside a mean
squared error that is a sum over dimensions or a mean, which differ by a factor of d_in; on rows of any norm. Here there
is one convention: a mean over the rows of a batch of a sum over latents, beside the squared distance summed over
dimensions, on rows that were centred and scaled to a mean square norm of d_in. Where V stands, the term is relative
to the variance of those rows as well.
"""

from __future__ import annotations

from husai.saes.config import AnySAEConfig

ROWS = "on rows scaled to a mean square norm of d_in"
BESIDE = f"beside the squared distance summed over dimensions, {ROWS}"
SHARED = {
    "decorrelation": f"times V times the mean squared cosine over ordered pairs of decoder rows, {BESIDE}",
    "aux_coefficient": f"times V times the error in predicting the residual over its variance, {BESIDE}",
    "balance": f"times V times E sum_i f_i P_i over the E experts, {BESIDE}",
    "entropy": f"times V times the mean over rows of the router's entropy in nats, {BESIDE}",
    "jacobian": f"times V times the mean over rows and over the k x k pairs of active latents of |J|, {BESIDE}",
    "song_l1": f"times the mean over rows of the sum over latents of |f|, without decoder norms, beside the squared "
    f"distance as a mean over dimensions, {ROWS}",
}
OWN = {
    ("relu_l1", "l1"): f"times the mean over rows of the sum over latents of |f| ||W_dec_f||, {BESIDE}",
    ("gated", "l1"): "times the mean over rows of the sum over latents of relu(gate), which is multiplied by "
    f"||W_dec_f|| where norms are free, {BESIDE}",
    ("jumprelu", "l0_coefficient"): "times V times L0, the mean over rows of the number of latents above their "
    f"threshold, or times V times (L0 / l0_target - 1)^2 where there is a target, {BESIDE}",
}
PENALISED = {"relu_l1": "l1", "gated": "l1", "jumprelu": "l0_coefficient"}  # what makes their codes sparse


def penalties(config: AnySAEConfig) -> dict[str, str]:
    """Of each weight that is not zero and takes part in the loss: what it multiplies."""
    values = {name: getattr(config, name) for name in type(config).model_fields}
    if values.get("song_l1") is not None:  # it replaces the terms of the architecture
        values |= {"l1": 0.0, "aux_coefficient": 0.0}
    if not values.get("aux_k"):
        values["aux_coefficient"] = 0.0
    words = {name: OWN.get((config.kind, name), SHARED.get(name, "")) for name, value in values.items() if value}
    if config.supervised is not None and config.supervised.weight:
        words["supervised"] = f"times V times the mean over labelled rows of the cross entropy in nats, {BESIDE}"
    return {name: text for name, text in words.items() if text}
