"""What claims read of arms, from files: groups of seeds, random-weight models, flaws, and what a coupling swamped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from evidence_on_disk import COUPLED, FLAT, Files, setting
from husai.activations.source import ExternalSource
from husai.recipes.architectures import grokked
from husai.studies.claims.words import words
from husai.training.coupling.swamped import swamped


def test_agreement_that_was_put_into_a_group_moves_no_claim(tmp_path: Path) -> None:
    """T10 for claims: inside a group agreement rises by construction; only pairs of different groups count."""
    grouped = setting(seeds=10, group_size=2, arms=COUPLED)
    bare, _ = Files(tmp_path, FLAT).judge(grouped)
    inside, arms = Files(tmp_path, FLAT, inside=0.5).judge(grouped)
    assert bare.state == inside.state == "not supported"
    assert inside.elements[0].calls == bare.elements[0].calls
    stable = arms["k2"].stability("target")
    assert stable is not None and stable.n == 5 and stable.n_unit == "groups" and abs(stable.value - 0.4) < 0.01
    between, _ = Files(tmp_path, FLAT | {("k2", "target"): 0.6}).judge(grouped)
    assert between.state == "supported" and between.elements[0].calls["gaussian"][1].n_unit == "groups"


def test_four_groups_are_too_few_however_many_seeds(tmp_path: Path) -> None:
    found, arms = Files(tmp_path, FLAT | {("k2", "target"): 0.9}).judge(setting(seeds=8, group_size=2, arms=COUPLED))
    assert found.state == "no verdict" and {reason.code for reason in found.reasons} == {"too few units"}
    assert arms["k2"].says(0.05) == "no statement"


def test_four_seeds_decide_no_claim(tmp_path: Path) -> None:
    found, _ = Files(tmp_path, FLAT | {("k2", "target"): 0.9}).judge(setting(seeds=4))
    assert found.state == "no verdict" and {reason.code for reason in found.reasons} == {"too few units"}
    assert "too few seeds (4 < 5)" in words(found)


def test_what_has_no_random_weight_models_says_so() -> None:
    off = setting(grokked("blocks.0.hook_resid_post"))
    assert off.no_models == "here: random-weight models (switched off): nothing here is shown to be learned"
    given = setting(ExternalSource(path="rows.npy"))
    assert "the activations come without a model" in given.no_models
    assert setting().no_models == "", "planted rows come from no model, and nothing is claimed to be learned"


@pytest.mark.parametrize("flaw", ["collapsed", "opposite signs"])
def test_a_flawed_arm_is_said_to_be_one(flaw: str, tmp_path: Path) -> None:
    high = FLAT | {("k2", "target"): 0.6}
    _, good = Files(tmp_path, high).judge(setting())
    assert good["k2"].flaws == []
    more = {"collapsed": (3,)} if flaw == "collapsed" else {"over_all": {("k2", "target"): 0.3}}
    _, bad = Files(tmp_path, high, **more).judge(setting())  # type: ignore[arg-type]
    (text,) = bad["k2"].flaws
    assert text.startswith(flaw)


def test_a_coupling_that_swamped_the_loss_is_said_with_the_claim(tmp_path: Path) -> None:
    terms = {"joint": {0: np.full(4, 3.0)}, "mse": {0: np.full(4, 1.0)}}
    grouped = setting(seeds=10, group_size=2, arms=COUPLED)
    high = FLAT | {("k2", "target"): 0.6}
    marked, _ = Files(tmp_path, high, warned=swamped("joint", terms)).judge(grouped)
    assert marked.state == "supported" and "3 times the reconstruction loss" in words(marked)
    other, _ = Files(tmp_path, high, warned="token 7 alone covers 99 % of the rows").judge(grouped)
    assert other.marks == () and "token 7" not in words(other)
