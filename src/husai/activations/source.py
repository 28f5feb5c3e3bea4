"""Which activations a study wants. Configs only: nothing here imports torch or reads a file."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from husai.config import Config
from husai.models.config import PretrainConfig, TransformerConfig
from husai.tasks.modular import ModularConfig
from husai.tasks.planted import PlantedConfig
from husai.tasks.structured import StructuredConfig


class CapturedSource(Config):
    """Activations of a model on a task.

    The model is trained as `pretrain` says, or, where `random_model` is a number, is that untrained model (a
    control). `positions` is `read` (where the answer is predicted), `all`, or a list.
    """

    kind: Literal["captured"] = "captured"
    task: ModularConfig = ModularConfig()
    model: TransformerConfig = TransformerConfig()
    pretrain: PretrainConfig | None = PretrainConfig()
    random_model: int | None = Field(default=None, ge=0)
    hook_name: str = "blocks.0.hook_resid_post"
    more_hooks: tuple[str, ...] = Field(default=(), description="read beside it, for SAEs over several hooks")
    positions: Literal["read", "all"] | tuple[int, ...] = "read"
    batch: int = Field(default=1024, ge=1)

    @model_validator(mode="after")
    def _one_model(self) -> Self:
        if (self.pretrain is None) == (self.random_model is None):
            raise ValueError(
                "a model is either trained (pretrain) or untrained (random_model): set exactly one, null the other"
            )
        if self.positions == ():
            raise ValueError("positions is empty: write read, all, or a list of positions")
        return self

    @property
    def synthetic(self) -> bool:
        """False: the rows passed through a model."""
        return False

    def describe(self) -> str:
        """One sentence."""
        which = "trained model" if self.random_model is None else f"untrained model {self.random_model}"
        where = self.positions if isinstance(self.positions, str) else ", ".join(map(str, self.positions))
        task = f"{self.task.operation} modulo {self.task.p} ({self.task.layout} layout)"
        return f"activations of a {which} at {' and '.join(self.hooks)}, positions: {where}, on {task}"

    @property
    def hooks(self) -> tuple[str, ...]:
        """Every hook that is read, in the order of a row's columns."""
        return self.hook_name, *self.more_hooks

    def untrained(self, index: int) -> CapturedSource:
        """The control: the same source with untrained model number `index`."""
        return self.model_copy(update={"pretrain": None, "random_model": index})


def _how_planted(given: Any) -> Any:
    """The kind of a planted config; files that name none mean `planted`, which once was the only one."""
    return given.get("kind", "planted") if isinstance(given, dict) else getattr(given, "kind", None)


AnyPlanted = Annotated[
    Annotated[PlantedConfig, Tag("planted")] | Annotated[StructuredConfig, Tag("structured")],
    Discriminator(_how_planted),
]


class PlantedSource(Config):
    """Rows made from a known dictionary."""

    kind: Literal["planted"] = "planted"
    planted: AnyPlanted = PlantedConfig()

    @property
    def synthetic(self) -> bool:
        """True: no model made these rows."""
        return True

    def describe(self) -> str:
        """One sentence."""
        return self.planted.describe()


class ExternalSource(Config):
    """A user's own file; `declared_synthetic` says that no model made its rows."""

    kind: Literal["external"] = "external"
    path: str = Field(min_length=1)
    key: str | None = None
    d_in: int | None = Field(default=None, ge=1)
    flatten: bool = False
    declared_synthetic: bool = False

    @property
    def synthetic(self) -> bool:
        """What the user declared."""
        return self.declared_synthetic

    def describe(self) -> str:
        """One sentence."""
        mark = ", declared synthetic" if self.declared_synthetic else ""
        key = f" (key {self.key})" if self.key else ""
        return f"activations given by the user in {self.path}{key}{mark}"


class FolderSource(Config):
    """A finished folder of `husai capture`; `made_from` is what its record says, where a model was read.

    `synthetic_kinds` names the kinds of rows that may have come from no model; others of that sort are refused.
    """

    kind: Literal["folder"] = "folder"
    path: str = Field(min_length=1)
    made_from: CapturedSource | None = None
    synthetic_kinds: tuple[Literal["planted", "surrogate", "external"], ...] = ()

    @property
    def synthetic(self) -> bool:
        """Whether rows that came from no model are allowed."""
        return bool(self.synthetic_kinds)

    def describe(self) -> str:
        """One sentence."""
        return "activations captured before" if self.made_from is None else self.made_from.describe()


class SurrogateSource(Config):
    """Rows that share only some statistics with another source.

    `gaussian`: normal with the same mean and covariance; `shuffled`: each dimension permuted on its own; `planted`: a
    known dictionary of `n_features`, `n_active` of them in each row, with the same mean and covariance. `draw` numbers
    independent surrogates of the same source.
    """

    kind: Literal["surrogate"] = "surrogate"
    of: Source
    how: Literal["gaussian", "shuffled", "planted"] = "gaussian"
    draw: int = Field(default=0, ge=0)
    n_features: int | None = Field(default=None, ge=1)
    n_active: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _planted_has_sizes(self) -> Self:
        if (self.how == "planted") != (self.n_features is not None and self.n_active is not None):
            raise ValueError("a planted surrogate takes n_features and n_active, and no other surrogate does")
        return self

    @property
    def synthetic(self) -> bool:
        """True: no model made these rows."""
        return True

    def describe(self) -> str:
        """One sentence."""
        what = {
            "gaussian": "Gaussian with the mean and covariance of",
            "shuffled": "each dimension shuffled on its own, of",
            "planted": f"{self.n_active} of {self.n_features} planted features, with the mean and covariance of",
        }[self.how]
        return f"{what} ({self.of.describe()})"


Source = Annotated[
    CapturedSource | PlantedSource | SurrogateSource | ExternalSource | FolderSource,
    Field(discriminator="kind"),
]
SurrogateSource.model_rebuild()
