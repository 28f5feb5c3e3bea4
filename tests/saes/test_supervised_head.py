"""A head beside an SAE: which parameter each of its terms moves, and by how much, against formulas in float64."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from heard import Heard
from husai import events
from husai.errors import UserError
from husai.saes.architecture import Batch, Terms
from husai.saes.codes import Codes
from husai.saes.config import AnySAEConfig, JacobianConfig, PCAConfig, RandomConfig, TopKConfig
from husai.saes.formats.convert import convert
from husai.saes.formats.load import load_named
from husai.saes.objective import loss_terms
from husai.saes.parameters import Parameters
from husai.saes.registry import architecture
from husai.saes.sae import SAE
from husai.saes.stack import SAEStack, load_stack
from husai.saes.supervised import HEAD
from husai.store.tensors import load_arrays, read_metadata, save_arrays
from our_saes import of_every_kind

D, F, C, B = 8, 24, 5, 60
HEADED = {"supervised": {"weight": 0.7, "classes": C}}
CONFIGS: list[AnySAEConfig] = [
    *of_every_kind(F, 3, "pca", "random", "jsae", bandwidth=0.1, **HEADED),
    TopKConfig(d_sae=F, k=3, song_l1=0.1, **HEADED),
]
GENERATOR = torch.Generator().manual_seed(3)
X = torch.randn(B, D, generator=GENERATOR, dtype=torch.float64)
LABELS = torch.randint(-1, C, (B,), generator=GENERATOR)


def parameters(config: AnySAEConfig) -> Parameters:
    """As at step 0, in float64, and a head that already knows something."""
    generator = torch.Generator().manual_seed(1)
    drawn = architecture(config).init(config, D, generator, X.float())
    head = {name: torch.randn(drawn[name].shape, generator=generator) for name in HEAD if name in drawn}
    return {name: t.double().requires_grad_(t.is_floating_point()) for name, t in (drawn | head).items()}


def found(config: AnySAEConfig, p: Parameters, labels_B: Tensor | None = LABELS) -> tuple[Terms, Codes]:
    arch = architecture(config)
    batch = Batch(*arch.split(config, X), torch.zeros(F, dtype=torch.bool), labels_B)
    return loss_terms(arch, config, p, batch)


def by_hand(W_CF: np.ndarray, b_C: np.ndarray, f_BF: np.ndarray) -> tuple[float, np.ndarray]:
    """Cross entropy over the labelled rows and its slope in the logits [B, C], from the definition."""
    labels = LABELS.numpy()
    known = np.flatnonzero(labels >= 0)
    z_BC = f_BF @ W_CF.T + b_C
    shares = np.exp(z_BC) / np.exp(z_BC).sum(1, keepdims=True)
    slope = np.zeros_like(z_BC)
    slope[known] = shares[known]
    slope[known, labels[known]] -= 1
    return float(-np.log(shares[known, labels[known]]).mean()), slope / len(known)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: c.kind)
def test_the_head_is_moved_by_its_own_term_alone_and_the_sae_by_the_other_alone(config: AnySAEConfig) -> None:
    p = parameters(config)
    terms, codes = found(config, p)
    trained = {n: t for n, t in p.items() if t.requires_grad and n not in architecture(config).buffers}
    moved = {}
    for name in ("head", "supervised"):
        slopes = torch.autograd.grad(terms[name], list(trained.values()), retain_graph=True, allow_unused=True)
        moved[name] = dict(zip(trained, slopes, strict=True))
    assert [n for n, g in moved["head"].items() if g is not None] == list(HEAD)
    assert not any(moved["supervised"][name] is not None for name in HEAD)
    pulled = {n for n, g in moved["supervised"].items() if g is not None and g.abs().max() > 0}
    assert pulled & {"W_enc", "W_dec"}, "a weight that reaches no code teaches nothing"
    f = codes.dense().detach().numpy()
    value, slope = by_hand(p["W_head"].detach().numpy(), p["b_head"].detach().numpy(), f)
    assert terms["head"].item() == pytest.approx(value, rel=1e-12)
    assert np.allclose(moved["head"]["W_head"], slope.T @ f, atol=1e-13)
    assert np.allclose(moved["head"]["b_head"], slope.sum(0), atol=1e-13)
    y = architecture(config).split(config, X)[1].numpy()
    assert terms["supervised"].item() == pytest.approx(0.7 * y.var(axis=0).sum() * value, rel=1e-12)


def test_the_slope_of_the_codes_is_that_of_the_definition_and_of_finite_differences() -> None:
    config = TopKConfig(d_sae=F, k=3, **HEADED)
    p = parameters(config)
    terms, codes = found(config, p)
    (gradient_FD,) = torch.autograd.grad(terms["supervised"], [p["W_enc"]])
    f = codes.dense().detach()
    _, slope = by_hand(p["W_head"].detach().numpy(), p["b_head"].detach().numpy(), f.numpy())
    into_codes = (torch.from_numpy(slope) @ p["W_head"].detach()) * (f > 0)
    weight = 0.7 * X.numpy().var(axis=0).sum()
    assert torch.allclose(gradient_FD, weight * into_codes.T @ (X - p["b_dec"].detach()), atol=1e-12)
    for place in ((0, 0), (5, 3), (F - 1, D - 1)):
        at = []
        for step in (1e-6, -1e-6):
            q = {name: t.detach().clone() for name, t in p.items()}
            q["W_enc"][place] += step
            at.append(found(config, q)[0]["supervised"].item())
        assert gradient_FD[place].item() == pytest.approx((at[0] - at[1]) / 2e-6, rel=1e-5, abs=1e-7)


def test_at_weight_0_only_the_head_is_there_and_the_other_terms_are_what_they_were() -> None:
    beside = TopKConfig(d_sae=F, k=3, supervised={"classes": C})
    bare = TopKConfig(d_sae=F, k=3)
    p = parameters(beside)
    terms, _ = found(beside, p)
    without, _ = found(bare, p, None)
    assert terms.keys() - without.keys() == {"head"}
    assert all(torch.equal(terms[name], without[name]) for name in without)


def test_rows_without_a_label_count_nowhere_and_a_batch_of_them_moves_nothing() -> None:
    config = TopKConfig(d_sae=F, k=3, **HEADED)
    p = parameters(config)
    garbage = torch.where(LABELS < 0, LABELS, (LABELS + 1) % C)
    assert not torch.equal(found(config, p)[0]["head"], found(config, p, garbage)[0]["head"])
    terms, _ = found(config, p, torch.full((B,), -1))
    for name in ("head", "supervised"):
        gradients = torch.autograd.grad(terms[name], list(p.values()), allow_unused=True, retain_graph=True)
        assert terms[name].item() == 0
        assert all(g is None or bool((g == 0).all()) for g in gradients)


def test_a_head_without_labels_is_one_line() -> None:
    config = TopKConfig(d_sae=F, k=3, **HEADED)
    with pytest.raises(UserError, match="a head needs the label answer of every row"):
        found(config, parameters(config), None)


@pytest.mark.parametrize(
    ("config", "options", "says"),
    [
        (PCAConfig, {"d_sae": 5}, "supervised must be None: nothing is trained"),
        (RandomConfig, {}, "supervised must be None: nothing is trained"),
        (JacobianConfig, {}, "supervised must be None: a head would read the codes of two SAEs"),
        (TopKConfig, {"freeze": "encoder"}, "which a frozen encoder holds: set supervised.weight to 0"),
        (TopKConfig, {"supervised": {"weight": -1, "classes": 3}}, "greater than or equal to 0"),
        (TopKConfig, {"supervised": {"classes": 1}}, "greater than or equal to 2"),
        (TopKConfig, {"supervised": {"weight": 1}}, "classes"),
        (
            TopKConfig,
            {"supervised": {"classes": 3, "wieght": 1}},
            "unknown key 'supervised.wieght': did you mean 'weight'",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(config: type[TopKConfig], options: dict[str, object], says: str) -> None:
    with pytest.raises(UserError, match=says) as caught:
        config.parse(HEADED | options)
    assert "\n" not in str(caught.value)
    TopKConfig.parse({"freeze": "encoder", "supervised": {"classes": C}})


@pytest.mark.parametrize("config", [c for c in CONFIGS if c.kind != "route"], ids=lambda c: c.kind)
def test_folding_leaves_the_head_and_what_it_says(config: AnySAEConfig) -> None:
    p = {name: t.detach().float() for name, t in parameters(config).items()}
    sae = SAE(config, p, torch.linspace(-1, 1, D), 1.7)
    folded = sae.folded()
    assert all(torch.equal(folded.parameters[name], p[name]) for name in HEAD)
    rows = X.float()
    read = sae.split(rows)[0]
    assert torch.allclose(sae.encode(read), folded.encode(read), atol=1e-4)


def stack(config: AnySAEConfig) -> SAEStack:
    p = {name: t.detach().float()[None] for name, t in parameters(config).items()}
    return SAEStack(config, (0,), p, torch.zeros(D), 1.0)


def test_a_head_is_saved_and_read_back_and_a_file_without_it_is_refused(tmp_path: Path) -> None:
    saved = stack(TopKConfig(d_sae=F, k=3, **HEADED))
    path = saved.save(tmp_path / "stack.safetensors")
    read = load_stack(path)
    assert read.config == saved.config
    assert all(torch.equal(read.parameters[name], saved.parameters[name]) for name in saved.parameters)
    arrays = load_arrays(path)
    del arrays["W_head"]
    save_arrays(path, arrays, read_metadata(path))
    with pytest.raises(UserError, match="tensor W_head is missing"):
        load_stack(path)


@pytest.mark.parametrize("tool", ["saelens", "dictionary_learning", "sparsify", "husai"])
def test_where_a_tool_has_no_place_for_a_head_it_stays_behind_and_that_is_said(tool: str, tmp_path: Path) -> None:
    sae, heard = stack(TopKConfig(d_sae=F, k=3, **HEADED))[0], Heard()
    with events.listening(heard):
        folder = convert(sae, tmp_path / "there", tool)
    (back,) = load_named(str(folder))
    assert torch.allclose(back.sae(X.float()), sae(X.float()), atol=1e-5)
    kept = tool == "husai"
    assert (back.sae.config.supervised is not None) == kept == ("W_head" in back.sae.parameters)
    assert any("W_head and b_head stay behind" in line for line in heard.lines) != kept
