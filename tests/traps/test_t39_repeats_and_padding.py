"""T39. Claimed: 12,288 latents trained on reasoning. True: 10 prompts, each 5 times, 209 unique tokens, and padding
counted as rows. husai counts different rows, refuses an SAE with more latents than those, says how many are repeats,
and never makes a row of padding."""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from husai.activations.capture import capture
from husai.activations.guards import check_rows, row_facts
from husai.activations.source import PlantedSource
from husai.errors import Refused
from husai.models.config import TransformerConfig
from husai.saes.config import TopKConfig
from husai.store.index import Results
from husai.studies.executors.worker import compute
from husai.studies.node import work_of
from husai.studies.nodes.rows import Rows
from husai.studies.plan import activations_nodes, stack_node
from husai.tasks.planted import PlantedConfig
from husai.tasks.task import Task
from husai.training.config import TrainingConfig

PAD, D_VOCAB, LENGTH = 0, 211, 30
CONFIG = TransformerConfig(d_model=24, n_heads=2, d_mlp=48, d_vocab=D_VOCAB, n_ctx=LENGTH, d_vocab_out=2)


def prompts() -> tuple[Task, np.ndarray]:
    """10 prompts of unequal length, 5 times each, padded at the right; and the mask."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(12, LENGTH, 10)
    tokens = np.full((10, LENGTH), PAD)
    for row, length in enumerate(lengths):
        tokens[row, :length] = rng.integers(1, D_VOCAB, length)
    tokens = np.tile(tokens, (5, 1))
    task = Task(
        name="prompts",
        tokens_NT=tokens,
        labels_N=np.arange(50) % 2,
        groups_N=np.arange(50) % 10,
        train_index=np.flatnonzero(np.arange(50) % 10 < 5),
        test_index=np.flatnonzero(np.arange(50) % 10 >= 5),
        read_position=LENGTH - 1,
        d_vocab=D_VOCAB,
        n_classes=2,
        operand_columns=(0,),
        token_names=tuple(str(i) for i in range(D_VOCAB)),
    )
    return task, tokens != PAD


def model() -> nn.Module:
    return CONFIG.build(seed=0)


def test_repeats_do_not_count_as_data(tmp_path):
    task, mask = prompts()
    cache = capture(
        model(), task, "blocks.0.hook_resid_post", tmp_path / "c", positions="all", mask_NT=mask, batch=7
    )  # 7: repeats of a prompt sit at other places of a batch, where their last bits may differ
    rows = cache.manifest.rows
    real = int(mask[:10].sum())
    assert len(cache) == 5 * real
    assert real * 0.98 <= rows.near_unique <= real * 1.03
    with pytest.raises(Refused, match=r"different rows .* fewer than the 12288 latents"):
        check_rows(cache.manifest, d_sae=12_288)
    warnings = " ".join(check_rows(cache.manifest, d_sae=16))
    assert "are repeats" in warnings
    assert row_facts(cache.manifest, 12_288)["unique_tokens_per_latent"] < 0.02
    assert rows.duplicate_share == pytest.approx(0.8, abs=0.01)


def test_padding_is_not_a_row(tmp_path):
    task, mask = prompts()
    masked = capture(model(), task, "blocks.0.hook_resid_post", tmp_path / "m", positions="all", mask_NT=mask)
    assert PAD not in masked.column("tokens")
    assert len(masked) == mask.sum()
    leaky = capture(model(), task, "blocks.0.hook_resid_post", tmp_path / "p", positions="all")
    assert (leaky.column("tokens") == PAD).sum() == (~mask).sum() > 0
    examples, positions = masked.column("examples"), masked.column("positions")
    assert np.allclose(masked.to_array(), leaky.rows(examples * LENGTH + positions), atol=1e-5)


def test_what_stands_in_the_padding_does_not_matter(tmp_path):
    task, mask = prompts()
    rubbish = task.tokens_NT.copy()
    rubbish[~mask] = np.random.default_rng(1).integers(1, D_VOCAB, (~mask).sum())
    other = Task(**{**{f: getattr(task, f) for f in task.__dataclass_fields__}, "tokens_NT": rubbish})
    one, two = (
        capture(model(), t, "blocks.0.hook_resid_post", tmp_path / str(i), positions="all", mask_NT=mask)
        for i, t in enumerate((task, other))
    )
    assert torch.allclose(torch.tensor(one.to_array()), torch.tensor(two.to_array()), atol=1e-5)


def test_rows_that_are_held_out_determine_no_latent(tmp_path):
    """34 different rows for 32 latents are enough; the 27 of them that are trained on are not."""
    (data,) = activations_nodes(PlantedSource(planted=PlantedConfig(d_in=8, n_features=12, n_active=2, n_rows=34)), 0)
    compute(work_of(data, Results(tmp_path)), tmp_path)
    for share, refused in ((0.0, False), (0.2, True)):
        training = TrainingConfig(steps=2, batch=8, held_out=share)
        node = stack_node(TopKConfig(d_sae=32, k=2), training, 2, (0, 1), 0, data, "t39")
        with pytest.raises(Refused, match="27 different rows to train on") if refused else nullcontext():
            compute(work_of(node, Results(tmp_path)), tmp_path)


class Copies:
    """A cache of 40 different rows, each ten times."""

    manifest = SimpleNamespace(rows=SimpleNamespace(near_unique=40))

    def __len__(self):
        return 400


def test_copies_that_are_grouped_stay_on_one_side_and_count_once():
    def rows(trained, groups):
        return Rows(Copies(), None, np.arange(trained), np.arange(0), groups).different

    assert rows(320, np.repeat(np.arange(40), 10)) == 32, "four fifths of the groups"
    assert rows(320, None) == 40 and rows(30, None) == 30
