"""Planted data: rows are what the codes say, features have equal chance, streams are separate."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from husai.errors import UserError
from husai.seeds import Role, generator
from husai.tasks import planted as planted_module
from husai.tasks.planted import CHUNK, PlantedConfig, draw_codes, draw_dictionary

small = st.builds(
    PlantedConfig,
    d_in=st.integers(1, 12),
    n_features=st.integers(4, 20),
    n_active=st.integers(1, 4),
    n_rows=st.integers(2, 50),
    seed=st.integers(0, 2**40),
)


@given(small)
def test_rows_are_the_sum_of_their_features(config):
    planted = config.build()
    codes_NF = np.zeros((config.n_rows, config.n_features))
    np.put_along_axis(codes_NF, planted.indices_NK, planted.values_NK, axis=1)
    assert (np.count_nonzero(codes_NF, axis=1) == config.n_active).all()
    np.testing.assert_allclose(planted.x_ND, codes_NF @ planted.dictionary_FD, rtol=1e-5, atol=1e-6)


@given(small)
def test_shapes_types_and_signs(config):
    planted = config.build()
    assert planted.x_ND.shape == (config.n_rows, config.d_in) and planted.x_ND.dtype == np.float32
    assert planted.indices_NK.shape == planted.values_NK.shape == (config.n_rows, config.n_active)
    assert planted.indices_NK.dtype == np.int64 and (np.diff(planted.indices_NK, axis=1) > 0).all()
    assert (planted.values_NK >= 0).all()
    np.testing.assert_allclose(np.linalg.norm(planted.dictionary_FD, axis=1), 1, rtol=1e-5)


@settings(max_examples=5)
@given(st.integers(0, 1000))
def test_features_have_equal_chance_and_coefficients_are_half_normal(seed):
    planted = PlantedConfig(d_in=4, n_features=16, n_active=3, n_rows=20_000, seed=seed).build()
    counts = np.bincount(planted.indices_NK.ravel(), minlength=16)
    assert stats.chisquare(counts).pvalue > 1e-6
    assert stats.kstest(planted.values_NK.ravel(), stats.halfnorm.cdf).pvalue > 1e-6


def test_more_rows_keep_the_rows_before_them():
    few, many = (PlantedConfig(d_in=3, n_features=6, n_rows=n).build() for n in (CHUNK, CHUNK + 10))
    assert np.array_equal(few.x_ND, many.x_ND[:CHUNK])


def test_dictionary_does_not_depend_on_the_codes():
    one, two = (PlantedConfig(d_in=8, n_features=16, n_active=k, n_rows=n).build() for k, n in ((2, 30), (5, 99)))
    assert np.array_equal(one.dictionary_FD, two.dictionary_FD)


def test_dictionary_and_codes_are_from_different_streams(monkeypatch):
    asked = []

    def watch(root, role, *index):
        asked.append(role)
        return generator(root, role, *index)

    monkeypatch.setattr(planted_module, "generator", watch)
    config = PlantedConfig(d_in=4, n_features=8, n_rows=4, seed=3)
    draw_dictionary(config)
    draw_codes(config)
    assert asked == [Role.PLANTED_DICTIONARY, Role.PLANTED_CODES]


def test_same_seed_same_hash_other_seed_other_everything():
    one, again, other = (PlantedConfig(d_in=4, n_features=8, n_rows=20, seed=s).build() for s in (1, 1, 2))
    assert one.content_hash == again.content_hash != other.content_hash
    assert not np.array_equal(one.dictionary_FD, other.dictionary_FD)
    assert not np.array_equal(one.indices_NK, other.indices_NK)


def test_too_many_active_features_are_refused():
    with pytest.raises(UserError, match=r"n_active \(9\) cannot exceed n_features \(8\)"):
        PlantedConfig.parse({"n_active": 9, "n_features": 8})


def test_arrays_are_read_only():
    planted = PlantedConfig(d_in=4, n_features=8, n_rows=5).build()
    with pytest.raises(ValueError, match="read-only"):
        planted.x_ND[0, 0] = 1
