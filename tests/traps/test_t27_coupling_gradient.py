"""T27. "Consistency loss does not help": it was computed on `.data`, so it was logged and moved nothing. husai's
couplings hand over gradients, equal to those of autograd, and the engine adds them: the dictionary turns to its
reference.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from husai.errors import UserError
from husai.saes.config import TopKConfig
from husai.training.config import TrainingConfig
from husai.training.coupling.alignment import Alignment
from husai.training.coupling.assignment import Assignment
from husai.training.coupling.contrastive import Contrastive
from husai.training.coupling.coupling import Coupling
from husai.training.coupling.joint import Joint
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
    terms, gradient = Alignment(reference, 0.3, 5.0).pull(0, W, {})
    assert torch.allclose(torch.stack([t["alignment"] for t in terms]), expected.detach(), rtol=1e-12)
    assert torch.allclose(gradient, slope, rtol=1e-10, atol=1e-15)
    assert (gradient.norm(dim=-1) > 0).all()


def matched(A: Tensor, B: Tensor) -> Tensor:
    """Of each row of A its partner in the matching of the largest summed cosine, by SciPy alone."""
    cosines = torch.nn.functional.cosine_similarity(A[:, None], B[None], dim=-1)
    return torch.from_numpy(linear_sum_assignment(cosines.numpy(), maximize=True)[1])


def cosine(A: Tensor, B: Tensor) -> Tensor:
    return torch.nn.functional.cosine_similarity(A, B, dim=-1)


def by_assignment(W_SFD: Tensor, reference: Tensor, scale: float) -> Tensor:
    return torch.stack([scale * (1 - cosine(W, reference[matched(W.detach(), reference)]).mean()) for W in W_SFD])


def by_pairs(W_SFD: Tensor, scale: float) -> Tensor:
    pairs = [(s, t) for t in range(len(W_SFD)) for s in range(t)]
    found = [cosine(W_SFD[s], W_SFD[t][matched(W_SFD[s].detach(), W_SFD[t].detach())]).mean() for s, t in pairs]
    return (scale * (1 - torch.stack(found).mean())).expand(len(W_SFD))


def by_contrast(W_SFD: Tensor, anchors: Tensor, scale: float, temperature: float) -> Tensor:
    found = []
    for W in W_SFD:
        cosines = cosine(anchors[:, None], W[None])
        nearest = W[cosines.detach().argmax(1)]
        shares = [
            torch.exp(cosine(w, a) / temperature) / torch.exp(cosine(w[None], anchors) / temperature).sum()
            for w, a in zip(nearest, anchors, strict=True)
        ]
        found.append(-scale * torch.log(torch.stack(shares)).mean())
    return torch.stack(found)


ANCHORS = torch.nn.functional.normalize(draw(40, D, seed=3), dim=-1)  # more than latents: some share one
REFERENCE = draw(F, D, seed=1)
WRITTEN_OUT: dict[str, tuple[Coupling, Callable[[Tensor], Tensor]]] = {
    "assignment": (Assignment(REFERENCE, 0.3, 5.0), lambda W: by_assignment(W, REFERENCE, 1.5)),
    "joint": (Joint(0.3, 5.0), lambda W: by_pairs(W, 1.5)),
    "contrastive": (Contrastive(ANCHORS, 0.3, 5.0, 0.2), lambda W: by_contrast(W, ANCHORS, 1.5, 0.2)),
}


@pytest.mark.parametrize("name", WRITTEN_OUT)
@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_the_other_objectives_equal_autograd(name: str, seeds: int) -> None:
    coupling, formula = WRITTEN_OUT[name]
    W = 1.7 * draw(seeds, F, D, seed=seeds)
    leaf = W.clone().requires_grad_()
    expected = formula(leaf)
    (slope,) = torch.autograd.grad(expected.sum(), [leaf])
    terms, gradient = coupling.pull(0, W, {})
    assert torch.allclose(torch.stack([t[name] for t in terms]), expected.detach(), rtol=1e-12)
    assert gradient is not None and torch.allclose(gradient, slope, rtol=1e-9, atol=1e-15)
    moved = (gradient.norm(dim=-1) > 1e-6).double().mean(-1)
    assert (moved > (0.5 if name == "contrastive" else 0.99)).all()


@pytest.mark.parametrize("name", WRITTEN_OUT)
def test_rows_that_are_longer_are_turned_by_as_much(name: str) -> None:
    """Ten times the rows have a tenth of the gradient: the same step relative to their length; the same term."""
    W = draw(3, F, D)
    (terms, gradient), (same, tenth) = (WRITTEN_OUT[name][0].pull(0, unit * W, {}) for unit in (1.0, 10.0))
    assert gradient is not None and tenth is not None
    assert torch.allclose(10 * tenth, gradient, rtol=1e-9, atol=1e-15)
    assert all(torch.allclose(a[name], b[name], rtol=1e-12) for a, b in zip(terms, same, strict=True))


@pytest.mark.parametrize("name", ["assignment", "joint"])
def test_the_matching_is_held_between_solutions(name: str) -> None:
    coupling, held = WRITTEN_OUT[name][0], {}
    W, other = draw(3, F, D), draw(3, F, D, seed=9)
    coupling.pull(0, W, held)
    kept = {key: tensor.clone() for key, tensor in held.items()}
    worse, _ = coupling.pull(49, other, held)
    assert all(torch.equal(held[key], tensor) for key, tensor in kept.items())
    better, _ = coupling.pull(50, other, held)
    assert not any(torch.equal(held[key], tensor) for key, tensor in kept.items())
    assert all(float(b[name]) < float(w[name]) for b, w in zip(better, worse, strict=True))


@pytest.mark.parametrize("name", WRITTEN_OUT)
def test_training_with_it_lowers_what_it_measures(name: str) -> None:
    """A gradient of zero would leave the term where it is without the coupling."""
    coupling, _ = WRITTEN_OUT[name]
    config, training = TopKConfig(d_sae=F, k=3), TrainingConfig(batch=B)
    ends = []
    for tied in (replace(coupling, weight=2.0), replace(coupling, weight=0.0)):  # type: ignore[type-var]
        single = {
            field: value.float() for field, value in vars(tied).items() if isinstance(value, Tensor)
        }  # trained in float32
        state = start(config, training, D, (0, 1), root=0)
        engine = ReferenceEngine(config, training, replace(tied, **single))
        for step in range(60):
            engine.step(state, draw(S, B, D, seed=2 + step).float(), 1e-2)
        ends.append(replace(tied, weight=1.0).pull(0, state.parameters["W_dec"].double(), {})[0])
    assert all(float(w[name]) < 0.9 * float(wo[name]) for w, wo in zip(*ends, strict=True))


def test_it_does_not_matter_in_how_many_pieces_it_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    W, coupling = draw(S, F, D), Alignment(draw(G, D, seed=1), 0.3, 5.0)
    whole = coupling.pull(0, W, {})[1]
    assert whole is not None
    monkeypatch.setattr("husai.training.coupling.alignment.ROWS", 5)
    assert torch.allclose(coupling.pull(0, W, {})[1], whole, rtol=1e-12)


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
        Alignment(draw(G, 9), 1.0, 1.0).pull(0, draw(S, F, D), {})
