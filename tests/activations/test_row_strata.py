"""Masks for numbers with and without norm outliers and the first position."""

from __future__ import annotations

import numpy as np

from husai.activations.strata import cache_strata, strata

RNG = np.random.default_rng(4)
ROWS = RNG.standard_normal((60, 5)).astype(np.float32)
ROWS[[3, 40]] *= 500
POSITIONS = np.arange(60) % 6


def test_masks_by_hand():
    masks = strata(ROWS, ROWS.mean(0), 50.0, POSITIONS)
    outlier = np.isin(np.arange(60), [3, 40])
    assert masks["all"].all()
    assert np.array_equal(masks["without_norm_outliers"], ~outlier)
    assert np.array_equal(masks["without_first_position"], POSITIONS > 0)
    assert np.array_equal(masks["without_both"], ~outlier & (POSITIONS > 0))


def test_without_positions_nothing_is_said_about_them():
    assert set(strata(ROWS, ROWS.mean(0), 50.0)) == {"all", "without_norm_outliers"}


def test_a_row_is_judged_alike_in_every_batch(make_cache):
    cache = make_cache(ROWS, positions=POSITIONS, shard_rows=7)
    whole = cache_strata(cache, np.arange(60))
    assert (~whole["without_norm_outliers"]).sum() == cache.manifest.norms.outliers == 2
    for start in range(0, 60, 13):
        indices = np.arange(start, min(start + 13, 60))
        for name, mask in cache_strata(cache, indices).items():
            assert np.array_equal(mask, whole[name][indices])
    assert set(cache_strata(make_cache(ROWS, name="bare"), np.arange(5))) == {"all", "without_norm_outliers"}
