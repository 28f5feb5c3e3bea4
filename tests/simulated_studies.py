"""Simulated studies of two arms: what the decision rule is given when every effect is known.

Each arm has its own seeds ("independent") or both share them; every control has noise of its own, but for `exact` ones,
whose difference is known. A random model adds to each pair value an effect of its own, and is the unit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from husai.seeds import Role
from husai.statistics.decision import Contrast, Decision, Evidence, decide
from husai.statistics.estimate import Estimate, estimate
from husai.statistics.intervals import (
    independent_difference,
    nested_pair_mean,
    pair_contrast,
    pair_mean,
    pair_mean_difference,
)
from simulated_arms import Process

Arm = np.ndarray
PASSED = estimate(0.5, 0.001, 9, level=0.95, method="simulated", n=10, unit="seeds")
FAILED = estimate(0.0, 1e-12, 9, level=0.95, method="simulated", n=10, unit="seeds")


@dataclass(frozen=True)
class Design:
    """What is simulated: the process of an arm, n seeds, and the differences a - b of target and controls.

    `controls` are the true differences on the Gaussian and, where there are two, on random models.
    """

    process: Process
    n: int
    effect: float = 0.0
    controls: tuple[float, ...] = (0.0,)
    same_seeds: bool = False
    exact: bool = False
    models: int = 5
    model_sd: float = 0.0


def studied(rng: np.random.Generator, design: Design, margin: float, arms: int = 1) -> list[Decision]:
    """One study: `arms` arms, each against the one baseline, with all claims open; a verdict for each."""
    baseline = _sources(rng, design, 0.0, ())
    made = []
    for _ in range(arms):
        own = _sources(rng, design, design.effect, design.controls)
        target = difference(own[0], baseline[0], design.same_seeds)
        controls = [Contrast("gaussian", *2 * (_against(design, own, baseline, target),))]
        if len(design.controls) == 2:
            D = independent_difference(target, _random_models(rng, design))
            controls.append(Contrast("random_model", D, D))
        made.append(_decided(target, controls, margin, arms))
    return made


def difference(a: Arm, b: Arm, same_seeds: bool) -> Estimate:
    """a - b as the command line takes it."""
    return pair_mean_difference(a, b) if same_seeds else independent_difference(pair_mean(a), pair_mean(b))


def _sources(rng: np.random.Generator, design: Design, effect: float, controls: Sequence[float]) -> list[Arm]:
    """The matrices of one arm on the target and on the Gaussian."""
    means = (0.5 + effect, 0.3 + (controls[0] if controls else 0.0))
    return [design.process.arm(rng, design.n, mean) for mean in means]


def _against(design: Design, a: list[Arm], b: list[Arm], target: Estimate) -> Estimate:
    """D against the Gaussian: with the same seeds a contrast of all four matrices, else a difference of differences."""
    if design.exact:
        known = design.controls[0]
        return estimate(
            target.value - known, target.se, target.df, level=0.95, method="exact", n=target.n, unit="seeds"
        )
    if design.same_seeds:
        return pair_contrast([(1, a[0]), (-1, b[0]), (-1, a[1]), (1, b[1])])
    return independent_difference(target, difference(a[1], b[1], same_seeds=False))


def _random_models(rng: np.random.Generator, design: Design) -> Estimate:
    """a - b on random models, two SAE seeds each, both arms on the same models; the unit is the model."""
    drawn = design.model_sd * rng.standard_normal(design.models) + design.controls[1]
    pairs = [design.process.arm(rng, 2, mean) - design.process.arm(rng, 2) for mean in drawn]
    return nested_pair_mean(pairs)


def _decided(target: Estimate, controls: list[Contrast], margin: float, claims: int) -> Decision:
    """The real rule, with controls of the method that hold."""
    return decide(
        Evidence(
            arm_a="a",
            arm_b="b",
            target=Contrast("target", target, target),
            controls=tuple(controls),
            positive=PASSED,
            negative=FAILED,
            converged={"a": True, "b": True},
            model="sane",
            varied=(Role.SAE_INIT,),
            margin=margin,
            claims=claims,
        )
    )
