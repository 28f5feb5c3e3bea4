"""`Survey`: many arms on one or more sources, each against the same controls; no verdict, but what may be ranked."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from husai.activations.source import CapturedSource, Source
from husai.config import Config
from husai.saes.config import SAEConfig
from husai.studies.budgets import check_budget, doubled
from husai.studies.heads import check_heads
from husai.studies.study import Controls
from husai.training.config import TrainingConfig

MATCHED = 0.05  # arms whose L0 is within this share of the one requested are compared with each other
NAME = r"^[A-Za-z0-9.-]+$"


class SurveyArm(Config):
    """One SAE config; with `l0`, its own knob is set so that this many latents are active per row."""

    name: str = Field(pattern=NAME)
    sae: SAEConfig
    l0: float | None = Field(default=None, gt=0)


class Setting(Config):
    """A source, and the arms that are trained on it, on its Gaussian twin and on random-weight models.

    Arms of one `l0` are compared with each other; arms without one are shown as they come, unmatched.
    """

    name: str = Field(pattern=NAME)
    title: str
    source: Source
    arms: tuple[SurveyArm, ...] = Field(min_length=1)
    training: TrainingConfig = TrainingConfig()
    max_steps: int = Field(ge=2)
    seeds: int = Field(default=5, ge=2, le=1000)
    controls: Controls = Controls()
    ranked: bool = Field(default=True, description="false: a table of its own, whose arms are not compared")

    @model_validator(mode="after")
    def _possible(self) -> Self:
        names = [arm.name for arm in self.arms]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two arms are called {twice[0]}: give each its own name")
        check_budget(self.training.steps, self.max_steps)
        if isinstance(self.source, CapturedSource) and self.source.pretrain is None:
            raise ValueError("the source of a setting is a trained model; a random-weight model is a control")
        check_heads(self.source, [(arm.name, arm.sae, arm.l0) for arm in self.arms])
        return self

    @property
    def budgets(self) -> list[int]:
        """The budgets that may be tried, in order."""
        return doubled(self.training.steps, self.max_steps)

    @property
    def random_models(self) -> int:
        """Random-weight models held against this source."""
        return self.controls.random_models if isinstance(self.source, CapturedSource) else 0


class Survey(Config):
    """Which of many SAE configs have features that come back beyond trained controls, at what reconstruction?"""

    kind: Literal["survey"] = "survey"
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    question: str
    settings: tuple[Setting, ...] = Field(min_length=1)
    root_seed: int = Field(default=0, ge=0)
    margin: float = Field(default=0.05, gt=0, lt=1)
    remarks: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _names(self) -> Self:
        names = [setting.name for setting in self.settings]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two settings are called {twice[0]}: give each its own name")
        return self
