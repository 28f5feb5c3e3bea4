"""What must stand beside a verdict when dictionaries collapsed or are mostly dead, and which way that moves D."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from husai.stability.pairwise import pairwise
from husai.studies.caveats import Condition, caveats, conditions, unequal_budgets
from husai.studies.evidence import concerns, gather
from husai.studies.plan import plan

ARMS = ("k2", "k8")
LEVELS = {
    source: {"k2": 0.5, "k8": 0.4}
    for source in ("target", "gaussian", "gaussian-2", "random_model", "planted", "planted-gaussian")
}
# The two sources whose differences make the D in question, as the definition has it: first minus second.
D_OF = {
    "target": ("target", "gaussian"),
    "gaussian": ("target", "gaussian"),
    "random_model": ("target", "random_model"),
    "gaussian-2": ("gaussian", "gaussian-2"),
    "planted": ("planted", "planted-gaussian"),
    "planted-gaussian": ("planted", "planted-gaussian"),
}
RAISED = {
    "target": "every D is too high, in favour of k2",
    "gaussian": "D against it is too high: a weaker null",
    "random_model": "D against it is too high: a weaker null",
    "gaussian-2": "the negative control passes less easily",
    "planted": "the positive control passes more easily",
    "planted-gaussian": "the positive control passes more easily",
}
LOWERED = {
    "target": "every D is too low, to the cost of k2",
    "gaussian": "D against it is too low: a stricter null",
    "random_model": "D against it is too low: a stricter null",
    "gaussian-2": "the negative control passes more easily",
    "planted": "the positive control passes less easily",
    "planted-gaussian": "the positive control passes less easily",
}


def excess(levels: dict[str, dict[str, float]], source: str) -> float:
    on, against = D_OF[source]
    return levels[on]["k2"] - levels[on]["k8"] - (levels[against]["k2"] - levels[against]["k8"])


def condition(collapsed: int = 0, alive: float | None = 1.0, n: int = 5) -> Condition:
    return Condition(n, collapsed, 0.97, alive)


@pytest.mark.parametrize(("source", "arm"), [*itertools.product(LEVELS, ARMS)])
@pytest.mark.parametrize(("collapsed", "moves"), [(5, 0.2), (1, -0.2)])
def test_the_sentence_says_where_d_goes(source: str, arm: str, collapsed: int, moves: float) -> None:
    """All collapsed: M of that arm is too high; one of five: too low. D is computed again with M moved that way."""
    moved = {s: dict(held) for s, held in LEVELS.items()}
    moved[source][arm] += moves
    up = excess(moved, source) > excess(LEVELS, source)
    (found,) = caveats(source, arm, ARMS, condition(collapsed), 0.5, 0.4)
    assert found.text.startswith(f"{source} {arm}: {collapsed} of 5 dictionaries collapsed")
    assert "(mean own nearest-neighbour cosine 0.97)" in found.text
    assert found.text.endswith(f"M is too {'high' if moves > 0 else 'low'}, and {(RAISED if up else LOWERED)[source]}")
    assert found.blocks is (source == "target")


@pytest.mark.parametrize("n", [2, 3, 4])
def test_when_only_some_collapsed_no_direction_is_claimed(n: int) -> None:
    (found,) = caveats("gaussian", "k2", ARMS, condition(n), 0.5, 0.4)
    assert found.text.endswith("a direction that cannot be told")


def test_the_directions_claimed_of_m_are_those_of_the_metric() -> None:
    """Dictionaries that agree at about .7: one collapsed among them lowers M, all collapsed raise it to 1."""
    rng = np.random.default_rng(0)
    shared, own, line = rng.normal(size=(40, 32)), rng.normal(size=(5, 40, 32)), rng.normal(size=32)
    mean = []
    for n in (0, 1, 5):
        W = shared + 0.65 * own
        W[:n] = line + 0.01 * own[:n]
        table = pairwise(W)
        assert table.collapsed == tuple(range(n))
        mean.append(float(np.nanmean(table.matrix("mcc_signed"))))
    assert mean[1] < mean[0] - 0.1 and mean[2] > 0.99 > mean[0] + 0.1


@pytest.mark.parametrize(("share", "said"), [(0.49, True), (0.5, False), (1.0, False), (None, False), (0.0, True)])
def test_below_half_alive_is_said(share: float | None, said: bool) -> None:
    assert bool(caveats("gaussian", "k2", ARMS, condition(alive=share), 0.5, 0.4)) is said


@pytest.mark.parametrize(("source", "arm"), [*itertools.product(LEVELS, ARMS)])
@pytest.mark.parametrize(("alive", "every"), [(0.6, 0.3), (0.3, 0.6)])
def test_few_alive_latents_move_m_as_the_two_populations_differ(
    source: str, arm: str, alive: float, every: float
) -> None:
    moved = {s: dict(held) for s, held in LEVELS.items()}
    moved[source][arm] += alive - every
    up = excess(moved, source) > excess(LEVELS, source)
    (found,) = caveats(source, arm, ARMS, condition(alive=0.125), alive, every)
    verb = "raises" if alive > every else "lowers"
    assert f"only 12.5 % of its latents are alive; M counts these alone, which {verb} it from {every} to" in found.text
    assert found.text.endswith((RAISED if up else LOWERED)[source])
    assert not found.blocks


def test_both_can_be_true_of_one_arm() -> None:
    assert len(caveats("planted", "k8", ARMS, condition(5, 0.1), 0.5, 0.4)) == 2


def test_sound_dictionaries_need_no_words(built_study) -> None:
    assert built_study.record.facts["caveats"] == []


def test_conditions_are_read_from_the_records_of_the_final_budget(studies, tmp_path) -> None:
    """Random models count together: two dictionaries of each of five models."""

    def alter(node, made, facts):
        return [m.model_copy(update={"value": 0.75}) if m.key == "dead_share" else m for m in made]

    wanted = studies.Wanted(collapsed={"gaussian k4": 5, "random-model-3 k2": 1}, alter=alter)
    built = studies.build(tmp_path / "results", wanted)
    design = plan(studies.study(wanted), studies.STEPS)
    records = {record.id: record for record, _ in built.upstream.values()}
    found = conditions(design, records)
    assert len(found) == 2 * 6
    assert (found["random_model", "k2"].dictionaries, found["random_model", "k2"].collapsed) == (10, 1)
    assert (found["gaussian", "k4"].dictionaries, found["gaussian", "k4"].collapsed) == (5, 5)
    assert found["gaussian", "k4"].own_neighbour > 0.99 > 0.9 > found["gaussian", "k2"].own_neighbour
    assert all(c.alive_share == pytest.approx(0.25) for c in found.values())
    folders = {record.id: folder for record, folder in built.upstream.values()}
    said = [c.text for c in concerns(gather(design, folders, records))]
    assert len(said) == 2 + 2 * 6 and built.record.facts["caveats"] == said


def test_arms_that_were_trained_for_different_lengths_are_named() -> None:
    (found,) = unequal_budgets({"k2": 5000, "k8": 2500})
    assert found.text.endswith("each until it had converged: k2 5000, k8 2500") and not found.blocks
    assert unequal_budgets({"k2": 2500, "k8": 2500}) == []
