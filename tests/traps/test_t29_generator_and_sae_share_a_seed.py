"""T29: "a random decoder recovers the truth, .990": the generator of the data and the decoder both started from seed 0.

The bad input is remade here: with one raw seed for both, an untrained decoder *is* the planted dictionary. From the
same root seed husai gives them streams of different names, and the decoder scores what chance gives for that shape.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from husai.seeds import Role, derive, generator
from husai.tasks.planted import PlantedConfig

D, F = 16, 32
CHANCE = 0.557  # mean_max_cos of independent isotropic decoders at d = 16, n = 32


def unit(rows_FD):
    return rows_FD / np.linalg.norm(rows_FD, axis=1, keepdims=True)


def mean_max_cos(one_FD, two_FD):
    cosine_FF = np.abs(unit(one_FD) @ unit(two_FD).T)
    return float((cosine_FF.max(0).mean() + cosine_FF.max(1).mean()) / 2)


def decoders(root):
    """Untrained decoders of SAEs with this root seed, as NumPy and as torch would draw them."""
    for role in (Role.SAE_INIT, Role.CONTROL, Role.MODEL_INIT, Role.SURROGATE, Role.AUXILIARY):
        yield generator(root, role).standard_normal((F, D))
        stream = torch.Generator().manual_seed(derive(root, role))
        yield torch.randn(F, D, generator=stream, dtype=torch.float64).numpy()


def test_one_raw_seed_for_both_recovers_everything():
    raw = [np.random.default_rng(0).standard_normal((F, D)) for _ in range(2)]
    assert mean_max_cos(*raw) == pytest.approx(1.0)


@pytest.mark.parametrize("root", [0, 1, 42])
def test_the_same_root_seed_recovers_chance(root):
    dictionary_FD = PlantedConfig(d_in=D, n_features=F, n_active=3, n_rows=2, seed=root).build().dictionary_FD
    scores = [mean_max_cos(dictionary_FD, decoder_FD) for decoder_FD in decoders(root)]
    assert max(scores) < 0.62
    assert np.mean(scores) == pytest.approx(CHANCE, abs=0.02)


def test_no_role_or_index_can_meet_the_generators_stream():
    planted = {derive(0, role) for role in (Role.PLANTED_DICTIONARY, Role.PLANTED_CODES)}
    others = {derive(0, role, i) for role in Role for i in range(200)}
    bare = {derive(0, r) for r in Role if r not in (Role.PLANTED_DICTIONARY, Role.PLANTED_CODES)}
    assert len(planted) == 2 and not planted & (others | bare)
