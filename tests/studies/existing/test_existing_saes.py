"""SAEs that exist already: the numbers are those of formulas written out, also between dictionaries of two sizes."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.optimize import linear_sum_assignment

from husai.errors import UserError
from husai.saes.config import JumpReluConfig, TopKConfig
from husai.saes.sae import SAE
from husai.studies.existing import measure as measure_existing
from husai.studies.existing import saes as code
from husai.studies.existing.gaussian_null import NullRequest, check_request
from husai.studies.existing.measure import Measured, Request, stability
from husai.studies.existing.saes import cautions, features_of, group_of, open_saes, same_d_in
from husai.studies.presenting.existing import missing
from husai.studies.presenting.existing import stability as present

D = 16


def unit(sae: SAE, name: str = "W_dec") -> np.ndarray:
    W = sae.parameters[name].numpy().astype(np.float64)
    return W / np.linalg.norm(W, axis=1, keepdims=True)


def matched(C: np.ndarray) -> float:
    rows, cols = linear_sum_assignment(C, maximize=True)
    return float(C[rows, cols].sum() / max(C.shape))


def written_out(a: SAE, b: SAE) -> dict[str, float]:
    """The formulas of the definitions, in float64, for one pair."""
    C, E = unit(a) @ unit(b).T, unit(a, "W_enc") @ unit(b, "W_enc").T
    dec, enc = (dict(zip(*linear_sum_assignment(M, maximize=True), strict=True)) for M in (C, E))
    same = [min(C[i, j], E[i, j]) for i, j in dec.items() if enc.get(i) == j]
    shared = {f"shared_at({t})": sum(s >= t for s in same) / max(C.shape) for t in (0.5, 0.7, 0.9)}
    top = [np.linalg.svd(unit(s), full_matrices=False)[2][:8] for s in (a, b)]
    return shared | {
        "mcc_signed": matched(C),
        "mcc_abs": matched(abs(C)),
        "mean_max_cos": (abs(C).max(0).mean() + abs(C).max(1).mean()) / 2,
        "subspace_overlap(8)": float(((top[0] @ top[1].T) ** 2).sum() / 8),
    }


def of(saes: list[SAE], existing_saes, x: torch.Tensor | None = None, t: float = 0.7) -> Measured:
    """As the command does, without files."""
    found = existing_saes.loaded(*saes)
    group, said = group_of(saes, [one.name for one in found], x, "rows", [t])
    numbers = (*measure_existing._numbers(group, t), *measure_existing._excess(group, None))
    return Measured(found, group, None, None, (*cautions(found), *said), t, numbers)


@pytest.mark.parametrize("sizes", [(32, 32, 32, 32, 32), (12, 20, 20), (20, 12)])
def test_every_metric_is_the_formula_also_for_other_sizes(existing_saes, sizes):
    saes = [existing_saes.random_sae(TopKConfig(d_sae=n, k=3), D, seed) for seed, n in enumerate(sizes)]
    near = existing_saes.near_sae(unit(saes[0]), 0.05, 50)  # shares features with the first
    found = of([*saes, near], existing_saes)
    n = len(sizes) + 1
    for metric in written_out(saes[0], saes[1]):
        for i, a in enumerate(found.group.saes):
            for j, b in enumerate(found.group.saes):
                if i != j:
                    assert found.group.pairs.matrix(metric, "all")[i, j] == pytest.approx(written_out(a, b)[metric])
        values = [written_out(a, b)[metric] for i, a in enumerate(found.group.saes) for b in found.group.saes[:i]]
        assert found.get(metric, population="all").value == pytest.approx(np.mean(values))
    assert found.get("mcc_signed", population="all").n == n
    assert written_out(saes[0], near)["mcc_signed"] > 0.8


def test_the_interval_is_the_jackknife_over_seeds_written_out(existing_saes):
    saes = [existing_saes.random_sae(TopKConfig(d_sae=20, k=3), D, seed) for seed in range(6)]
    M = np.array([[written_out(a, b)["mcc_signed"] if a is not b else 0 for a in saes] for b in saes])
    whole = M.sum() / 30
    without = np.array([np.delete(np.delete(M, s, 0), s, 1).sum() / 20 for s in range(6)])
    half = stats.t.ppf(0.975, 5) * np.sqrt(5 / 6 * ((without - without.mean()) ** 2).sum())
    got = of(saes, existing_saes).get("mcc_signed", population="all")
    assert got.interval.method == "delete-one-seed jackknife over pairs, t(5)"
    assert (got.value, got.interval.low, got.interval.high) == pytest.approx((whole, whole - half, whole + half))
    few = of(saes[:4], existing_saes).get("mcc_signed", population="all")
    assert few.interval is None and few.no_interval == "too few seeds (4 < 5)"
    assert few.value == pytest.approx(M[:4, :4].sum() / 12)


def test_random_saes_stand_at_the_golden_floors(existing_saes):
    saes = [existing_saes.random_sae(TopKConfig(d_sae=32, k=3), 16, seed) for seed in range(8)]
    found = of(saes, existing_saes)
    golden = {"mcc_signed": (0.453, 0.003), "mcc_abs": (0.520, 0.003), "mean_max_cos": (0.557, 0.001)}
    text = present(found)[1]
    for metric, (floor, tolerance) in golden.items():
        assert found.get(f"{metric}.floor", population="all").value == pytest.approx(floor, abs=tolerance)
        assert found.get(metric, population="all").value == pytest.approx(floor, abs=0.02)
        assert abs(found.get(f"{metric}.normalised", population="all").value) < 0.04
        assert f" {found.get(f'{metric}.floor', population='all').value:.3f} " in text


def rows(n: int = 400) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(9).standard_normal((n, D)).astype(np.float32))


@pytest.mark.parametrize("sizes", [(30, 30, 30), (30, 18, 24)])
def test_alive_latents_frequencies_and_activations_written_out(existing_saes, sizes):
    x, saes = rows(), [existing_saes.random_sae(TopKConfig(d_sae=n, k=2), D, seed) for seed, n in enumerate(sizes)]
    for sae in saes:
        sae.b_enc[:5] = -100.0  # never fire
    found = of(saes, existing_saes, x)
    codes = [sae.encode(x).numpy() for sae in saes]
    alive = [np.flatnonzero((c != 0).any(0)) for c in codes]
    assert all(a.min() >= 5 for a in alive)
    for i in range(len(saes)):
        for j in range(i):
            A, B = unit(saes[i])[alive[i]], unit(saes[j])[alive[j]]
            assert found.group.pairs.matrix("mcc_signed", "alive")[i, j] == pytest.approx(matched(A @ B.T))
            R = np.corrcoef(codes[i][:, alive[i]].T, codes[j][:, alive[j]].T)[: len(A), len(A) :]
            assert found.group.pairs.matrix("activation_match", "alive")[i, j] == pytest.approx(matched(R), abs=1e-6)
        name, c = f"sae{i}", codes[i]
        error = float(((x - saes[i](x)).double() ** 2).sum() / ((x - x.mean(0)).double() ** 2).sum())
        assert found.get("explained_variance", sae=name).value == pytest.approx(1 - error, rel=1e-5)
        assert found.get("l0", sae=name).value == pytest.approx((c != 0).sum(1).mean())
        assert found.get("alive", sae=name).value == len(alive[i])
    table = list(csv.DictReader(io.StringIO(features_of(found.group, 0.7).csv())))
    assert [int(r["feature"]) for r in table] == [f for n in sizes for f in range(n)]
    for row in table:
        i, f = int(row["number"]), int(row["feature"])
        assert float(row["frequency"]) == pytest.approx((codes[i][:, f] != 0).mean(), abs=1e-8)
        assert int(row["alive"]) == (f in alive[i])
        j = (i + 1) % len(saes)
        partner = int(row[f"partner_{j}"])
        assert partner < sizes[j] and row[f"partner_{i}"] == ""
        if partner >= 0:
            assert float(row[f"cosine_{j}"]) == pytest.approx(float(unit(saes[i])[f] @ unit(saes[j])[partner]))


def test_strata_and_mass_of_dictionaries_of_two_sizes_written_out(existing_saes):
    x, sizes, t = rows(), (30, 18, 24), 0.4
    saes = [existing_saes.random_sae(TopKConfig(d_sae=n, k=2), D, seed) for seed, n in enumerate(sizes)]
    found, n = of(saes, existing_saes, x, t), len(sizes)
    codes = [sae.encode(x).numpy().astype(np.float64) for sae in saes]
    frequency, mass = [(c != 0).mean(0) for c in codes], [c.sum(0) for c in codes]
    cosine = {(i, j): np.zeros(sizes[i]) for i in range(n) for j in range(n) if i != j}  # of the partner; 0 without one
    for i, j in cosine:
        live = [np.flatnonzero(frequency[s]) for s in (i, j)]
        C = unit(saes[i])[live[0]] @ unit(saes[j])[live[1]].T
        a, b = linear_sum_assignment(C, maximize=True)
        cosine[i, j][live[0][a]] = C[a, b]
    for q, (low, high) in enumerate([(0, 0.01), (0.01, 0.03), (0.03, 0.1), (0.1, 0.3), (0.3, 1)]):
        inside = [(f >= low) & (f < high) & (f > 0) for f in frequency]
        m = [m for m in found.numbers if m.name == "mcc_signed.stratum"][q]
        if all(s.any() for s in inside):
            assert m.value == pytest.approx(np.mean([cosine[i, j][inside[i]].mean() for i, j in cosine]))
        else:
            assert m.value is None
    for i in range(n):
        back = sum(cosine[i, j] >= t for j in range(n) if j != i) / (n - 1) >= 0.5
        assert found.get("reappearing_mass", sae=f"sae{i}").value == pytest.approx(mass[i][back].sum() / mass[i].sum())
        assert 0 < mass[i][back].sum() < mass[i].sum()


def test_reappearance_at_the_threshold_that_was_asked_for(existing_saes):
    truth = np.random.default_rng(3).standard_normal((20, D))
    truth /= np.linalg.norm(truth, axis=1, keepdims=True)
    saes = [existing_saes.near_sae(truth, 0.15, s) for s in range(3)]
    for t in (0.7, 0.85):
        found, shares = of(saes, existing_saes, t=t), []
        for a in saes:
            pairs = [
                (C, *linear_sum_assignment(C, maximize=True)) for C in (unit(a) @ unit(b).T for b in saes if b is not a)
            ]
            back = np.sum([C[i, j] >= t for C, i, j in pairs], axis=0) / 2
            shares.append((back >= 0.5).mean())
        assert [found.get("reappearing_share", sae=f"sae{i}").value for i in range(3)] == pytest.approx(shares)
        assert f"shared_at({t})" in found.group.pairs.metrics
    assert 0 < np.mean(shares) < 1


def test_without_activations_what_is_missing_is_said_and_never_zero(existing_saes):
    found = of([existing_saes.random_sae(TopKConfig(d_sae=20, k=3), D, s) for s in range(2)], existing_saes)
    for name, scope in (("mcc_signed", {"population": "alive"}), ("explained_variance", {}), ("l0", {})):
        m = found.get(name, **scope)
        assert m.value is None and "--activations" in m.reason
    assert not [m for m in found.numbers if m.scope.get("population") == "alive" and m.value is not None]
    assert found.get("activation_match", population="alive").value is None
    assert {r["alive"] + r["frequency"] for r in csv.DictReader(io.StringIO(features_of(found.group, 0.7).csv()))} == {
        ""
    }
    assert len(missing(found)) == 2
    data, text = present(found)
    for words in ("alive latents", "frequencies", "trained null", "no control was applied"):
        assert words in text.partition("missing: ")[2]
    assert data["rows"] is None and data["null"] is None and data["missing"] == missing(found)
    assert "alive" not in text.partition("missing: ")[0]


def test_what_makes_agreement_mean_something_else_is_said(existing_saes):
    made, loaded = existing_saes.random_sae, existing_saes.loaded
    topk = TopKConfig(d_sae=20, k=3)
    one, other = (made(topk, D, s) for s in (0, 1))
    assert cautions(loaded(one, other)) == []
    (said,) = cautions(loaded(one, made(topk, D, 1, "elsewhere")))
    assert said.startswith("the SAEs differ in hook name (elsewhere, hook)")
    (said,) = cautions(loaded(one, made(TopKConfig(d_sae=20, k=4), D, 1)))
    assert said.startswith("the SAEs differ in k (3, 4)")
    said = cautions(loaded(one, made(JumpReluConfig(d_sae=24), D, 1)))
    assert [s.split(" (")[0] for s in said] == [f"the SAEs differ in {x}" for x in ("architecture", "k", "d_sae")]
    assert cautions(loaded(one, other, one)) == ["sae0 and sae2 hold the same decoder: they are copies, not seeds"]


def test_a_collapsed_dictionary_gets_no_sentence_about_stability(existing_saes):
    row = np.random.default_rng(0).standard_normal((1, D))
    saes = [existing_saes.near_sae(np.repeat(row, 20, 0), 0.01, s) for s in range(5)]
    found = of(saes, existing_saes)
    assert found.get("mcc_signed", population="all").value > 0.9
    words = present(found)[0]["words"]
    assert words.startswith("mcc_signed says nothing: sae0, sae1, sae2, sae3, sae4 collapsed")


def test_other_widths_are_refused_with_the_sizes(existing_saes):
    a, b = (
        existing_saes.random_sae(TopKConfig(d_sae=20, k=3), 16, 0),
        existing_saes.random_sae(TopKConfig(d_sae=20, k=3), 12, 1),
    )
    with pytest.raises(UserError, match="sae0 has d_in = 16, sae1 has d_in = 12: features of different widths"):
        same_d_in(existing_saes.loaded(a, b))
    with pytest.raises(UserError, match="at least two SAEs of different seeds, and none was given"):
        open_saes([])


def test_large_codes_go_to_the_disk_and_then_over_fewer_rows(existing_saes, monkeypatch):
    x, saes = rows(), [existing_saes.random_sae(TopKConfig(d_sae=20, k=2), D, s) for s in range(3)]
    plain = of(saes, existing_saes, x).group.pairs.matrix("activation_match", "alive")
    monkeypatch.setattr(code, "CODES_IN_MEMORY", 0)
    monkeypatch.setattr(code, "CODES_AT_ONCE", 20 * 64)
    group, said = group_of(saes, "abc", x, "rows")
    assert said == [] and np.allclose(group.pairs.matrix("activation_match", "alive"), plain, equal_nan=True, atol=1e-6)
    monkeypatch.setattr(code, "CODES_ON_DISK", 4 * 60 * 100)
    group, said = group_of(saes, "abc", x, "rows")
    assert said == ["activation_match is over the first 100 of these rows: the codes are large"]
    assert group.fidelities[0].n_rows == 400
    first = of(saes, existing_saes, x[:100]).group.pairs.matrix("activation_match", "all")
    assert np.allclose(group.pairs.matrix("activation_match", "all"), first, equal_nan=True, atol=1e-6)


def test_a_null_that_cannot_be_trained_is_refused_before_anything_else(existing_saes, tmp_path, monkeypatch):
    a, b = (existing_saes.random_sae(TopKConfig(d_sae=20, k=k), D, k) for k in (3, 4))
    ask = NullRequest(tmp_path, 1)
    with pytest.raises(UserError, match="the SAEs differ in k: a trained null is of one kind"):
        check_request(ask, existing_saes.loaded(a, b))
    named = NullRequest(tmp_path, 1, k=2)
    assert check_request(named, existing_saes.loaded(a, b)) == TopKConfig(d_sae=20, k=2)
    with pytest.raises(UserError, match="unknown null 'gausian': did you mean 'gaussian'"):
        check_request(NullRequest(tmp_path, 1, kind="gausian"), existing_saes.loaded(a, a))
    from husai.studies.existing import gaussian_null

    untrained = type("Untrained", (), {"trained": False})
    monkeypatch.setattr(gaussian_null, "architecture", lambda config: untrained)
    with pytest.raises(UserError, match="husai cannot train the architecture topk: leave out --null"):
        check_request(ask, existing_saes.loaded(a, a))
    monkeypatch.undo()
    with pytest.raises(UserError, match="k = 16 is not sparse"):
        check_request(NullRequest(tmp_path, 1, k=16), existing_saes.loaded(a, b))


@pytest.mark.parametrize("t", [0.0, -1.0, 1.5])
def test_a_threshold_that_is_no_cosine_is_refused(tmp_path, existing_saes, t):
    from husai.saes.stack import SAEStack

    sae = existing_saes.random_sae(TopKConfig(d_sae=20, k=3), D, 0)
    both = {name: torch.stack([tensor, tensor + 1]) for name, tensor in sae.parameters.items()}
    SAEStack(sae.config, (0, 1), both, sae.mean_D, 1.0).save(tmp_path / "stack.safetensors")
    with pytest.raises(UserError, match="--threshold is a cosine above 0"):
        stability([str(tmp_path)], Request(t=t))
