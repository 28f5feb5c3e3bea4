"""Reading and replacing activations: nothing changes unless asked, and nothing is left behind."""

from __future__ import annotations

import pytest
import torch

from husai.errors import UserError
from husai.models.config import TransformerConfig
from husai.models.hooks import capture, hook_names, hook_points, patch

CONFIG = TransformerConfig(n_layers=2, d_model=8, n_heads=2, d_mlp=16, d_vocab=7, n_ctx=4, d_vocab_out=7)
TOKENS = torch.tensor([[0, 1, 2, 3], [6, 5, 4, 3], [1, 1, 1, 1]])


@pytest.fixture
def model():
    return CONFIG.build(0)


@pytest.fixture(autouse=True)
def no_grad():
    with torch.no_grad():
        yield


def idle(model):
    return not any(point.active for point in hook_points(model).values())


def test_names_are_those_of_transformer_lens(model):
    names = hook_names(model)
    assert names[:2] == ["hook_embed", "hook_pos_embed"]
    for layer in range(2):
        for name in ("resid_pre", "attn_out", "resid_mid", "mlp_out", "resid_post"):
            assert f"blocks.{layer}.hook_{name}" in names
        for name in ("attn.hook_q", "attn.hook_k", "attn.hook_v", "attn.hook_pattern", "attn.hook_z"):
            assert f"blocks.{layer}.{name}" in names
        assert {f"blocks.{layer}.mlp.hook_pre", f"blocks.{layer}.mlp.hook_post"} <= set(names)


@pytest.mark.parametrize("name", hook_names(CONFIG.build(0)))
def test_identity_patch_changes_no_bit_and_a_gross_one_does(model, name):
    clean = model(TOKENS)
    with patch(model, {name: lambda x: x}):
        assert torch.equal(model(TOKENS), clean)
    with patch(model, {name: lambda x: x + 3 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))}):
        assert (model(TOKENS) - clean).abs().max() > 1e-3
    assert torch.equal(model(TOKENS), clean)


def test_capture_equals_the_sum_by_hand(model):
    with capture(model, hook_names(model)) as found:
        logits = model(TOKENS)
    assert torch.equal(found["hook_embed"], model.W_E[TOKENS])
    assert torch.equal(found["hook_pos_embed"], model.W_pos.expand(3, 4, 8))
    stream = model.W_E[TOKENS] + model.W_pos
    for layer in range(2):
        at = f"blocks.{layer}."
        assert torch.equal(found[at + "hook_resid_pre"], stream)
        assert found[at + "attn.hook_z"].shape == (3, 4, 2, 4)
        torch.testing.assert_close(
            found[at + "attn.hook_z"].reshape(3, 4, 8) @ model.blocks[layer].attn.W_O, found[at + "hook_attn_out"]
        )
        mid = stream + found[at + "hook_attn_out"]
        assert torch.equal(found[at + "hook_resid_mid"], mid)
        hidden = torch.relu(mid @ model.blocks[layer].mlp.W_in + model.blocks[layer].mlp.b_in)
        torch.testing.assert_close(found[at + "mlp.hook_post"], hidden)
        stream = mid + found[at + "hook_mlp_out"]
        assert torch.equal(found[at + "hook_resid_post"], stream)
    torch.testing.assert_close(stream @ model.W_U, logits)


def test_capturing_changes_no_bit(model):
    clean = model(TOKENS)
    with capture(model, hook_names(model)):
        assert torch.equal(model(TOKENS), clean)


def test_the_latest_pass_wins(model):
    with capture(model, ["hook_embed"]) as found:
        assert found == {}
        model(TOKENS)
        model(TOKENS[:1])
    assert found["hook_embed"].shape == (1, 4, 8)


def test_a_patched_stream_reaches_later_layers_and_no_earlier_ones(model):
    names = hook_names(model)
    with capture(model, names) as clean:
        model(TOKENS)
    at = names.index("blocks.1.hook_resid_pre")
    with patch(model, {names[at]: lambda x: x + 1.5 * x.flip(-1)}), capture(model, names) as edited:
        model(TOKENS)
    for i, name in enumerate(names):
        assert torch.equal(clean[name], edited[name]) == (i < at), name


def test_capture_sees_what_later_layers_receive_whichever_block_is_outside(model):
    edit = {"hook_embed": torch.zeros_like}
    with capture(model, ["hook_embed"]) as outside, patch(model, edit), capture(model, ["hook_embed"]) as inside:
        model(TOKENS)
    assert (outside["hook_embed"] == 0).all() and (inside["hook_embed"] == 0).all()


def test_patches_nest_from_the_outside_in(model):
    with (
        patch(model, {"hook_embed": lambda x: x * 0 + 2}),
        patch(model, {"hook_embed": lambda x: x * 5}),
        capture(model, ["hook_embed"]) as found,
    ):
        model(TOKENS)
    assert (found["hook_embed"] == 10).all()


def test_the_same_function_twice_runs_twice_and_goes_once_each(model):
    def double(x):
        return 2 * x

    with patch(model, {"hook_embed": double}), capture(model, ["hook_embed"]) as found:
        with patch(model, {"hook_embed": double}):
            model(TOKENS)
            assert torch.equal(found["hook_embed"], 4 * model.W_E[TOKENS])
        model(TOKENS)
        assert torch.equal(found["hook_embed"], 2 * model.W_E[TOKENS])
    assert idle(model)


def test_editing_in_place_does_not_reach_back(model):
    """resid_post of layer 0 and resid_pre of layer 1 are one tensor: an edit of the second stays out of the first."""
    names = ["blocks.0.hook_resid_post", "blocks.1.hook_resid_pre"]
    with capture(model, names) as found, patch(model, {names[1]: lambda x: x.zero_()}):
        model(TOKENS)
    assert found[names[0]].abs().max() > 0 and found[names[1]].abs().max() == 0


def test_hooks_go_when_the_block_fails(model):
    clean = model(TOKENS)

    def fail(x):
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"), patch(model, {"hook_embed": fail}), capture(model, ["hook_embed"]):
        model(TOKENS)
    assert idle(model)
    assert torch.equal(model(TOKENS), clean)


@pytest.mark.parametrize("block", [capture, lambda m, names: patch(m, dict.fromkeys(names, torch.zeros_like))])
def test_an_unknown_name_gets_the_nearest_and_leaves_nothing(model, block):
    message = r"unknown hook 'blocks.0.hook_resid_pst': did you mean 'blocks.0.hook_resid_post'\?"
    with pytest.raises(UserError, match=message), block(model, ["hook_embed", "blocks.0.hook_resid_pst"]):
        pass
    assert idle(model)


@pytest.mark.parametrize(
    "edit", [lambda x: x[:, -1], lambda x: x.double(), lambda x: None, lambda x: x.sum(-1, keepdim=True)]
)
def test_a_patch_must_keep_shape_and_type(model, edit):
    message = r"patch at hook_embed must return \(3, 4, 8\) torch.float32"
    with pytest.raises(UserError, match=message), patch(model, {"hook_embed": edit}):
        model(TOKENS)
    assert idle(model)
