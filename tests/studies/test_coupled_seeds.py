"""`husai train` with a coupling: the reference is trained first and apart, and the record says what was put in."""

from __future__ import annotations

import numpy as np
import pytest

from husai.config import content_hash
from husai.errors import UserError
from husai.saes.config import TopKConfig
from husai.saes.stack import load_stack
from husai.store.index import Results
from husai.studies import measure_existing
from husai.studies.alone import TrainJob, given_activations, train_alone
from husai.studies.executors.worker import compute
from husai.studies.node import folder_of, work_of
from husai.studies.plan import REFERENCE_SEEDS, Coupled, stack_node
from husai.training.config import TrainingConfig
from husai.training.coupling.config import PinningConfig

pytestmark = pytest.mark.usefixtures("in_process")
JOB = TrainJob(sae=TopKConfig(d_sae=24, k=4), training=TrainingConfig(steps=40, batch=64), seeds=2)


@pytest.fixture
def rows(tmp_path, digits):
    np.save(tmp_path / "x.npy", digits[:300])
    return given_activations(tmp_path / "x.npy", None, None, 0)


def test_without_a_coupling_nothing_of_the_node_changes(rows) -> None:
    plain = stack_node(JOB.sae, JOB.training, 40, (0, 1), 0, rows, "x")
    assert "coupling" not in plain.fields and set(plain.parents) == {"activations"}
    assert content_hash(plain.fields["training"]) == content_hash(JOB.training.plain() | {"engine": "cpu"})


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ("coupling={kind: pinning, fraction: .25}", "coupling pinning: 6 of 24 latents are copies"),
        ("coupling={kind: alignment, weight: 3.0}", "coupling alignment: every seed is drawn to one reference"),
    ],
)
def test_a_coupling_from_the_command_line(rows, tmp_path, asked, says) -> None:
    _, plain = train_alone(JOB, rows, tmp_path / "results", 1)
    _, records = train_alone(JOB.override([asked]), rows, tmp_path / "results", 1)
    stack, results = records["stack"], Results(tmp_path / "results")
    assert stack.facts["engine"] == "reference"
    assert [text for text in stack.facts["warnings"] if text.startswith(says)]
    reference = results.node("stack", stack.parents["reference"])
    assert reference is not None and reference.seeds["seeds"] == list(REFERENCE_SEEDS)
    assert "reference" not in plain["stack"].parents and plain["stack"].id != stack.id
    r = load_stack(results.node_folder("stack", reference.id) / "stack.safetensors").parameters["W_dec"].numpy()[0]
    nearest = [
        np.abs(load_stack(results.node_folder("stack", one.id) / "stack.safetensors").parameters["W_dec"].numpy() @ r.T)
        .max(-1)
        .mean()
        for one in (stack, plain["stack"])
    ]
    assert nearest[0] > nearest[1] + 0.1
    explained = stack.get("explained_variance.reference").value
    assert explained is not None and 0 < explained < 1


def test_what_does_not_fit_is_refused(rows, tmp_path, digits) -> None:
    with pytest.raises(UserError, match="engine cpu computes no coupling"):
        train_alone(JOB.override(["coupling={kind: pinning}", "training.engine=cpu"]), rows, tmp_path / "results", 1)
    with pytest.raises(UserError, match="fraction"):
        JOB.override(["coupling={kind: pinning, fraction: 1.5}"])
    np.save(tmp_path / "y.npy", digits[300:600])
    others = given_activations(tmp_path / "y.npy", None, None, 0)
    reference = stack_node(JOB.sae, JOB.training, 40, REFERENCE_SEEDS, 0, others, "of other rows")
    coupled = Coupled(PinningConfig(), reference)
    pinned = stack_node(JOB.sae, JOB.training, 40, (0, 1), 0, rows, "pinned", coupled=coupled)
    for node in (rows, others, reference):
        compute(work_of(node, Results(tmp_path)), tmp_path)
    assert folder_of(reference, Results(tmp_path)).exists()
    with pytest.raises(UserError, match="was trained on other rows"):
        compute(work_of(pinned, Results(tmp_path)), tmp_path)


def test_agreement_that_was_put_in_is_said_of_them_later(rows, tmp_path) -> None:
    folder, _ = train_alone(JOB.override(["coupling={kind: pinning}"]), rows, tmp_path / "results", 1)
    plain, _ = train_alone(JOB.override(["name=plain"]), rows, tmp_path / "results", 1)
    nothing = (None, None, 100, 0.7, None, None, None, tmp_path, 1)
    runs = [[str(p) for p in sorted(where.iterdir()) if p.is_dir()] for where in (folder, plain)]
    said = [measure_existing.stability(paths, measure_existing.asked(*nothing)) for paths in runs]
    wanted = "SAEs were trained with the coupling pinning, which ties them to a reference"
    assert [any(text.startswith(wanted) for text in found.cautions) for found in said] == [True, False]
