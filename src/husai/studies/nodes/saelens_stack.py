"""Node `saelens_stack`: the seeds of one SAE config, each trained by SAELens, one after another.

It leaves what a stack leaves, so that it is measured like one; and `start.safetensors`, the SAEs before their first
step, since SAELens starts in a way of its own. A training that was killed starts over.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import numpy as np
import torch

from husai.activations.guards import check_rows, row_facts
from husai.activations.supply import Spent
from husai.errors import UserError
from husai.events import report, warn
from husai.saes.config import AnySAEConfig
from husai.saes.config.sizes import check_sizes
from husai.saes.conventions import penalties
from husai.saes.parameters import Parameters
from husai.saes.stack import SAEStack
from husai.studies import trained_by
from husai.studies.node import Outcome, Work
from husai.studies.nodes.job import SAE, scale_of
from husai.studies.nodes.rows import Rows, open_rows
from husai.studies.nodes.stack import measurements, save_curves, seconds_of
from husai.training.config import TrainingConfig
from husai.training.saelens import Followed, follow, own_ways
from husai.training.state import TrainState
from husai.training.trainer import Job

START = "start.safetensors"
CHECKED = 4096  # held-out rows on which the SAE that is kept is held against SAELens' own


def run(work: Work) -> Outcome:
    """Train every seed to the node's budget; keep the stack, where it began, decoders over steps and loss curves."""
    _check_version(work.fields["sae_lens"])
    config, training = SAE.validate_python(work.fields["sae"]), TrainingConfig.parse(work.fields["training"])
    root, seeds, spent = work.fields["root_seed"], tuple(work.fields["seeds"]), Spent()
    rows = open_rows(work.folders["activations"], training, root)
    warnings = check_sizes(config, rows.cache.d_in) + check_rows(rows.cache.manifest, config.d_sae, rows.different)
    for text in warnings:
        warn(text)
    found, order = _follow(work, config, training, rows, spent)
    state = _together(found, training)
    for name, p in (("stack.safetensors", state.parameters), (START, _stacked([one.start for one in found]))):
        SAEStack(config, seeds, p, *scale_of(rows)).save(work.draft / name)
    save_curves(work.draft, state)
    facts: dict[str, Any] = {
        "engine": "saelens",
        "why_engine": f"trained by SAELens {work.fields['sae_lens']}, one seed after another, on the CPU",
        "warnings": warnings + own_ways(config, training),
        "rows": row_facts(rows.cache.manifest, config.d_sae),
        "threads": 1,
        "row_order": order,
        "sae": config.plain(),
        "penalties": penalties(config),
        "saelens": {"version": work.fields["sae_lens"], "sae": found[-1].sae, "trainer": found[-1].trainer},
    }
    made = measurements(rows, training, state)
    return Outcome(made, facts, {"seeds": list(seeds), "root": root}, seconds=seconds_of(spent))


def _check_version(planned: str) -> None:
    """Raises: UserError where SAELens is not the one that the node was planned with."""
    why = trained_by.why_not()
    if why or version(trained_by.PACKAGE) != planned:
        found = why or f"{trained_by.PACKAGE} {version(trained_by.PACKAGE)} is installed"
        raise UserError(f"this is to be trained by {trained_by.PACKAGE} {planned}, and {found}: run the survey again")


def _follow(
    work: Work, config: AnySAEConfig, training: TrainingConfig, rows: Rows, spent: Spent
) -> tuple[list[Followed], str]:
    """Every seed, on the rows that it would have in any stack; and how their order is made, in words."""
    root, seeds, found, order = work.fields["root_seed"], work.fields["seeds"], [], ""
    parts = len(seeds) if training.data == "disjoint" else 1
    x_ND = torch.from_numpy(rows.scaling.apply(rows.cache.rows(rows.held_out_index[:CHECKED])))
    for place, seed in enumerate(seeds):
        feed = rows.feed(training, (seed,), root, parts)
        order, before = feed.batches.how, place * training.steps

        def progress(step: int, before: int = before) -> None:
            report(work.id, work.title, before + step, len(seeds) * training.steps)

        batch_at, ahead = feed.batch, feed.look_ahead
        job = Job(config, training, rows.cache.d_in, (seed,), root, batch_at, work.id, work.title, ahead=ahead)
        found.append(follow(job, x_ND, spent, progress))
    return found, order


def _together(found: list[Followed], training: TrainingConfig) -> TrainState:
    """The seeds as the state that a stack ends with; optimisers are not kept."""
    parameters = _stacked([one.parameters for one in found])
    snapshots = {step: np.stack([one.snapshots[step] for one in found]) for step in found[0].snapshots}
    history = {
        term: {step: np.array([one.history[term][step] for one in found]) for step in curve}
        for term, curve in found[0].history.items()
    }
    last = torch.zeros(parameters["W_dec"].shape[:2], dtype=torch.int64)
    return TrainState(parameters, {}, {}, last, training.steps, history, snapshots)


def _stacked(each: list[Parameters]) -> Parameters:
    return {name: torch.stack([p[name] for p in each]) for name in each[0]}
