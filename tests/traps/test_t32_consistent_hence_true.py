"""T32. "Consistent, hence true": seeds agreed at .81 on features that were at .73 from the planted ones. husai matches
both to the planted dictionary, puts the two numbers side by side in record, tables and terminal, and says in words
which is larger; nowhere does it call features true because seeds share them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import husai.studies.nodes.measure as measure_code
import husai.studies.nodes.stack as stack_code
from husai.activations.source import PlantedSource
from husai.report.cells import plain
from husai.report.tables import planted as planted_table
from husai.report.view import View
from husai.saes.config import TopKConfig
from husai.saes.stack import SAEStack, load_stack
from husai.statistics.intervals import unit_mean
from husai.store.audit import audit
from husai.store.index import Results
from husai.store.record import RunRecord
from husai.studies.executors.worker import compute
from husai.studies.measured import measured
from husai.studies.node import work_of
from husai.studies.plan import activations_nodes, measure_node, stack_node
from husai.studies.presenting import present
from husai.studies.presenting.survey import survey_answer
from husai.studies.recovered import recovered
from husai.studies.study import Controls
from husai.studies.surveys.run import SurveyRun
from husai.studies.surveys.survey import Setting, Survey, SurveyArm
from husai.tasks import planted as planted_code
from husai.tasks.planted import PlantedConfig, draw_dictionary
from husai.training.config import TrainingConfig
from in_process import InProcess

DATA = PlantedConfig(d_in=16, n_features=24, n_active=2, n_rows=2000)
WRONG = "they agree on features that were not planted, so that their agreement does not show that these are right"
# What no page, table or sentence may say of features because seeds share them.
CLAIMS = re.compile(
    r"\b(true|real|genuine|correct) (features|latents)|(features|latents) (are|is) (true|real|genuine)", re.I
)


def sums_of_pairs(seed: int, noise: float, part: float = 1.0) -> np.ndarray:
    """Every planted feature with (a part of) its neighbour in one latent, all seeds the same but for some noise."""
    truth = draw_dictionary(DATA)
    made = truth + part * np.roll(truth, 1, axis=0)
    made /= np.linalg.norm(made, axis=1, keepdims=True)
    made = made + noise * np.random.default_rng(seed).standard_normal(made.shape) / 4
    return (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)


def planted_features(seed: int, noise: float) -> np.ndarray:
    """What was planted but for errors of every seed's own."""
    made = draw_dictionary(DATA) + noise * np.random.default_rng(seed).standard_normal((24, 16)) / 4
    return (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)


def by_hand(make: Callable[[int, float], np.ndarray], noise: float, seeds: int, root: Path) -> RunRecord:
    """The record of the measure node on dictionaries that were written down, not trained."""

    def written(path: Path) -> SAEStack:
        stack = load_stack(path)
        W = torch.from_numpy(np.stack([make(seed, noise) for seed in range(seeds)]))
        return replace(stack, parameters={**stack.parameters, "W_dec": W, "W_enc": W.clone()})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measure_code, "load_stack", written)
        patch.setattr(stack_code, "warn", lambda text: None)
        (data,) = activations_nodes(PlantedSource(planted=DATA), 0)
        training = TrainingConfig(steps=1, batch=64)
        stack = stack_node(TopKConfig(d_sae=24, k=2), training, 1, tuple(range(seeds)), 0, data, "x")
        measure = measure_node(stack, data, 0, "m")
        return [compute(work_of(node, Results(root)), root) for node in (data, stack, measure)][-1]


def value(record: RunRecord, name: str, **scope: str) -> float:
    found = record.get(name, **scope).value
    assert found is not None
    return found


def test_features_that_all_seeds_have_wrong(tmp_path: Path) -> None:
    record = by_hand(sums_of_pairs, 0.15, 5, tmp_path)
    between, to_truth = value(record, "mcc_signed", population="alive"), value(record, "mcc_to_truth")
    assert between > 0.95 and to_truth < 0.85
    assert value(record, "matched_to_truth") == pytest.approx(to_truth)
    found = recovered(record)
    assert found is not None and found.shared_errors and found.words.endswith(WRONG)
    assert f"{between:.4g} (" in found.words and f"{to_truth:.4g} (" in found.words
    shown = present.record(record)
    assert found.words in shown and f"{to_truth:.4g}" in shown and not CLAIMS.search(shown)


def test_the_published_numbers_are_told_apart(tmp_path: Path) -> None:
    """.81 between seeds and .73 to the truth."""
    record = by_hand(partial(sums_of_pairs, part=0.7), 0.49, 5, tmp_path)
    assert value(record, "mcc_signed", population="alive") == pytest.approx(0.81, abs=0.05)
    assert value(record, "matched_to_truth") == pytest.approx(0.73, abs=0.04)
    found = recovered(record)
    assert found is not None and found.shared_errors


def test_errors_of_every_seed_s_own_are_not_accused(tmp_path: Path) -> None:
    record = by_hand(planted_features, 0.5, 5, tmp_path)
    assert value(record, "mcc_signed", population="alive") < value(record, "matched_to_truth")
    found = recovered(record)
    assert found is not None and found.shared_errors is False
    assert found.words.endswith("their agreement is not shown to be more than that with the planted features")
    assert not CLAIMS.search(found.words)


def test_with_few_seeds_nothing_is_said_of_shared_errors(tmp_path: Path) -> None:
    found = recovered(by_hand(sums_of_pairs, 0.15, 3, tmp_path))
    assert found is not None and found.shared_errors is None
    assert found.words.endswith("too few seeds to tell whether they share errors")


@pytest.fixture
def always_together(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Planted features that come in pairs, always both: no training can tell them apart, and all seeds agree."""
    plain_codes = planted_code.draw_codes

    def in_pairs(config: PlantedConfig) -> tuple[np.ndarray, np.ndarray]:
        half = config.model_copy(update={"n_features": config.n_features // 2, "n_active": config.n_active // 2})
        indices, values = plain_codes(half)
        return np.stack([2 * indices, 2 * indices + 1], -1).reshape(len(indices), -1), np.repeat(values, 2, axis=1)

    monkeypatch.setattr(planted_code, "draw_codes", in_pairs)
    monkeypatch.setattr(stack_code, "warn", lambda text: None)
    return


@pytest.mark.usefixtures("always_together")
def test_trained_seeds_that_agree_on_what_was_not_planted(tmp_path: Path) -> None:
    """A survey, whose record, tables and terminal say it."""
    source = PlantedSource(planted=PlantedConfig(d_in=16, n_features=16, n_active=4, n_rows=2000))
    setting = Setting(
        name="pairs", title="features in pairs", source=source, max_steps=600, controls=Controls(random_models=0),
        arms=(SurveyArm(name="topk", sae=TopKConfig(d_sae=8), l0=2),),
        training=TrainingConfig(steps=600, batch=128, lr=1e-2),
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("husai.studies.computing.LocalExecutor", InProcess)
        folder, record = SurveyRun(Survey(name="t32", question="which?", settings=(setting,)), tmp_path).start()
    (arm,) = record.facts["arms"]
    where = {"setting": "pairs", "arm": "topk", "source": "target"}
    between = value(record, "mcc_signed", **where, population="alive")
    to_truth = value(record, "matched_to_truth", **where)
    assert between > 0.9 and to_truth < 0.85
    assert arm["truth"]["state"] == "not true"
    _, said = survey_answer(folder, record)
    assert f"pairs topk: {arm['truth']['words']}" in said
    assert not CLAIMS.search(said) and not CLAIMS.search((folder / "summary.md").read_text())


def test_the_page_and_the_summary_of_a_study_say_it(studies: Any, tmp_path: Path) -> None:
    def alter(node: Any, made: list[Any], facts: dict[str, Any]) -> list[Any]:
        to_truth = unit_mean([0.73, 0.74, 0.72, 0.73, 0.735], unit="seeds")
        planted = [m for m in made if m.name == "mcc_to_truth" and not m.scope]
        return made + [measured("matched_to_truth", to_truth, "cosine", {}) for _ in planted]

    built = studies.build(tmp_path / "results", studies.Wanted(alter=alter))
    facts, view = built.record.facts, View.of(built.record, built.upstream)
    assert [text.partition(":")[0] for text in facts["recovery"]] == ["planted k2", "planted k4"]
    assert facts["recovery"][0].endswith(WRONG)
    assert facts["recovery"][0] in facts["caveats"] and facts["recovery"][1] not in facts["caveats"]
    made = planted_table(view)
    assert plain(made.caption) == "Agreement between seeds and with the planted dictionary"
    row = [plain(cell) for cell in made.rows[0]]
    between = value(built.record, "mcc_signed", source="planted", arm="k2", population="alive")
    assert row[2].startswith(f"{between:.3f}"[:4])
    assert row[5].startswith("0.73")
    page = " ".join(re.sub(r"<[^>]*>", " ", (built.folder / "report.html").read_text()).split())
    summary = (built.folder / "summary.md").read_text()
    for text in (page, summary, present.verdict(built.folder, built.record)[1]):
        assert WRONG in text and not CLAIMS.search(text)
    assert audit(built.root).passed
