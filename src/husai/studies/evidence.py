"""From the measured matrices of a plan to the evidence that the decision rule asks for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from husai.errors import UserError
from husai.statistics.convergence import Convergence, convergence
from husai.statistics.decision import Contrast, Decision, Evidence, Sanity, call, decide, provisional
from husai.statistics.estimate import Estimate
from husai.statistics.intervals import (
    independent_difference,
    nested_pair_mean,
    pair_contrast,
    pair_mean,
    pair_mean_difference,
    unit_mean,
)
from husai.store.record import RunRecord
from husai.store.tensors import load_arrays
from husai.studies.caveats import Caveat, Condition, caveats, conditions, unequal_budgets
from husai.studies.node import Node
from husai.studies.plan import (
    GAUSSIAN,
    GAUSSIAN_2,
    PLANTED,
    PLANTED_GAUSSIAN,
    RANDOM_MODEL,
    TARGET,
    Plan,
    random_model,
)
from husai.studies.study import Study

STATISTIC = "mcc_signed"
Pairs = dict[tuple[str, str, int, str], np.ndarray]


@dataclass(frozen=True)
class Measured:
    """Matrices [S, S] of the statistic and explained variances, by source, arm, steps (and population).

    `budgets` are the arms' by their names; `half` means half of them, wherever it is an argument here.
    `conditions` is what is known of the dictionaries by source and arm, the random models as one source.
    """

    study: Study
    budgets: Mapping[str, int]
    pairs: Pairs
    ev: Mapping[tuple[str, str, int], float]
    sanity: Sanity
    conditions: Mapping[tuple[str, str], Condition] = field(default_factory=dict)

    def steps(self, arm: str, half: bool = False) -> int:
        """Budget of an arm, or half of it."""
        return self.budgets[arm] // 2 if half else self.budgets[arm]

    def matrix(self, source: str, arm: str, population: str, half: bool = False) -> np.ndarray:
        """Pairwise statistic of one arm on one source."""
        return self.pairs[source, arm, self.steps(arm, half), population]

    def arms(self) -> tuple[str, str]:
        """Names of arm a and arm b."""
        a, b = self.study.arms
        return a.name, b.name

    @property
    def random_models(self) -> list[str]:
        """Sources captured from random-weight models."""
        return [random_model(i) for i in range(self.study.controls.random_models)] if self.study.has_model else []


def gather(plan: Plan, folders: Mapping[str, Path], records: Mapping[str, RunRecord]) -> Measured:
    """Read what the measure nodes of a plan found; `folders` and `records` are by node id."""
    pairs: Pairs = {}
    ev = {}
    for (source, arm, steps), node in plan.measures.items():
        arrays = load_arrays(folders[node.id] / "pairs.safetensors")
        for population in ("alive", "all"):
            pairs[source, arm, steps, population] = _comparable(arrays[f"{STATISTIC}|{population}"], node)
        value = records[node.id].get("explained_variance").value
        ev[source, arm, steps] = float("nan") if value is None else value
    sanity: Sanity = "no model"
    if plan.model is not None:
        sanity = "sane" if records[plan.model.id].facts["sanity"]["readable"] else "not sane"
    return Measured(plan.study, plan.budgets, pairs, ev, sanity, conditions(plan, records))


def _comparable(matrix_SS: np.ndarray, node: Node) -> np.ndarray:
    missing = np.argwhere(np.isnan(matrix_SS) & ~np.eye(len(matrix_SS), dtype=bool))
    if len(missing):
        i, j = missing[0]
        raise UserError(
            f"{node.title}: seeds {i} and {j} have no latent that fires, so there is nothing to compare: lower the "
            "learning rate or the penalty"
        )
    return matrix_SS


def stability(m: Measured, source: str, arm: str, population: str = "alive", half: bool = False) -> Estimate:
    """M of one arm on one source; for the random models, over models."""
    if source == RANDOM_MODEL:
        return nested_pair_mean([m.matrix(s, arm, population, half) for s in m.random_models])
    return pair_mean(m.matrix(source, arm, population, half))


def difference(m: Measured, source: str, population: str = "alive", half: bool = False) -> Estimate:
    """M_a - M_b on one source; for the random models each model has one difference."""
    a, b = m.arms()
    if source == RANDOM_MODEL:
        values = [
            pair_mean(m.matrix(s, a, population, half)).value - pair_mean(m.matrix(s, b, population, half)).value
            for s in m.random_models
        ]
        return unit_mean(values, unit="models")
    return pair_mean_difference(m.matrix(source, a, population, half), m.matrix(source, b, population, half))


def excess(m: Measured, over: str, control: str, population: str = "alive", half: bool = False) -> Estimate:
    """D_c = (M_a - M_b) on `over` minus the same on `control`; shared seeds are deleted from all four at once."""
    if control == RANDOM_MODEL:
        return independent_difference(
            difference(m, over, population, half), difference(m, RANDOM_MODEL, population, half)
        )
    a, b = m.arms()
    terms = [(1, over, a), (-1, over, b), (-1, control, a), (1, control, b)]
    return pair_contrast([(float(w), m.matrix(source, arm, population, half)) for w, source, arm in terms])


def controls(m: Measured) -> tuple[str, ...]:
    """Trained controls of the target."""
    return (GAUSSIAN, RANDOM_MODEL) if m.random_models else (GAUSSIAN,)


def concerns(m: Measured) -> list[Caveat]:
    """What must stand beside the verdict, or blocks it: collapsed or mostly dead dictionaries, budgets."""
    return unequal_budgets(m.budgets) + [
        caveat
        for (source, arm), found in m.conditions.items()
        for caveat in caveats(source, arm, m.arms(), found, *(_value(m, source, arm, p) for p in ("alive", "all")))
    ]


def _value(m: Measured, source: str, arm: str, population: str) -> float:
    return stability(m, source, arm, population).value


def evidence(m: Measured, converged: Mapping[str, bool | None], half: bool = False) -> Evidence:
    """What the rule looks at."""
    a, b = m.arms()

    def contrast(name: str) -> Contrast:
        return Contrast(name, excess(m, TARGET, name, "alive", half), excess(m, TARGET, name, "all", half))

    target = Contrast(TARGET, difference(m, TARGET, "alive", half), difference(m, TARGET, "all", half))
    positive = excess(m, PLANTED, PLANTED_GAUSSIAN, "alive", half) if m.study.positive else None
    return Evidence(
        arm_a=a,
        arm_b=b,
        target=target,
        controls=tuple(contrast(name) for name in controls(m)),
        positive=positive,
        negative=excess(m, GAUSSIAN, GAUSSIAN_2, "alive", half),
        converged=converged,
        model=m.sanity,
        varied=m.study.training.vary,
        margin=m.study.margin,
        collapsed=tuple(c.text for c in concerns(m) if c.blocks),
    )


def check_convergence(m: Measured) -> dict[tuple[str, str], Convergence]:
    """Whether T/2 and T steps agree, T each arm's, for every arm on every source (the random models together)."""
    found = {}
    for source in _groups(m):
        for arm in m.arms():
            found[source, arm] = convergence(
                steps_half=m.steps(arm, half=True),
                steps_full=m.steps(arm),
                verdict_half=_answer(m, source, half=True),
                verdict_full=_answer(m, source, half=False),
                change=_change(m, source, arm),
                ev_half=_mean_ev(m, source, arm, half=True),
                ev_full=_mean_ev(m, source, arm, half=False),
                margin=m.study.margin,
            )
    return found


def _answer(m: Measured, source: str, half: bool) -> str:
    """What the rule says, at the budgets or half of them, of the question for which a source is there."""
    if source in (PLANTED, PLANTED_GAUSSIAN):
        return call(excess(m, PLANTED, PLANTED_GAUSSIAN, "alive", half), m.study.margin)[0]
    if source == GAUSSIAN_2:
        return call(excess(m, GAUSSIAN, GAUSSIAN_2, "alive", half), m.study.margin)[0]
    return provisional(evidence(m, {}, half))


def _groups(m: Measured) -> list[str]:
    """Sources, with the random models as one."""
    sources = list(dict.fromkeys(source for source, *_ in m.pairs))
    single = [s for s in sources if s not in m.random_models]
    return [*single, RANDOM_MODEL] if m.random_models else single


def _change(m: Measured, source: str, arm: str) -> Estimate:
    if source == RANDOM_MODEL:
        values = [
            pair_mean(m.matrix(s, arm, "alive")).value - pair_mean(m.matrix(s, arm, "alive", half=True)).value
            for s in m.random_models
        ]
        return unit_mean(values, unit="models")
    return pair_mean_difference(m.matrix(source, arm, "alive"), m.matrix(source, arm, "alive", half=True))


def _mean_ev(m: Measured, source: str, arm: str, half: bool) -> float:
    sources = m.random_models if source == RANDOM_MODEL else [source]
    return float(np.mean([m.ev[s, arm, m.steps(arm, half)] for s in sources]))


def judge(m: Measured) -> tuple[Decision, dict[tuple[str, str], Convergence]]:
    """Convergence first, then the verdict."""
    trained = check_convergence(m)
    converged = {f"{source} {arm}": None if c.too_few else c.converged for (source, arm), c in trained.items()}
    return decide(evidence(m, converged)), trained
