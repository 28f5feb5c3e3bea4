"""From matrices to the verdict: hand-made matrices whose answer is known, and an independent jackknife."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load_file
from scipy import stats

from husai.errors import UserError
from husai.recipes import recipe
from husai.store.ranges import RANGES
from husai.store.record import RunRecord
from husai.store.tensors import save_arrays
from husai.studies import evidence as room
from husai.studies.conclude import conclude, not_run
from husai.studies.evidence import RANDOM_MODEL, Measured, check_convergence, difference, excess, judge, stability
from husai.studies.measured import measured
from husai.studies.plan import plan
from husai.studies.study import Controls

STEPS = 120
# Stability of arm a and of arm b on each source, where a is better for a reason that no control has.
LEVELS = {
    "target": (0.80, 0.50),
    "gaussian": (0.40, 0.40),
    "gaussian-2": (0.40, 0.40),
    "planted": (0.90, 0.60),
    "planted-gaussian": (0.30, 0.30),
    "random-model": (0.35, 0.30),
}


def matrix(level: float, seeds: int, key: str, noise: float = 0.004) -> np.ndarray:
    """Symmetric [S, S] around a level: an effect of each seed and of each pair; the diagonal is no number."""
    rng = np.random.default_rng(list(key.encode()))
    own, pair = rng.normal(size=seeds) * noise, rng.normal(size=(seeds, seeds)) * noise / 2
    made = level + own[:, None] + own[None, :] + (pair + pair.T) / 2
    np.fill_diagonal(made, np.nan)
    return made


@pytest.fixture(scope="module")
def study():
    return recipe("smoke")()


@pytest.fixture
def made(study):
    """Everything measured: the answer is yes."""

    def build(levels=None, half=0.0, noise=0.004, flip=(), **changes) -> Measured:
        pairs, ev = {}, {}
        design = plan(study, STEPS)
        for source, (number, arm), steps, population in itertools.product(
            design.sources, enumerate(("k2", "k8")), (STEPS // 2, STEPS), ("alive", "all")
        ):
            name = "random-model" if source.startswith("random-model") else source
            level = (LEVELS | (levels or {}))[name][1 - number if (source, population) in flip else number]
            level += half if steps != STEPS else 0.0
            seeds = len(design.seeds_of(source))
            pairs[source, arm, steps, population] = matrix(level, seeds, f"{source} {arm}", noise)
            ev[source, arm, steps] = 0.9
        return replace(Measured(study, design.budgets, pairs, ev, "sane"), **changes)

    return build


def state(m: Measured) -> str:
    return judge(m)[0].state


def codes(m: Measured) -> set[str]:
    decision, _ = judge(m)
    assert decision.state == "no verdict"
    return {reason.code for reason in decision.reasons}


def test_an_effect_that_no_control_has_is_supported(made):
    decision, trained = judge(made())
    assert decision.state == "supported"
    assert {o.control for o in decision.outcomes} == {"gaussian", "random_model"}
    assert all(c.converged for c in trained.values())
    assert len(trained) == 2 * 6


@pytest.mark.parametrize("control", ["gaussian", "random-model"])
def test_an_effect_that_a_control_has_as_well_is_not_beyond_it(made, control):
    both = {control: (0.70, 0.40)} | ({"gaussian-2": (0.70, 0.40)} if control == "gaussian" else {})
    decision, _ = judge(made(both))
    assert decision.state == "not beyond"
    assert decision.blocked_by == (control.replace("-", "_"),)


def test_an_effect_as_large_as_the_margin_is_undecided(made, study):
    same = {"random-model": (0.35, 0.35)}
    assert state(made(same | {"target": (0.50 + study.margin, 0.50)})) == "undecided"


def test_noise_alone_gives_no_verdict_in_favour(made):
    assert state(made({"target": (0.40, 0.40)})) == "not beyond"
    assert state(made({"target": (0.56, 0.50)}, noise=0.02)) != "supported"


def test_what_still_changes_is_undertrained(made, study):
    m = made(half=-study.margin)
    trained = check_convergence(m)
    assert not any(c.converged for c in trained.values())
    assert codes(m) == {"undertrained"}
    assert check_convergence(made(half=-study.margin / 20))["target", "k2"].converged


def test_explained_variance_that_still_changes_is_undertrained(made):
    m = made()
    m.ev["planted", "k2", STEPS // 2] = 0.85
    trained = check_convergence(m)
    assert [key for key, c in trained.items() if not c.converged] == [("planted", "k2")]
    assert codes(m) == {"undertrained"}


def test_a_positive_control_that_fails_blocks(made):
    assert "positive control" in codes(made({"planted": (0.30, 0.30)}))


def test_a_negative_control_that_finds_something_blocks(made):
    assert "negative control" in codes(made({"gaussian-2": (0.30, 0.40)}))


def test_a_model_that_is_not_sane_blocks(made):
    assert codes(made(sanity="not sane")) == {"refused"}


def test_opposite_signs_over_alive_and_all_latents_block(made):
    assert "opposite signs" in codes(made(flip={("target", "all")}))


def test_two_models_are_too_few(made, study):
    few = study.model_copy(update={"controls": Controls(random_models=2)})
    m = replace(made(), study=few)
    assert m.random_models == ["random-model-0", "random-model-1"]
    assert "too few units" in codes(m)


def off(m: np.ndarray) -> float:
    return float(m[~np.eye(len(m), dtype=bool)].mean())


def test_the_excess_is_the_difference_of_differences_with_a_jackknife_over_shared_seeds(made):
    m = made(noise=0.03)
    terms = [("target", "k2", 1), ("target", "k8", -1), ("gaussian", "k2", -1), ("gaussian", "k8", 1)]

    def contrast(keep: list[int]) -> float:
        return sum(sign * off(m.matrix(s, arm, "alive")[np.ix_(keep, keep)]) for s, arm, sign in terms)

    seeds = list(range(5))
    without = np.array([contrast([s for s in seeds if s != left]) for left in seeds])
    se = math.sqrt(4 / 5 * ((without - without.mean()) ** 2).sum())
    found = excess(m, "target", "gaussian")
    assert found.value == pytest.approx(contrast(seeds), abs=1e-12)
    assert found.se == pytest.approx(se, rel=1e-9)
    half = stats.t.ppf(0.975, 4) * se
    assert (found.low, found.high) == pytest.approx((found.value - half, found.value + half))


def test_for_random_models_the_unit_is_the_model(made):
    m = made(noise=0.03)
    each = [off(m.matrix(s, "k2", "alive")) - off(m.matrix(s, "k8", "alive")) for s in m.random_models]
    found = difference(m, RANDOM_MODEL)
    assert found.value == pytest.approx(np.mean(each))
    assert (found.n, found.n_unit) == (5, "models")
    assert found.se == pytest.approx(np.std(each, ddof=1) / math.sqrt(5))
    assert stability(m, RANDOM_MODEL, "k2").value == pytest.approx(
        np.mean([off(m.matrix(s, "k2", "alive")) for s in m.random_models])
    )
    target = difference(m, "target")
    beyond = excess(m, "target", RANDOM_MODEL)
    assert beyond.value == pytest.approx(target.value - found.value)
    assert beyond.se == pytest.approx(math.hypot(target.se, found.se))
    kept = measured("excess", beyond, "cosine", {})
    assert (kept.n, kept.n_unit, kept.cluster) == (5, "seeds, 5 models", "seeds, models")


def test_both_kinds_of_unit_are_counted_in_the_words_of_the_verdict(made):
    words = judge(made())[0].words
    assert words.count("n = 5 seeds)") == 1 and words.count("n = 5 seeds, 5 models)") == 1
    assert "seeds and models" not in words


def test_turning_the_arms_round_turns_the_sign(made):
    m = made(noise=0.03)
    turned = replace(m, study=m.study.model_copy(update={"arms": m.study.arms[::-1]}))
    for control in ("gaussian", RANDOM_MODEL):
        assert excess(turned, "target", control).value == pytest.approx(-excess(m, "target", control).value)


def test_a_conclusion_is_made_of_what_the_nodes_hold(computed, tiny_study):
    done = computed(tiny_study(), 40)
    found = conclude(done.plan, done.folders, done.records)
    keys = [m.key for m in found.measurements]
    assert len(set(keys)) == len(keys)
    json.dumps(found.facts, allow_nan=False)
    for source, arm in itertools.product(("target", "gaussian"), ("k1", "k3")):
        node = done.plan.measures[source, arm, 40]
        values = load_file(done.folders[node.id] / "pairs.safetensors")["mcc_signed|alive"]
        scope = f"[arm={arm},population=alive,source={source}]"
        stable = next(m for m in found.measurements if m.key == "mcc_signed" + scope)
        assert stable.value == pytest.approx(off(values))
        assert (stable.n, stable.n_unit, stable.cluster) == (5, "seeds", "seeds")
        copied = next(m for m in found.measurements if m.key == f"explained_variance[arm={arm},source={source}]")
        assert copied.value == done.records[node.id].get("explained_variance").value
        assert copied.artefacts == (f"{node.id}:metrics.json",)
    assert found.facts["budgets"] == [{"arm": "k1", "steps": 40}, {"arm": "k3", "steps": 40}]
    assert found.facts["verdict"]["state"] == "no verdict"
    assert not all(c.converged for c in found.trained.values())


def test_less_detail_gives_the_same_numbers(computed, tiny_study):
    done = computed(tiny_study(), 20)
    deep = computed(tiny_study(training=tiny_study().training.model_copy(update={"steps": 10}), max_steps=20), 20)
    for key, node in done.plan.measures.items():
        other = deep.plan.measures[key]
        if key[2] == 10:
            assert (node.fields["detail"], other.fields["detail"]) == ("pairs", "full")
            assert not (done.folders[node.id] / "trajectory.json").exists()
        found, full = (
            room.load_arrays(folder / "pairs.safetensors") for folder in (done.folders[node.id], deep.folders[other.id])
        )
        assert set(found) <= set(full)
        assert all(np.array_equal(found[name], full[name], equal_nan=True) for name in found)
        values = [r.get("explained_variance").value for r in (done.records[node.id], deep.records[other.id])]
        assert values[0] == values[1]


def test_seeds_in_which_nothing_fires_are_named(computed, tiny_study):
    done = computed(tiny_study(), 20)
    node = done.plan.measures["gaussian", "k3", 10]
    path = done.folders[node.id] / "pairs.safetensors"
    arrays = {name: values.copy() for name, values in room.load_arrays(path).items()}
    arrays["mcc_signed|alive"][1, 3] = arrays["mcc_signed|alive"][3, 1] = np.nan
    save_arrays(path, arrays)
    with pytest.raises(UserError, match=r"gaussian k3 at 10 steps: seeds 1 and 3 have no latent that fires"):
        conclude(done.plan, done.folders, done.records)


def test_what_was_not_run_is_said(study, tiny_study):
    said = " ".join(not_run(plan(study, 60)))
    assert "causal effects" in said and "switched off" not in said and "odd modulus" not in said
    said = " ".join(not_run(plan(study.override(["controls.random_models=0", "target.task.p=28"]), 60)))
    assert "random-weight models: switched off" in said and "odd modulus" in said
    said = " ".join(not_run(plan(tiny_study(positive=None), 20)))
    assert "without one there is no verdict" in said and "splicing into a model: there is none" in said


def test_the_range_of_every_quantity_with_an_interval_is_known(computed, tiny_study, built_study):
    """A quantity without a range is never cut: a new name needs its line, if only to say that it may be anything."""
    done = computed(tiny_study(), 20)
    found = [*done.records.values(), built_study.record, *(record for record, _ in built_study.upstream.values())]
    names = {m.name for record in found for m in record.measurements if m.interval is not None}
    names |= {m.name for m in conclude(done.plan, done.folders, done.records).measurements if m.interval is not None}
    stems = {name.partition("(")[0].partition(".")[0] for name in names}
    assert {"mcc_signed", "excess", "reappearing_mass"} <= stems
    assert stems <= set(RANGES)


def test_a_record_of_a_conclusion_comes_back(computed, tiny_study):
    done = computed(tiny_study(), 20)
    found = conclude(done.plan, done.folders, done.records)
    some = next(iter(done.records.values()))
    record = some.model_copy(update={"measurements": found.measurements, "facts": found.facts})
    text = json.dumps(record.plain(), allow_nan=False)
    assert json.dumps(RunRecord.parse(json.loads(text)).plain()) == text
