"""Learning rate over steps: a constant trunk, then a linear decay to zero.

Budgets share their trunk: training for T/2, T and 2T steps is one trunk with three decays, since the rate before the
decay does not depend on the budget. This makes the convergence test cost T/10 instead of T/2.
"""

from __future__ import annotations

from husai.training.config import TrainingConfig


def trunk_end(config: TrainingConfig, steps: int) -> int:
    """First step of the decay for a budget of `steps`."""
    return steps - round(config.decay * steps)


def learning_rate(config: TrainingConfig, steps: int, step: int) -> float:
    """Rate at `step` (from 0) of a budget of `steps`; the step after the last would have rate 0."""
    decay_steps = steps - trunk_end(config, steps)
    if decay_steps == 0:
        return config.lr
    return config.lr * min(1.0, (steps - step) / decay_steps)


def is_snapshot(step: int) -> bool:
    """Whether the decoder is kept at this step for the stability-over-steps curve: 0, 16, 64, 256, 1024, ..."""
    return step == 0 or (step >= 16 and step & (step - 1) == 0 and step.bit_length() % 2 == 1)
