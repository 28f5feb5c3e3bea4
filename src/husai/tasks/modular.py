"""Arithmetic modulo p: the task on which a small transformer groks (arXiv 2201.02177, 2301.05217)."""

from __future__ import annotations

from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator

from husai.config import Config
from husai.seeds import Role, generator
from husai.tasks.split import split_by_group
from husai.tasks.task import Task

Operation = Literal["addition", "subtraction", "multiplication", "(a+b)*c"]
SIGNS = {"addition": "+", "subtraction": "-", "multiplication": "*"}
MAX_ROWS = 4_000_000


class ModularConfig(Config):
    """Modular arithmetic.

    `standard`: `[a, b, =]` (three operands: `[a, b, c, =]`), the answer is predicted at `=`.
    `legacy_leaky`: `[BOS, a, +, b, =, c, EOS]` read at `c`: the label stands in the input. It exists to show what such
    a layout does, and `models.sanity` refuses what is trained on it.
    `train_fraction` is a share of groups (unordered pairs where the operation commutes).
    """

    kind: Literal["modular"] = "modular"
    operation: Operation = "addition"
    p: int = Field(default=113, ge=3, le=100_000)
    layout: Literal["standard", "legacy_leaky"] = "standard"
    train_fraction: float = Field(default=0.5, gt=0, lt=1)
    max_rows: int | None = Field(default=None, ge=2)
    seed: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.layout == "legacy_leaky" and self.n_operands != 2:
            raise ValueError("layout legacy_leaky has two operands; use the standard layout")
        if (self.max_rows or self.n_possible) > MAX_ROWS:
            raise ValueError(f"p={self.p} gives {self.n_possible} rows; set max_rows to at most {MAX_ROWS}")
        return self

    @property
    def n_operands(self) -> int:
        """2, or 3 for (a+b)*c."""
        return 3 if self.operation == "(a+b)*c" else 2

    @property
    def n_possible(self) -> int:
        """Number of different inputs."""
        return self.p**self.n_operands

    def build(self) -> Task:
        """The task; rows and split depend on this config only, never on the seed of a model or an SAE.

        Raises:
            UserError: one side of the split would be empty.
        """
        operands_NO = _operands(self)
        labels_N = answer(self.operation, operands_NO, self.p)
        tokens_NT, columns, read_position, names = _lay_out(self, operands_NO, labels_N)
        groups_N = _groups(self, operands_NO)
        train, test = split_by_group(groups_N, self.train_fraction, generator(self.seed, Role.DATA_SPLIT))
        return Task(
            name=f"modular-{self.operation}-{self.p}-{self.layout}",
            tokens_NT=tokens_NT,
            labels_N=labels_N,
            groups_N=groups_N,
            train_index=train,
            test_index=test,
            read_position=read_position,
            d_vocab=len(names),
            n_classes=self.p,
            operand_columns=columns,
            token_names=names,
        )


def answer(operation: Operation, operands_NO: np.ndarray, p: int) -> np.ndarray:
    """Labels [N] of operand rows [N, 2 or 3], modulo p."""
    a, b = operands_NO[:, 0], operands_NO[:, 1]
    if operation == "addition":
        return (a + b) % p
    if operation == "subtraction":
        return (a - b) % p
    if operation == "multiplication":
        return (a * b) % p
    return ((a + b) * operands_NO[:, 2]) % p


def _operands(config: ModularConfig) -> np.ndarray:
    """Every input [N, 2 or 3] in counting order, or `max_rows` of them, drawn once and kept in that order."""
    if config.max_rows is None or config.max_rows >= config.n_possible:
        codes = np.arange(config.n_possible)
    else:
        rng = generator(config.seed, Role.DATA_SUBSET)
        codes = np.sort(rng.choice(config.n_possible, config.max_rows, replace=False))
    return np.stack(np.unravel_index(codes, (config.p,) * config.n_operands), axis=1).astype(np.int64)


def _groups(config: ModularConfig, operands_NO: np.ndarray) -> np.ndarray:
    """Number of each row's group: equal for rows that differ only by the order of operands that commute."""
    ordered_NO = operands_NO.copy()
    if config.operation != "subtraction":
        ordered_NO[:, :2] = np.sort(operands_NO[:, :2], axis=1)
    return ordered_NO @ config.p ** np.arange(config.n_operands)[::-1]


def _lay_out(
    config: ModularConfig, operands_NO: np.ndarray, labels_N: np.ndarray
) -> tuple[np.ndarray, tuple[int, ...], int, tuple[str, ...]]:
    """Tokens, operand columns, read position and token names; tokens below p are the numbers themselves."""
    p, n = config.p, len(operands_NO)
    numbers = tuple(str(i) for i in range(p))
    if config.layout == "standard":
        columns = tuple(range(config.n_operands))
        tokens_NT = np.column_stack([operands_NO, np.full(n, p)])
        return tokens_NT, columns, config.n_operands, (*numbers, "=")
    sign, equals, bos, eos = (np.full(n, p + i) for i in range(4))
    tokens_NT = np.column_stack([bos, operands_NO[:, 0], sign, operands_NO[:, 1], equals, labels_N, eos])
    return tokens_NT, (1, 3), 5, (*numbers, SIGNS[config.operation], "=", "BOS", "EOS")
