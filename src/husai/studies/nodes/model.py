"""Node `model`: train the model, then find out whether it is worth reading."""

from __future__ import annotations

from dataclasses import asdict

from husai.models.config import PretrainConfig, TransformerConfig
from husai.models.pretrain import pretrain
from husai.models.sanity import check
from husai.models.weights import model_arrays, save_model
from husai.store.files import write_json
from husai.store.record import Measurement
from husai.store.tensors import array_hash
from husai.studies.node import Outcome, Work
from husai.tasks.modular import ModularConfig

CHECKPOINT = "checkpoint.safetensors"


def run(work: Work) -> Outcome:
    """Train, save weights and history, run every sanity check."""
    task = ModularConfig.parse(work.fields["task"]).build()
    config = PretrainConfig.parse(work.fields["pretrain"])
    shape = TransformerConfig.parse(work.fields["model"])
    root = work.fields["root_seed"]
    trained = pretrain(
        config, shape, task, root, checkpoint=work.draft / CHECKPOINT, checkpoint_seconds=5.0, job=work.id
    )
    save_model(work.draft / "model.safetensors", trained.model)
    write_json(work.draft / "history.json", [asdict(row) for row in trained.history])
    sanity = check(trained.model, task, root)
    write_json(work.draft / "sanity.json", sanity.plain())
    accuracy = Measurement(
        name="held_out_accuracy",
        value=trained.held_out_accuracy,
        unit="share of rows",
        higher_is_better=True,
        n=len(task.test_index),
        n_unit="rows",
        no_interval="the held-out rows are all rows that were not trained on",
        null=f"chance {1 / task.n_classes:.4f}",
        artefacts=("history.json", "model.safetensors"),
    )
    steps = Measurement(name="pretrain_steps", value=trained.steps, unit="steps", no_interval="a count")
    facts = {
        "sanity": sanity.plain(),
        "stopped": trained.stopped,
        "task": task.name,
        "task_hash": task.content_hash,
        "weights_hash": array_hash(model_arrays(trained.model)),
    }
    return Outcome([accuracy, steps], facts, {"root_seed": root}, {CHECKPOINT})
