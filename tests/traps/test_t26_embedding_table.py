"""T26. Claimed: activations "of layer 0". True: rows of the token-embedding table, where one token (the last of every
prompt) made up more than half of the rows. husai says that the rows depend on the token alone, counts tokens per
latent, and warns about the commonest one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from husai.activations.capture import capture
from husai.activations.guards import check_rows, describe_rows, row_facts
from husai.models.config import TransformerConfig
from husai.tasks.modular import ModularConfig

TASK = ModularConfig(p=13).build()
MODEL = TransformerConfig(d_model=16, n_heads=2, d_mlp=32).fitted(TASK).build(seed=0)


def lopsided(common_share: float):
    """The task with token 4 written over a share of the operands."""
    tokens = TASK.tokens_NT.copy()
    rng = np.random.default_rng(0)
    tokens[rng.random(tokens.shape) < common_share] = 4
    return replace(TASK, tokens_NT=tokens)


def test_the_embedding_table_is_called_one(tmp_path):
    manifest = capture(MODEL, TASK, "hook_embed", tmp_path / "c", positions="all").manifest
    assert (manifest.n_rows, manifest.rows.unique, manifest.tokens.unique) == (507, 14, 14)
    assert manifest.tokens.follows == "token"
    assert describe_rows(manifest).startswith(
        "token embedding table read at hook_embed: rows depend on the token alone"
    )
    warnings = " ".join(check_rows(manifest, d_sae=4))
    assert "depend on the token alone" in warnings
    assert "97.2% of the 507 rows are repeats" in warnings
    assert row_facts(manifest, d_sae=7)["unique_tokens_per_latent"] == 2


@pytest.mark.parametrize(
    ("hook", "follows"), [("blocks.0.hook_resid_pre", "token_and_position"), ("blocks.0.hook_resid_post", "context")]
)
def test_other_hooks_are_told_apart(tmp_path, hook, follows):
    manifest = capture(MODEL, TASK, hook, tmp_path / "c", positions="all").manifest
    assert manifest.tokens.follows == follows
    assert ("token and its position alone" in " ".join(check_rows(manifest, d_sae=4))) is (follows != "context")


def test_the_first_position_of_a_layer_is_a_table_too(tmp_path):
    """A causal model has read one token there, whatever the layer is called."""
    manifest = capture(MODEL, TASK, "blocks.0.hook_resid_post", tmp_path / "c", positions=[0]).manifest
    assert manifest.rows.near_unique == manifest.tokens.unique == 13
    assert manifest.tokens.follows == "token"
    assert describe_rows(manifest).startswith("a table with one row per token")


@pytest.mark.parametrize(("share", "warned"), [(0.3, False), (0.7, True)])
def test_a_token_that_dominates_is_named(tmp_path, share, warned):
    task = lopsided(share)
    manifest = capture(MODEL, task, "blocks.0.hook_resid_post", tmp_path / "c", positions="all").manifest
    true_share = float((task.tokens_NT == 4).mean())
    lines = [line for line in check_rows(manifest, d_sae=4) if line.startswith("token 4 alone covers")]
    assert len(lines) == warned
    assert (true_share > 0.5) is warned
    if warned:
        assert f"{true_share:.1%}" in lines[0]
        assert row_facts(manifest, 4)["commonest_token_share"] == true_share
