"""Evidence of arms in files, made by hand: groups of seeds, random-weight models, collapsed dictionaries, warnings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from claims_by_hand import hash_of
from husai.activations.source import PlantedSource, Source
from husai.saes.config import TopKConfig
from husai.statistics.convergence import Convergence, convergence
from husai.statistics.intervals import pair_mean
from husai.store.tensors import save_arrays
from husai.studies.claims.claim import DifferenceClaim
from husai.studies.claims.judged import Judged
from husai.studies.claims.verdict import judge_claims
from husai.studies.study import Controls
from husai.studies.surveys.evidence import ArmEvidence
from husai.studies.surveys.plan import first_budgets, survey_plan
from husai.studies.surveys.survey import Setting, Survey, SurveyArm
from husai.tasks.planted import PlantedConfig
from husai.training.config import TrainingConfig
from husai.training.coupling.config import JointConfig

PLANTED = PlantedSource(planted=PlantedConfig(d_in=32, n_features=64))
SETTLED = convergence(
    steps_half=50, steps_full=100, verdict_half="beyond", verdict_full="beyond", change=pair_mean(np.full((5, 5), 0.0)),
    ev_half=0.9, ev_full=0.9, margin=0.05,
)  # fmt: skip


def setting(source: Source = PLANTED, **more: Any) -> Setting:
    arms = (SurveyArm(name="k2", sae=TopKConfig(d_sae=64, k=2)), SurveyArm(name="k8", sae=TopKConfig(d_sae=64, k=8)))
    given = {"arms": arms, "controls": Controls(random_models=0)} | more
    return Setting(
        name="here", title="t", source=source, training=TrainingConfig(steps=100), max_steps=100, ranked=False, **given
    )


@dataclass
class Files:
    """Pair matrices on disk: a mean by (arm, source or group of sources), more inside a group of seeds, and noise."""

    root: Path
    means: Mapping[tuple[str, str], float]
    inside: float = 0.0
    over_all: Mapping[tuple[str, str], float] = field(default_factory=dict)
    collapsed: tuple[int, ...] = ()
    warned: str = ""
    models: float = 0.0

    def judge(self, declared: Setting) -> tuple[Judged, dict[str, ArmEvidence]]:
        """The claim that k2 is more stable than k8, and the evidence of both."""
        factor = "coupling" if declared.arms[0].coupling else "k"
        claim = DifferenceClaim(name="c", setting="here", a="k2", b="k8", factors=(factor,))
        survey = Survey(name="on-disk", question="?", settings=(declared,), claims=(claim,))
        plan = survey_plan(survey, first_budgets(survey))
        folders, records = {}, {}
        for (_, source, arm, _), node in plan.measures.items():
            folders[node.id] = self.root / node.id
            folders[node.id].mkdir(exist_ok=True)
            each = {f"mcc_signed|{of}": self._matrix(declared, source, arm, of) for of in ("alive", "all")}
            save_arrays(folders[node.id] / "pairs.safetensors", each)
            records[node.id] = SimpleNamespace(facts={"collapsed_seeds": list(self.collapsed)})
        for node in plan.stacks.values():
            records[node.id] = SimpleNamespace(facts={"warnings": [self.warned] if self.warned else []})
        for node in plan.before.values():
            records[node.id] = SimpleNamespace(facts={"sanity": {"readable": True}})
        arms = {
            ("here", arm.name): ArmEvidence(plan, declared, arm, folders, records)  # type: ignore[arg-type]
            for arm in declared.arms
        }
        trained: dict[tuple[str, str], dict[str, Convergence]] = {
            key: dict.fromkeys(arm.groups, SETTLED) for key, arm in arms.items()
        }
        (found,) = judge_claims(plan, arms, trained)
        return found, {name: arm for (_, name), arm in arms.items()}

    def _matrix(self, declared: Setting, source: str, arm: str, population: str) -> np.ndarray:
        group = "random_model" if source.startswith("random-model") else source
        own = source in ("target", "gaussian")
        n = declared.seeds if own else declared.controls.seeds_per_random_model
        rng = np.random.default_rng(hash_of(source, arm))
        noise_SS = 0.01 * rng.standard_normal((n, n))
        level = 0.0 if own else self.models * rng.standard_normal()
        mean = self.means[arm, group]
        mean = self.over_all.get((arm, group), mean) if population == "all" else mean
        of_S = np.arange(n) // (declared.group_size or 1)
        put_in_SS = self.inside * (of_S[:, None] == of_S) if arm == "k2" and source == "target" else 0.0
        return mean + level + put_in_SS + (noise_SS + noise_SS.T) / 2


FLAT = {(arm, group): 0.4 for arm in ("k2", "k8") for group in ("target", "gaussian", "random_model")}
COUPLED = (
    SurveyArm(name="k2", sae=TopKConfig(d_sae=64, k=2), coupling=JointConfig()),
    SurveyArm(name="k8", sae=TopKConfig(d_sae=64, k=2)),
)
