"""What must hold before the decision rule may say anything. Each failure is a reason in words and in code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from husai.statistics.estimate import MIN_UNITS, Estimate, show, too_few

Code = Literal[
    "not run",
    "refused",
    "missing control",
    "too few units",
    "wrong unit",
    "collapsed",
    "undertrained",
    "unmatched",
    "positive control",
    "negative control",
    "opposite signs",
]
Pair = tuple[Estimate, Estimate]
MANDATORY = "gaussian"


@dataclass(frozen=True)
class Reason:
    """Why there is no verdict."""

    code: Code
    text: str


def check(
    *,
    target: Pair,
    controls: Mapping[str, Pair],
    positive: str | None,
    negative: str | None,
    converged: Mapping[str, bool | None],
    model: str,
    unmatched: tuple[str, ...],
    collapsed: tuple[str, ...],
    method: bool = True,
) -> tuple[Reason, ...]:
    """Every reason against a verdict, the gravest first; empty when the rule may speak.

    Pairs are (alive, all). `positive` and `negative` are what the rule itself said of the two controls of the method;
    with `method` False they are not asked for: one of many claims, whose method is checked elsewhere.
    `collapsed` are sentences about arms of the target whose dictionaries collapsed: their agreement means nothing.
    """
    return tuple(
        _model(model)
        + _present(controls)
        + _units(controls)
        + [Reason("collapsed", text) for text in collapsed]
        + _trained(converged)
        + [Reason("unmatched", f"the arms also differ in {name}") for name in unmatched]
        + (_method(positive, negative) if method else [])
        + _signs({"the target": target} | {f"the contrast with {c}": pair for c, pair in controls.items()})
    )


def _model(model: str) -> list[Reason]:
    if model in ("sane", "no model"):
        return []
    text = "the target model is not sane" if model == "not sane" else "the sanity of the target model was not checked"
    return [Reason("refused", f"refused: {text}")]


def _present(controls: Mapping[str, Pair]) -> list[Reason]:
    if MANDATORY in controls:
        return []
    return [Reason("missing control", f"the mandatory control {MANDATORY} is missing")]


def _units(controls: Mapping[str, Pair]) -> list[Reason]:
    reasons = []
    for name, (alive, _) in controls.items():
        if alive.n < MIN_UNITS or not alive.bounded:
            text = alive.note if alive.note and not alive.bounded else too_few(alive.n, alive.n_unit)
            reasons.append(Reason("too few units", f"{name}: {text}"))
        elif name == "random_model" and "models" not in alive.n_unit:
            reasons.append(Reason("wrong unit", f"{name}: the unit must be the model, not {alive.n_unit}"))
    return reasons


def _trained(converged: Mapping[str, bool | None]) -> list[Reason]:
    if not converged:
        return [Reason("undertrained", "convergence was not checked")]
    texts = {False: "is undertrained: it had not converged at the cap", None: "was not checked for convergence"}
    return [Reason("undertrained", f"{arm} {texts[ok]}") for arm, ok in converged.items() if ok is not True]


def _method(positive: str | None, negative: str | None) -> list[Reason]:
    reasons = []
    if positive != "beyond":
        said = "is missing" if positive is None else f"says '{positive}' where the answer is yes"
        reasons.append(Reason("positive control", f"the positive control {said}"))
    if negative != "not beyond":
        said = "is missing" if negative is None else f"says '{negative}' where the answer is no"
        reasons.append(Reason("negative control", f"the negative control {said}"))
    return reasons


def _signs(contrasts: Mapping[str, Pair]) -> list[Reason]:
    return [
        Reason(
            "opposite signs",
            f"{name} has opposite signs over alive latents ({show(alive.value)}) and all latents ({show(every.value)})",
        )
        for name, (alive, every) in contrasts.items()
        if opposite(alive, every)
    ]


def opposite(alive: Estimate, every: Estimate) -> bool:
    """Whether a difference over alive latents has another sign than over all of them."""
    return alive.value * every.value < 0
