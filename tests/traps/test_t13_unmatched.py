"""T13. Architectures were ranked at L0 32, 80, 654 and 975. husai compares groups of equal k, or of L0 within 5 %, and
says "unmatched" of all others: no difference, no ranking. What is not known to be matched is not taken to be.
"""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from husai.saes.config import AnySAEConfig, ReluL1Config, TopKConfig
from husai.studies.existing.contrast import Side, contrast
from husai.studies.existing.measure import Comparison, Measured
from husai.studies.existing.saes import group_of
from husai.studies.presenting.comparison import comparison

D, F = 16, 40
RANKING = ("differ in mcc", "A - B =", "higher", "more stable", "better")


@pytest.fixture
def group(existing_saes):
    """Five SAEs; a bias that is subtracted sets the L0 of a ReLU."""

    def make(config: AnySAEConfig, start: int, bias: float = 0.0, x: torch.Tensor | None = None) -> Measured:
        saes = [existing_saes.random_sae(config, D, start + s) for s in range(5)]
        for sae in saes:
            sae.b_enc[:] = -bias
        found = existing_saes.loaded(*saes)
        measured, _ = group_of(saes, [one.name for one in found], x, "rows")
        return Measured(found, measured, None, None, (), 0.7, tuple(measured.pair_measurements()))

    return make


def asked(a: Measured, b: Measured) -> tuple[str, dict, str]:
    """State, JSON and what the terminal shows."""
    found = contrast(Side(a.loaded, a.group), Side(b.loaded, b.group), same_seeds=False)
    data, text = comparison(Comparison(a, b, found, {}))
    json.dumps(data)
    return found.state, data, text


def assert_unmatched(answer: tuple[str, dict, str], why: str) -> None:
    state, data, text = answer
    assert state == data["state"] == "unmatched"
    assert "Unmatched: " in text and why in text and "The groups are not ranked." in text
    assert not [words for words in RANKING if words in text]
    assert data["differences"] and all(m["value"] is None for m in data["differences"])
    assert all(m["interval"] is None and why in m["reason"] for m in data["differences"])


X = torch.from_numpy(np.random.default_rng(0).standard_normal((500, D)).astype(np.float32))


def l0(found: Measured) -> float:
    return float(np.mean([f.l0 for f in found.group.fidelities]))


@pytest.mark.parametrize("x", [None, X])
def test_another_k_is_not_ranked(group, x):
    assert_unmatched(
        asked(group(TopKConfig(d_sae=F, k=4), 0, x=x), group(TopKConfig(d_sae=F, k=8), 9, x=x)), "k differs (4"
    )


def test_another_l0_is_not_ranked(group):
    dense, sparse = (group(ReluL1Config(d_sae=F), s, bias, X) for s, bias in ((0, 0.0), (9, 3.0)))
    assert l0(dense) > 1.05 * l0(sparse)
    assert_unmatched(asked(dense, sparse), "L0 differs by more than 5 %")


def test_an_l0_that_is_not_known_is_not_taken_for_equal(group):
    a, b = (group(ReluL1Config(d_sae=F), s) for s in (0, 9))
    assert_unmatched(asked(a, b), "L0 is not known without --activations")


def test_a_mixed_group_is_not_ranked(group):
    a = group(TopKConfig(d_sae=F, k=4), 0)
    mixed = Measured(
        [*a.loaded[:4], *group(TopKConfig(d_sae=F, k=8), 9).loaded[4:]], a.group, None, None, (), 0.7, a.numbers
    )
    assert_unmatched(asked(mixed, mixed), "k differs")


def test_matched_groups_are_compared(group):
    state, data, text = asked(group(TopKConfig(d_sae=F, k=4), 0, x=X), group(TopKConfig(d_sae=F, k=4), 9, x=X))
    assert state in ("differ", "no difference shown") and "A - B = " in text
    assert all(m["value"] is not None for m in data["differences"])


def test_another_architecture_at_the_same_l0_is_compared(group):
    topk = group(TopKConfig(d_sae=F, k=8), 9, 0.0, X)
    biases = np.arange(2.5, 4.5, 0.1)
    relu = min((group(ReluL1Config(d_sae=F), 0, b, X) for b in biases), key=lambda g: abs(l0(g) - l0(topk)))
    assert abs(l0(topk) - l0(relu)) < 0.05 * l0(topk)
    assert asked(relu, topk)[0] != "unmatched"
