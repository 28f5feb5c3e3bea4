"""Evidence of a survey's arms made by hand: pair matrices with known means, so that a claim's verdict is known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from types import SimpleNamespace
from typing import Any

import numpy as np
from scipy import stats

from husai.activations.source import PlantedSource
from husai.saes.config import TopKConfig
from husai.statistics.convergence import Convergence, convergence
from husai.statistics.intervals import pair_mean_difference
from husai.studies.claims.claim import AnyClaim
from husai.studies.claims.judged import Judged
from husai.studies.claims.verdict import judge_claims
from husai.studies.study import Controls
from husai.studies.surveys.plan import SurveyPlan, survey_plan
from husai.studies.surveys.survey import Setting, Survey, SurveyArm
from husai.tasks.planted import PlantedConfig
from husai.training.config import TrainingConfig

SEEDS = 5
Key = tuple[str, str, str, bool]  # arm, source, population, half


def topk_arms(ks: Iterable[int]) -> tuple[SurveyArm, ...]:
    """An arm `k4` for k = 4."""
    return tuple(SurveyArm(name=f"k{k}", sae=TopKConfig(d_sae=64, k=k)) for k in ks)


def survey(claims: Iterable[AnyClaim], arms: tuple[SurveyArm, ...] | None = None, margin: float = 0.05) -> Survey:
    """One planted setting `here`."""
    setting = Setting(
        name="here", title="by hand", source=PlantedSource(planted=PlantedConfig(d_in=32, n_features=64)),
        arms=arms or topk_arms((2, 4, 8)), training=TrainingConfig(steps=100), max_steps=400,
        controls=Controls(random_models=0), ranked=False,
    )  # fmt: skip
    return Survey(name="by-hand", question="?", settings=(setting,), claims=tuple(claims), margin=margin)


@dataclass
class Hand:
    """Mean stability by (arm, source), with the spread between seeds; everything else as it should be.

    `changed` replaces the mean of one arm, source, population and budget.
    """

    means: Mapping[tuple[str, str], float]
    spread: float = 0.004
    evs: Mapping[str, float] = field(default_factory=dict)
    changed: Mapping[Key, float] = field(default_factory=dict)
    early: tuple[str, ...] = ()
    collapsed: tuple[str, ...] = ()
    effective_rank: float = 4.0
    budgets: Mapping[str, int] = field(default_factory=dict)
    l0: Mapping[str, float] = field(default_factory=dict)
    half_evs: Mapping[str, float] = field(default_factory=dict)
    swamped: str = ""
    seed: int = 0
    drawn: bool = False  # the mean of the matrix is drawn too, and not exactly what is given

    def judge(self, declared: Survey) -> list[Judged]:
        """Every claim of the survey."""
        names = [arm.name for arm in declared.settings[0].arms]
        plan = survey_plan(declared, {("here", name): self.budgets.get(name, 200) for name in names})
        arms = {("here", name): HandArm(self, name, plan) for name in names}
        trained = {key: {g: self._trained(arm.name, arm, g) for g in arm.groups} for key, arm in arms.items()}
        return judge_claims(plan, arms, trained)  # type: ignore[arg-type]

    def _trained(self, name: str, arm: HandArm, group: str) -> Convergence:
        half = arm.matrix(group) + (0.2 if name in self.early else 0.0)
        change = pair_mean_difference(arm.matrix(group), half)
        return convergence(
            steps_half=100, steps_full=200, verdict_half="beyond", verdict_full="beyond", change=change, ev_half=0.9,
            ev_full=0.9, margin=0.05,
        )  # fmt: skip


@dataclass
class HandArm:
    """What claims read of an arm."""

    hand: Hand
    name: str
    plan: SurveyPlan
    groups = ("target", "gaussian")
    controls = ("gaussian",)

    @property
    def setting(self) -> Setting:
        """The one setting."""
        return self.plan.survey.settings[0]

    @property
    def arm(self) -> SurveyArm:
        """As declared."""
        return next(arm for arm in self.setting.arms if arm.name == self.name)

    def members(self, group: str) -> list[str]:
        """Each group is one source."""
        return [group]

    def labels(self, group: str) -> None:
        """No groups of seeds."""

    def matrix(self, source: str, population: str = "alive", half: bool = False) -> np.ndarray:
        """Mean, an effect of every seed, and noise of every pair."""
        mean = self.hand.changed.get((self.name, source, population, half), self.hand.means[self.name, source])
        rng = np.random.default_rng(hash_of(self.name, source, str(self.hand.seed)))
        effect_S, noise_SS = rng.standard_normal(SEEDS), rng.standard_normal((SEEDS, SEEDS))
        raw = self.hand.spread * (effect_S[:, None] + effect_S[None] + (noise_SS + noise_SS.T) / 2)
        off = raw[~np.eye(SEEDS, dtype=bool)]
        return mean + raw - (0.0 if self.hand.drawn else off.mean())

    def by_unit(self, name: str) -> tuple[list[float] | None, str]:
        """Explained variance of each seed; None where it is missing."""
        if np.isnan(self.hand.evs.get(self.name, 0.9)):
            return None, "seeds"
        rng = np.random.default_rng(hash_of(self.name, name, "ev"))
        noise = rng.standard_normal(SEEDS)
        return list(self.hand.evs.get(self.name, 0.9) + 0.001 * (noise - noise.mean())), "seeds"

    def mean(self, name: str, group: str, half: bool = False) -> float:
        """L0, and explained variance at half the steps."""
        if name == "l0":
            return self.hand.l0.get(self.name, 8.0)
        given = self.hand.evs.get(self.name, 0.9)
        return self.hand.half_evs.get(self.name, given) if half else given

    @property
    def matched(self) -> dict[str, bool]:
        """As requested."""
        return dict.fromkeys(self.groups, True)

    @property
    def collapsed(self) -> int:
        """Dictionaries that have collapsed."""
        return 1 if self.name in self.hand.collapsed else 0

    @property
    def swamped(self) -> list[str]:
        """Warnings of its coupling."""
        return [self.hand.swamped] if self.name in self.hand.swamped else []

    def node(self, source: str, half: bool = False) -> Any:
        """Measure node."""
        return self.plan.measure("here", source, self.name, half)

    @property
    def records(self) -> dict[str, Any]:
        """Of the activations."""
        rank = SimpleNamespace(get=lambda name: SimpleNamespace(value=self.hand.effective_rank))
        return {self.plan.activations["here", "target"].id: rank}


def passes_alone_only(hand: Hand, declared: Survey, arm: str, claims: int) -> Hand:
    """The same with arm's mean where its first claim passes at 95 %, and not as one of so many."""
    found = next(j for j in hand.judge(declared) if arm in j.claim.arms)
    D = found.elements[0].calls["gaussian"][1]
    assert D.se is not None and D.df is not None
    ts = [float(stats.t.isf(0.025 / m, D.df)) for m in (1, claims)]
    more = declared.margin + sum(ts) / 2 * D.se - D.value
    return replace(hand, means={**hand.means, (arm, "target"): hand.means[arm, "target"] + more})


def hash_of(*parts: str) -> int:
    """A number for a name, the same in every process."""
    return int.from_bytes(sha256("/".join(parts).encode()).digest()[:8], "big")
