"""What a survey is asked to decide between its arms, declared before it runs.

A claim names what differs between its arms; arms that differ in anything else are refused, so that no sentence can
credit one thing with what another one did.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal, Protocol

from pydantic import Field

from husai.config import Config
from husai.saes.config import AnySAEConfig
from husai.training.coupling.config import AnyCoupling

NAME = r"^[A-Za-z0-9.-]+$"
KNOBS = {"relu_l1": "l1", "gated": "l1", "jumprelu": "l0_target", "gba": "target"}  # what an L0 sets; of others, k
PARTS = ("aux_k", "song_l1")  # of a loss, where switched on: an architecture may have them beside what makes it one
EV_MARGIN = 0.01  # of explained variance: less than this counts as no loss; what convergence allows, too


class DifferenceClaim(Config):
    """*Are the features of arm a more stable than those of arm b, beyond every trained control?*

    With `quality` also: and is its explained variance *not lower* than b's by more than `ev_margin`, or indeed *lower*
    by more than that (a trade)? Claims of one `family` are open together and are corrected together; claims without one
    are a family with all others of their setting that have none.
    """

    kind: Literal["difference"] = "difference"
    name: str = Field(pattern=NAME)
    setting: str
    a: str
    b: str
    factors: tuple[str, ...] = Field(min_length=1, description="what differs between a and b, and nothing else does")
    quality: Literal["any", "not lower", "lower"] = "any"
    ev_margin: float = Field(default=EV_MARGIN, gt=0, lt=1)
    family: str = ""

    @property
    def arms(self) -> tuple[str, ...]:
        """Names of the arms that it is about."""
        return self.a, self.b


class PeakClaim(Config):
    """*Is stability highest where `field` matches the effective rank of the activations?*

    Arms whose `field` lies within a factor `within` of the effective rank are near; the mean of their stabilities must
    lie above that of every other arm, beyond every trained control. Others must lie below and above it.
    """

    kind: Literal["peak"] = "peak"
    name: str = Field(pattern=NAME)
    setting: str
    arms: tuple[str, ...] = Field(min_length=2)
    field: Literal["k", "d_sae"]
    factors: tuple[str, ...] = Field(min_length=1)
    within: float = Field(default=1.5, gt=1)
    family: str = ""


AnyClaim = DifferenceClaim | PeakClaim
Claim = Annotated[AnyClaim, Field(discriminator="kind")]


class Declared(Protocol):
    """An arm as far as claims read it."""

    name: str
    sae: AnySAEConfig
    l0: float | None


def differing(a: Declared, b: Declared) -> set[str]:
    """Names of the fields in which two arms differ.

    Of two architectures the fields that both have count, and parts of a loss that one of them has switched on; what
    sets L0 does not, where the same L0 is requested.
    """
    x, y = _fields(a), _fields(b)
    shared = x.keys() & y.keys() if a.sae.kind != b.sae.kind else x.keys() | y.keys()
    on = {name for name in PARTS if name not in shared and (x.get(name) or y.get(name))}
    return {name for name in shared if x.get(name) != y.get(name)} | on


def _fields(arm: Declared) -> dict[str, Any]:
    coupling: AnyCoupling | None = getattr(arm, "coupling", None)
    found: dict[str, Any] = arm.sae.plain() | {"l0": arm.l0, "coupling": None if coupling is None else coupling.plain()}
    found["trained_by"] = getattr(arm, "trained_by", "husai")
    if arm.l0 is not None:
        found.pop(KNOBS.get(arm.sae.kind, "k"), None)
    return found


def family_of(claim: AnyClaim) -> str:
    """What a claim is corrected with."""
    return claim.family or f"setting {claim.setting}"


def check_claims(claims: Iterable[AnyClaim], settings: dict[str, dict[str, Declared]]) -> None:
    """Every claim is about arms that exist and that differ in its declared factors only.

    Raises:
        ValueError: what is wrong, in one line.
    """
    names: set[str] = set()
    for claim in claims:
        if claim.name in names:
            raise ValueError(f"two claims are called {claim.name}: give each its own name")
        names.add(claim.name)
        if claim.setting not in settings:
            raise ValueError(f"claim {claim.name}: there is no setting {claim.setting}")
        arms = settings[claim.setting]
        if missing := [name for name in claim.arms if name not in arms]:
            raise ValueError(f"claim {claim.name}: setting {claim.setting} has no arm {missing[0]}")
        _check_factors(claim, [arms[name] for name in claim.arms])
        if isinstance(claim, PeakClaim):
            for name in claim.arms:
                value_of(claim, arms[name])


def _check_factors(claim: AnyClaim, arms: list[Declared]) -> None:
    found = set().union(*(differing(arms[0], other) for other in arms[1:]))
    if found != set(claim.factors):
        differ = ", ".join(sorted(found)) or "nothing"
        raise ValueError(
            f"claim {claim.name}: its arms differ in {differ}; they must differ in what it declares and in nothing "
            f"else: {', '.join(claim.factors)}"
        )


def value_of(claim: PeakClaim, arm: Declared) -> float:
    """What a peak claim sorts an arm by; a requested L0 stands for k.

    Raises:
        ValueError: an architecture without that field.
    """
    value = arm.l0 if claim.field == "k" and arm.l0 is not None else getattr(arm.sae, claim.field, None)
    if value is None:
        raise ValueError(f"claim {claim.name}: arm {arm.name} ({arm.sae.kind}) has no {claim.field}")
    return float(value)


def near_and_far(claim: PeakClaim, values: dict[str, float], at: float) -> tuple[list[str], list[str]]:
    """Arms whose value matches `at`, and the others."""
    near = [name for name, value in values.items() if max(value / at, at / value) <= claim.within]
    return near, [name for name in values if name not in near]


def no_peak(claim: PeakClaim, values: dict[str, float], at: float) -> str:
    """Why these arms cannot show a peak, in words: none matches, or all others lie on one side."""
    near, far = near_and_far(claim, values, at)
    if not near:
        return f"no arm has a {claim.field} within a factor of {claim.within:g} of the effective rank {at:.4g}"
    sides = {values[name] > at for name in far}
    if sides != {True, False}:
        return f"no arm lies {'above' if True not in sides else 'below'} the effective rank {at:.4g} and off it"
    return ""
