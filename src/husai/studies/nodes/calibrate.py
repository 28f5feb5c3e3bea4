"""Node `calibrate`: the value of an architecture's knob that gives a requested L0 on these rows, found by training.

The SAEs that are trained are none of those that are compared: their seeds are kept for this. What was tried is kept
after every training, so that a killed search goes on.
"""

from __future__ import annotations

import shutil
from typing import Any

import numpy as np

from husai.evals.fidelity import fidelity
from husai.saes.config import AnySAEConfig
from husai.store.files import read_json, write_json
from husai.store.record import Measurement
from husai.studies.measured import single
from husai.studies.node import Outcome, Work
from husai.studies.nodes.job import SAE, job_on, stack_of
from husai.studies.nodes.rows import Rows, open_rows
from husai.training.calibration import Calibrated, calibrate
from husai.training.config import TrainingConfig
from husai.training.knobs import SEARCHED, with_value
from husai.training.trainer import train

TRIED, TRIAL = "tried.json", "trial"


def run(work: Work) -> Outcome:
    """Search; the config with the value that came nearest goes into the facts."""
    config = SAE.validate_python(work.fields["sae"])
    training, wanted = TrainingConfig.parse(work.fields["training"]), float(work.fields["l0"])
    rows = open_rows(work.folders["activations"], training, work.fields["root_seed"])
    knob = SEARCHED[config.kind]
    before: dict[str, float] = read_json(work.draft / TRIED) if (work.draft / TRIED).exists() else {}

    def l0_of(value: float) -> float:
        if repr(value) not in before:
            before[repr(value)] = _l0(work, with_value(config, value), training, rows, len(before))
            write_json(work.draft / TRIED, before)
        return before[repr(value)]

    found = calibrate(
        l0_of,
        work.parent("near").get("knob").value or 1.0 if "near" in work.parents else knob.start(config, wanted),
        wanted,
        rises=knob.rises,
        whole=knob.whole,
        highest=knob.highest(config, rows.cache.d_in),
    )
    return Outcome(_measurements(found), _facts(config, found), {"seeds": work.fields["seeds"]}, scratch={TRIED})


def _l0(work: Work, config: AnySAEConfig, training: TrainingConfig, rows: Rows, trial: int) -> float:
    """Mean L0 on held-out rows after one training of each seed."""
    title = f"{work.title}, try {trial + 1}"
    job, _ = job_on(work, config, training, rows, tuple(work.fields["seeds"]), f"{work.id}-{trial}", title)
    trained = train(job, work.draft / TRIAL)
    shutil.rmtree(work.draft / TRIAL)
    stack, x = stack_of(trained, job, rows), rows.held_out()
    return float(np.mean([fidelity(stack[i], x).l0 for i in range(len(stack))]))


def _measurements(found: Calibrated) -> list[Measurement]:
    unit, why = "latents per row, held-out rows, mean of a few SAEs", "the search stops within its tolerance"
    return [
        single("calibrated_l0", found.l0, unit, {}, why),
        single("requested_l0", found.wanted, "latents per row", {}, "what was asked for"),
        single("knob", found.value, "the architecture's own", {}, "found by search"),
    ]


def _facts(config: AnySAEConfig, found: Calibrated) -> dict[str, Any]:
    return {
        "sae": with_value(config, found.value).plain(),
        "reached": found.reached,
        "tried": [{"value": t.value, "l0": t.l0} for t in found.tried],
    }
