"""HierarchicalTopK: prefixes by value are the codes of a smaller k, and the loss is the source's times a constant."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from husai.saes.architecture import Batch
from husai.saes.aux import keep_largest
from husai.saes.config import AnySAEConfig, HierarchicalTopKConfig, TopKConfig
from husai.saes.hierarchical_topk import by_value
from husai.saes.parameters import Parameters
from husai.saes.registry import architecture
from husai.tasks.planted import PlantedConfig
from husai.training.config import TrainingConfig
from husai.training.engines.reference import ReferenceEngine
from husai.training.state import start

CONFIG = HierarchicalTopKConfig(d_sae=20, k=6)
X = torch.randn(30, 8, generator=torch.Generator().manual_seed(1))


def begin() -> Parameters:
    return architecture(CONFIG).init(CONFIG, 8, torch.Generator().manual_seed(0), None)


@settings(max_examples=100, deadline=None)
@given(
    arrays(np.float32, st.tuples(st.integers(1, 4), st.integers(4, 9)), elements=st.sampled_from([0, 1, 2, 0.5])),
    st.integers(1, 4),
)
def test_the_first_of_them_are_the_largest_also_with_ties(values: np.ndarray, smaller: int) -> None:
    x = torch.from_numpy(values)
    ordered = by_value(keep_largest(x, 4))
    assert (ordered.values_BK.diff(dim=1) <= 0).all()
    first = ordered.indices_BK[:, :smaller].sort(dim=1).values
    assert torch.equal(first, keep_largest(x, smaller).indices_BK)
    assert torch.equal(ordered.dense(), keep_largest(x, 4).dense())


@pytest.mark.parametrize("k", [1, 2, 5])
def test_a_lower_k_at_use_is_topk_of_that_k(k: int) -> None:
    lowered, plain, p = CONFIG.model_copy(update={"k": k}), TopKConfig(d_sae=20, k=k), begin()
    codes = architecture(lowered).encode(lowered, p, X)
    assert torch.equal(codes.dense(), architecture(plain).encode(plain, p, X).dense())
    assert codes.indices_BK.shape == (30, k)


def total(config: AnySAEConfig, p: Parameters) -> float:
    terms, _ = architecture(config).objective(config, p, Batch.of(X, torch.zeros(20) > 0))
    return sum(float(term) for term in terms.values())


def test_the_loss_is_the_mean_of_the_source_times_the_number_of_levels() -> None:
    p = begin()
    levels = [total(TopKConfig(d_sae=20, k=k), p) for k in range(1, 7)]
    assert total(CONFIG, p) == pytest.approx(6 * float(np.mean(levels)), rel=1e-5)
    some = CONFIG.model_copy(update={"levels": (2, 3)})
    assert total(some, p) == pytest.approx(3 * float(np.mean([levels[1], levels[2], levels[5]])), rel=1e-5)


@pytest.mark.parametrize("update", [{"k": 1}, {"levels": ()}])
def test_without_smaller_levels_it_is_topk(update: dict[str, object]) -> None:
    config, p = CONFIG.model_copy(update=update), begin()
    terms, _ = architecture(config).objective(config, p, Batch.of(X, torch.zeros(20) > 0))
    assert set(terms) == {"mse"}
    assert float(terms["mse"]) == pytest.approx(total(TopKConfig(d_sae=20, k=config.k), p), rel=1e-5)


def trained(config: AnySAEConfig, x: torch.Tensor) -> Parameters:
    training = TrainingConfig(batch=128)
    state, engine = start(config, training, 16, (0,), root=0), ReferenceEngine(config, training)
    for step in range(400):
        engine.step(state, x[None, step * 128 % 3840 :][:, :128], 3e-3)
    return {name: t[0] for name, t in state.parameters.items()}


def test_training_makes_it_better_at_few_latents_than_topk_of_the_same_k() -> None:
    x = 2 * torch.from_numpy(PlantedConfig(d_in=16, n_features=32, n_active=4, n_rows=4840).build().x_ND.copy())
    left = {}
    for config in (HierarchicalTopKConfig(d_sae=32, k=8), TopKConfig(d_sae=32, k=8)):
        p, few = trained(config, x[:3840]), TopKConfig(d_sae=32, k=2)
        codes = architecture(few).encode(few, p, x[3840:])
        left[config.kind] = float((x[3840:] - codes.dense() @ p["W_dec"] - p["b_dec"]).square().sum(-1).mean())
    assert left["hierarchical_topk"] < 0.8 * left["topk"]
