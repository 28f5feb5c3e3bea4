"""Structured planted data has the frequencies, kinship, correlations and L0 that it was asked for."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from husai.errors import UserError
from husai.seeds import Role, generator
from husai.tasks import structured as code
from husai.tasks.planted import CHUNK, Planted, PlantedConfig
from husai.tasks.structured import ROOT, StructuredConfig, frequencies, structure

SMALL = StructuredConfig(d_in=12, n_features=48, mean_active=4, children=0.3, n_factors=4, n_rows=40_000)
small = st.builds(
    StructuredConfig,
    d_in=st.integers(2, 12),
    n_features=st.integers(8, 24),
    mean_active=st.floats(0.2, 3),
    zipf=st.floats(0.8, 2),
    children=st.floats(0, 0.3),
    child_cosine=st.floats(-1, 1),
    correlated=st.sampled_from(["blocks", "low_rank"]),
    correlation=st.floats(0, 0.99),
    n_factors=st.integers(1, 30),
    coefficients=st.sampled_from(["half_normal", "exponential", "near_one"]),
    n_rows=st.integers(2, 60),
    seed=st.integers(0, 2**40),
)


def dense(planted: Planted) -> np.ndarray:
    """Coefficients [N, F], written out."""
    codes_NF = np.zeros((len(planted.x_ND), len(planted.dictionary_FD)))
    for codes_F, indices, values in zip(codes_NF, planted.indices_NK, planted.values_NK, strict=True):
        for f, value in zip(indices, values, strict=True):
            codes_F[f] += value
    return codes_NF


def activity(config: StructuredConfig) -> np.ndarray:
    planted = config.build()
    active_NF = np.zeros((config.n_rows, config.n_features), dtype=bool)
    rows, places = np.nonzero(planted.values_NK > 0)
    active_NF[rows, planted.indices_NK[rows, places]] = True
    return active_NF


def phi(config: StructuredConfig, a: int, b: int) -> float:
    """Correlation of two roots' activities: the orthant of a bivariate normal beyond both thresholds."""
    made = structure(config)
    p, q = made.frequency_F[[a, b]]
    rho = float(made.latent_correlation_FF[a, b])
    both = stats.multivariate_normal(cov=[[1, rho], [rho, 1]]).cdf([stats.norm.ppf(p), stats.norm.ppf(q)])
    return float((both - p * q) / np.sqrt(p * (1 - p) * q * (1 - q)))


@settings(max_examples=20, deadline=None)
@given(small)
def test_rows_are_the_sum_of_their_features(config: StructuredConfig) -> None:
    planted = config.build()
    np.testing.assert_allclose(planted.x_ND, dense(planted) @ planted.dictionary_FD, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(planted.dictionary_FD, axis=1), 1, rtol=1e-5)
    assert planted.x_ND.dtype == planted.values_NK.dtype == np.float32 and planted.indices_NK.dtype == np.int64


@settings(max_examples=20, deadline=None)
@given(small)
def test_places_without_a_feature_come_last_and_are_zero(config: StructuredConfig) -> None:
    planted = config.build()
    counts_N = planted.active_NK.sum(1)
    for indices, values, count in zip(planted.indices_NK, planted.values_NK, counts_N, strict=True):
        assert (values[:count] > 0).all() and (np.diff(indices[:count]) > 0).all()
        assert not values[count:].any() and not indices[count:].any()
    assert planted.indices_NK.shape[1] == max(1, counts_N.max())
    assert planted.true_l0 == pytest.approx((dense(planted) > 0).sum() / config.n_rows)
    np.testing.assert_allclose(planted.frequency_F, (dense(planted) > 0).mean(0))


@settings(max_examples=20, deadline=None)
@given(small)
def test_a_child_is_active_only_where_its_parent_is(config: StructuredConfig) -> None:
    made, active_NF = structure(config), activity(config)
    children = np.flatnonzero(made.parent_F != ROOT)
    assert len(children) == round(config.children * config.n_features)
    assert (made.parent_F[made.parent_F[children]] == ROOT).all()
    assert (made.frequency_F[made.parent_F[children]] >= 2 * made.frequency_F[children]).all()
    assert (active_NF[:, children] <= active_NF[:, made.parent_F[children]]).all()


def test_children_really_fire_and_lean_towards_their_parent() -> None:
    made, planted = structure(SMALL), SMALL.build()
    children = np.flatnonzero(made.parent_F != ROOT)
    assert (planted.frequency_F[children] > 0.005).all() and len(children) == 14
    W = planted.dictionary_FD.astype(np.float64)
    np.testing.assert_allclose((W[children] * W[made.parent_F[children]]).sum(1), SMALL.child_cosine, atol=1e-6)


@given(small)
def test_frequencies_are_zipfs_below_the_most_and_sum_to_the_l0(config: StructuredConfig) -> None:
    p_F = frequencies(config)
    assert p_F.sum() == pytest.approx(config.mean_active) and p_F.max() <= config.most and p_F.min() > 0
    below = p_F < config.most
    rank = np.arange(1, len(p_F) + 1)
    constant = p_F[below] * rank[below] ** config.zipf
    np.testing.assert_allclose(constant, constant[-1], rtol=1e-9)
    assert (p_F[~below] <= constant[-1] * rank[~below] ** -config.zipf * (1 + 1e-9)).all(), "capped without need"


@pytest.mark.parametrize("zipf", [0.5, 1.0, 1.4])
def test_what_fires_follows_the_law_of_zipf(zipf: float) -> None:
    """Slope of log frequency over log rank within .05, and each frequency within 5 standard errors."""
    config = SMALL.model_copy(update={"zipf": zipf, "mean_active": 2.0})
    wanted, found = frequencies(config), config.build().frequency_F
    se = np.sqrt(wanted * (1 - wanted) / config.n_rows)
    assert (np.abs(found - wanted) < 5 * se).all()
    free = wanted < config.most
    slope = stats.linregress(np.log(np.arange(1, 49))[free], np.log(found[free])).slope  # type: ignore[attr-defined]
    assert slope == pytest.approx(-zipf, abs=0.05)
    assert stats.spearmanr(found, wanted)[0] > 0.97


@pytest.mark.parametrize("correlated", ["blocks", "low_rank"])
@pytest.mark.parametrize("mean_active", [1.5, 4.0])
def test_mean_l0_is_what_was_asked_for_and_rows_differ(correlated: str, mean_active: float) -> None:
    """Within 5 standard errors of the mean over rows, and these within 2 % of it."""
    asked = {"correlated": correlated, "mean_active": mean_active}
    l0_N = activity(SMALL.model_copy(update=asked)).sum(1)
    se = l0_N.std() / np.sqrt(len(l0_N))
    assert abs(l0_N.mean() - mean_active) < 5 * se < 0.05 * mean_active
    assert l0_N.std() > 0.5


@pytest.mark.parametrize("correlated", ["blocks", "low_rank"])
def test_activities_are_correlated_as_asked_for(correlated: str) -> None:
    """Roots as a bivariate normal beyond two thresholds: within groups, or of both signs, and 0 elsewhere."""
    config = SMALL.model_copy(update={"correlated": correlated, "correlation": 0.6})
    made, found_FF = structure(config), np.corrcoef(activity(config).T)
    roots = np.flatnonzero(made.parent_F == ROOT)[:16]
    expected = np.array([[round(phi(config, a, b), 9) if a != b else 1 for a in roots] for b in roots])
    np.testing.assert_allclose(found_FF[np.ix_(roots, roots)], expected, atol=0.03)
    assert expected[expected < 1].max() > 0.25
    assert expected.min() < -0.08 if correlated == "low_rank" else (expected == 0).any()


def test_blocks_are_of_equal_size_and_have_the_correlation_asked_for() -> None:
    config = SMALL.model_copy(update={"correlation": 0.6})
    made = structure(config)
    roots = np.flatnonzero(made.parent_F == ROOT)
    rho = made.latent_correlation_FF[np.ix_(roots, roots)]
    assert set(np.round(rho[~np.eye(len(roots), dtype=bool)], 12)) == {0.0, 0.6}
    assert set((rho > 0.5).sum(1)) <= {len(roots) // 4, len(roots) // 4 + 1}


@pytest.mark.parametrize(
    ("name", "law"),
    [
        ("half_normal", stats.halfnorm),
        ("exponential", stats.expon),
        ("near_one", stats.norm(1, 0.15)),
    ],
)
def test_coefficients_are_drawn_as_named(name: str, law: stats.rv_continuous) -> None:
    planted = SMALL.model_copy(update={"coefficients": name, "n_rows": 5000}).build()
    assert stats.kstest(planted.values_NK[planted.active_NK], law.cdf).pvalue > 1e-4


@pytest.mark.parametrize("n_rows", [30, CHUNK, CHUNK + 10])
def test_a_row_does_not_depend_on_how_many_there_are(n_rows: int) -> None:
    config = SMALL.model_copy(update={"n_rows": CHUNK + 500})
    few, many = config.model_copy(update={"n_rows": n_rows}).build(), config.build()
    assert np.array_equal(few.x_ND, many.x_ND[:n_rows])
    assert np.array_equal(few.dictionary_FD, many.dictionary_FD)
    assert not np.array_equal(many.x_ND[:400], many.x_ND[CHUNK : CHUNK + 400]), "chunks must not repeat"


def test_streams_are_those_of_planted_data_and_none_is_used_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def watch(root: int, role: Role, *index: int | str) -> np.random.Generator:
        asked.append((role, index))
        return generator(root, role, *index)

    monkeypatch.setattr(code, "generator", watch)
    SMALL.model_copy(update={"n_rows": CHUNK + 1}).build()
    assert len(asked) == len(set(asked)) == 4 and ((Role.PLANTED_DICTIONARY, ()) not in asked)
    assert {role for role, _ in asked} == {Role.PLANTED_DICTIONARY, Role.PLANTED_CODES}


def test_dictionary_does_not_depend_on_coefficients_or_rows() -> None:
    other = SMALL.model_copy(update={"coefficients": "near_one", "n_rows": 20})
    assert np.array_equal(SMALL.model_copy(update={"n_rows": 5}).build().dictionary_FD, other.build().dictionary_FD)


def test_the_hash_is_the_same_in_every_process() -> None:
    config = SMALL.model_copy(update={"n_rows": 500})
    source = (
        f"from husai.tasks.structured import StructuredConfig as C; print(C(**{config.plain()}).build().content_hash)"
    )
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == config.build().content_hash
    assert config.model_copy(update={"seed": 1}).build().content_hash != config.build().content_hash


def test_the_size_that_is_meant_is_made() -> None:
    planted = StructuredConfig(n_rows=8000).build()
    assert planted.dictionary_FD.shape == (1024, 96) and 8.5 < planted.true_l0 < 9.5


def test_the_known_l0_of_both_kinds() -> None:
    assert PlantedConfig(n_active=4).true_l0 == 4 == PlantedConfig(n_active=4, n_rows=9).build().true_l0
    assert StructuredConfig(mean_active=7.7).true_l0 == 7.7


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"n_features": 16, "mean_active": 9}, "raise most or n_features"),
        ({"zipf": 0}, "only 0 of 1024 features .* children can be at most 0 "),
        ({"children": 0.999}, "children can be at most"),
        ({"d_in": 1}, "in one dimension"),
    ],
)
def test_what_cannot_be_made_is_refused(fields: dict[str, float], says: str) -> None:
    with pytest.raises(UserError, match=says):
        StructuredConfig.parse(fields)
