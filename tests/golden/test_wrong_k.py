"""The golden row "stability can prefer the wrong k" (2508.16560), through the same nodes as any study: the order.

Published of planted, correlated rows with a true L0 of 7.7, k = 2, 4, 8, 16: between seeds .753 .688 .649 .463, to the
truth .620 .683 .697 .552; the rest of the set-up is not known, so that the order is what counts. Here: d = 56, 128
features, frequencies by Zipf's law with exponent .5, activities correlated through 4 factors that are .9 of the
variance of each latent normal, coefficients abs(N(1, .15)), 20,000 rows; TopK F = 128, Adam 1e-3 decayed over the last
fifth, batch 512, 3,000 steps, 5 seeds, all rows for training and evaluation.

Measured, k = 2, 4, 8, 16: between seeds .790 .741 .690 .530, to the truth .581 .676 .716 .612; 2.8 minutes on a busy
core. It is the order at a budget: with longer training k = 8 comes nearer to the truth, hence to itself. At 6,000
steps (3 seeds, k = 2, 4, 8) it is .814 .793 .798 and .581 .708 .805: k = 2 is still the most stable, k = 8 the truest,
but agreement no longer falls at every step. Set-ups in which the order does not come out are in LOG.md.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from husai.activations.source import PlantedSource
from husai.saes.config import TopKConfig
from husai.store.index import Results
from husai.store.record import RunRecord
from husai.studies.executors.worker import compute
from husai.studies.node import work_of
from husai.studies.plan import activations_nodes, measure_node, stack_node
from husai.tasks.structured import StructuredConfig
from husai.training.config import TrainingConfig

PLANTED = StructuredConfig(
    d_in=56,
    n_features=128,
    mean_active=7.7,
    zipf=0.5,
    children=0,
    correlated="low_rank",
    correlation=0.9,
    n_factors=4,
    coefficients="near_one",
    n_rows=20_000,
)
TRAINING = TrainingConfig(steps=3000, batch=512, lr=1e-3, decay=0.2, held_out=0)
CLEAR = 0.01


def value(record: RunRecord, name: str, **scope: str) -> float:
    """A measured value; missing is a failure."""
    found = record.get(name, **scope).value
    assert found is not None, name
    return found


@pytest.mark.slow
def test_the_most_stable_k_is_not_the_true_one(tmp_path: Path) -> None:
    (data,) = activations_nodes(PlantedSource(planted=PLANTED), 0)
    assert value(compute(work_of(data, Results(tmp_path)), tmp_path), "true_l0") == pytest.approx(7.7, abs=0.1)
    between, to_truth = {}, {}
    for k in (2, 4, 8, 16):
        stack = stack_node(TopKConfig(d_sae=128, k=k), TRAINING, TRAINING.steps, tuple(range(5)), 0, data, f"k={k}")
        measure = measure_node(stack, data, 0, f"measure k={k}")
        *_, found = (compute(work_of(node, Results(tmp_path)), tmp_path) for node in (stack, measure))
        between[k], to_truth[k] = value(found, "mcc_signed", population="alive"), value(found, "mcc_to_truth")
        print(f"k={k}: between seeds {between[k]:.3f}, to the truth {to_truth[k]:.3f}", end=", ")
        print(*(f"{m.name} {m.value:.3f}" for m in found.measurements if "_truth(0.7" in m.name and not m.scope))
    assert between[2] > between[4] + CLEAR > between[8] + 2 * CLEAR > between[16] + 3 * CLEAR
    assert to_truth[8] > to_truth[4] + CLEAR > to_truth[2] + 2 * CLEAR and to_truth[8] > to_truth[16] + CLEAR
    assert between[2] > to_truth[2] + CLEAR, "what the seeds agree on at k = 2 is not what was planted"
