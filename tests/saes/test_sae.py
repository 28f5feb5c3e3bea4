"""`SAE` as users of the field expect it: shapes, names, and the scaling folded into the parameters."""

from __future__ import annotations

import pytest
import torch

from husai.errors import UserError
from husai.saes.config import (
    AlignedConfig,
    AnySAEConfig,
    ArchetypalConfig,
    BatchTopKConfig,
    GatedConfig,
    GBAConfig,
    JumpReluConfig,
    LinearConfig,
    MatchingPursuitConfig,
    MatryoshkaConfig,
    PCAConfig,
    RandomConfig,
    ReluL1Config,
    TopKConfig,
)
from husai.saes.registry import architecture
from husai.saes.sae import SAE
from our_saes import HOOKED, of_every_kind

X = 3 + 2 * torch.randn(40, 8, generator=torch.Generator().manual_seed(1))
CONFIGS: list[AnySAEConfig] = of_every_kind(20, 3, "matching_pursuit", *HOOKED)


def made(config: AnySAEConfig) -> SAE:
    generator = torch.Generator().manual_seed(5)
    p = architecture(config).init(config, 8, generator, X if architecture(config).needs_rows else None)
    p = {name: t + 0.1 * torch.randn(t.shape, generator=generator) for name, t in p.items()}
    return SAE(config, p, X.mean(0), 0.6, "blocks.0.hook_resid_post")


@pytest.mark.parametrize("subtract", [True, False])
@pytest.mark.parametrize(
    "config",
    [
        TopKConfig(d_sae=20, k=3),
        ReluL1Config(d_sae=20),
        JumpReluConfig(d_sae=20),
        GatedConfig(d_sae=20),
        GBAConfig(d_sae=20),
        ArchetypalConfig(d_sae=20, k=3, n_centroids=30),
        AlignedConfig(d_sae=20, k=3),
        LinearConfig(d_sae=20),
        PCAConfig(d_sae=5),
        RandomConfig(d_sae=20, k=3),
    ],
)
def test_folding_keeps_codes_and_reconstructions(config: AnySAEConfig, subtract: bool) -> None:
    folds(made(config.model_copy(update={"subtract_b_dec": subtract})))


def folds(sae: SAE) -> None:
    folded = sae.folded()
    assert folded.factor == 1 and not folded.mean_D.any()
    assert sae.encode(X).any() and torch.allclose(folded.encode(X), sae.encode(X), atol=2e-5)
    assert torch.allclose(folded(X), sae(X), atol=2e-5)


def test_folding_keeps_a_pursuit_whose_rows_then_have_other_norms() -> None:
    folds(made(MatchingPursuitConfig(d_sae=20, k=5)))


@pytest.mark.parametrize("config", [BatchTopKConfig(d_sae=20, k=3), MatryoshkaConfig(d_sae=20, k=3)])
@pytest.mark.parametrize("batches", [0.0, 7.0])
def test_folding_keeps_a_threshold_and_its_absence(config: AnySAEConfig, batches: float) -> None:
    sae = made(config)
    sae.parameters |= {"threshold": torch.tensor(0.8), "threshold_batches": torch.tensor(batches)}
    folds(sae)
    assert torch.equal(sae.folded().parameters["threshold"], torch.tensor(0.8))


def test_encode_and_decode_take_any_leading_axes() -> None:
    sae = made(TopKConfig(d_sae=20, k=3))
    features = sae.encode(X.reshape(4, 10, 8))
    assert features.shape == (4, 10, 20)
    assert torch.equal(features.reshape(40, 20), sae.encode(X))
    assert torch.equal(sae(X.reshape(4, 10, 8)).reshape(40, 8), sae(X))
    assert sae.encode(X[0]).shape == (20,) and sae.decode(sae.encode(X[0])).shape == (8,)
    assert torch.allclose(sae.decode(sae.encode(X)), sae(X), atol=1e-6)


def test_it_says_what_it_is() -> None:
    cfg = made(TopKConfig(d_sae=20, k=3)).cfg
    assert (cfg.architecture, cfg.d_in, cfg.d_sae, cfg.hook_name) == ("topk", 8, 20, "blocks.0.hook_resid_post")


def test_an_architecture_without_b_enc_says_which_biases_it_has() -> None:
    sae = made(GatedConfig(d_sae=20))
    assert sae.W_enc.shape == (8, 20) and sae.cfg.architecture == "gated"
    with pytest.raises(UserError, match="gated has no b_enc: read b_gate, b_mag"):
        _ = sae.b_enc


def test_folding_keeps_what_a_dictionary_is_made_of() -> None:
    config = ArchetypalConfig(d_sae=20, k=3, n_centroids=30)
    p = architecture(config).init(config, 8, torch.Generator().manual_seed(5), X)
    p["relaxation"] += 0.1 * torch.randn(20, 8, generator=torch.Generator().manual_seed(6))
    p["W_dec"] = p["mixture"] @ p["centroids"] + p["relaxation"]
    p = SAE(config, p, X.mean(0), 0.6).folded().parameters
    assert torch.allclose(p["mixture"] @ p["centroids"] + p["relaxation"], p["W_dec"], atol=1e-5)
    aligned = made(AlignedConfig(d_sae=20, k=3))
    products = [(s.parameters["W_enc"] * s.W_dec).sum(1) for s in (aligned, aligned.folded())]
    assert torch.allclose(products[0], products[1], atol=1e-5)
