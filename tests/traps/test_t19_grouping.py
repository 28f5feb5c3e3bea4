"""T19. A "16-seed" group held four different configurations, grouped by a name's suffix, and where one run was left its
bound was the point itself. In husai a group of seeds is one configuration, by hash. Others are divided, in words, and
nothing over all of them has an interval; a mixed group is not compared; below five there is no interval.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from husai.errors import UserError
from husai.saes.config import AnySAEConfig, TopKConfig
from husai.saes.stack import SAEStack
from husai.statistics.intervals import lower_bound_over_seeds, pair_mean
from husai.store.index import Results
from husai.studies.alone import given_activations
from husai.studies.executors.worker import compute
from husai.studies.existing.measure import Measured, Request, compare, stability
from husai.studies.node import Node, folder_of, work_of
from husai.studies.plan import stack_node
from husai.studies.presenting.existing import stability as present
from husai.training.config import TrainingConfig

D, F = 16, 24
FOUR = tuple(TopKConfig(d_sae=F, k=k, aux_k=aux) for k, aux in ((2, 8), (3, 8), (3, 6), (4, 8)))
MAIN = {"population": "all"}


@pytest.fixture
def saved(existing_saes, tmp_path):
    """Folders of single SAEs whose names end alike, whatever is in them."""

    def write(config: AnySAEConfig, seeds: range, start: int = 0) -> list[str]:
        folders = []
        for seed in seeds:
            sae = existing_saes.random_sae(config, D, start + seed)
            folder = tmp_path / f"run{len(list(tmp_path.iterdir()))}_seed{seed}_final"
            folder.mkdir()
            held = {name: tensor[None] for name, tensor in sae.parameters.items()}
            SAEStack(config, (seed,), held, torch.zeros(D), 1.0, "hook").save(folder / "stack.safetensors")
            folders.append(str(folder))
        return folders

    return write


def intervals(found: Measured) -> list[str]:
    return [m.key for m in found.numbers if m.interval is not None]


def test_sixteen_saes_of_four_configurations_are_no_group_of_sixteen_seeds(saved):
    found = stability([p for i, c in enumerate(FOUR) for p in saved(c, range(4), 100 * i)], Request())
    data, text = present(found)
    json.dumps(data)
    assert [len(one["saes"]) for one in data["configurations"]] == [4, 4, 4, 4]
    assert len({one["hash"] for one in data["configurations"]}) == 4
    assert intervals(found) == []
    whole = found.get("mcc_signed", **MAIN)
    assert (whole.n, whole.n_unit, whole.no_interval) == (16, "SAEs", "4 configurations are no group of seeds")
    assert "the SAEs are of 4 configurations, which differ in sae.aux_k (8, 6), sae.k (2, 3, 4): no group" in text
    for one in found.configurations:
        own = found.get("mcc_signed", configuration=one.hash, **MAIN)
        assert (own.n, own.interval, own.no_interval) == (4, None, "too few seeds (4 < 5)")
        assert f"configuration {one.hash} (4): mcc_signed over all latents {own.value:.3f}" in text
        assert all(name in text for name in (found.group.names[i] for i in one.members))


def test_each_configuration_has_its_own_interval_over_its_own_seeds(saved):
    paths = [*saved(FOUR[0], range(5)), *saved(FOUR[1], range(6), 50), *saved(FOUR[2], range(1), 90)]
    found = stability(paths, Request())
    matrix = found.group.pairs.matrix("mcc_signed", "all")
    for one, at in zip(found.configurations, (range(5), range(5, 11)), strict=False):
        own, expected = found.get("mcc_signed", configuration=one.hash, **MAIN), pair_mean(matrix[at][:, at])
        assert (own.value, own.interval.low, own.n) == (expected.value, expected.low, len(at))
    assert {key.partition("[")[2].partition(",")[0] for key in intervals(found)} == {
        f"configuration={one.hash}" for one in found.configurations[:2]
    }
    assert f"configuration {found.configurations[2].hash} (1): mcc_signed over all latents one SAE" in present(found)[1]


def test_one_configuration_is_a_group_whatever_its_members_are_called(saved):
    found = stability(saved(FOUR[0], range(6)), Request())
    assert len(found.configurations) == 1
    whole = found.get("mcc_signed", **MAIN)
    assert whole.interval is not None and (whole.n, whole.n_unit) == (6, "seeds")
    assert not [m for m in found.numbers if "configuration" in m.scope]
    assert "configuration" not in present(found)[1]


def test_below_five_there_is_no_interval_and_one_has_no_bound(saved):
    few = stability(saved(FOUR[0], range(4)), Request())
    assert intervals(few) == []
    assert few.get("mcc_signed", **MAIN).no_interval == "too few seeds (4 < 5)"
    alone = lower_bound_over_seeds([0.7])
    assert alone.low is None and alone.note == "undefined at n = 1"


def test_a_mixed_group_is_not_compared(saved):
    one, mixed = saved(FOUR[0], range(5)), [*saved(FOUR[0], range(4), 30), *saved(FOUR[1], range(1), 40)]
    for words, name in (([*one, "vs", *mixed], "B"), ([*mixed, "vs", *one], "A")):
        with pytest.raises(
            UserError, match=rf"5 SAEs of {name} are of 2 configurations, which differ in sae.k \(2, 3\)"
        ):
            compare(words, Request())
    assert compare([*one, "vs", *saved(FOUR[0], range(5), 60)], Request()).contrast.state == "no difference shown"


@pytest.fixture
def trained(tmp_path):
    """Stacks that were really trained: the folder of each is made from steps, root seed and the rows."""

    def train(steps: int, root: int = 0, rows: int = 0) -> str:
        path = tmp_path / f"rows{rows}.npy"
        np.save(path, np.random.default_rng(rows).standard_normal((200, D)).astype(np.float32))
        training = TrainingConfig(steps=steps, batch=32)
        given = given_activations(Path(path), None, None, root)
        stack = stack_node(FOUR[0], training, steps, (5 * root, 5 * root + 1, 5 * root + 2), root, given, "stack")
        return str(computed([given, stack], tmp_path / "results"))

    return train


def computed(nodes: list[Node], root: Path) -> Path:
    for node in nodes:
        compute(work_of(node, Results(root)), root)
    return folder_of(nodes[-1], Results(root))


def test_equal_saes_that_were_trained_otherwise_are_other_configurations(trained):
    first = trained(4)
    for other, field in ((trained(6), "training.steps (4, 6)"), (trained(4, rows=1), "activations (")):
        found = stability([first, other], Request())
        assert [len(one.members) for one in found.configurations] == [3, 3]
        assert intervals(found) == [] and f"2 configurations, which differ in {field}" in present(found)[1]


def test_another_root_seed_is_another_seed_and_no_other_configuration(trained):
    found = stability([trained(4), trained(4, root=1)], Request())
    assert len(found.configurations) == 1
    assert found.get("mcc_signed", **MAIN).n == 6 and found.get("mcc_signed", **MAIN).interval is not None
