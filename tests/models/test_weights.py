"""Saved and loaded: the same outputs, and one clear line for anything else."""

from __future__ import annotations

import pytest
import torch

from husai.errors import UserError
from husai.models.config import TransformerConfig
from husai.models.weights import fill, load_model, model_arrays, save_model
from husai.store.tensors import save_arrays

CONFIGS = [
    TransformerConfig(d_model=8, n_heads=2, d_mlp=8, d_vocab=7, n_ctx=4, d_vocab_out=5),
    TransformerConfig(
        n_layers=3, d_model=8, n_heads=4, d_mlp=8, d_vocab=7, n_ctx=4, d_vocab_out=5, activation="gelu", layer_norm=True
    ),
]
TOKENS = torch.tensor([[0, 1, 2, 3], [6, 5, 4, 3]])


@pytest.mark.parametrize("config", CONFIGS)
def test_a_reloaded_model_gives_the_same_bits(tmp_path, config):
    model = config.build(3)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.1)
        loaded = load_model(save_model(tmp_path / "model.safetensors", model))
        assert torch.equal(loaded(TOKENS), model(TOKENS))
    assert loaded.config == config


def test_equal_models_give_equal_bytes(tmp_path):
    one, two = (save_model(tmp_path / f"{i}.safetensors", CONFIGS[0].build(3)) for i in range(2))
    assert one.read_bytes() == two.read_bytes()


def test_a_missing_file(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        load_model(tmp_path / "none.safetensors")


@pytest.mark.parametrize("share", [0.0, 0.05, 0.5, 0.99])
def test_a_truncated_file(tmp_path, share):
    path = save_model(tmp_path / "model.safetensors", CONFIGS[0].build(3))
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(UserError, match="not a whole safetensors file"):
        load_model(path)


def test_a_file_of_something_else(tmp_path):
    path = save_arrays(tmp_path / "other.safetensors", model_arrays(CONFIGS[0].build(3)))
    with pytest.raises(UserError, match="is not a model of husai"):
        load_model(path)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("{", "not readable as JSON"),
        ("{}", "are open"),
        ('{"layers": 3}', "unknown key 'layers'"),
        ('{"d_model": 8, "n_heads": 2, "d_mlp": 8, "d_vocab": 7, "n_ctx": 5, "d_vocab_out": 5}', "tensor 'W_pos'"),
        (
            '{"d_model": 8, "n_heads": 2, "d_mlp": 8, "d_vocab": 7, "n_ctx": 4, "d_vocab_out": 5, "n_layers": 2}',
            "missing",
        ),
    ],
)
def test_a_config_that_is_not_that_of_the_weights(tmp_path, config, message):
    metadata = {"format": "husai.model/1", "config": config}
    path = save_arrays(tmp_path / "model.safetensors", model_arrays(CONFIGS[0].build(3)), metadata)
    with pytest.raises(UserError, match=message):
        load_model(path)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("W_E", lambda a: a.T, r"tensor 'W_E' is \(8, 7\) float32, the model needs \(7, 8\) float32"),
        ("W_E", lambda a: a.astype("float64"), "'W_E' is .* float64"),
        ("W_U", lambda a: a * float("nan"), "'W_U' holds values that are not finite"),
    ],
)
def test_a_tensor_that_is_wrong(tmp_path, name, change, message):
    model = CONFIGS[0].build(3)
    arrays = model_arrays(model)
    arrays[name] = change(arrays[name])
    with pytest.raises(UserError, match=message):
        fill(model, arrays, tmp_path / "f")


def test_a_tensor_too_many(tmp_path):
    model = CONFIGS[0].build(3)
    with pytest.raises(UserError, match="tensor 'extra' is not part of the model"):
        fill(model, model_arrays(model) | {"extra": model_arrays(model)["W_E"]}, tmp_path / "f")
