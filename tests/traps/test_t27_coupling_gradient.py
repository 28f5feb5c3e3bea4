"""T27. "Consistency loss does not help": it was computed on `.data`, so it was logged and moved nothing. husai's
couplings hand over gradients, equal to those of autograd, and the engine adds them: the dictionary turns to its
reference.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from husai.errors import UserError
from husai.saes.config import TopKConfig
from husai.training.config import TrainingConfig
from husai.training.coupling.alignment import Alignment
from husai.training.engines.reference import ReferenceEngine
from husai.training.state import TrainState, start

S, F, G, D, B = 2, 24, 30, 8, 64


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def written_out(W_SFD: Tensor, reference: Tensor, scale: float) -> Tensor:
    cosines = torch.nn.functional.cosine_similarity(W_SFD[:, :, None], reference[None, None], dim=-1).abs()
    return scale * (1 - cosines.max(-1).values.mean(-1))


def test_terms_and_gradient_equal_autograd() -> None:
    W, reference = 1.7 * draw(S, F, D), draw(G, D, seed=1)
    leaf = W.clone().requires_grad_()
    expected = written_out(leaf, reference, 0.3 * 5.0)
    (slope,) = torch.autograd.grad(expected.sum(), [leaf])
    terms, gradient = Alignment(reference, 0.3, 5.0).pull(0, W)
    assert torch.allclose(torch.stack([t["alignment"] for t in terms]), expected.detach(), rtol=1e-12)
    assert torch.allclose(gradient, slope, rtol=1e-10, atol=1e-15)
    assert (gradient.norm(dim=-1) > 0).all()


def test_it_does_not_matter_in_how_many_pieces_it_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    W, coupling = draw(S, F, D), Alignment(draw(G, D, seed=1), 0.3, 5.0)
    whole = coupling.pull(0, W)[1]
    monkeypatch.setattr("husai.training.coupling.alignment.ROWS", 5)
    assert torch.allclose(coupling.pull(0, W)[1], whole, rtol=1e-12)


def trained(weight: float) -> tuple[TrainState, list[dict[str, Tensor]]]:
    config, training = TopKConfig(d_sae=F, k=3), TrainingConfig(batch=B)
    reference = draw(G, D, seed=1).float()
    state = start(config, training, D, (0, 1), root=0)
    engine = ReferenceEngine(config, training, Alignment(reference, weight, float(D)))
    terms: list[dict[str, Tensor]] = []
    for step in range(150):
        terms = engine.step(state, draw(S, B, D, seed=2 + step).float(), 1e-2)
    return state, terms


def test_training_with_it_turns_every_seed_to_the_reference() -> None:
    reference = draw(G, D, seed=1).float()
    with_it, terms = trained(5.0)
    without, zero = trained(0.0)
    pulled = 1 - written_out(with_it.parameters["W_dec"], reference, 1.0)
    plain = 1 - written_out(without.parameters["W_dec"], reference, 1.0)
    assert (pulled > plain + 0.1).all()
    assert all(set(t) == {"mse", "alignment"} for t in terms)
    assert all(float(t["alignment"]) == 0.0 for t in zero)


def test_a_reference_of_another_width_is_refused() -> None:
    with pytest.raises(UserError, match="rows of width 9, the decoders 8"):
        Alignment(draw(G, 9), 1.0, 1.0).pull(0, draw(S, F, D))
