"""RA-SAE: a dictionary in the hull of the data up to delta, whose gradients reach what it is made of."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import minimize_scalar, nnls
from torch import Tensor

from husai.errors import UserError
from husai.saes.archetypal import ARCHETYPAL, dictionary, onto_simplex
from husai.saes.architecture import Batch
from husai.saes.centroids import centroids
from husai.saes.config import ArchetypalConfig
from husai.saes.parameters import Parameters
from husai.training.config import TrainingConfig
from husai.training.engines.reference import ReferenceEngine
from husai.training.state import TrainState, start

D, F, N, B = 6, 20, 12, 64
CONFIG = ArchetypalConfig(d_sae=F, k=3, n_centroids=N, delta=0.2, aux_k=4)


def rows_of(seed: int) -> Tensor:
    return torch.randn(150, D, generator=torch.Generator().manual_seed(900 + seed))


def trained(config: ArchetypalConfig = CONFIG, steps: int = 60, lr: float = 2e-2) -> TrainState:
    training = TrainingConfig(batch=B)
    state, engine = start(config, training, D, (0, 1), 0, rows_of), ReferenceEngine(config, training)
    generator = torch.Generator().manual_seed(1)
    for _ in range(steps):
        engine.step(state, torch.randn(2, B, D, generator=generator), lr)
    return state


def ready() -> tuple[Parameters, Tensor]:
    """As after some steps, in float64; W_dec is left at nonsense, since the objective must not read it."""
    generator = torch.Generator().manual_seed(3)
    p = {n: t.double() for n, t in ARCHETYPAL.init(CONFIG, D, generator, rows_of(0)).items()}
    p["mixture"] = torch.rand(F, N, generator=generator, dtype=torch.float64).softmax(-1)
    for name in ("relaxation", "b_enc", "b_dec", "W_dec"):
        p[name] = p[name] * 0 + 0.1 * torch.randn(p[name].shape, generator=generator, dtype=torch.float64)
    return p, torch.randn(40, D, generator=generator, dtype=torch.float64)


def distance_to_hull(point_D: np.ndarray, points_ND: np.ndarray) -> float:
    """Independent: non-negative least squares, with a heavy row that makes the weights sum to 1."""
    heavy = 1e4
    A = np.vstack([points_ND.T, np.full(len(points_ND), heavy)])
    weights, _ = nnls(A, np.append(point_D, heavy))
    return float(np.linalg.norm(points_ND.T @ weights - point_D))


def test_terms_are_those_of_topk_on_the_dictionary_that_is_made() -> None:
    p, x = ready()
    W = p["mixture"] @ p["centroids"] + p["relaxation"]
    dead = torch.arange(F) < 7
    terms, codes = ARCHETYPAL.objective(CONFIG, p, Batch.of(x, dead))
    pre = torch.clamp((x - p["b_dec"]) @ p["W_enc"].T + p["b_enc"], min=0)
    best = pre.topk(3, dim=1)
    f = torch.zeros_like(pre).scatter(1, best.indices, best.values)
    e = x - f @ W - p["b_dec"]
    left = pre.clone()
    left[:, ~dead] = 0
    best = left.topk(4, dim=1)
    e_hat = torch.zeros_like(pre).scatter(1, best.indices, best.values) @ W
    share = ((e - e_hat) ** 2).sum(1).mean() / ((e - e.mean(0)) ** 2).sum(1).mean()
    assert torch.allclose(codes.dense(), f, atol=1e-12)
    assert float(terms["mse"]) == pytest.approx(float((e**2).sum(1).mean()), rel=1e-12)
    assert float(terms["aux"]) == pytest.approx(float(share * ((x - x.mean(0)) ** 2).sum(1).mean() / 32), rel=1e-9)


def test_gradients_reach_mixture_and_relaxation_and_never_the_dictionary_itself() -> None:
    p, x = ready()
    p = {n: t.requires_grad_() for n, t in p.items()}
    terms, _ = ARCHETYPAL.objective(CONFIG, p, Batch.of(x, torch.arange(F) < 7))
    for term in ("mse", "aux"):
        grads = torch.autograd.grad(terms[term], list(p.values()), retain_graph=True, materialize_grads=True)
        moved = {name for name, gradient in zip(p, grads, strict=True) if gradient.any()}
        assert {"mixture", "relaxation", "W_enc"} <= moved and "W_dec" not in moved

    def smooth(mixture: Tensor, relaxation: Tensor, b_dec: Tensor) -> Tensor:
        held = p | {"mixture": mixture, "relaxation": relaxation, "b_dec": b_dec}
        return ARCHETYPAL.objective(CONFIG, held, Batch.of(x, torch.zeros(F) > 0))[0]["mse"]

    assert torch.autograd.gradcheck(smooth, (p["mixture"], p["relaxation"], p["b_dec"]))


@pytest.mark.parametrize("delta", [0.0, 0.2])
def test_rows_stay_within_delta_of_the_hull_of_their_own_rows(delta: float) -> None:
    state = trained(CONFIG.model_copy(update={"delta": delta}))
    began = start(CONFIG, TrainingConfig(), D, (0, 1), 0, rows_of).parameters
    for seed in range(2):
        p = {n: t[seed] for n, t in state.parameters.items()}
        assert (p["mixture"] >= 0).all() and torch.allclose(p["mixture"].sum(1), torch.ones(F), atol=1e-5)
        assert torch.allclose(p["mixture"] @ p["centroids"] + p["relaxation"], p["W_dec"], atol=1e-5)
        assert torch.equal(p["centroids"], began["centroids"][seed])
        bound, points = delta * D**0.5, rows_of(seed).double().numpy()
        far = np.array([distance_to_hull(w, points) for w in p["W_dec"].double().numpy()])
        assert (far <= bound + 1e-3).all()
        assert (p["relaxation"].norm(dim=1) <= bound * (1 + 1e-5)).all()
        assert not torch.allclose(p["mixture"], began["mixture"][seed], atol=0.05), "training moved the mixtures"
    if delta:
        assert (state.parameters["relaxation"].norm(dim=-1) > 0.9 * delta * D**0.5).any(), "the bound was met"
    assert not state.m["W_dec"].any() and not state.m["centroids"].any()


def test_what_decodes_is_what_was_trained() -> None:
    p = {n: t[0] for n, t in trained(steps=5).parameters.items()}
    assert torch.equal(p["W_dec"], dictionary(p))


def test_seeds_have_centroids_of_their_own_and_the_same_ones_again() -> None:
    first = start(CONFIG, TrainingConfig(), D, (0, 1), 0, rows_of).parameters["centroids"]
    again = start(CONFIG, TrainingConfig(), D, (0, 1), 0, rows_of).parameters["centroids"]
    assert torch.equal(first, again)
    assert torch.cdist(first[0], first[1]).min() > 1e-3, "no centroid is shared"


def test_each_latent_starts_at_a_centroid_or_between_two_and_no_two_start_alike() -> None:
    p = ARCHETYPAL.init(CONFIG, D, torch.Generator().manual_seed(0), rows_of(0))
    corners = (p["mixture"] == 1).sum(1)
    assert corners.tolist() == [1] * N + [0] * (F - N)
    assert len(p["mixture"][:N].argmax(1).unique()) == N
    assert torch.allclose(p["mixture"].sum(1), torch.ones(F)) and torch.equal(p["W_dec"], dictionary(p))
    assert torch.cdist(p["W_dec"], p["W_dec"]).add(torch.eye(F)).min() > 1e-3
    assert torch.allclose((p["W_enc"] * p["W_dec"]).sum(1), torch.ones(F), atol=1e-5)
    drawn = CONFIG.model_copy(update={"tied_init": False})
    q = ARCHETYPAL.init(drawn, D, torch.Generator().manual_seed(0), rows_of(0))
    assert torch.allclose(q["W_enc"].norm(dim=1) * q["W_dec"].norm(dim=1), torch.ones(F), atol=1e-5)


@settings(max_examples=100, deadline=None)
@given(arrays(np.float64, st.tuples(st.integers(1, 4), st.integers(1, 9)), elements=st.floats(-3, 3)))
def test_the_projection_is_the_nearest_point_of_the_simplex(rows: np.ndarray) -> None:
    """Independent: the shift t that makes sum relu(row - t) = 1, found by search."""
    found = onto_simplex(torch.from_numpy(rows)).numpy()
    for row, point in zip(rows, found, strict=True):
        gap: Callable[[float], float] = lambda t, row=row: (np.maximum(row - t, 0).sum() - 1) ** 2  # noqa: E731
        t = minimize_scalar(gap, bounds=(row.min() - 1, row.max()), method="bounded", options={"xatol": 1e-12}).x
        assert np.allclose(point, np.maximum(row - t, 0), atol=1e-5)
        assert point.min() >= 0 and point.sum() == pytest.approx(1)


def test_a_centroid_is_the_mean_of_the_rows_nearest_to_it_and_always_in_their_hull() -> None:
    """Four clear clusters, six centroids: with these draws one of them loses all its rows on the way."""
    generator = torch.Generator().manual_seed(0)
    rows = torch.cat([m + torch.randn(40, 5, generator=generator) for m in 100 * torch.eye(4, 5)])
    found = centroids(rows, 6, torch.Generator().manual_seed(2))
    nearest = (rows[:, None] - found[None]).square().sum(-1).argmin(1)
    assert nearest.unique().tolist() == [0, 1, 2, 3, 5]
    for place in nearest.unique():
        assert torch.allclose(found[place], rows[nearest == place].mean(0), atol=1e-4)
    assert max(distance_to_hull(c, rows.double().numpy()) for c in found.double().numpy()) < 1e-3


def test_too_few_rows_are_refused_and_repeated_rows_are_not() -> None:
    with pytest.raises(UserError, match="11 rows have no 12 centroids: lower n_centroids"):
        centroids(torch.randn(11, 3), 12, torch.Generator())
    repeated = torch.ones(30, 3)
    assert torch.equal(centroids(repeated, 4, torch.Generator()), torch.ones(4, 3))
