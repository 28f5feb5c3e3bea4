"""Folders of other tools against what their own classes computed from them: `vectors/`, by `make_vectors.py`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import husai
from husai.errors import UserError
from husai.events import Silent, listening
from husai.saes.formats.load import load_named

VECTORS = Path(__file__).parent / "vectors"
NAMES = sorted(path.name for path in VECTORS.iterdir() if path.is_dir())
BOUND = 1e-5
TOOLS = {
    "saelens": "SAELens",
    "dictionary_learning": "dictionary_learning",
    "sparsify": "sparsify",
    "gemma": "Gemma Scope",
}


@pytest.mark.parametrize("name", NAMES)
def test_it_computes_what_theirs_computed(name: str) -> None:
    sae, told = husai.load(VECTORS / name), load_file(VECTORS / name / "expected.safetensors")
    assert (told["f"] != 0).any() and (told["f"] == 0).any()
    assert (sae.encode(told["x"]) - told["f"]).abs().max() <= BOUND
    assert (sae(told["x"]) - told["y"]).abs().max() <= BOUND
    if "skip" not in name:
        assert (sae.decode(told["f"]) - told["decoded"]).abs().max() <= BOUND
    (loaded,) = load_named(VECTORS / name)
    assert loaded.tool == TOOLS[name.split("-")[0]]


def test_every_format_of_the_table_is_there() -> None:
    assert len(NAMES) == 48
    for part in (
        "topk-rescaled",
        "abstopk",
        "gated",
        "hook-z",
        "old-standard",
        "skip_transcoder",
        "matryoshka_batchtopk",
    ):
        assert any(part in name for name in NAMES)


def copied(name: str, tmp_path: Path) -> Path:
    return Path(shutil.copytree(VECTORS / name, tmp_path / name))


def with_config(folder: Path, file: str = "cfg.json", **changes: Any) -> Path:
    cfg = json.loads((folder / file).read_text())
    part = cfg.get("trainer", cfg)
    part.update(changes)
    for name in [name for name, value in changes.items() if value is ...]:
        del part[name]
    (folder / file).write_text(json.dumps(cfg))
    return folder


@pytest.mark.parametrize(
    ("name", "changes", "says"),
    [
        ("saelens-standard", {"architecture": "tokp"}, "cfg.json: architecture is 'tokp', did you mean 'topk'"),
        ("saelens-standard", {"architecture": "matching_pursuit"}, "rules that husai's matching pursuit does not have"),
        ("saelens-standard", {"architecture": "temporal"}, "depend on the tokens before"),
        ("saelens-standard", {"normalize_activations": "layer_norm"}, "divided by its own deviation"),
        ("saelens-standard", {"normalize_activations": "constant_norm_rescale"}, "divided by its own norm"),
        ("saelens-standard", {"normalize_activations": "covariance_whitening"}, "whitening is not in the folder"),
        ("saelens-standard", {"normalize_activations": "expected_average_only_in"}, "fold it in SAELens"),
        ("saelens-old-standard", {"normalize_activations": True}, "fold it in SAELens"),
        ("saelens-old-standard", {"activation_fn_str": "tanh-relu"}, "only relu and topk are read"),
        ("saelens-old-topk", {"activation_fn_str": ...}, "the activation is relu: the word topk was lost"),
        ("saelens-old-topk", {"activation_fn_kwargs": {}}, "activation_fn_kwargs.k is missing"),
        ("saelens-old-standard", {"finetuning_scaling_factor": True}, "no such factor any more"),
        ("saelens-topk", {"k": ...}, "cfg.json: k is missing"),
        ("saelens-topk", {"k": 3.5}, "k is 3.5, not a whole number"),
        ("saelens-topk", {"k": True}, "k is True, not a whole number"),
        ("saelens-topk", {"k": 13}, "k is 13, more than d_sae = 12"),
        ("saelens-topk", {"d_in": 6}, r"W_enc has shape \(5, 12\), expected \(6, 12\)"),
        ("saelens-topk", {"apply_b_dec_to_input": "yes"}, "apply_b_dec_to_input is 'yes', not true or false"),
        ("saelens-topk", {"architecture": "jumprelu", "k": ...}, "tensor threshold is missing"),
        ("saelens-topk", {"architecture": "standard"}, "k is 3, which standard does not have: name the right"),
        ("saelens-topk", {"apply_b_dec_to_input": ...}, "apply_b_dec_to_input is missing"),
        ("saelens-jumprelu", {"architecture": "topk", "k": 3}, "tensor threshold does not belong to topk"),
        ("saelens-topk", {"dtype": "int8"}, "dtype is 'int8'"),
        ("saelens-transcoder", {"apply_b_dec_to_input": True}, "belongs to its output"),
        ("saelens-transcoder", {"reshape_activations": "hook_z"}, "which transcoders do not do"),
        ("sparsify-topk", {"activation": "groupmax"}, "one latent of each of k groups"),
        ("sparsify-topk", {"signed": True}, "early versions"),
        ("sparsify-topk", {"num_latents": 0}, r"expected \(160, 5\)"),
        ("sparsify-topk", {"skip_connection": True}, "tensor W_skip is missing"),
        ("sparsify-skip", {"skip_connection": False}, "tensor W_skip does not belong"),
        ("sparsify-topk", {"k": 99}, "more than the 12 latents"),
    ],
)
def test_what_is_not_read_is_one_line_with_the_reason(
    name: str, changes: dict[str, Any], says: str, tmp_path: Path
) -> None:
    folder = with_config(copied(name, tmp_path), **changes)
    with pytest.raises(UserError, match=says):
        husai.load(folder)


@pytest.mark.parametrize(
    ("name", "changes", "says"),
    [
        ("AutoEncoderTopK", {"k": 4}, "trainer.k is 4, but ae.pt says 3"),
        ("AutoEncoderTopK", {"dict_class": "IdentityDict"}, "trainer.dict_class is 'IdentityDict'"),
        ("AutoEncoder", {"dict_class": "AutoEncoderNew"}, "tensor decoder.bias is missing"),
        ("AutoEncoder", {"dict_class": "AutoEncoderTopK"}, "tensor b_dec is missing"),
        ("BatchTopKSAE", {"dict_class": ...}, "trainer.dict_class is missing"),
    ],
)
def test_classes_are_checked(name: str, changes: dict[str, Any], says: str, tmp_path: Path) -> None:
    folder = with_config(copied(f"dictionary_learning-{name}", tmp_path), "config.json", **changes)
    with pytest.raises(UserError, match=says):
        husai.load(folder)


def test_a_batch_topk_sae_keeps_its_architecture() -> None:
    batch, nested = (
        husai.load(VECTORS / f"dictionary_learning-{n}") for n in ("BatchTopKSAE", "MatryoshkaBatchTopKSAE")
    )
    assert (batch.config.kind, batch.config.k) == ("batchtopk", 3)  # type: ignore[union-attr]
    assert (nested.config.kind, nested.config.prefixes) == ("matryoshka", (2, 6, 12))  # type: ignore[union-attr]


def test_what_an_sae_says_of_itself() -> None:
    sae = husai.load(VECTORS / "saelens-topk-uncentred")
    assert (sae.cfg.architecture, sae.cfg.d_in, sae.cfg.d_sae) == ("topk", 5, 12)
    assert (sae.cfg.hook_name, sae.cfg.apply_b_dec_to_input) == ("blocks.3.hook_mlp", False)
    assert (float(sae.mean_D.abs().sum()), sae.factor, sae.config.decoder_norm) == (0.0, 1.0, "free")
    assert torch.equal(sae.W_dec, load_file(VECTORS / "saelens-topk-uncentred" / "sae_weights.safetensors")["W_dec"])
    assert husai.load(VECTORS / "sparsify-topk").cfg.hook_name == "sparsify-topk"
    assert husai.load(VECTORS / "dictionary_learning-AutoEncoder").cfg.hook_name == "resid_post_layer_5"


@pytest.mark.parametrize(
    ("place", "hook"),
    [
        ("gemma-scope-2b-pt-res/layer_5/width_16k/average_l0_68", "blocks.5.hook_resid_post"),
        ("gemma-scope-9b-pt-mlp/layer_11/width_16k/average_l0_68", "blocks.11.hook_mlp_out"),
        ("gemma-scope-2b-pt-att/layer_0/width_16k/average_l0_68", "blocks.0.attn.hook_z"),
        ("mine/layer_5", ""),
    ],
)
def test_gemma_scope_hooks_come_from_the_names_of_folders(place: str, hook: str, tmp_path: Path) -> None:
    shutil.copytree(VECTORS / "gemma-scope", tmp_path / place)
    assert husai.load(tmp_path / place).cfg.hook_name == hook
    assert husai.load(tmp_path / place / "params.npz").cfg.hook_name == hook


def test_gemma_scope_widths_are_not_guessed(tmp_path: Path) -> None:
    with np.load(VECTORS / "gemma-scope" / "params.npz") as arrays:
        held = {name: arrays[name] for name in arrays.files}
    np.savez(tmp_path / "params.npz", **(held | {"W_enc": np.concatenate([held["W_enc"]] * 2)}))
    with pytest.raises(UserError, match=r"params.npz: W_dec has shape \(12, 5\), expected \(12, 10\)"):
        husai.load(tmp_path)


def test_files_may_be_given_instead_of_folders(tmp_path: Path) -> None:
    folder = copied("dictionary_learning-BatchTopKSAE", tmp_path)
    (folder / "checkpoints").mkdir()
    checkpoint = (folder / "ae.pt").rename(folder / "checkpoints" / "ae_500.pt")
    told = load_file(folder / "expected.safetensors")
    assert (husai.load(checkpoint).encode(told["x"]) - told["f"]).abs().max() <= BOUND
    for name in ("saelens-topk/sae_weights.safetensors", "sparsify-topk/sae.safetensors"):
        told = load_file((VECTORS / name).parent / "expected.safetensors")
        assert (husai.load(VECTORS / name).encode(told["x"]) - told["f"]).abs().max() <= BOUND


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e300])
def test_values_that_are_no_floats_name_the_file_and_the_tensor(value: float, tmp_path: Path) -> None:
    folder = copied("sparsify-topk", tmp_path)
    weights = load_file(folder / "sae.safetensors")
    bias = weights["encoder.bias"].double()
    bias[3] = value
    save_file(weights | {"encoder.bias": bias}, folder / "sae.safetensors")
    with pytest.raises(UserError, match=r"sae\.safetensors: encoder\.bias holds NaN or infinite values"):
        husai.load(folder)


def test_a_factor_of_ones_is_left_out_and_any_other_refused(tmp_path: Path) -> None:
    folder = copied("saelens-standard", tmp_path)
    weights = load_file(folder / "sae_weights.safetensors")
    for value, fine in ((1.0, True), (2.0, False)):
        save_file(weights | {"scaling_factor": torch.full((12,), value)}, folder / "sae_weights.safetensors")
        if fine:
            told = load_file(folder / "expected.safetensors")
            assert (husai.load(folder).encode(told["x"]) - told["f"]).abs().max() <= BOUND
        else:
            with pytest.raises(UserError, match="scaling_factor is not 1"):
                husai.load(folder)


def test_an_old_checkpoint_with_logarithms_of_thresholds(tmp_path: Path) -> None:
    folder = copied("saelens-jumprelu", tmp_path)
    weights, told = load_file(folder / "sae_weights.safetensors"), load_file(folder / "expected.safetensors")
    theta = weights.pop("threshold").clamp_min(1e-3)
    save_file(weights | {"log_threshold": theta.log()}, folder / "sae_weights.safetensors")
    pre = (told["x"] - weights["b_dec"]) @ weights["W_enc"] + weights["b_enc"]
    assert torch.allclose(husai.load(folder).encode(told["x"]), pre * (pre > theta), atol=1e-5)


def test_a_decoder_row_of_zero_cannot_be_divided_by_its_norm(tmp_path: Path) -> None:
    folder = copied("saelens-topk-rescaled", tmp_path)
    weights = load_file(folder / "sae_weights.safetensors")
    weights["W_dec"][4] = 0
    save_file(weights, folder / "sae_weights.safetensors")
    with pytest.raises(UserError, match="rescale_acts_by_decoder_norm: a row of W_dec is zero"):
        husai.load(folder)


class Said(Silent):
    """Keeps what was logged."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def log(self, level: str, message: str) -> None:
        self.lines.append(message)


def test_double_precision_is_said_once(tmp_path: Path) -> None:
    folder = with_config(copied("saelens-standard", tmp_path), dtype="float64")
    weights = load_file(folder / "sae_weights.safetensors")
    save_file({name: t.double() for name, t in weights.items()}, folder / "sae_weights.safetensors")
    said = Said()
    with listening(said):
        husai.load(folder)
    assert said.lines == [f"{folder / 'sae_weights.safetensors'} is float64: converted to float32"]
