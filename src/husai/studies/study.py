"""`Study`: question, arms, controls, seeds and decision rule, declared before it runs."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from husai.activations.source import CapturedSource, PlantedSource, Source
from husai.config import Config
from husai.saes.config import SAEConfig
from husai.studies.budgets import check_budget, doubled
from husai.studies.heads import check_heads
from husai.training.config import TrainingConfig


class Arm(Config):
    """One value of the declared factor."""

    name: str = Field(pattern=r"^[A-Za-z0-9.-]+$")
    sae: SAEConfig


class Controls(Config):
    """What the target is held against. The Gaussian twin is mandatory; a random-weight model where there is a model.

    The unit of the random-model control is the model: at least 5 initialisations, each with its own SAE seeds.
    `frozen_decoder` trains SAEs whose decoder stays random: the zero point of what the model loses.
    """

    random_models: int = Field(default=5, ge=0)
    seeds_per_random_model: int = Field(default=2, ge=2)
    frozen_decoder: bool = True

    @model_validator(mode="after")
    def _one_draw_is_none(self) -> Self:
        if self.random_models == 1:
            raise ValueError("one random-weight model is one draw: set random_models to 5 or more, or to 0")
        return self


class Study(Config):
    """*Is arm a more reproducible across seeds than arm b, beyond trained controls?*

    `arms` are (a, b) and may differ in `factor` only. `training.steps` is the first budget T tried (with T/2 beside
    it); an arm's is doubled until it has converged on every source, up to `max_steps`. `remarks` are sentences that the
    report shows beside the verdict: what is known beforehand about the sources.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    question: str
    hypothesis: str
    target: Source
    positive: PlantedSource | None = None
    arms: tuple[Arm, Arm]
    factor: str
    controls: Controls = Controls()
    seeds: int = Field(default=5, ge=2, le=1000)
    root_seed: int = Field(default=0, ge=0)
    training: TrainingConfig = TrainingConfig()
    max_steps: int = Field(ge=2)
    margin: float = Field(default=0.05, gt=0, lt=1)
    remarks: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _one_factor(self) -> Self:
        a, b = (arm.sae.model_dump() for arm in self.arms)
        differ = sorted(key for key in a.keys() | b.keys() if a.get(key) != b.get(key))
        if self.arms[0].name == self.arms[1].name:
            raise ValueError(f"both arms are called {self.arms[0].name}: give each its own name")
        if differ != [self.factor]:
            found = ", ".join(differ) or "nothing"
            raise ValueError(
                f"the arms differ in {found}; they must differ in the declared factor '{self.factor}' only"
            )
        return self

    @model_validator(mode="after")
    def _heads(self) -> Self:
        check_heads(self.target, [(arm.name, arm.sae, None) for arm in self.arms])
        return self

    @model_validator(mode="after")
    def _trained_target(self) -> Self:
        if isinstance(self.target, CapturedSource) and self.target.pretrain is None:
            raise ValueError("the target of a study is a trained model; a random-weight model is a control")
        return self

    @model_validator(mode="after")
    def _steps(self) -> Self:
        check_budget(self.training.steps, self.max_steps)
        return self

    @property
    def budgets(self) -> list[int]:
        """The budgets T that may be tried, in order."""
        return doubled(self.training.steps, self.max_steps)

    @property
    def has_model(self) -> bool:
        """Whether the target was captured from a model."""
        return isinstance(self.target, CapturedSource)
