"""Two groups of existing SAEs: the interval of their difference written out, and a sentence that claims no more."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from husai.errors import UserError
from husai.saes.config import TopKConfig
from husai.saes.formats.load import Loaded
from husai.studies.existing.contrast import Contrast, Side, contrast
from husai.studies.existing.saes import differing, group_of

D, F = 16, 24
TRUTH = np.random.default_rng(0).standard_normal((F, D))


def side(saes, found: list[Loaded], null: Side | None = None, null_id: str = "") -> Side:
    group, _ = group_of(saes, [one.name for one in found])
    return Side(found, group, null.group if null else None, null_id)


def near(existing_saes, noise: float, n: int = 5, start: int = 0, **null: object) -> Side:
    saes = [existing_saes.near_sae(TRUTH, noise, start + s) for s in range(n)]
    return side(saes, existing_saes.loaded(*saes), **null)


def matrix(one: Side) -> np.ndarray:
    M = one.group.pairs.matrix("mcc_signed", "all").copy()
    np.fill_diagonal(M, 0)
    return M


def jackknife(M: np.ndarray) -> tuple[float, float]:
    """Mean over pairs and its variance."""
    n = len(M)
    without = np.array([np.delete(np.delete(M, s, 0), s, 1).sum() / (n - 1) / (n - 2) for s in range(n)])
    return M.sum() / n / (n - 1), (n - 1) / n * ((without - without.mean()) ** 2).sum()


def main(found: Contrast):
    return next(m for m in found.differences if m.scope == {"metric": "mcc_signed", "population": "all"})


def test_own_seeds_add_their_variances(existing_saes):
    a, b = near(existing_saes, 0.5), near(existing_saes, 0.9, 6, start=10)
    (mean_a, v_a), (mean_b, v_b) = jackknife(matrix(a)), jackknife(matrix(b))
    df = (v_a + v_b) ** 2 / (v_a**2 / 4 + v_b**2 / 5)
    half = stats.t.ppf(0.975, df) * np.sqrt(v_a + v_b)
    found = contrast(a, b, same_seeds=False)
    m = main(found)
    assert (m.value, m.interval.low, m.interval.high) == pytest.approx(
        (mean_a - mean_b, mean_a - mean_b - half, mean_a - mean_b + half)
    )
    assert m.n == 5 and m.interval.method.startswith("difference, Welch t(")
    assert found.state == "differ" and "A and B differ in mcc_signed over all latents: A - B = " in found.words
    assert "No control was applied" in found.words


def test_the_same_seeds_are_deleted_together(existing_saes):
    a, b = near(existing_saes, 0.5), near(existing_saes, 0.9)
    mean, variance = jackknife(matrix(a) - matrix(b))
    half = stats.t.ppf(0.975, 4) * np.sqrt(variance)
    m = main(contrast(a, b, same_seeds=True))
    assert (m.value, m.interval.low, m.interval.high) == pytest.approx((mean, mean - half, mean + half))
    assert m.interval.method == "delete-one-seed jackknife over pairs, t(4)"


def test_pairing_other_seeds_or_other_numbers_is_refused(existing_saes):
    a, b = near(existing_saes, 0.5), near(existing_saes, 0.9, 6)
    with pytest.raises(UserError, match="--same-seeds pairs SAEs in order, and there are 5 and 6"):
        contrast(a, b, same_seeds=True)
    turned = Side(list(reversed(a.loaded)), a.group)
    with pytest.raises(UserError, match="--same-seeds pairs seed 0 with seed 4"):
        contrast(a, turned, same_seeds=True)


def test_no_difference_is_not_called_sameness(existing_saes):
    found = contrast(near(existing_saes, 0.7), near(existing_saes, 0.7, start=20), same_seeds=False)
    assert found.state == "no difference shown"
    assert found.words.startswith("A and B are not shown to differ in mcc_signed")


def test_too_few_seeds_is_the_whole_sentence(existing_saes):
    found = contrast(near(existing_saes, 0.3, 5), near(existing_saes, 2.0, 4, start=9), same_seeds=False)
    assert found.state == "too few seeds" and main(found).interval is None
    assert found.words.startswith("Too few seeds (4 < 5) to say whether A and B differ")
    assert main(found).no_interval == "too few seeds (4 < 5)"


def test_collapsed_dictionaries_get_no_statement(existing_saes):
    saes = [existing_saes.near_sae(np.repeat(TRUTH[:1], F, 0), 0.02, s) for s in range(5)]
    collapsed = side(saes, existing_saes.loaded(*saes))
    found = contrast(collapsed, near(existing_saes, 0.5), same_seeds=False)
    assert found.state == "no statement"
    assert found.words.startswith("No statement: 5 of 5 dictionaries of A collapsed.")


def test_opposite_signs_of_all_and_alive_get_no_statement(existing_saes):
    """A: few alive latents that return, dead ones that do not; B: everything returns a little (T31)."""
    import torch

    rng, x = np.random.default_rng(4), torch.randn(300, D, generator=torch.Generator().manual_seed(0))
    sides = []
    for noise, alive in ((0.3, 10), (0.75, F)):
        saes = [existing_saes.near_sae(TRUTH, noise, s) for s in range(5)]
        for sae in saes:
            sae.W_dec[alive:] = torch.from_numpy(rng.standard_normal((F - alive, D)).astype(np.float32))
            sae.b_enc[alive:] = -1000.0
        found = existing_saes.loaded(*saes)
        sides.append(Side(found, group_of(saes, [o.name for o in found], x, "rows")[0]))
    found = contrast(*sides, same_seeds=False)
    assert found.state == "no statement"
    assert "A - B has opposite signs over all (-" in found.words


def test_a_null_takes_its_own_difference_off(existing_saes):
    null_a, null_b = near(existing_saes, 1.5, start=30), near(existing_saes, 2.0, start=40)
    a, b = near(existing_saes, 0.5, null=null_a, null_id="x"), near(existing_saes, 0.9, null=null_b, null_id="y")
    found = contrast(a, b, same_seeds=False)
    excess = next(m for m in found.beyond if m.scope["metric"] == "mcc_signed")
    means = [jackknife(matrix(s))[0] for s in (a, b, null_a, null_b)]
    assert excess.value == pytest.approx(means[0] - means[1] - (means[2] - means[3]))
    v_null = jackknife(matrix(null_a) - matrix(null_b))[1]  # the nulls have the same seeds
    v = [jackknife(matrix(a))[1] + jackknife(matrix(b))[1], v_null]
    df_own = v[0] ** 2 / (jackknife(matrix(a))[1] ** 2 / 4 + jackknife(matrix(b))[1] ** 2 / 4)
    df = sum(v) ** 2 / (v[0] ** 2 / df_own + v[1] ** 2 / 4)
    assert excess.interval.high - excess.value == pytest.approx(stats.t.ppf(0.975, df) * np.sqrt(sum(v)))
    assert "No control" not in found.words and "Less the same difference on the Gaussian twin" in found.words


def test_one_null_for_both_groups_is_no_control_of_their_difference(existing_saes):
    null = near(existing_saes, 1.5, start=30)
    a, b = (near(existing_saes, noise, null=null, null_id="x") for noise in (0.5, 0.9))
    found = contrast(a, b, same_seeds=False)
    assert found.beyond == ()
    assert "one and the same Gaussian null, which cancels" in found.words


def test_everything_in_which_they_differ_is_named(existing_saes):
    a = existing_saes.loaded(existing_saes.random_sae(TopKConfig(d_sae=20, k=3), D, 0, "here"))
    b = existing_saes.loaded(existing_saes.random_sae(TopKConfig(d_sae=24, k=3), D, 0, ""))
    assert differing(a, b) == {"hook name": "here against not known", "d_sae": "20 against 24"}
    assert differing(a, a) == {}
