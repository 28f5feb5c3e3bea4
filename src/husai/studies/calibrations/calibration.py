"""`Calibration`: which k have features that come back beyond trained controls, and is that the k of the data?

1. *Search*: an arm for each k; the winner has the largest lower bound of its excess over trained controls, among arms
   that have converged and explain as much as the user asks for.
2. *Confirmation* on fresh seeds and controls: the winner, and the reference k with the same seeds and steps; their
   paired difference.
3. The most stable k is not the true one. So nothing is recommended unless decoder projections agree with the winner
   (2508.16560) and, on planted twins of the data with a known number of active features, the same procedure finds it.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from husai.activations.source import CapturedSource, Source, SurrogateSource
from husai.config import Config
from husai.saes.config import TopKConfig
from husai.statistics.estimate import MIN_UNITS
from husai.studies.claims.claim import DifferenceClaim
from husai.studies.study import Controls
from husai.studies.surveys.survey import Setting, Survey, SurveyArm
from husai.training.config import TrainingConfig

SEARCH, CONFIRM, TWIN = "search", "confirm", "twin"
FRESH = 100  # first seed of the confirmation: nothing was selected on these
WITHIN = 1.5  # a k is found where it lies within this factor


class Calibration(Config):
    """`sae.k` is replaced by each of `k`. `reference_k` is what the winner is held against on fresh seeds."""

    kind: Literal["calibration"] = "calibration"
    name: str = Field(default="calibrate", pattern=r"^[a-z0-9][a-z0-9_-]*$")
    question: str = "Which k has features that come back beyond trained controls, and is it the k of the data?"
    source: Source = CapturedSource()
    sae: TopKConfig = TopKConfig()
    k: tuple[Annotated[int, Field(ge=1)], ...] = Field(default=(4, 8, 16, 32), min_length=2)
    reference_k: int | None = Field(default=None, description="null: the largest of k")
    ev_floor: float = Field(default=0.2, ge=0, lt=1, description="least explained variance")
    training: TrainingConfig = TrainingConfig(decay=0.5)
    max_steps: int = Field(default=5000, ge=2)
    seeds: int = Field(default=5, ge=MIN_UNITS, lt=FRESH)
    controls: Controls = Controls()
    margin: float = Field(default=0.05, gt=0, lt=1)
    root_seed: int = Field(default=0, ge=0)
    remarks: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if sorted(set(self.k)) != list(self.k):
            raise ValueError("k must rise, and name each value once")
        if self.k[-1] < 2 * self.k[0]:
            given = ", ".join(map(str, self.k))
            raise ValueError(
                f"k = {given} lie within a factor of 2, too near to be told apart: add a smaller or a larger one"
            )
        if self.reference_k is not None and self.reference_k not in self.k:
            raise ValueError(f"reference_k = {self.reference_k} is not among k: add it")
        self.survey((self.search(),))
        return self

    @property
    def reference(self) -> int:
        """The k that the winner is held against."""
        return self.reference_k or self.k[-1]

    def arm(self, k: int) -> SurveyArm:
        """The SAE with this k."""
        return SurveyArm(name=arm_name(k), sae=self.sae.model_copy(update={"k": k}))

    def search(self) -> Setting:
        """Every k on the source."""
        return self._setting(SEARCH, "every k", self.source, self.k, projections=True)

    def confirmation(self, winner: int, steps: int) -> Setting:
        """Winner and reference on fresh seeds, against fresh controls, for equal steps from the winner's budget on."""
        both = tuple(dict.fromkeys((winner, self.reference)))
        setting = self._setting(CONFIRM, "the winner on fresh seeds", self.source, both, same_steps=True)
        training = self.training.model_copy(update={"steps": steps})
        return setting.model_copy(update={"first_seed": FRESH, "draw": 1, "training": training})

    def twin(self, known: int) -> Setting:
        """Every k on a planted twin of the data in which `known` features are active."""
        of = SurrogateSource(of=self.source, how="planted", n_features=self.sae.d_sae, n_active=known)
        title = f"a planted twin of the data, {known} of {self.sae.d_sae} features active"
        return self._setting(f"{TWIN}-{known}", title, of, self.k, projections=True)

    def twins(self, winner: int) -> tuple[int, ...]:
        """Known numbers of active features: the winner's k, and one at least twice or half as large.

        A search that gave the same k whatever the data would find the first, and miss the second. The smallest and the
        largest k come last: from the smallest, decoder projections cannot fall, and at the largest they still may.
        """
        others = [k for k in self.k if max(k / winner, winner / k) >= 2]
        ends = {self.k[0], self.k[-1]}
        return (winner, *sorted(others, key=lambda k: (k in ends, max(k / winner, winner / k)))[:1])

    def claims(self, winner: int) -> tuple[DifferenceClaim, ...]:
        """The winner against the reference, on fresh seeds."""
        if winner == self.reference:
            return ()
        a, b = arm_name(winner), arm_name(self.reference)
        return (DifferenceClaim(name=f"{a}-over-{b}", setting=CONFIRM, a=a, b=b, factors=("k",)),)

    def survey(self, settings: tuple[Setting, ...], claims: tuple[DifferenceClaim, ...] = ()) -> Survey:
        """What is run, as far as it is known."""
        return Survey(
            name=self.name, question=self.question, settings=settings, claims=claims, root_seed=self.root_seed,
            margin=self.margin, remarks=self.remarks,
        )  # fmt: skip

    def _setting(
        self, name: str, title: str, source: Source, ks: tuple[int, ...], *, projections: bool = False,
        same_steps: bool = False,
    ) -> Setting:  # fmt: skip
        return Setting(
            name=name, title=title, source=source, arms=tuple(map(self.arm, ks)), training=self.training,
            max_steps=self.max_steps, seeds=self.seeds, controls=self.controls, projections=projections,
            same_steps=same_steps,
        )  # fmt: skip


def arm_name(k: int) -> str:
    """Of the arm with this k."""
    return f"k{k}"
