"""A programme on disk without any training: a survey with claims and levels, a calibration, and what they decide.
Plans, conclusions and the store are real, the measured numbers made up. Loaded by `tests/conftest.py`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import numpy as np

from husai.activations.source import PlantedSource
from husai.report.programme_site import write_programme_report
from husai.saes.config import TopKConfig
from husai.statistics.intervals import pair_mean, pair_mean_difference, unit_mean
from husai.store.files import write_json
from husai.store.layout import building
from husai.store.provenance import now, provenance
from husai.store.record import Measurement, Provenance, RunRecord
from husai.studies.calibrations.calibration import CONFIRM, Calibration
from husai.studies.calibrations.choice import recommendation
from husai.studies.claims.claim import DifferenceClaim, PeakClaim
from husai.studies.measured import measured, over_pairs, single
from husai.studies.programmes.conclude import conclude_programme
from husai.studies.programmes.finished import Finished
from husai.studies.programmes.programme import Hypothesis, Programme
from husai.studies.study import Controls
from husai.studies.surveys.conclude import SurveyConclusion, conclude_survey
from husai.studies.surveys.evidence import ArmEvidence
from husai.studies.surveys.survey import Setting, Survey, SurveyArm
from husai.tasks.planted import PlantedConfig
from husai.training.config import TrainingConfig

ROWS = PlantedSource(planted=PlantedConfig(d_in=10, n_features=12, n_active=2, n_rows=400))
OTHERS = PlantedSource(planted=PlantedConfig(d_in=10, n_features=12, n_active=1, n_rows=400))
TRAINING = TrainingConfig(steps=64, batch=32, decay=0.5)
ALONE = Controls(random_models=0)
IDS = {"claimed": "aaaaaaaaaaaaaaaa", "calibrated": "bbbbbbbbbbbbbbbb", "programme": "cccccccccccccccc"}
LEVELS = {"trained": None, "untrained": 0.3, "permuted_decoder": 0.88}


@dataclass
class Both:
    """The programme, and the two surveys that it is made of."""

    root: Path
    folder: Path
    record: RunRecord
    upstream: dict[str, tuple[RunRecord, Path]]
    claimed: Any
    calibrated: Any


def claimed_survey() -> Survey:
    """Three k, nothing ranked; one claim of each state but one, two of them in a family."""
    arms = tuple(SurveyArm(name=f"k{k}", sae=TopKConfig(d_sae=12, k=k)) for k in (1, 2, 4))
    setting = Setting(
        name="sweep", title="planted rows & 2 of 12_features", source=ROWS, arms=arms, training=TRAINING, max_steps=64,
        controls=ALONE, ranked=False, levels=True,
    )  # fmt: skip
    claims = (
        DifferenceClaim(name="one-over-four", setting="sweep", a="k1", b="k4", factors=("k",), family="ks"),
        DifferenceClaim(
            name="two-over-four", setting="sweep", a="k2", b="k4", factors=("k",), family="ks", quality="lower"
        ),
        PeakClaim(name="peak", setting="sweep", arms=("k1", "k2", "k4"), field="k", factors=("k",)),
    )
    return Survey(
        name="claimed", question="Are features of fewer active latents more stable?", settings=(setting,), claims=claims
    )


def calibration() -> Calibration:
    """Three k, of which the smallest wins."""
    return Calibration(
        name="calibrated", source=OTHERS, sae=TopKConfig(d_sae=12), k=(1, 2, 4), training=TRAINING, max_steps=64,
        controls=ALONE,
    )  # fmt: skip


def programme() -> Programme:
    """Hypotheses of every state."""
    text = "What it says, at length, with 50% of {special} characters_"
    hypotheses = (
        Hypothesis(name="H1", title="fewer is stabler", text=text, rule="all", claims=("claimed/one-over-four",)),
        Hypothesis(name="H2", title="two beat four", text=text, rule="all", claims=("claimed/two-over-four",)),
        Hypothesis(name="H3", title="controls matter", text=text, rule="overturned", not_run=("more than 1 source",)),
        Hypothesis(name="H4", title="elsewhere", text=text, rule="not run", not_run=("100 % of it",)),
    )
    return Programme(
        name="programme", question="What holds of 4 hypotheses?", studies=(claimed_survey(), calibration()),
        hypotheses=hypotheses, remarks=("1 remark.",),
    )  # fmt: skip


def build(root: Path, surveys: ModuleType) -> Both:
    """Both surveys and the programme in one results folder."""
    with _kinds(surveys):
        scores = _claimed_scores(surveys)
        with mock.patch.object(surveys, "ID", IDS["claimed"]):
            claimed = surveys.build(root, claimed_survey(), scores)
        calibrated = build_calibration(root, surveys)
    return _programme(root, claimed, calibrated)


def _claimed_scores(surveys: ModuleType) -> Callable[[str], Any]:
    """k1: as stable as k4 on the rows, far more so beyond the control. k2: more stable on the rows, less beyond it."""
    found = {
        "k1": surveys.Scores(stable=0.8, control=0.2, explained=0.6),
        "k2": surveys.Scores(stable=0.95, control=0.93, explained=0.8),
        "k4": surveys.Scores(stable=0.8, control=0.5, explained=0.9),
    }
    return lambda name: found[name]


def build_calibration(root: Path, surveys: ModuleType) -> Any:
    """Search, confirmation and twins, with what may be recommended."""
    declared = calibration()
    stable = {1: 0.95, 2: 0.8, 4: 0.6}
    settings = (
        declared.search(), declared.confirmation(1, 64), *(declared.twin(known) for known in declared.twins(1)),
    )  # fmt: skip
    wanted = declared.survey(settings, declared.claims(1))

    def scores(name: str) -> Any:
        return surveys.Scores(stable=stable[int(name[1:])], control=0.3, explained=0.7)

    def concluded(made: Any, folders: Any, records: Any) -> SurveyConclusion:
        conclusion = conclude_survey(made, folders, records)
        evidence = {
            (setting.name, arm.name): ArmEvidence(made, setting, arm, folders, records)
            for setting in made.survey.settings
            for arm in setting.arms
        }
        found = recommendation(declared, evidence, conclusion.trained, conclusion.facts["claims"])
        return replace(conclusion, facts=conclusion.facts | {"calibration": found, "answer": found["words"]})

    assert CONFIRM in {setting.name for setting in wanted.settings}
    with (
        mock.patch.object(surveys, "ID", IDS["calibrated"]),
        mock.patch.object(surveys, "conclude_survey", concluded),
    ):
        return surveys.build(root, wanted, scores)


def _programme(root: Path, claimed: Any, calibrated: Any) -> Both:
    declared, both = programme(), {"claimed": claimed, "calibrated": calibrated}
    ms, facts = conclude_programme(declared, [Finished(n, b.record, b.folder) for n, b in both.items()])
    upstream = {f"study {name}": (one.record, one.folder) for name, one in both.items()}
    folder = root / "experiments" / "programme" / f"programme_20260102_{IDS['programme'][:8]}"
    with mock.patch("os.fsync"), building(folder, IDS["programme"]) as draft:
        record = RunRecord(
            id=IDS["programme"], kind="programme", name="programme", status="ran", config=declared.plain(),
            parents={role: found.id for role, (found, _) in upstream.items()}, provenance=provenance(now(), 1.25),
            measurements=ms, facts=facts,
        )  # fmt: skip
        write_programme_report(record, upstream, draft.path)
        record = draft.complete(record)
    return Both(root, folder, record, upstream, claimed, calibrated)


@contextmanager
def _kinds(surveys: ModuleType) -> Iterator[None]:
    """Nodes as in `built_survey`, with what claims, levels, projections and the figure over steps read besides."""

    def activations(role: str, node: Any, draft: Any, facts: dict[str, Any], *rest: Any) -> list[Measurement]:
        made = own["activations"](role, node, draft, facts, *rest)
        return [*made, single("effective_rank", 2.2, "dimensions", {}, "of the covariance")]

    def measure(role: str, node: Any, draft: Any, facts: dict[str, Any], *rest: Any) -> list[Measurement]:
        made = own["measure"](role, node, draft, facts, *rest)
        curves = {"steps": [0, 16, 64], "mcc_signed_alive": [0.3, None, 0.8], "cosine_to_init": [1.0, 0.7, 0.4]}
        write_json(draft.path / "trajectory.json", curves)
        return made

    own = dict(surveys._KINDS)
    new = {"activations": activations, "measure": measure, "levels": _levels, "projection": _projection}
    with mock.patch.dict(surveys._KINDS, new), _timed(surveys):
        yield


@contextmanager
def _timed(surveys: ModuleType) -> Iterator[None]:
    """Records say how long their steps took."""

    def timed(*args: Any, **more: Any) -> Provenance:
        return provenance(*args, **more).model_copy(update={"parts": {"steps": 12.5, "waiting_for_rows": 0.25}})

    with mock.patch.object(surveys, "provenance", timed):
        yield


def _levels(role: str, node: Any, draft: Any, facts: dict[str, Any], *_: Any) -> list[Measurement]:
    rng, made = np.random.default_rng([5, *role.encode()]), []
    trained = {p: _matrix(rng, 0.9) for p in ("all", "alive")}
    for name, value in LEVELS.items():
        made.append(_each("explained_variance", [0.9 if value is None else -0.2] * 5, {"level": name}))
        for metric in ("mcc_signed", "mean_max_cos"):
            for population, own in trained.items():
                scope = {"level": name, "population": population}
                matrix = own if value is None else _matrix(rng, value)
                made.append(over_pairs(metric, matrix, pair_mean, "cosine", scope))
                made.append(single(f"{metric}.deviation", 0.0125, "cosine, over pairs", scope, "describes the pairs"))
                made += [] if value is None else _against(metric, own, matrix, scope)
    facts |= {"levels": list(LEVELS)[1:], "refused": {"random_decoder": "this one has no decoder of 1 matrix"}}
    return made


def _against(metric: str, own: np.ndarray, other: np.ndarray, scope: dict[str, str]) -> list[Measurement]:
    difference = over_pairs(
        f"{metric}.difference", own - other, lambda m: pair_mean_difference(m, np.zeros_like(m)), "cosine", scope
    )
    return [difference, single(f"{metric}.ratio", 3.125, "trained over the level", scope, "see the difference")]


def _projection(role: str, node: Any, draft: Any, facts: dict[str, Any], *_: Any) -> list[Measurement]:
    level = 0.5 if role.endswith("k1") else 0.6
    values = [level + 0.001 * s for s in range(5)]
    each = [single("decoder_projection", v, "of rows", {"seed": str(s)}, "one seed") for s, v in enumerate(values)]
    return [*each, _each("decoder_projection", values, {}), _each("decoder_cosine", values, {})]


def _each(name: str, values: list[float], scope: dict[str, str]) -> Measurement:
    return measured(name, unit_mean(values, unit="seeds"), "share, 80 rows", scope)


def _matrix(rng: np.random.Generator, level: float) -> np.ndarray:
    own = 0.01 * rng.standard_normal(5)
    matrix = level + own[:, None] + own[None, :]
    np.fill_diagonal(matrix, 1.0)
    return matrix
