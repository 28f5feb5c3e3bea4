"""T50. "lambda = 1e-3 in both papers": a mean over latents in one, a sum in the other, a factor of d_sae apart. husai
has one convention, a sum over latents beside a squared error that is a sum over dimensions; a record says it for every
weight, a weight without words cannot be added, and no weight of another tool is taken for one of husai's.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from torch import Tensor

import husai.studies.nodes.stack as stack_code
from husai.activations.source import PlantedSource
from husai.errors import UserError
from husai.saes.architecture import Batch
from husai.saes.config import (
    AnySAEConfig,
    GatedConfig,
    GBAConfig,
    JacobianConfig,
    JumpReluConfig,
    ReluL1Config,
    SupervisedConfig,
    SwitchConfig,
    TopKConfig,
)
from husai.saes.conventions import PENALISED, penalties
from husai.saes.formats.convert import convert
from husai.saes.formats.load import load_named
from husai.saes.jsae import jacobian
from husai.saes.parameters import Parameters
from husai.saes.registry import architecture
from husai.saes.sae import SAE
from husai.store.index import Results
from husai.studies.executors.worker import compute
from husai.studies.existing.gaussian_null import NullRequest, check_request
from husai.studies.node import work_of
from husai.studies.plan import activations_nodes, stack_node
from husai.tasks.planted import PlantedConfig
from husai.training.config import TrainingConfig
from husai.training.coupling.config import AnyCoupling, penalty

D, F, B, WEIGHT = 10, 24, 60, 1e-3
# Fields that are no weight of a loss term: sizes and rates, thresholds, what a rule or a selection goes by.
NO_WEIGHTS = {
    "k", "threshold_momentum", "threshold", "bandwidth", "l0_target", "target", "ratio", "rate", "delta",
}  # fmt: skip


def drawn(config: AnySAEConfig, width: int = D) -> tuple[Parameters, Tensor]:
    """Parameters with free norms, biases and thresholds, and rows, all in float64."""
    generator, p = torch.Generator().manual_seed(3), {}
    for name, shape in architecture(config).shapes(config, width).items():
        p[name] = torch.randn(shape, generator=generator, dtype=torch.float64)
        if name == "log_threshold":
            p[name] = p[name] - 1
    return p, 2 * torch.randn(B, width, generator=generator, dtype=torch.float64)


def term(config: AnySAEConfig, name: str, width: int = D) -> float:
    p, x = drawn(config, width)
    terms, _ = architecture(config).objective(config, p, Batch.of(x, torch.zeros(F) > 0))
    return float(terms[name])


def variance(x: Tensor) -> Tensor:
    return ((x - x.mean(0)) ** 2).sum(1).mean()


def relu_codes(p: Parameters, x: Tensor) -> Tensor:
    return torch.clamp((x - p["b_dec"]) @ p["W_enc"].T + p["b_enc"], min=0)


def both(penalty_BF: Tensor) -> tuple[float, float]:
    """The two conventions in the wild: the mean over rows of a sum over latents, and the mean over both."""
    return float(WEIGHT * penalty_BF.sum(1).mean()), float(WEIGHT * penalty_BF.mean())


def of_relu(config: ReluL1Config) -> Tensor:
    p, x = drawn(config)
    return relu_codes(p, x) * (p["W_dec"] ** 2).sum(1).sqrt()


def of_gate(config: GatedConfig) -> Tensor:
    p, x = drawn(config)
    gate = torch.clamp((x - p["b_dec"]) @ p["W_enc"].T + p["b_gate"], min=0)
    return gate * (p["W_dec"] ** 2).sum(1).sqrt()


def of_song(config: ReluL1Config) -> Tensor:
    return relu_codes(*drawn(config))


def of_song_topk(config: TopKConfig) -> Tensor:
    codes = relu_codes(*drawn(config))
    kth = codes.sort(dim=1, descending=True).values[:, config.k - 1, None]
    return torch.where(codes >= kth, codes, 0.0)


def of_l0(config: JumpReluConfig) -> Tensor:
    p, x = drawn(config)
    return variance(x) * (relu_codes(p, x) > p["log_threshold"].exp()).double()


@pytest.mark.parametrize(
    ("config", "name", "written_out"),
    [
        (ReluL1Config(d_sae=F, l1=WEIGHT, decoder_norm="free"), "l1", of_relu),
        (GatedConfig(d_sae=F, l1=WEIGHT, decoder_norm="free"), "l1", of_gate),
        (ReluL1Config(d_sae=F, song_l1=WEIGHT, decoder_norm="free"), "l1", of_song),
        (TopKConfig(d_sae=F, k=3, song_l1=WEIGHT, decoder_norm="free"), "l1", of_song_topk),
        (JumpReluConfig(d_sae=F, l0_coefficient=WEIGHT), "l0", of_l0),
    ],
    ids=["relu_l1", "gated", "song_l1 of relu_l1", "song_l1 of topk", "jumprelu"],
)
def test_the_term_is_the_sum_and_the_mean_is_d_sae_times_less(config: Any, name: str, written_out: Any) -> None:
    as_sum, as_mean = both(written_out(config))
    assert as_sum == pytest.approx(F * as_mean, rel=1e-12)
    assert term(config, name) == pytest.approx(as_sum, rel=1e-6)  # V and float32 constants aside
    assert "sum over latents" in " ".join(penalties(config).values()) or "number of latents" in penalties(config).get(
        "l0_coefficient", ""
    )


def test_the_weight_of_a_head_has_words_too() -> None:
    def words(weight: float) -> dict[str, str]:
        return penalties(TopKConfig(supervised=SupervisedConfig(weight=weight, classes=3)))

    assert "cross entropy" in words(0.1)["supervised"] and "supervised" not in words(0.0)


def test_a_target_of_l0_is_a_sum_too() -> None:
    """With a mean over latents the target would be a share of them."""
    config = JumpReluConfig(d_sae=F, l0_coefficient=WEIGHT, l0_target=4.0)
    p, x = drawn(config)
    L0 = float((relu_codes(p, x) > p["log_threshold"].exp()).double().sum(1).mean())
    assert term(config, "l0") == pytest.approx(WEIGHT * float(variance(x)) * (L0 / 4 - 1) ** 2, rel=1e-9)


def test_the_jacobian_is_a_mean_over_pairs_of_active_latents_and_says_so() -> None:
    config = JacobianConfig(d_sae=F, k=3, d_mlp=7, jacobian=WEIGHT)
    p, x = drawn(config, 2 * D)
    encoded = architecture(config).encode(config, p, x)
    x_codes, y_codes = (
        replace(encoded, values_BK=v, indices_BK=i - shift)
        for v, i, shift in zip(encoded.values_BK.split(3, 1), encoded.indices_BK.split(3, 1), (0, F // 2), strict=True)
    )
    x_hat = x_codes.dense()[:, : F // 2] @ p["W_dec"][: F // 2, :D] + p["b_dec"][:D]
    J_BKK = jacobian(config, p, x_codes, y_codes, x_hat)
    assert J_BKK.shape == (B, 3, 3)
    as_mean = WEIGHT * float(variance(x)) * float(J_BKK.abs().sum()) / (B * 3 * 3)
    assert term(config, "jacobian", 2 * D) == pytest.approx(as_mean, rel=1e-9)
    assert "mean over rows and over the k x k pairs" in penalties(config)["jacobian"]


def test_the_squared_error_beside_it_is_a_sum_over_dimensions_but_in_song_s_objective() -> None:
    for config, divided_by in ((ReluL1Config(d_sae=F), 1), (ReluL1Config(d_sae=F, song_l1=0.1), D)):
        p, x = drawn(config)
        x_hat = relu_codes(p, x) @ p["W_dec"] + p["b_dec"]
        assert term(config, "mse") == pytest.approx(float(((x - x_hat) ** 2).sum(1).mean()) / divided_by, rel=1e-9)
        (said,) = penalties(config).values()
        assert ("mean over dimensions" if divided_by == D else "summed over dimensions") in said


def test_every_weight_of_every_config_has_words() -> None:
    """A float field is either known to be no weight, or the record says what it multiplies."""
    for kind in get_args(AnySAEConfig):
        floats = {n for n, f in kind.model_fields.items() if f.annotation in (float, float | None)} - NO_WEIGHTS
        for name in floats:
            more = {"aux_k": 4} if name == "aux_coefficient" else {}
            try:
                config = kind.parse({name: 0.5, **more})
            except UserError:  # an option of all that this one does not take
                assert name == "decorrelation", (kind, name)
                continue
            assert name in penalties(config), (kind.__name__, name)


def test_the_weight_of_every_coupling_has_words() -> None:
    """A float field of a coupling is no weight (a share, a temperature), or the record says what it multiplies."""
    for kind in get_args(AnyCoupling):
        floats = {n for n, f in kind.model_fields.items() if f.annotation is float} - {"fraction", "temperature"}
        said = penalty(kind())
        assert set(said) == {f"coupling.{name}" for name in floats}, kind
        assert all(text.startswith("times V times") and "summed over dimensions" in text for text in said.values())
        if floats:
            assert penalty(kind(weight=0.0)) == {}


def test_a_weight_that_is_zero_or_replaced_is_not_named() -> None:
    assert penalties(TopKConfig(d_sae=F)) == penalties(GBAConfig(d_sae=F)) == {}
    assert set(penalties(ReluL1Config(d_sae=F, song_l1=0.1, decorrelation=1.0))) == {"song_l1", "decorrelation"}
    assert set(penalties(SwitchConfig(d_sae=F))) == {"balance"}
    assert set(penalties(TopKConfig(d_sae=F, aux_k=2))) == {"aux_coefficient"}


def test_the_record_of_a_training_says_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack_code, "warn", lambda text: None)
    (data,) = activations_nodes(PlantedSource(planted=PlantedConfig(d_in=8, n_features=12, n_active=2, n_rows=400)), 0)
    config = ReluL1Config(d_sae=12, l1=0.5)
    stack = stack_node(config, TrainingConfig(steps=5, batch=32), 5, (0, 1), 0, data, "x")
    record = [compute(work_of(node, Results(tmp_path)), tmp_path) for node in (data, stack)][-1]
    assert record.facts["penalties"] == penalties(config) and record.facts["sae"]["l1"] == 0.5
    assert "sum over latents" in record.facts["penalties"]["l1"]


@pytest.mark.parametrize("kind", PENALISED)
@pytest.mark.parametrize("tool", ["saelens", "dictionary_learning"])
def test_a_penalty_of_another_tool_is_left_out_and_no_null_is_trained_with_ours(
    kind: str, tool: str, tmp_path: Path
) -> None:
    config: Any = {"relu_l1": ReluL1Config, "gated": GatedConfig, "jumprelu": JumpReluConfig}[kind](d_sae=F)
    p = {name: tensor.float() for name, tensor in drawn(config)[0].items()}
    convert(SAE(config, p, torch.zeros(D), 1.0), tmp_path / "x", tool)
    loaded = load_named(str(tmp_path / "x"))
    assert loaded[0].sae.config.kind == kind and penalties(loaded[0].sae.config) == {}
    with pytest.raises(UserError, match=f"the penalty .{PENALISED[kind]}. that these {kind} SAEs were trained with is"):
        check_request(NullRequest(tmp_path, 1), loaded)
    assert check_request(NullRequest(tmp_path, 1, k=3), loaded) == TopKConfig(d_sae=F, k=3)
