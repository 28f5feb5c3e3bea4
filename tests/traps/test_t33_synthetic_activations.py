"""T33. Claimed: 50,000 tokens of reasoning captured from four models, 31.7 % of the features monosemantic. True: the
arrays came from a random generator, and .317 is the chance of a standard normal beyond one deviation. husai writes the
origin into every shard, refuses synthetic rows that were not asked for by name, and points out noise that claims to be
something else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from husai.activations.cache import ActivationCache
from husai.activations.capture import capture
from husai.activations.external import ExternalFile, import_file
from husai.activations.guards import check_rows, require_real
from husai.activations.manifest import MANIFEST, Origin
from husai.activations.source import PlantedSource
from husai.activations.surrogates import gaussian_twin
from husai.activations.writer import write_rows
from husai.errors import Refused, UserError
from husai.models.config import TransformerConfig
from husai.studies.alone import CaptureJob, TrainJob, capture_alone, given_activations, train_alone
from husai.tasks.modular import ModularConfig
from husai.tasks.planted import PlantedConfig

NOISE = torch.randn(4000, 64, generator=torch.Generator().manual_seed(0))


def test_noise_given_as_activations_is_pointed_out(tmp_path):
    assert (NOISE.abs() > 1).double().mean() == pytest.approx(0.317, abs=0.003)
    torch.save(NOISE, tmp_path / "phi-2_logic_layer16_activations.pt")
    cache = import_file(ExternalFile(tmp_path / "phi-2_logic_layer16_activations.pt", d_in=64), tmp_path / "c")
    assert "cannot be told from white Gaussian noise" in " ".join(check_rows(cache.manifest, d_sae=128))
    assert cache.manifest.origin.description.startswith("given by the user")


def test_captured_activations_are_not_taken_for_noise(tmp_path):
    task = ModularConfig(p=31).build()
    model = TransformerConfig(d_model=32, n_heads=2, d_mlp=64).fitted(task).build(seed=0)
    cache = capture(model, task, "blocks.0.hook_resid_post", tmp_path / "c")
    require_real(cache.manifest)
    assert "noise" not in " ".join(check_rows(cache.manifest, d_sae=64))


@pytest.mark.parametrize("kind", ["planted", "surrogate", "external"])
def test_synthetic_rows_are_marked_in_every_shard_and_refused(tmp_path, kind):
    twin = gaussian_twin(np.zeros(8), np.diag(np.arange(1.0, 9)), 100, seed=0)
    origin = Origin(kind=kind, synthetic=True, description="made for a test")
    cache = write_rows(tmp_path / "c", twin, origin, shard_rows=30)
    for shard in cache.manifest.shards:
        with safe_open(cache.folder / shard.file, framework="numpy") as handle:
            assert (handle.metadata()["synthetic"], handle.metadata()["kind"]) == ("true", kind)
    with pytest.raises(Refused, match="say nothing about a model"):
        require_real(cache.manifest)
    require_real(cache.manifest, wanted=[kind])


def test_the_mark_cannot_be_left_out_or_removed(tmp_path):
    for kind in ("planted", "surrogate"):
        with pytest.raises(ValueError, match="synthetic and must say so"):
            Origin(kind=kind, synthetic=False, description="x")
    cache = write_rows(tmp_path / "c", NOISE.numpy(), Origin(kind="surrogate", synthetic=True, description="x"))
    path = cache.folder / MANIFEST
    path.write_text(
        path.read_text().replace('"synthetic": true', '"synthetic": false').replace("surrogate", "captured")
    )
    with pytest.raises(UserError, match="changed after it was written"):
        ActivationCache(cache.folder)


def test_training_on_planted_rows_needs_their_name(tmp_path: Path) -> None:
    """Through the command that a user gives: refused without the word, done with it."""
    source = PlantedSource(planted=PlantedConfig(d_in=8, n_features=12, n_active=2, n_rows=300))
    folder, _ = capture_alone(CaptureJob(source=source), tmp_path, 1)
    job = TrainJob().override(["sae.d_sae=10", "sae.k=2", "seeds=2", "training.steps=4", "training.batch=16"])
    with pytest.raises(Refused, match=r"synthetic \(planted"):
        train_alone(job, given_activations(folder, None, None, 0), tmp_path, 1)
    asked = job.override(["synthetic=[planted]"])
    _, records = train_alone(asked, given_activations(folder, None, None, 0), tmp_path, 1)
    assert records["stack"].status == "ran"
