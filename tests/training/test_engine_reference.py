"""The reference engine against torch's own optimiser on a plain module, and frozen parts that stay frozen."""

from __future__ import annotations

import torch

from husai.saes.config import AnySAEConfig, ReluL1Config, TopKConfig
from husai.training.config import TrainingConfig
from husai.training.engines.reference import ReferenceEngine
from husai.training.state import TrainState, start

D, B = 6, 32


def batches(n: int, seeds: int) -> torch.Tensor:
    return torch.randn(n, seeds, B, D, generator=torch.Generator().manual_seed(11))


def run(config: AnySAEConfig, steps: int, seeds: tuple[int, ...] = (0, 1)) -> TrainState:
    training = TrainingConfig(batch=B)
    state = start(config, training, D, seeds, root=0)
    state.snapshots[0] = state.parameters["W_dec"].numpy().copy()
    engine = ReferenceEngine(config, training)
    for x in batches(steps, len(seeds)):
        engine.step(state, x, 1e-2)
    return state


def test_topk_steps_equal_a_plain_module_under_torch_adam() -> None:
    """The independent implementation subtracts b_dec, uses torch.topk and torch.optim.Adam with `.backward()`."""
    config = TopKConfig(d_sae=15, k=3)
    state = run(config, 25, (0,))
    first = start(config, TrainingConfig(batch=B), D, (0,), root=0)
    p = {name: t[0].clone().requires_grad_() for name, t in first.parameters.items()}
    adam = torch.optim.Adam(p.values(), lr=1e-2)
    for (x,) in batches(25, 1):
        pre = ((x - p["b_dec"]) @ p["W_enc"].T + p["b_enc"]).relu()
        values, indices = pre.topk(3, dim=1)
        x_hat = torch.zeros_like(pre).scatter(1, indices, values) @ p["W_dec"] + p["b_dec"]
        adam.zero_grad()
        (x - x_hat).square().sum(1).mean().backward()
        adam.step()
        with torch.no_grad():
            p["W_dec"] /= p["W_dec"].norm(dim=1, keepdim=True)
    for name, tensor in p.items():
        assert torch.allclose(state.parameters[name][0], tensor, atol=2e-5), name


def test_relu_steps_equal_a_plain_module_under_torch_adam() -> None:
    config = ReluL1Config(d_sae=15, l1=0.2, decoder_norm="free")
    state = run(config, 25, (0,))
    first = start(config, TrainingConfig(batch=B), D, (0,), root=0)
    p = {name: t[0].clone().requires_grad_() for name, t in first.parameters.items()}
    adam = torch.optim.Adam(p.values(), lr=1e-2)
    for (x,) in batches(25, 1):
        f = ((x - p["b_dec"]) @ p["W_enc"].T + p["b_enc"]).relu()
        loss = (x - f @ p["W_dec"] - p["b_dec"]).square().sum(1).mean() + 0.2 * (f @ p["W_dec"].norm(dim=1)).mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
    for name, tensor in p.items():
        assert torch.allclose(state.parameters[name][0], tensor, atol=2e-5), name


def test_frozen_decoder_and_frozen_encoder_keep_every_bit() -> None:
    for freeze, kept, moved in (("decoder", "W_dec", "W_enc"), ("encoder", "W_enc", "W_dec")):
        config = TopKConfig(d_sae=15, k=3, freeze=freeze)  # type: ignore[arg-type]
        before, after = start(config, TrainingConfig(batch=B), D, (0, 1), 0), run(config, 20)
        assert torch.equal(before.parameters[kept], after.parameters[kept])
        assert not torch.equal(before.parameters[moved], after.parameters[moved])


def test_soft_frozen_rows_stay_within_their_cone() -> None:
    config = TopKConfig(d_sae=15, k=3, freeze="soft_decoder")
    state = run(config, 200)
    start_SFD = torch.from_numpy(state.snapshots[0])
    cosine = torch.nn.functional.cosine_similarity(state.parameters["W_dec"], start_SFD, dim=-1)
    free = torch.nn.functional.cosine_similarity(run(TopKConfig(d_sae=15, k=3), 200).parameters["W_dec"], start_SFD, -1)
    assert cosine.min() >= 0.8 - 1e-5
    assert free.min() < 0.7, "without the hold rows would have left: the test would be empty"


def test_the_layout_of_a_gradient_in_memory_does_not_matter() -> None:
    """The fused Adam reads memory in order; a transposed gradient once went to the wrong weights without an error."""
    config, training = TopKConfig(d_sae=15, k=3), TrainingConfig(batch=B)
    states = [start(config, training, D, (0,), root=0) for _ in range(2)]
    generator = torch.Generator().manual_seed(2)
    grads = {name: torch.randn(t.shape[1:], generator=generator) for name, t in states[0].parameters.items()}
    transposed = {name: g.T.contiguous().T if g.ndim == 2 else g.clone() for name, g in grads.items()}
    assert not transposed["W_enc"].is_contiguous()
    for state, given in zip(states, (grads, transposed), strict=True):
        ReferenceEngine(config, training)._update(state, [given], 1e-2)
    assert torch.equal(states[0].parameters["W_enc"], states[1].parameters["W_enc"])
