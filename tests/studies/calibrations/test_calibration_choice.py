"""What a calibration recommends, from evidence made by hand: everything has to agree, and each part alone can veto."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import pytest

from husai.activations.source import PlantedSource
from husai.saes.config import TopKConfig
from husai.studies.calibrations.calibration import Calibration
from husai.studies.calibrations.choice import recommendation
from husai.studies.nodes.projection import SCORE
from husai.tasks.planted import PlantedConfig

KS = (1, 2, 4, 8, 16)
PLANTED = PlantedSource(planted=PlantedConfig(d_in=16, n_features=32, n_active=4))
DECLARED = Calibration(source=PLANTED, sae=TopKConfig(d_sae=32), k=KS, ev_floor=0.5)
FALLS = {2: {1: 1.0, 2: 0.1, 4: 0.0, 8: 0.0, 16: 0.0}, 4: {1: 1.0, 2: 0.6, 4: 0.1, 8: 0.0, 16: 0.0}}
BEST = {2: {1: 0.1, 2: 0.4, 4: 0.3, 8: 0.2, 16: 0.1}, 4: {1: 0.1, 2: 0.2, 4: 0.4, 8: 0.3, 16: 0.1}}
ELEMENT = {"raw": {"high": 0.4}, "over": {"gaussian": {"high": 0.3}}}
STANDS = {"claim": "k4-over-k16", "words": "supported: D", "reasons": [], "elements": [ELEMENT]}


@dataclass
class Fake:
    """What a calibration reads of an arm."""

    name: str
    place: str
    bound: float
    score: float
    ev: float = 0.9
    said: str = "beyond"
    flaws: tuple[str, ...] = ()
    controls: tuple[str, ...] = ("gaussian", "random_model")
    noise: tuple[float, ...] = (-0.01, 0.0, 0.01, 0.02, -0.02)

    @property
    def setting(self) -> Any:
        return SimpleNamespace(name=self.place)

    @property
    def arm(self) -> Any:
        return SimpleNamespace(name=self.name)

    @property
    def plan(self) -> Any:
        return SimpleNamespace(projections={(self.place, self.name): SimpleNamespace(id="p")})

    @property
    def records(self) -> Any:
        values = enumerate(self.score + x for x in self.noise)
        each = [SimpleNamespace(name=SCORE, value=value, scope={"seed": str(i)}) for i, value in values]
        return {"p": SimpleNamespace(measurements=each)}

    def least_bound(self) -> float:
        return self.bound

    def by_seed(self, name: str) -> list[float]:
        return [self.ev] * 5

    def by_unit(self, name: str) -> tuple[list[float], str]:
        return [self.ev] * 5, "seeds"

    def says(self, margin: float) -> str:
        return self.said

    def excess(self, control: str) -> None:
        return None


@dataclass
class Seen:
    """Evidence in which everything points at 4; a test changes one thing."""

    arms: dict[tuple[str, str], Fake] = field(default_factory=dict)
    early: tuple[tuple[str, str], ...] = ()
    noisy_twins: tuple[tuple[str, str], ...] = ()
    declared: Calibration = DECLARED
    claims: tuple[Mapping[str, Any], ...] = (STANDS,)

    def __post_init__(self) -> None:
        for place, true in (("search", 4), ("twin-4", 4), ("twin-2", 2), ("confirm", 4)):
            for k in KS:
                self.arms[place, f"k{k}"] = Fake(f"k{k}", place, BEST[true][k], FALLS[true][k])

    def change(self, place: str, k: int, **more: Any) -> Seen:
        self.arms[place, f"k{k}"] = replace(self.arms[place, f"k{k}"], **more)
        return self

    def found(self) -> dict[str, Any]:
        trained = {
            key: {"target": checks(key not in self.early), "gaussian": checks(key not in self.noisy_twins)}
            for key in self.arms
        }
        return recommendation(self.declared, self.arms, trained, self.claims)  # type: ignore[arg-type]


def checks(ok: bool) -> Any:
    """Of a source that has converged, or that has not because its statistic still moves."""
    return SimpleNamespace(
        converged=ok, too_few="", statistic=SimpleNamespace(holds=ok), explained_variance=SimpleNamespace(holds=True)
    )


def failed(found: dict[str, Any]) -> set[str]:
    assert found["recommended"] is None and found["words"].startswith("no recommendation: ")
    return {c["criterion"] for c in found["criteria"] if not c["holds"]}


def test_where_everything_agrees_the_k_is_recommended() -> None:
    found = Seen().found()
    assert found["recommended"] == 4 and found["words"].startswith("k = 4 is recommended: on fresh seeds")
    assert [c["criterion"] for c in found["criteria"]] == [
        "confirmation",
        "reference",
        "projections",
        "twin 4",
        "twin 2",
    ]


def test_each_part_alone_can_veto() -> None:
    assert failed(Seen().change("search", 4, score=0.6).change("search", 8, score=0.1).found()) == {"projections"}
    assert failed(Seen().change("twin-4", 16, bound=0.9).found()) == {"twin 4"}
    assert failed(Seen().change("twin-2", 4, bound=0.9).found()) == {"twin 2"}, "it would find 4 whatever there is"
    assert failed(Seen().change("twin-2", 2, score=0.9).found()) == {"twin 2"}
    assert failed(Seen().change("confirm", 4, said="undecided").found()) == {"confirmation"}
    assert failed(Seen().change("confirm", 4, ev=0.4).found()) == {"confirmation"}
    assert failed(Seen().change("confirm", 4, flaws=("collapsed: 2 dictionaries",)).found()) == {"confirmation"}
    assert failed(Seen(early=(("confirm", "k4"),)).found()) == {"confirmation"}


def test_a_reference_that_is_more_stable_or_not_trained_out_vetoes() -> None:
    worse = STANDS | {"elements": [{"raw": {"high": -0.1}, "over": {}}]}
    beyond = STANDS | {"elements": [{"raw": {"high": 0.4}, "over": {"gaussian": {"high": -0.1}}}]}
    early = STANDS | {"reasons": [{"code": "undertrained", "text": "k16 is undertrained"}]}
    surely = "the reference is surely more stable"
    for claim, said in ((worse, f"{surely} ("), (beyond, f"{surely} beyond gaussian ("), (early, "cannot be said")):
        found = Seen(claims=(claim,)).found()
        assert failed(found) == {"reference"} and said in found["words"]


def test_projections_ask_for_saes_that_no_longer_change_and_for_nothing_of_their_twins() -> None:
    found = Seen(noisy_twins=(("search", "k1"), ("twin-2", "k1"))).found()
    assert found["recommended"] == 4
    assert "undertrained on gaussian" in found["search"]["candidates"][0]["why_not"], "it wins no search all the same"
    found = Seen(early=(("search", "k1"),)).found()
    assert failed(found) == {"projections"} and "still changing" in found["words"]


def test_projections_that_still_fall_at_the_largest_k_point_nowhere() -> None:
    """The truth may lie above all k: the elbow at the last one is only where the grid ends."""
    seen = Seen()
    for place in ("search", "twin-4"):
        for k, bound, score in zip(KS, (0.1, 0.1, 0.2, 0.3, 0.9), (1.0, 0.9, 0.8, 0.6, 0.1), strict=True):
            seen.change(place, k, bound=bound, score=score)
    for k in KS:
        seen.arms["twin-16", f"k{k}"] = replace(seen.arms["search", f"k{k}"], place="twin-16")
        seen.arms["twin-8", f"k{k}"] = Fake(f"k{k}", "twin-8", 0.5 if k == 8 else 0.1, 1.0 if k < 8 else 0.0)
    found = seen.found()
    assert found["search"]["winner"] == 16 and failed(found) == {"projections", "twin 16"}
    assert "still fall at the largest" in found["words"]


def test_a_fall_of_projections_is_corrected_for_choosing_the_lowest_of_many() -> None:
    """Flat but for noise: the lowest of four lies below the first by an amount that alone would seem sure."""
    for fall, expected in ((0.03, None), (0.06, 2)):
        seen = Seen()
        for k in KS:
            seen.change("search", k, score=1.0 if k == 1 else 1.0 - fall, noise=(-0.02, 0.01, 0.0, 0.02, -0.01))
        seen.change("search", 1, noise=(0.0, 0.0, 0.0, 0.0, 0.0))
        assert seen.found()["search"]["projected"] == expected


def test_without_a_second_twin_nothing_is_recommended() -> None:
    seen = Seen(declared=DECLARED.model_copy(update={"k": (3, 4, 6)}), claims=())
    for place in ("search", "twin-4", "confirm"):
        for k, bound, score in ((3, 0.1, 1.0), (4, 0.4, 0.1), (6, 0.2, 0.0)):
            seen.arms[place, f"k{k}"] = Fake(f"k{k}", place, bound, score)
    assert failed(seen.found()) == {"another twin"}


@pytest.mark.parametrize("flaw", ["collapsed: 2 dictionaries", "opposite signs: the excess over gaussian is"])
def test_a_flawed_k_wins_no_search(flaw: str) -> None:
    found = Seen().change("search", 16, bound=0.99, flaws=(flaw,)).found()
    assert found["recommended"] == 4
    assert next(c for c in found["search"]["candidates"] if c["k"] == 16)["why_not"] == flaw


def test_that_random_weight_models_were_not_run_is_said() -> None:
    assert "random-weight models were not run" in Seen().change("confirm", 4, controls=("gaussian",)).found()["words"]
