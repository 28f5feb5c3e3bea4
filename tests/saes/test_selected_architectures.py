"""Architectures that select latents: every loss term against its formula written out in float64, the parameters that
its gradient reaches and those it must not, slopes against finite differences, and options that make no sense.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from husai.errors import UserError
from husai.saes.architecture import Batch, Terms
from husai.saes.codes import Codes
from husai.saes.config import (
    AbsTopKConfig,
    AnySAEConfig,
    BatchTopKConfig,
    HierarchicalTopKConfig,
    MatchingPursuitConfig,
    MatryoshkaConfig,
)
from husai.saes.parameters import CORE, Parameters
from husai.saes.registry import architecture
from husai.training.engines.coding import Coding, coding

D, F, B, K, AUX = 8, 20, 16, 3, 4
DEAD = torch.arange(F) % 3 == 0
WITH_AUX: list[AnySAEConfig] = [
    AbsTopKConfig(d_sae=F, k=K, aux_k=AUX),
    BatchTopKConfig(d_sae=F, k=K, aux_k=AUX),
    MatryoshkaConfig(d_sae=F, k=K, aux_k=AUX, prefixes=(4, 9, F)),
    HierarchicalTopKConfig(d_sae=F, k=K, aux_k=AUX),
]
CONFIGS: list[AnySAEConfig] = [*WITH_AUX, MatchingPursuitConfig(d_sae=F, k=K)]


def ready(config: AnySAEConfig) -> tuple[Parameters, Tensor]:
    """Parameters of which none is at its start, and rows, in float64."""
    generator = torch.Generator().manual_seed(3)
    p = {n: t.double() for n, t in architecture(config).init(config, D, generator, None).items()}
    for name in ("b_enc", "b_dec") + (() if config.kind == "matching_pursuit" else ("W_enc",)):
        p[name] = p[name] + 0.1 * torch.randn(p[name].shape, generator=generator, dtype=torch.float64)
    return {n: t.requires_grad_() for n, t in p.items()}, torch.randn(B, D, generator=generator, dtype=torch.float64)


def of(config: AnySAEConfig, p: Parameters, x: Tensor, dead: Tensor | None = None) -> tuple[Terms, Codes]:
    return architecture(config).objective(config, p, Batch.of(x, torch.zeros(F) > 0 if dead is None else dead))


def moved(term: Tensor, p: Parameters) -> Parameters:
    """The gradient of a term; zeros where it does not reach."""
    return dict(
        zip(p, torch.autograd.grad(term, list(p.values()), materialize_grads=True, retain_graph=True), strict=True)
    )


def pre_of(p: Parameters, x: Tensor) -> Tensor:
    return (x - p["b_dec"]) @ p["W_enc"].T + p["b_enc"]


def mse(x: Tensor, x_hat: Tensor) -> Tensor:
    return ((x - x_hat) ** 2).sum(1).mean()


def masked(values: Tensor, by: Tensor, k: int) -> Tensor:
    """Independent of the code under test: all that are at least as large as the k-th, in rows without ties."""
    kept = by >= by.sort(dim=-1).values[..., -k, None]
    assert (kept.sum(-1) == k).all()
    return values * kept


def reconstruction(p: Parameters, f: Tensor, m: int = F) -> Tensor:
    return f[:, :m] @ p["W_dec"][:m] + p["b_dec"]


def abstopk(p: Parameters, x: Tensor) -> Terms:
    pre = pre_of(p, x)
    return {"mse": mse(x, reconstruction(p, masked(pre, pre.abs(), K)))}


def batch_code(p: Parameters, x: Tensor) -> Tensor:
    z = pre_of(p, x).clamp(min=0)
    return masked(z.reshape(-1), z.reshape(-1), K * B).reshape(B, F)


def batchtopk(p: Parameters, x: Tensor) -> Terms:
    return {"mse": mse(x, reconstruction(p, batch_code(p, x)))}


def matryoshka(p: Parameters, x: Tensor) -> Terms:
    f = batch_code(p, x)
    names = {"mse_4": 4, "mse_9": 9, "mse": F}
    return {name: mse(x, reconstruction(p, f, m)) for name, m in names.items()}


def hierarchical(p: Parameters, x: Tensor) -> Terms:
    z = pre_of(p, x).clamp(min=0)
    levels = [mse(x, reconstruction(p, masked(z, z, level))) for level in range(1, K + 1)]
    return {"mse": levels[-1], "mse_levels": torch.stack(levels[:-1]).sum()}


def pursuit(p: Parameters, x: Tensor) -> Terms:
    """Row by row and step by step; the residual itself is the error."""
    errors = []
    for row in x:
        r = row - p["b_dec"]
        for _ in range(K):
            products = p["W_dec"] @ r
            r = r - products.max().clamp(min=0) * p["W_dec"][int(products.argmax())]
        errors.append((r**2).sum())
    return {"mse": torch.stack(errors).mean()}


FORMULAS: list[Callable[[Parameters, Tensor], Terms]] = [abstopk, batchtopk, matryoshka, hierarchical, pursuit]


@pytest.mark.parametrize(("config", "formula"), list(zip(CONFIGS, FORMULAS, strict=True)))
def test_every_term_and_its_gradient_are_those_of_the_formula(
    config: AnySAEConfig, formula: Callable[[Parameters, Tensor], Terms]
) -> None:
    p, x = ready(config)
    terms, expected = of(config, p, x)[0], formula(p, x)
    assert set(terms) == set(expected)
    for name, term in terms.items():
        assert float(term.detach()) == pytest.approx(float(expected[name].detach()), rel=1e-12), name
        ours, theirs = moved(term, p), moved(expected[name], p)
        assert all(torch.allclose(ours[n], theirs[n], rtol=1e-9, atol=1e-12) for n in p), name


@pytest.mark.parametrize("config", WITH_AUX)
def test_aux_is_the_share_of_the_residual_that_dead_latents_leave(config: AnySAEConfig) -> None:
    p, x = ready(config)
    terms, codes = of(config, p, x, DEAD)
    residual = (x - reconstruction(p, codes.dense())).detach()
    pre = pre_of(p, x)
    strength = pre.abs() if config.kind == "abstopk" else pre.clamp(min=0)
    e_hat = torch.stack([_best(pre[b], strength[b], p["W_dec"]) for b in range(B)])
    share = mse(residual, e_hat) / mse(residual, residual.mean(0))
    expected = share * mse(x, x.mean(0)) / 32
    assert float(terms["aux"].detach()) == pytest.approx(float(expected.detach()), rel=1e-9)
    ours, theirs = moved(terms["aux"], p), moved(expected, p)
    assert all(torch.allclose(ours[n], theirs[n], rtol=1e-9, atol=1e-12) for n in p)


def _best(pre: Tensor, strength: Tensor, W_dec: Tensor) -> Tensor:
    """What the dead latents of the greatest strength give in one row; at strength 0 they give nothing."""
    dead = sorted((j for j in range(F) if DEAD[j]), key=lambda j: -float(strength[j].detach()))[:AUX]
    return sum((pre[j] * (strength[j] > 0) * W_dec[j] for j in dead), torch.zeros(D).double())


@pytest.mark.parametrize("config", CONFIGS)
def test_the_reconstruction_moves_everything_that_is_trained_and_no_buffer(config: AnySAEConfig) -> None:
    p, x = ready(config)
    buffers = architecture(config).buffers
    for name, term in of(config, p, x)[0].items():
        found = moved(term, p)
        assert all(found[n].any() for n in CORE if n not in buffers), name
        assert not any(found[n].any() for n in buffers), name


@pytest.mark.parametrize("config", CONFIGS)
def test_only_latents_with_a_code_feel_the_reconstruction(config: AnySAEConfig) -> None:
    p, x = ready(config)
    terms, codes = of(config, p, x[:2])
    found = moved(torch.stack(list(terms.values())).sum(), p)
    silent = ~codes.fired()
    assert silent.any() and not silent.all()
    assert not found["W_dec"][silent].any() and found["W_dec"][~silent].any(-1).all()
    if "W_enc" not in architecture(config).buffers:
        assert not found["W_enc"][silent].any() and not found["b_enc"][silent].any()


@pytest.mark.parametrize("config", WITH_AUX)
def test_aux_trains_dead_latents_only_and_reaches_their_encoder(config: AnySAEConfig) -> None:
    p, x = ready(config)
    terms, _ = of(config, p, x, DEAD)
    found = moved(terms["aux"], p)
    for name in ("W_enc", "b_enc", "W_dec"):
        assert not found[name][~DEAD].any() and found[name][DEAD].any(), name
    assert not any(found[name].any() for name in architecture(config).buffers)


@pytest.mark.parametrize("config", CONFIGS)
def test_slopes_are_those_of_finite_differences(config: AnySAEConfig) -> None:
    p, x = ready(config)
    trained = [name for name in CORE if name not in architecture(config).buffers]

    def total(*tensors: Tensor) -> Tensor:
        terms, _ = of(config, p | dict(zip(trained, tensors, strict=True)), x)
        return torch.stack(list(terms.values())).sum()

    assert torch.autograd.gradcheck(total, tuple(p[name] for name in trained), eps=1e-7, atol=1e-5)


@pytest.mark.parametrize("config", CONFIGS)
def test_a_permutation_of_the_latents_permutes_the_codes(config: AnySAEConfig) -> None:
    p, x = ready(config)
    order = torch.randperm(F, generator=torch.Generator().manual_seed(1))
    permuted = p | {name: p[name][order] for name in ("W_enc", "b_enc", "W_dec")}
    arch = architecture(config)
    assert torch.allclose(arch.encode(config, permuted, x).dense(), arch.encode(config, p, x).dense()[:, order])
    assert torch.allclose(of(config, permuted, x)[1].dense(), of(config, p, x)[1].dense()[:, order])


def test_absolute_values_decide_and_signs_are_kept() -> None:
    config = AbsTopKConfig(d_sae=4, k=2)
    p = {"W_enc": torch.eye(4), "b_enc": torch.zeros(4), "W_dec": torch.eye(4), "b_dec": torch.zeros(4)}
    rows = torch.tensor([[-3.0, 1, 2, 0], [1, -1, 1, -1], [-2, -2, -2, 1]])  # the last two with ties
    expected = torch.tensor([[-3.0, 0, 2, 0], [1, -1, 0, 0], [-2, -2, 0, 0]])
    codes = architecture(config).encode(config, p, rows)
    assert torch.equal(codes.dense(), expected)
    assert codes.fired().tolist() == [True, True, True, False]


@pytest.mark.parametrize(
    ("config", "wrong", "says"),
    [
        (MatryoshkaConfig, {"d_sae": 20, "prefixes": [4, 9]}, r"prefixes must ascend.*d_sae = 20, not \(4, 9\)"),
        (MatryoshkaConfig, {"d_sae": 20, "prefixes": [9, 4, 20]}, "prefixes must ascend"),
        (MatryoshkaConfig, {"d_sae": 20, "prefixes": [4, 4, 20]}, "prefixes must ascend"),
        (MatryoshkaConfig, {"d_sae": 20, "prefixes": [0, 20]}, "prefixes must ascend from 1"),
        (MatryoshkaConfig, {"d_sae": 20, "prefixes": []}, "prefixes must ascend"),
        (HierarchicalTopKConfig, {"k": 8, "levels": [2, 8]}, "levels must ascend from 1 or more to below k = 8"),
        (HierarchicalTopKConfig, {"k": 8, "levels": [0, 4]}, "levels must ascend from 1"),
        (HierarchicalTopKConfig, {"k": 8, "levels": [4, 2]}, "levels must ascend"),
        (MatchingPursuitConfig, {"tied_init": False}, "leave tied_init, subtract_b_dec at true"),
        (MatchingPursuitConfig, {"subtract_b_dec": False}, "leave tied_init, subtract_b_dec at true"),
        (MatchingPursuitConfig, {"decoder_norm": "free"}, "decoder_norm = free.*choose unit"),
        (MatchingPursuitConfig, {"freeze": "encoder"}, "freeze = encoder makes no sense"),
        (MatchingPursuitConfig, {"freeze": "soft_decoder"}, "freeze = soft_decoder makes no sense"),
        (BatchTopKConfig, {"threshold_momentum": 1.0}, "threshold_momentum"),
    ],
)
def test_options_that_cannot_work_are_one_line(config: type[AnySAEConfig], wrong: dict[str, object], says: str) -> None:
    with pytest.raises(UserError, match=says) as refused:
        config.parse(wrong, "sae")
    assert "\n" not in str(refused.value)


def test_prefixes_that_are_not_given_halve_the_dictionary() -> None:
    assert MatryoshkaConfig(d_sae=256).widths == (16, 32, 64, 128, 256)
    assert MatryoshkaConfig(d_sae=6).widths == (1, 3, 6)
    assert MatryoshkaConfig(d_sae=1).widths == (1,)


@pytest.mark.parametrize("config", CONFIGS)
def test_decoder_rows_have_norm_1_after_a_step_unless_they_are_free(config: AnySAEConfig) -> None:
    for norm, expected in (("unit", 1.0), ("projected", 1.0), ("free", 3.0)):
        if config.kind == "matching_pursuit" and norm == "free":
            continue
        told = config.model_copy(update={"decoder_norm": norm})
        p, x = ready(config)
        p = {name: t.detach() for name, t in p.items()} | {"W_dec": 3 * p["W_dec"].detach()}
        architecture(told).after_step_(told, p, of(told, p, x)[1])
        assert torch.allclose(p["W_dec"].norm(dim=1), torch.full((F,), expected, dtype=torch.float64)), norm


@pytest.mark.parametrize("config", CONFIGS)
def test_the_fast_engine_trains_them_or_says_why_not(config: AnySAEConfig) -> None:
    found = coding(config)
    if config.kind in ("hierarchical_topk", "matching_pursuit"):
        assert isinstance(found, str) and config.kind in found
        return
    assert isinstance(found, Coding) and found.signed == (config.kind == "abstopk")
    assert bool(found.widths) == (config.kind in ("batchtopk", "matryoshka"))


def test_what_they_say_of_themselves() -> None:
    for config in CONFIGS:
        arch = architecture(config)
        assert arch.knob == "k" and arch.summary and arch.source.startswith("arXiv 2")
        beside = set(arch.shapes(config, D)) - set(CORE)
        assert set(arch.buffers) == (beside or ({"W_enc", "b_enc"} if config.kind == "matching_pursuit" else set()))
        made = arch.init(config, D, torch.Generator(), None)
        assert {name: tuple(t.shape) for name, t in made.items()} == arch.shapes(config, D)
