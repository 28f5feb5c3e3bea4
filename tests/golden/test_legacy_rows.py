"""Golden rows of published reports, met in their own way: the leaky model, TopK SAEs that are stopped early or late.

Every number is of decoders and rows as they come, computed here in float64 from the formulas; none comes from a record.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from husai.activations.cache import ActivationCache
from husai.recipes.replay import study
from husai.saes.stack import load_stack
from husai.store.index import Results
from husai.store.tensors import load_arrays
from husai.studies.executors.worker import compute
from husai.studies.node import Node, folder_of, work_of
from husai.studies.replays.bench import Bench

pytestmark = pytest.mark.slow
BENCH = Bench(study())


class Golden:
    """Stacks that were trained for a row."""

    def __init__(self, root: Path) -> None:
        self.root, self.results = root, Results(root)
        self.x = torch.from_numpy(ActivationCache(self.folder(BENCH.model, BENCH.rows) / "rows").to_array())

    def folder(self, *nodes: Node) -> Path:
        """Computed where they are not; the folder of the last."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("husai.studies.nodes.stack.warn", lambda text: None)
            for node in nodes:
                compute(work_of(node, self.results), self.root)
        return folder_of(nodes[-1], self.results)

    def agreement(self, stack: Node) -> float:
        """mean_max_cos over all pairs."""
        W_SFD = load_stack(self.folder(stack) / "stack.safetensors").parameters["W_dec"].double()
        W_SFD = W_SFD / W_SFD.norm(dim=-1, keepdim=True)
        found = []
        for i in range(len(W_SFD)):
            for j in range(i):
                C = (W_SFD[i] @ W_SFD[j].T).abs()
                found.append(float(C.max(0).values.mean() + C.max(1).values.mean()) / 2)
        return float(np.mean(found))

    def explained(self, stack: Node) -> float:
        """1 - sum ||x - x_hat||^2 / sum ||x - mean||^2 over all rows, mean over seeds."""
        saes = load_stack(self.folder(stack) / "stack.safetensors")
        x = (self.x.double() - saes.mean_D.double()) * float(np.asarray(saes.factor))
        found = []
        for i in range(len(saes)):
            p = {name: t[i].double() for name, t in saes.parameters.items()}
            values, at = (x @ p["W_enc"].T + p["b_enc"]).relu().topk(saes.config.k)  # type: ignore[union-attr]
            codes = torch.zeros(len(x), len(p["W_dec"]), dtype=torch.float64).scatter(1, at, values)
            error = (x - codes @ p["W_dec"] - p["b_dec"]).square().sum()
            found.append(float(1 - error / (x - x.mean(0)).square().sum()))
        return float(np.mean(found))

    def own_start(self, stack: Node) -> float:
        """Cosine of each row with its own start."""
        now = load_stack(self.folder(stack) / "stack.safetensors").parameters["W_dec"].double().numpy()
        start = load_arrays(self.folder(stack) / "trajectory.safetensors")["step.0"].astype(np.float64)
        norms = np.linalg.norm(now, axis=-1) * np.linalg.norm(start, axis=-1)
        return float(((now * start).sum(-1) / norms).mean())


@pytest.fixture(scope="module")
def golden(tmp_path_factory: pytest.TempPathFactory) -> Golden:
    torch.set_num_threads(1)
    return Golden(tmp_path_factory.mktemp("golden"))


@pytest.mark.parametrize(("k", "agreement", "explained"), [(4, 0.322, 0.53), (32, 0.265, 0.69)])
def test_adaptive_l0_as_it_was_run(golden: Golden, k: int, agreement: float, explained: float) -> None:
    stack = BENCH.as_published(k, 280, 5).stack
    assert golden.agreement(stack) == pytest.approx(agreement, abs=0.01)
    assert golden.explained(stack) == pytest.approx(explained, abs=0.03)


@pytest.mark.parametrize(("k", "agreement"), [(4, 0.527), (32, 0.310)])
def test_the_same_trained_longer(golden: Golden, k: int, agreement: float) -> None:
    stack = BENCH.long_enough(k, 2500, 3).stack
    assert golden.agreement(stack) == pytest.approx(agreement, abs=0.02)
    assert golden.explained(stack) == pytest.approx(0.99, abs=0.005)


def test_trained_as_random(golden: Golden) -> None:
    stack = BENCH.as_published(32, 130, 5, d_sae=1024).stack
    assert golden.agreement(stack) == pytest.approx(0.3000, abs=0.001)
    assert golden.own_start(stack) == pytest.approx(0.970, abs=0.005)


def test_search_over_k(golden: Golden) -> None:
    """The ends of the sweep and one between: falling, all a little above the .2456 of random decoders."""
    found = [golden.agreement(BENCH.as_published(k, 175, 5).stack) for k in (4, 16, 64)]
    assert found == sorted(found, reverse=True)
    for value, wanted in zip(found, (0.25991, 0.25420, 0.25139), strict=True):
        assert value == pytest.approx(wanted, abs=0.005)
        assert value > 0.2456
