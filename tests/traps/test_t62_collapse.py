"""T62. A consistency of 1.0: every row had collapsed on one direction, and a collapsed dictionary matches anything.
husai prints each dictionary's own nearest-neighbour cosine and the matching margin beside the number, and flags it. An
arm of the target that collapsed gets no verdict; of a control that collapsed it is said beside the verdict whether that
makes the null weaker or stricter.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from husai.stability.matching import match_features
from husai.stability.pairwise import pairwise
from husai.stability.similarity import nearest_neighbour
from husai.statistics.intervals import pair_mean
from husai.studies.presenting import present

S, F, D = 5, 40, 32
RNG = np.random.default_rng(0)
COLLAPSED = RNG.standard_normal(D) + 0.01 * RNG.standard_normal((S, F, D))
HEALTHY = RNG.standard_normal((F, D)) + 0.01 * RNG.standard_normal((S, F, D))


def test_a_perfect_score_of_a_collapsed_dictionary_is_flagged() -> None:
    table = pairwise(COLLAPSED)
    assert pair_mean(table.matrix("mcc_signed")).value > 0.999
    assert table.collapsed == tuple(range(S))
    own = table.own["alive"][0]
    assert own.mean is not None and own.mean > 0.999
    assert "COLLAPSED" in own.words() and own.words().startswith("own nearest-neighbour cosine 1.000")
    assert abs(table.margin["alive"][0, 1]) < 0.01  # the partner is one of many


def test_an_honest_perfect_score_is_not() -> None:
    table = pairwise(HEALTHY)
    assert pair_mean(table.matrix("mcc_signed")).value > 0.999
    assert table.collapsed == ()
    assert table.margin["alive"][0, 1] > 0.4
    assert "COLLAPSED" not in table.own["alive"][0].words()


def test_collapse_on_a_line_counts_both_signs() -> None:
    signs = RNG.choice([-1.0, 1.0], (F, 1))
    assert nearest_neighbour(signs * COLLAPSED[0]).collapsed


def test_collapse_of_a_part_is_in_the_numbers() -> None:
    mixed = HEALTHY[0].copy()
    mixed[:10] = COLLAPSED[0][:10]
    own = nearest_neighbour(mixed)
    assert own.share_close == pytest.approx(0.25) and not own.collapsed
    assert np.median(match_features(mixed, HEALTHY[1]).margin) > 0.2


def verdict_of(studies: Any, tmp_path: Path, **collapsed: int) -> tuple[Any, dict[str, Any]]:
    """A study that is supported as long as no dictionary of it collapses."""
    wanted = {name.replace("_", " "): n for name, n in collapsed.items()}
    built = studies.build(tmp_path / "results", studies.Wanted(collapsed=wanted))
    return built, built.record.facts["verdict"]


@pytest.mark.parametrize("arm", ["k2", "k4"])
@pytest.mark.parametrize("seeds", [1, 5])
def test_a_collapsed_arm_of_the_target_gets_no_verdict(studies: Any, tmp_path: Path, arm: str, seeds: int) -> None:
    _, verdict = verdict_of(studies, tmp_path, **{f"target_{arm}": seeds})
    assert verdict["state"] == "no verdict"
    said = [reason["text"] for reason in verdict["reasons"] if reason["code"] == "collapsed"]
    assert len(said) == 1 and said[0].startswith(f"target {arm}: {seeds} of 5 dictionaries collapsed")
    assert said[0] in verdict["words"]


@pytest.mark.parametrize(("arm", "null"), [("k2", "a stricter null"), ("k4", "a weaker null")])
def test_of_a_collapsed_control_the_direction_stands_beside_the_verdict(
    studies: Any, tmp_path: Path, arm: str, null: str
) -> None:
    built, verdict = verdict_of(studies, tmp_path, **{f"gaussian_{arm}": 5})
    assert not any(reason["code"] == "collapsed" for reason in verdict["reasons"])
    (said,) = built.record.facts["caveats"]
    assert said.startswith(f"gaussian {arm}: 5 of 5 dictionaries collapsed") and said.endswith(null)
    page = (built.folder / "report.html").read_text()
    section = page[page.index('<section id="verdict"') : page.index('<section id="arms"')]
    assert said in section and said in (built.folder / "summary.md").read_text()
    data, text = present.verdict(built.folder, built.record)
    assert f"caveat: {said}" in text.splitlines() and data["caveats"] == [said]
