"""Is the model worth reading? It must answer held-out rows from the operands, not copy a label that it was given."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from husai.errors import Refused
from husai.models.counterfactual import Changed, change_operand, swap_token
from husai.models.predict import Answering, answers
from husai.seeds import Role, generator
from husai.tasks.leak import chance_level, context_columns, leaking_columns, rule_from, unseen_share
from husai.tasks.task import Task

ACCURACY = 0.99  # least share of held-out rows answered correctly
LIFT = 0.9  # least (accuracy - chance) / (1 - chance): .99 of a label that is constant in .99 of rows is nothing
FOLLOWED = 0.95  # least share of counterfactual questions answered with the new answer
MARGIN = 0.05  # most by which a token that is no operand may beat the constant guess
ROWS = 2048  # held-out rows per intervention


State = Literal["passed", "failed", "not needed"]


@dataclass(frozen=True)
class SanityCheck:
    """One check: `value` must be `side` (at least / at most) `threshold`.

    `chance` is what the same number would be without what the check looks for. `not_needed` says why there is nothing
    to measure; without such a reason a value that is missing is a failure.
    """

    name: str
    value: float | None
    chance: float
    side: Literal["at least", "at most"]
    threshold: float
    what: str
    not_needed: str = ""

    @property
    def state(self) -> State:
        """Whether the value is on the right side; what was not measured never counts as passed."""
        if self.value is None:
            return "not needed" if self.not_needed else "failed"
        good = self.value >= self.threshold if self.side == "at least" else self.value <= self.threshold
        return "passed" if good else "failed"

    @property
    def sentence(self) -> str:
        """The check in words, made from its numbers."""
        if self.value is None:
            return f"{self.what}: " + (
                f"not needed, {self.not_needed}" if self.not_needed else "nothing to measure: FAILED"
            )
        verdict = "FAILED" if self.state == "failed" else self.state
        return (
            f"{self.what}: {_percent(self.value)} (chance {_percent(self.chance)}; "
            f"{self.side} {_percent(self.threshold)} is asked): {verdict}"
        )


@dataclass(frozen=True)
class SanityReport:
    """All checks of one model on one task."""

    task: str
    held_out_rows: int
    checks: tuple[SanityCheck, ...]

    @property
    def readable(self) -> bool:
        """Whether no check failed."""
        return not self.failures

    @property
    def failures(self) -> list[str]:
        """Sentences of the checks that failed."""
        return [check.sentence for check in self.checks if check.state == "failed"]

    def __getitem__(self, name: str) -> SanityCheck:
        """The check of that name; KeyError if there is none."""
        return {check.name: check for check in self.checks}[name]

    def plain(self) -> dict[str, Any]:
        """JSON-ready dict, states and sentences included."""
        checks = [asdict(c) | {"state": c.state, "sentence": c.sentence} for c in self.checks]
        return {"task": self.task, "held_out_rows": self.held_out_rows, "readable": self.readable, "checks": checks}


def check(model: Answering, task: Task, seed: int) -> SanityReport:
    """Run every check; draws come from the stream `evaluation` of the root seed."""
    rng = generator(seed, Role.EVALUATION, "sanity")
    rows = rng.permutation(task.test_index)[:ROWS]
    checks = (
        *_held_out(model, task),
        *_data(task),
        _swap(model, task, rows, rng),
        _counterfactual(model, task, rows, rng),
    )
    return SanityReport(task.name, task.test_index.size, checks)


def require_readable(report: SanityReport, *, declared_control: bool = False) -> None:
    """Refuse a model that is not worth reading; an untrained one is allowed only as a declared control.

    Raises:
        Refused: a check failed; or the declared control answers the task, so that it is no control.
    """
    if declared_control:
        lift = report["above_chance"].value
        if lift is not None and lift > 1 - LIFT:
            raise Refused(
                f"{report.task}: the untrained control beats chance ({_percent(lift)} of the way): not a control"
            )
        return
    if not report.readable:
        raise Refused(f"the model of {report.task} is not worth reading: {'; '.join(report.failures)}")


def _held_out(model: Answering, task: Task) -> tuple[SanityCheck, SanityCheck]:
    test = task.test_index
    correct = answers(model, task.tokens_NT[test], task.read_position) == task.labels_N[test]
    accuracy, chance = float(correct.mean()), chance_level(task)
    lift = (accuracy - chance) / (1 - chance) if chance < 1 else None
    return (
        SanityCheck(
            "held_out", accuracy, chance, "at least", ACCURACY, f"{len(test)} held-out rows answered correctly"
        ),
        SanityCheck("above_chance", lift, 0.0, "at least", LIFT, "way from the constant guess to perfect"),
    )


def _data(task: Task) -> tuple[SanityCheck, SanityCheck, SanityCheck]:
    """What the data alone give away."""
    chance = chance_level(task)
    context = rule_from(task, context_columns(task)).accuracy
    operand = max((rule_from(task, (c,)).accuracy for c in task.operand_columns), default=chance)
    new = unseen_share(task)
    return (
        SanityCheck(
            "label_in_context", context, chance, "at most", chance + MARGIN,
            f"label told by the tokens up to position {task.read_position} that are no operands",
        ),
        SanityCheck("label_in_operand", operand, chance, "at most", (1 + chance) / 2, "label told by one operand"),
        SanityCheck("unseen", new, 0.0, "at least", 1.0, "held-out inputs that training did not hold"),
    )  # fmt: skip


def _swap(model: Answering, task: Task, rows: np.ndarray, rng: np.random.Generator) -> SanityCheck:
    """Does the prediction follow an answer token that is exchanged?"""
    columns = leaking_columns(task, MARGIN)
    value, used = _followed(model, task, [swap_token(task, c, rows, rng) for c in columns])
    what, not_needed = "predictions that follow a random answer token", ""
    if columns:
        what += f" at position {', '.join(map(str, columns))}, {used} rows"
    else:
        not_needed = f"no token up to position {task.read_position} but the operands tells the answer"
    chance = 1 / task.n_classes
    return SanityCheck("answer_swap", value, chance, "at most", chance + MARGIN, what, not_needed)


def _counterfactual(model: Answering, task: Task, rows: np.ndarray, rng: np.random.Generator) -> SanityCheck:
    """Does the prediction change to the new answer when an operand changes?"""
    changed = [change_operand(task, c, rows, rng) for c in task.operand_columns]
    value, used = _followed(model, task, changed)
    what = f"new answers after one operand was changed, {used} rows"
    return SanityCheck("counterfactual", value, 1 / task.n_classes, "at least", FOLLOWED, what)


def _followed(model: Answering, task: Task, changed: list[Changed]) -> tuple[float | None, int]:
    """Share of changed rows that are answered as the change points to, and how many there are."""
    used = sum(len(c.classes_M) for c in changed)
    if not used:
        return None, 0
    tokens_MT = np.concatenate([c.tokens_MT for c in changed])
    hits = answers(model, tokens_MT, task.read_position) == np.concatenate([c.classes_M for c in changed])
    return float(hits.mean()), used


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"
