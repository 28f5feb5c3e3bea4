"""`Programme`: several studies in order as one resumable plan, and the hypotheses that their claims decide."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from husai.config import Config
from husai.studies.calibrations.calibration import Calibration
from husai.studies.claims.claim import family_of
from husai.studies.replays.replay import Replay
from husai.studies.study import Study
from husai.studies.surveys.survey import Survey

Rule = Literal["all", "any", "overturned", "not run"]
RULES: dict[str, str] = {
    "all": "every claim must be supported; one that is not supported decides against it",
    "any": "one claim must be supported, corrected over all of them; all must be not supported to decide against it",
    "overturned": (
        "a claim that the stabilities alone would support must not be so beyond a trained control; where every such "
        "claim is beyond all of them, this decides against it; corrected over all claims that are looked at"
    ),
    "not run": "nothing here decides it",
}


class Hypothesis(Config):
    """`claims` are `study/claim`, empty for every claim of every study; `not_run` says what else it would take."""

    name: str = Field(pattern=r"^[A-Z][A-Za-z0-9]*$")
    title: str
    text: str
    rule: Rule
    claims: tuple[str, ...] = ()
    not_run: tuple[str, ...] = ()


def _kind(given: Any) -> str:
    kind = given.get("kind") if isinstance(given, dict) else getattr(given, "kind", None)
    return kind if isinstance(kind, str) else "study"


AnyStudy = Annotated[
    Annotated[Study, Tag("study")]
    | Annotated[Survey, Tag("survey")]
    | Annotated[Calibration, Tag("calibration")]
    | Annotated[Replay, Tag("replay")],
    Discriminator(_kind),
]


class Programme(Config):
    """Studies run one after the other, each in its own folder; the report comes last and reads their records alone."""

    kind: Literal["programme"] = "programme"
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    question: str
    studies: tuple[AnyStudy, ...] = Field(min_length=1)
    hypotheses: tuple[Hypothesis, ...] = ()
    positive: tuple[str, ...] = Field(
        default=(), description="claims of which the answer is known to be yes: without it no hypothesis is decided"
    )
    remarks: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _known(self) -> Self:
        names = [study.name for study in self.studies]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two studies are called {twice[0]}: give each its own name")
        families = {
            f"{s.name}/{claim.name}": (s.name, family_of(claim))
            for s in self.studies
            if isinstance(s, Survey)
            for claim in s.claims
        }
        for hypothesis in self.hypotheses:
            if missing := [name for name in hypothesis.claims if name not in families]:
                raise ValueError(f"{hypothesis.name}: no study has the claim {missing[0]}")
            if hypothesis.rule == "any":
                _one_family(hypothesis, families)
        if missing := [name for name in self.positive if name not in families]:
            raise ValueError(f"positive: no study has the claim {missing[0]}")
        return self


def _one_family(hypothesis: Hypothesis, families: dict[str, tuple[str, str]]) -> None:
    """What is claimed of any of several claims must have been corrected over all of them."""
    own = {families[name] for name in hypothesis.claims}
    whole = {name for name, family in families.items() if family in own}
    if len(own) != 1 or set(hypothesis.claims) != whole:
        raise ValueError(
            f"{hypothesis.name}: rule any takes all claims of one family of one study, which are corrected together"
        )
