"""T28: "same data, different seed", where the seed also chose the rows.

In husai rows, split, initial weights, batch order, planted dictionary and codes each have a stream of their own name:
changing one leaves the others bit for bit, and no two roles of one root seed are alike.
"""

from __future__ import annotations

import itertools

import numpy as np
import torch

from husai.models.config import PretrainConfig, TransformerConfig
from husai.models.pretrain import Batches, pretrain
from husai.models.weights import model_arrays
from husai.seeds import Role, derive, generator
from husai.store.tensors import array_hash
from husai.tasks.modular import ModularConfig
from husai.tasks.task import Task


def test_a_models_seed_never_touches_the_data():
    torch.set_num_threads(1)
    config = ModularConfig(p=13, max_rows=80)
    task = config.build()
    before = task.content_hash
    quick = PretrainConfig(max_steps=3)
    for seed in (0, 1, 2):
        pretrain(quick, TransformerConfig(d_model=8, n_heads=2, d_mlp=8), task, seed)
        assert task.content_hash == config.build().content_hash == before


def test_the_datas_seed_never_touches_the_initial_weights():
    weights = set()
    for seed in (0, 1, 2):
        model = TransformerConfig(d_model=8, n_heads=2).fitted(ModularConfig(p=13, seed=seed).build()).build(7)
        weights.add(array_hash(model_arrays(model)))
    assert len(weights) == 1


def test_the_rows_that_are_kept_depend_on_the_datas_seed_only():
    kept: list[Task] = [ModularConfig(p=13, max_rows=80, seed=s).build() for s in (0, 0, 1)]
    assert np.array_equal(kept[0].tokens_NT, kept[1].tokens_NT)
    assert not np.array_equal(kept[0].tokens_NT, kept[2].tokens_NT)


def test_roles_of_one_root_seed_share_nothing():
    for root in (0, 1, 42):
        draws = {role: generator(root, role).standard_normal(64) for role in Role}
        for one, two in itertools.combinations(Role, 2):
            assert derive(root, one) != derive(root, two)
            assert abs(np.corrcoef(draws[one], draws[two])[0, 1]) < 0.6


def test_split_and_batch_order_of_the_same_seed_are_unrelated():
    """The split is a permutation of groups, the first epoch one of rows: equal seeds must not make them equal."""
    rows = np.arange(60)
    order = Batches(rows, 60, seed=0).at(0)
    assert not np.array_equal(order, generator(0, Role.DATA_SPLIT).permutation(rows))
