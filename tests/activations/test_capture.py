"""Captured rows are what the model computes, at the positions asked for, padding left out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from husai import events
from husai.activations.cache import ActivationCache
from husai.activations.capture import capture, chosen_positions
from husai.activations.guards import describe_rows
from husai.activations.manifest import MANIFEST
from husai.activations.scaling import Scaling
from husai.errors import Interrupted, UserError
from husai.models.config import TransformerConfig
from husai.models.hooks import HookPoint, hook_points
from husai.models.hooks import capture as read_hooks

HOOK = "blocks.0.hook_resid_post"


def by_hand(model, task, hook: str = HOOK) -> np.ndarray:
    with torch.no_grad(), read_hooks(model, [hook]) as found:
        model(torch.tensor(task.tokens_NT))
    return found[hook].numpy()


def test_the_read_position_of_every_row(model, task, tmp_path):
    cache = capture(model, task, HOOK, tmp_path / "c", batch=50, shard_rows=33)
    expected = by_hand(model, task)[:, task.read_position]
    assert cache.shape == (169, 16)
    assert np.allclose(cache.to_array(), expected, atol=1e-5)
    assert (cache.column("tokens") == 13).all()
    assert (cache.column("positions") == 2).all()
    assert np.array_equal(cache.column("examples"), np.arange(169))


def test_all_positions_example_by_example(model, task, tmp_path):
    cache = capture(model, task, HOOK, tmp_path / "c", positions="all", batch=64)
    assert np.allclose(cache.to_array(), by_hand(model, task).reshape(-1, 16), atol=1e-5)
    assert np.array_equal(cache.column("tokens"), task.tokens_NT.ravel())
    assert np.array_equal(cache.column("positions"), np.tile([0, 1, 2], 169))
    assert np.array_equal(cache.column("examples"), np.repeat(np.arange(169), 3))


def test_some_positions_of_some_examples(model, task, tmp_path):
    examples = np.array([7, 100, 3])
    cache = capture(model, task, HOOK, tmp_path / "c", positions=[2, 1], examples=examples, batch=2)
    assert np.allclose(cache.to_array(), by_hand(model, task)[examples][:, 1:].reshape(-1, 16), atol=1e-5)
    assert np.array_equal(cache.column("examples"), np.repeat(examples, 2))
    assert cache.manifest.origin.positions == "2,1"


def test_padding_never_becomes_a_row(model, task, tmp_path):
    mask = np.ones(task.tokens_NT.shape, dtype=bool)
    mask[10:, 2] = False
    mask[50:, 1] = False
    cache = capture(model, task, HOOK, tmp_path / "c", positions="all", mask_NT=mask)
    assert len(cache) == mask.sum()
    assert np.allclose(cache.to_array(), by_hand(model, task)[mask], atol=1e-5)
    assert np.array_equal(cache.column("tokens"), task.tokens_NT[mask])
    assert cache.manifest.origin.details["padding_masked"] is True
    with pytest.raises(UserError, match="rows are too few"):
        capture(model, task, HOOK, tmp_path / "none", mask_NT=np.zeros(task.tokens_NT.shape))


def test_masks_that_would_mislead_are_refused(model, task, tmp_path):
    left = np.ones(task.tokens_NT.shape, dtype=bool)
    left[0, 0] = False
    with pytest.raises(UserError, match="pad at the right"):
        capture(model, task, HOOK, tmp_path / "c", mask_NT=left)
    with pytest.raises(UserError, match=r"mask has shape \(3, 3\)"):
        capture(model, task, HOOK, tmp_path / "c", mask_NT=np.ones((3, 3)))


def test_the_origin_says_what_was_read(model, task, tmp_path):
    origin = capture(model, task, HOOK, tmp_path / "a", details={"seed": 3}).manifest.origin
    assert (origin.kind, origin.synthetic, origin.hook_name, origin.positions) == ("captured", False, HOOK, "read")
    assert origin.hashes["task"] == task.content_hash
    assert (origin.details["batch"], origin.details["seed"], origin.details["task"]) == (1024, 3, task.name)
    other = TransformerConfig(d_model=16, n_heads=2, d_mlp=32).fitted(task).build(seed=4)
    assert capture(other, task, HOOK, tmp_path / "b").manifest.origin.hashes["weights"] != origin.hashes["weights"]
    given = capture(model, task, HOOK, tmp_path / "c", weights_hash="ab").manifest.origin.hashes["weights"]
    assert given == "ab"


def test_the_model_is_left_as_it_was(model, task, tmp_path):
    model.train()
    capture(model, task, HOOK, tmp_path / "c")
    assert model.training
    assert not any(point.active for point in hook_points(model).values())
    assert all(p.grad is None for p in model.parameters())


class Dropping(nn.Module):
    """An embedding with dropout, which acts in training mode only."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.dropout, self.hook = nn.Embedding(14, 5), nn.Dropout(0.5), HookPoint()

    def forward(self, tokens_BT: torch.Tensor) -> torch.Tensor:
        return self.hook(self.dropout(self.table(tokens_BT)))


def test_the_model_is_read_in_evaluation_mode(task, tmp_path):
    model = Dropping().train()
    cache = capture(model, task, "hook", tmp_path / "c", positions="all")
    assert np.array_equal(cache.to_array(), model.table.weight.detach().numpy()[task.tokens_NT.ravel()])
    assert model.training


def test_progress_is_reported(model, task, tmp_path, heard):
    capture(model, task, HOOK, tmp_path / "c", batch=100)
    assert [(e.done, e.total) for e in heard.steps] == [(100, 169), (169, 169)]


def test_a_stopped_capture_leaves_nothing_readable_and_starts_over(model, task, tmp_path):
    class StopAfterOne:
        def progress(self, event):
            events.request_stop()

        def log(self, level, message): ...

    try:
        with events.listening(StopAfterOne()), pytest.raises(Interrupted, match="starts over"):
            capture(model, task, HOOK, tmp_path / "c", batch=20, shard_rows=10)
    finally:
        events.clear_stop()
    assert not (tmp_path / "c" / MANIFEST).exists()
    assert len(capture(model, task, HOOK, tmp_path / "c", batch=20)) == 169
    assert np.allclose(ActivationCache(tmp_path / "c").to_array(), by_hand(model, task)[:, 2], atol=1e-5)


def test_wrong_names_and_positions_are_refused(model, task, tmp_path):
    with pytest.raises(UserError, match=r"unknown hook 'blocks.0.resid_post': did you mean 'blocks.0.hook_resid_post'"):
        capture(model, task, "blocks.0.resid_post", tmp_path / "c")
    for wrong in ([3], [-1], []):
        with pytest.raises(UserError, match="positions 0 to 2"):
            chosen_positions(task, wrong)
    with pytest.raises(UserError, match="write read, all"):
        chosen_positions(task, "last")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="no examples"):
        capture(model, task, HOOK, tmp_path / "c", examples=np.array([], dtype=int))
    assert not (tmp_path / "c").exists()


def test_a_hook_of_another_shape_is_refused(model, task, tmp_path):
    with pytest.raises(UserError, match=r"hook_z gives \[169, 3, 2, 8\].*choose another hook"):
        capture(model, task, "blocks.0.attn.hook_z", tmp_path / "c")


def test_a_model_that_makes_nan_is_named_by_row(task, tmp_path):
    broken = TransformerConfig(d_model=16, n_heads=2, d_mlp=32).fitted(task).build(seed=0)
    with torch.no_grad():
        broken.W_E[5, 3] = float("nan")
    first = int(np.flatnonzero((task.tokens_NT[:, :2] == 5).any(axis=1))[0])
    with pytest.raises(UserError, match=f"row {first} holds nan"):
        capture(broken, task, HOOK, tmp_path / "c", batch=3)


def test_a_hook_that_is_the_same_everywhere_is_refused(model, task, tmp_path):
    with pytest.raises(UserError, match="every row equals row 0"):
        capture(model, task, "hook_embed", tmp_path / "c", positions="read")


def test_several_hooks_stand_side_by_side_each_with_its_own_scale(model, task, tmp_path):
    hooks = ("blocks.0.hook_resid_mid", "blocks.0.hook_mlp_out")
    cache = capture(model, task, hooks, tmp_path / "c", batch=50, shard_rows=33)
    alone = [capture(model, task, hook, tmp_path / hook, batch=50) for hook in hooks]
    assert cache.manifest.widths == (16, 16) and cache.manifest.origin.hook_name == hooks[0]
    assert " and ".join(hooks) in describe_rows(cache.manifest)
    assert np.array_equal(cache.to_array(), np.concatenate([one.to_array() for one in alone], axis=1))
    assert cache.manifest.hook_variances == pytest.approx([one.manifest.variance for one in alone])
    scaled, expected = Scaling.of(cache).apply(cache.to_array()), [Scaling.of(c).apply(c.to_array()) for c in alone]
    assert np.allclose(scaled, np.concatenate(expected, axis=1), atol=1e-6)
    assert np.array_equal(Scaling.of(cache).apply(torch.from_numpy(cache.to_array())).numpy(), scaled)
