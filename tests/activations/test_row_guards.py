"""Which rows are refused for which SAE, which are warned about, and what is silent."""

from __future__ import annotations

import numpy as np
import pytest

from husai.activations.guards import check_rows, describe_rows, require_real, row_facts
from husai.activations.manifest import Manifest, Origin
from husai.errors import Refused
from husai.tasks.planted import PlantedConfig

RNG = np.random.default_rng(3)


@pytest.fixture
def sound(make_cache) -> Manifest:
    """2,000 different rows of 16 dimensions with nothing odd about them."""
    rows = RNG.laplace(size=(2000, 16)) @ RNG.standard_normal((16, 16))
    return make_cache(rows.astype(np.float32), shard_rows=2000).manifest


def test_sound_rows_are_silent(sound):
    assert check_rows(sound, d_sae=128) == []


@pytest.mark.parametrize(("d_sae", "state"), [(200, "silent"), (201, "warned"), (2000, "warned"), (2001, "refused")])
def test_different_rows_per_latent(sound, d_sae, state):
    if state == "refused":
        with pytest.raises(Refused, match=r"2000 different rows .* fewer than the 2001 latents"):
            check_rows(sound, d_sae)
    else:
        assert bool(check_rows(sound, d_sae)) is (state == "warned")


def test_rows_that_are_held_out_determine_no_latent(sound):
    assert check_rows(sound, 200, 2000) == []
    with pytest.raises(Refused, match=r"1600 different rows to train on \(2000 in all .* = 1600 at most"):
        check_rows(sound, 1601, 1600)
    assert "only 8.0 different rows per latent" in " ".join(check_rows(sound, 200, 1600))


def test_noise_that_claims_to_be_activations_is_pointed_out(make_cache):
    noise = RNG.standard_normal((3000, 32))
    assert "white Gaussian noise" in " ".join(check_rows(make_cache(noise).manifest, 64))
    declared = Origin(kind="external", synthetic=True, description="noise, on purpose")
    assert check_rows(make_cache(noise, origin=declared, name="declared").manifest, 64) == []
    stretched = noise * np.linspace(1, 3, 32)
    assert check_rows(make_cache(stretched, name="stretched").manifest, 64) == []
    heavy = RNG.laplace(size=(3000, 32))
    assert check_rows(make_cache(heavy, name="heavy").manifest, 64) == []


def test_planted_rows_are_not_taken_for_noise(make_cache):
    x = PlantedConfig(d_in=16, n_features=32, n_active=3, n_rows=3000).build().x_ND
    assert check_rows(make_cache(x).manifest, 32) == []


def test_few_rows_of_even_weight_are_not_called_concentrated(make_cache):
    assert not any("variance" in line for line in check_rows(make_cache(RNG.laplace(size=(40, 16))).manifest, 4))


@pytest.mark.parametrize(
    ("loud", "size", "warned"),
    [
        (2, 40, True),  # a sixth of the variance in 2 of 5,000 rows
        (150, 10, True),  # three quarters of it in 3 % of the rows, none of them among the top few alone
        (150, 2, False),
    ],
)
def test_variance_in_few_rows_is_named_whatever_its_form(make_cache, loud, size, warned):
    x = RNG.laplace(size=(5000, 16))
    x[:loud] *= size
    lines = [line for line in check_rows(make_cache(x, shard_rows=5000).manifest, 64) if "variance" in line]
    assert len(lines) == warned


def test_facts_hold_the_numbers(make_cache):
    x = RNG.laplace(size=(100, 4))
    tokens, positions = np.arange(100) % 20, np.arange(100) % 3
    facts = row_facts(make_cache(x, tokens=tokens, positions=positions).manifest, d_sae=10)
    assert facts["unique_rows_per_latent"] == 10
    assert facts["unique_tokens_per_latent"] == 2
    assert facts["commonest_token_share"] == 0.05
    assert facts["rows_follow"] == "context"
    assert "unique_tokens_per_latent" not in row_facts(make_cache(x, name="two").manifest, 10)


def test_real_rows_pass_and_synthetic_ones_need_their_name(make_cache):
    x = RNG.laplace(size=(50, 4))
    require_real(make_cache(x).manifest)
    for kind in ("planted", "surrogate", "external"):
        origin = Origin(kind=kind, synthetic=True, description="made up")
        manifest = make_cache(x, origin=origin, name=kind).manifest
        require_real(manifest, wanted=[kind])
        for wanted in ([], ["captured"], ["gaussian"]):
            with pytest.raises(Refused, match=f"synthetic \\({kind}: made up\\)"):
                require_real(manifest, wanted)


def test_descriptions_follow_what_the_rows_are(make_cache):
    assert describe_rows(make_cache(RNG.laplace(size=(50, 4))).manifest) == (
        "rows of a test (50 rows, 50 different, d_in 4)"
    )
    origin = Origin(kind="planted", synthetic=True, description="known features")
    found = describe_rows(make_cache(RNG.laplace(size=(50, 4)), origin=origin, name="p").manifest)
    assert found == "known features (synthetic, 50 rows, 50 different, d_in 4)"
