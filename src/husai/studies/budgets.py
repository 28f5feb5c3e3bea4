"""The budgets an arm may be trained for: T, and twice as much until it has converged, up to a cap; T/2 beside each."""

from __future__ import annotations


def check_budget(steps: int, max_steps: int) -> None:
    """Whether T can be halved and is within the cap.

    Raises:
        ValueError: it cannot, or it is above.
    """
    if steps % 2:
        raise ValueError("training.steps must be even: convergence compares it with its half")
    if max_steps < steps:
        raise ValueError(f"max_steps = {max_steps} is below training.steps = {steps}")


def doubled(steps: int, max_steps: int) -> list[int]:
    """The budgets T that may be tried, in order."""
    found = []
    while steps <= max_steps:
        found.append(steps)
        steps *= 2
    return found
