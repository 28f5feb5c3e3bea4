"""`Survey`: many arms on one or more sources, each against the same controls; no verdict, but what may be ranked."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from husai.activations.source import CapturedSource, FolderSource, PlantedSource, Source, SurrogateSource
from husai.config import Config
from husai.saes.config import SAEConfig
from husai.studies.budgets import check_budget, doubled
from husai.studies.claims.claim import NAME, Claim, check_claims
from husai.studies.heads import check_heads
from husai.studies.study import Controls
from husai.studies.trained_by import TrainedBy, check_trainer
from husai.training.config import TrainingConfig
from husai.training.coupling.config import CouplingConfig

MATCHED = 0.05  # arms whose L0 is within this share of the one requested are compared with each other


class SurveyArm(Config):
    """One SAE config; with `l0`, its own knob is set so that this many latents are active per row.

    `coupling` ties the seeds of each group of the setting together. `trained_by` another tool: by that tool's own
    classes, optimiser and step, on the same rows in the same order, for as many steps; measured like any other arm.
    """

    name: str = Field(pattern=NAME)
    sae: SAEConfig
    l0: float | None = Field(default=None, gt=0)
    coupling: CouplingConfig | None = None
    trained_by: TrainedBy = "husai"

    @model_validator(mode="after")
    def _trainable(self) -> Self:
        if self.trained_by == "saelens":
            try:
                check_trainer(self.sae, self.l0, self.coupling is not None)
            except ValueError as error:
                raise ValueError(f"{self.name}: {error}") from None
        return self


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
    first_seed: int = Field(default=0, ge=0, lt=1000, description="fresh seeds confirm what was selected on others")
    draw: int = Field(default=0, ge=0, lt=10, description="another one: other Gaussian twins and random-weight models")
    group_size: int | None = Field(
        default=None, ge=1, description="seeds that couplings tie together; of all arms only pairs of groups count"
    )
    controls: Controls = Controls()
    ranked: bool = Field(default=True, description="false: a table of its own, whose arms are not compared")
    levels: bool = Field(default=False, description="also: untrained, random and permuted decoders of every arm")
    projections: bool = Field(default=False, description="also: the decoder projections of every arm (2508.16560)")
    same_steps: bool = Field(default=False, description="an arm that has not converged doubles the steps of all")

    @model_validator(mode="after")
    def _possible(self) -> Self:
        names = [arm.name for arm in self.arms]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two arms are called {twice[0]}: give each its own name")
        check_budget(self.training.steps, self.max_steps)
        if self.captured is not None and self.captured.pretrain is None:
            raise ValueError("the source of a setting is a trained model; a random-weight model is a control")
        self._check_groups()
        check_heads(self.source, [(arm.name, arm.sae, arm.l0) for arm in self.arms])
        return self

    def _check_groups(self) -> None:
        coupled = [arm for arm in self.arms if arm.coupling is not None]
        if coupled and self.group_size is None:
            raise ValueError(f"{coupled[0].name} has a coupling: set group_size, since only pairs of groups count")
        for arm in coupled:
            if arm.l0 is not None:
                raise ValueError(f"{arm.name} has a coupling: write its k, no L0 is searched for it")
        each = {"seeds": self.seeds, "controls.seeds_per_random_model": self.controls.seeds_per_random_model}
        each = each if self.random_models else {"seeds": self.seeds}
        for name, seeds in each.items():
            if self.group_size is not None and (seeds % self.group_size or seeds // self.group_size < 2):
                raise ValueError(f"{name} = {seeds} are no two or more groups of {self.group_size}")

    @property
    def budgets(self) -> list[int]:
        """The budgets that may be tried, in order."""
        return doubled(self.training.steps, self.max_steps)

    @property
    def captured(self) -> CapturedSource | None:
        """The model that the source was captured from, where there is one."""
        return (
            self.source.made_from
            if isinstance(self.source, FolderSource)
            else (self.source if isinstance(self.source, CapturedSource) else None)
        )

    @property
    def random_models(self) -> int:
        """Random-weight models held against this source."""
        return 0 if self.captured is None else self.controls.random_models

    @property
    def no_models(self) -> str:
        """Why no random-weight models are held against it, where rows come from a model; else empty."""
        if self.random_models or isinstance(self.source, PlantedSource | SurrogateSource):
            return ""
        why = "switched off" if self.captured is not None else "the activations come without a model"
        return f"{self.name}: random-weight models ({why}): nothing here is shown to be learned"


class Survey(Config):
    """Which of many SAE configs have features that come back beyond trained controls, at what reconstruction?"""

    kind: Literal["survey"] = "survey"
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    question: str
    settings: tuple[Setting, ...] = Field(min_length=1)
    root_seed: int = Field(default=0, ge=0)
    margin: float = Field(default=0.05, gt=0, lt=1)
    claims: tuple[Claim, ...] = Field(default=(), description="what is to be decided between arms")
    remarks: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _names(self) -> Self:
        names = [setting.name for setting in self.settings]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two settings are called {twice[0]}: give each its own name")
        check_claims(self.claims, {s.name: {arm.name: arm for arm in s.arms} for s in self.settings})
        return self
