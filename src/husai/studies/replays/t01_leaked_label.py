"""T01: perfect accuracy of a model whose input holds the answer at the position that is read."""

from __future__ import annotations

from husai.activations.capture import capture
from husai.activations.guards import describe_rows
from husai.activations.source import CapturedSource
from husai.models.weights import load_model
from husai.statistics.estimate import Estimate
from husai.store.record import RunRecord
from husai.store.tensors import save_arrays
from husai.studies.node import Node, Outcome, Work
from husai.studies.replays.bench import Bench
from husai.studies.replays.claim import Check, Claim, Figure, Found, Reading, near

SHARE = "share of rows"


def rows(work: Work) -> Outcome:
    """The activations that a study refuses: here they are what the reports were made from."""
    source = CapturedSource.parse(work.fields["source"])
    task = source.task.build()
    save_arrays(work.draft / "groups.safetensors", {"groups_N": task.groups_N})
    model = load_model(work.folders["model"] / "model.safetensors")
    what = f"model that finds its answer in its input (replay only) on {task.name}"
    where = {"positions": source.positions, "batch": source.batch, "description": what}
    cache = capture(model, task, source.hooks, work.draft / "rows", details={"declared": source.plain()}, **where)
    return Outcome(facts={"rows": describe_rows(cache.manifest), "origin": cache.manifest.origin.plain()})


def nodes(bench: Bench) -> list[Node]:
    """The model."""
    return [bench.model]


def read(found: Found) -> Reading:
    """Held-out accuracy, then what the prediction follows."""
    record = found.record(found.bench.model)
    accuracy = found.value(found.bench.model, "held_out_accuracy")
    follows, answers = _check(record, "answer_swap"), _check(record, "counterfactual")
    chance = f"chance {1 / found.bench.scale.source.task.p:.4f}"
    n = record.facts["sanity"]["held_out_rows"]
    return Reading(
        (Figure("held-out accuracy after two epochs", _exact(accuracy, n), SHARE),),
        (
            Figure("predictions that follow a random answer token", follows, SHARE, null=chance),
            Figure("new answers after an operand was changed", answers, SHARE, null=chance),
        ),
        (near("held-out accuracy", accuracy, 1.0, 0.01), Check("held-out accuracy", accuracy, "at least", 0.99)),
        (
            Check("predictions that follow a random answer token", follows, "at least", 0.95),
            Check("new answers after an operand was changed", answers, "at most", 0.05),
        ),
    )


def _exact(value: float, n: int) -> Estimate:
    note = "the held-out rows are all rows that were not trained on"
    return Estimate(value, None, None, 0.95, "exact", n, "rows", None, None, note)


def _check(record: RunRecord, name: str) -> float:
    (value,) = [check["value"] for check in record.facts["sanity"]["checks"] if check["name"] == name]
    return float("nan") if value is None else float(value)


CLAIM = Claim(
    "T01",
    "A transformer that has grokked modular addition",
    "a published adaptive-L0 report and its repository: the model behind all its activations",
    (Figure("held-out accuracy after two epochs", 1.0, SHARE),),
    "The answer stands in the input at the position that is read. The model copies it and needs no addition; held-out "
    "rows hold their answers as well.",
    nodes,
    read,
)
