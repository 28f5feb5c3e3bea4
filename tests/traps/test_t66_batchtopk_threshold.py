"""T66. "BatchTopK at L0 32": evaluated in batch mode, where L0 is 32 by construction; 80 with the threshold that is
used afterwards. husai's codes after training are those of the threshold whatever stands beside a row, and so is the L0
that is reported.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from husai.activations.stream import Batches, Feed
from husai.evals.fidelity import fidelity
from husai.saes.batch_select import keep_in_batch
from husai.saes.config import AnySAEConfig, BatchTopKConfig, MatryoshkaConfig
from husai.saes.sae import SAE
from husai.tasks.planted import PlantedConfig
from husai.training.config import TrainingConfig
from husai.training.trainer import Job, train

D, F, K, BATCH = 24, 48, 4, 256
CONFIGS: list[AnySAEConfig] = [BatchTopKConfig(d_sae=F, k=K), MatryoshkaConfig(d_sae=F, k=K)]


def data() -> np.ndarray:
    return PlantedConfig(d_in=D, n_features=F, n_active=4, n_rows=3000).build().x_ND


@pytest.fixture(scope="module", params=CONFIGS, ids=lambda config: config.kind)
def sae(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> SAE:
    """Trained by the one loop on the reference engine."""
    x = data()
    factor = math.sqrt(D / float(np.square(x).sum(1).mean()))
    training = TrainingConfig(steps=400, batch=BATCH, lr=3e-3, engine="reference")
    feed = Feed(x * np.float32(factor), Batches(len(x), BATCH, 0, (0,), shared_order=False))
    job = Job(request.param, training, D, (0,), 0, feed.batch, "t66", "t66")
    return train(job, tmp_path_factory.mktemp("t66")).stack(job, torch.zeros(D), factor)[0]


def pre(sae: SAE, x: Tensor) -> Tensor:
    """relu(pre) in float64."""
    p = {name: t.double() for name, t in sae.parameters.items()}
    return ((x.double() * sae.factor - p["b_dec"]) @ p["W_enc"].T + p["b_enc"]).clamp(min=0)


def test_a_row_has_its_codes_alone_and_in_any_company(sae: SAE) -> None:
    x = torch.from_numpy(data()[:400].copy())
    order = torch.randperm(400, generator=torch.Generator().manual_seed(0))
    together, alone = sae.encode(x), torch.cat([sae.encode(row[None]) for row in x])
    mixed = torch.empty_like(together)
    for part in order.split(37):
        mixed[part] = sae.encode(x[part])
    clear = (pre(sae, x) - sae.parameters["threshold"].double()).abs() > 1e-5  # products round by the size of a batch
    assert clear.double().mean() > 0.999
    for other in (alone, mixed):
        assert torch.equal((other > 0)[clear], (together > 0)[clear])
        assert torch.allclose(other[clear], together[clear], atol=1e-5)


def test_the_l0_that_is_reported_is_that_of_the_threshold(sae: SAE) -> None:
    """Loud rows have more latents than quiet ones; selected within their own batch both would have k."""
    x = torch.from_numpy(data().copy())
    threshold = float(sae.parameters["threshold"])
    loud = x.norm(dim=1) > x.norm(dim=1).median()
    found = {}
    for name, part in (("all", x), ("loud", x[loud]), ("quiet", x[~loud])):
        written_out = float((pre(sae, part) > threshold).sum(1).double().mean())
        found[name] = fidelity(sae, part).l0
        assert found[name] == pytest.approx(written_out, abs=0.01)
        assert float((keep_in_batch(pre(sae, part), K).dense() > 0).sum(1).double().mean()) == K
    assert found["loud"] > 1.2 * K > K > 1.2 * found["quiet"]
    assert found["all"] == pytest.approx(K, rel=0.1), "rows like those of training need k latents on average"


def test_the_threshold_is_near_the_smallest_values_that_batches_keep(sae: SAE) -> None:
    x = torch.from_numpy(data().copy())
    kept = [keep_in_batch(pre(sae, part), K).dense() for part in x.split(BATCH)[:-1]]
    smallest = np.mean([float(values[values > 0].min()) for values in kept])
    assert float(sae.parameters["threshold"]) == pytest.approx(float(smallest), rel=0.1)
    assert float(sae.parameters["threshold_batches"]) == 400
