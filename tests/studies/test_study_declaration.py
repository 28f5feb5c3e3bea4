"""A study that could answer nothing, or something else than it says, cannot be declared."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from husai.activations.source import CapturedSource
from husai.errors import UserError
from husai.recipes import recipe
from husai.saes.config import ReluL1Config, TopKConfig
from husai.studies.study import Arm, Study
from husai.training.config import TrainingConfig

A = Arm(name="a", sae=TopKConfig(d_sae=12, k=1))


def arm(name: str = "b", **changes: object) -> Arm:
    return Arm(name=name, sae=TopKConfig.parse({"d_sae": 12, "k": 3} | changes))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"arms": (A, arm(d_sae=16))}, "the arms differ in d_sae, k; they must differ in the declared factor 'k' only"),
        ({"arms": (A, arm(k=1))}, "the arms differ in nothing"),
        (
            {"arms": (A, arm()), "factor": "d_sae"},
            "they must differ in the declared factor 'd_sae' only",
        ),
        ({"arms": (A, arm("a"))}, "both arms are called a: give each its own name"),
        (
            {"arms": (A, Arm(name="b", sae=ReluL1Config(d_sae=12)))},
            "the arms differ in aux_coefficient, aux_k",
        ),
        ({"arms": (A,)}, "arms"),
        ({"arms": (A, arm(), arm("c", k=4))}, "arms"),
        ({"training": TrainingConfig(steps=21)}, "training.steps must be even"),
        ({"training": TrainingConfig(steps=44)}, "max_steps = 40 is below training.steps = 44"),
        ({"seeds": 1}, "seeds: .*greater than or equal to 2"),
        ({"margin": 0.0}, "margin"),
        ({"margin": 1.0}, "margin"),
        ({"name": "../x"}, "name"),
        ({"name": ""}, "name"),
        ({"root_seed": -1}, "root_seed"),
        ({"controls": {"seeds_per_random_model": 1}}, "seeds_per_random_model"),
        (
            {"target": CapturedSource().untrained(0)},
            "the target of a study is a trained model",
        ),
        ({"positive": CapturedSource()}, "positive"),
        ({"target": {"kind": "capturde"}}, "'captured', 'planted', 'surrogate', 'external'"),
        ({"target": {"kind": "captured", "task": {"p": 29, "operations": "addition"}}}, "did you mean 'operation'"),
        ({"hypotesis": "h"}, r"unknown key 'hypotesis': did you mean 'hypothesis'\?"),
    ],
)
def test_what_cannot_be_answered_is_refused(tiny_study, changes, words):
    with pytest.raises(UserError, match=words) as caught:
        tiny_study(**changes)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("bad", ["a b", "a_b", "", "a/b"])
def test_names_of_arms_fit_a_folder_and_a_table(bad):
    with pytest.raises(UserError, match="name"):
        Arm.parse({"name": bad, "sae": {"kind": "topk"}})


@given(st.integers(1, 50).map(lambda n: 2 * n), st.integers(0, 2000))
def test_budgets_double_up_to_the_cap(steps, more):
    study = Study.model_construct(training=TrainingConfig(steps=steps), max_steps=steps + more)
    found = study.budgets
    assert found[0] == steps
    assert all(b == 2 * a for a, b in itertools.pairwise(found))
    assert found[-1] <= study.max_steps < 2 * found[-1]


@pytest.mark.parametrize("name", ["quickstart", "smoke"])
def test_recipes_keep_what_they_declare(name):
    study = recipe(name)()
    assert study.name == name
    assert Study.parse(study.plain()) == study
    assert study.has_model
    assert study.controls.random_models >= 5
    assert study.seeds >= 5
    assert study.positive is not None


def test_a_study_can_be_set_part_by_part(tiny_study):
    found = tiny_study().override(["arms.1.sae.k=4", "seeds=7", "training.lr=1e-3", "target.planted.seed=3"])
    assert (found.arms[1].sae.k, found.seeds, found.training.lr, found.target.planted.seed) == (4, 7, 0.001, 3)
    with pytest.raises(UserError, match=r"unknown key 'lrr': did you mean 'lr'\?"):
        tiny_study().override(["training.lrr=1"])
    with pytest.raises(UserError, match="unknown study 'smok': did you mean 'smoke'"):
        recipe("smok")
