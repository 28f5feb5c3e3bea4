"""T41. "Reloaded TopK SAE": the flag that said TopK was lost on the way, and it ran as a linear map. An SAE that was
saved and loaded computes what it computed, for every architecture and option, through every format that can hold it;
where the flag is missing there is an error and no SAE.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import husai
from husai.errors import UserError
from husai.saes.formats.convert import WRITERS, convert
from husai.saes.sae import SAE
from our_saes import OPTIONS, D, random_sae, rows

COUNTS = {"husai": 41, "saelens": 29, "dictionary_learning": 19, "sparsify": 8}  # of the options each format holds


def read(sae: SAE, name: str) -> torch.Tensor:
    x = rows(200)
    return torch.cat([x, x.flip(0)], 1) if name in ("route", "jsae") else x


def differs(a: SAE, b: SAE, x: torch.Tensor) -> float:
    """Largest difference of features and reconstruction, relative where they are above 1."""
    pairs = [(a.encode(x), b.encode(x)), (a(x), b(x))]
    return max(float((p - q).abs().max() / p.abs().max().clamp_min(1)) for p, q in pairs)


@pytest.mark.parametrize("tool", WRITERS)
def test_saved_and_loaded_it_computes_the_same(tool: str, tmp_path: Path) -> None:
    held = 0
    for name in OPTIONS:
        ours = random_sae(name)
        try:
            folder = convert(ours, tmp_path / name, tool)
        except UserError:
            continue
        held += 1
        x = read(ours, name)
        assert differs(husai.load(folder), ours, x) < 1e-5, name
        again = convert(husai.load(folder), tmp_path / f"{name}-again", tool)
        assert differs(husai.load(again), ours, x) < 2e-5, name
    assert held == COUNTS[tool]


@pytest.mark.parametrize("name", ["topk", "abstopk", "jumprelu", "batchtopk", "gated", "transcoder-jumprelu-6"])
def test_what_is_compared_would_notice_a_lost_activation(name: str) -> None:
    """A linear map, or a plain ReLU, with the same parameters is far away on these rows."""
    ours, x = random_sae(name), rows(200)
    p = {k: t for k, t in ours.folded().parameters.items() if k in ("W_enc", "W_dec", "b_dec")}
    b_enc = ours.folded().parameters.get("b_enc", torch.zeros(len(p["W_enc"])))
    pre = (x - (p["b_dec"] if ours.cfg.apply_b_dec_to_input else 0)) @ p["W_enc"].T + b_enc
    for lost in (pre, pre.relu()):
        assert (lost - ours.encode(x)).abs().max() > 0.1


def json_field(file: str, *path: str) -> Callable[[Path, Any], None]:
    """Sets or, with `...`, deletes a field of a JSON file."""

    def change(folder: Path, value: Any) -> None:
        data = json.loads((folder / file).read_text())
        inner = data
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = value
        if value is ...:
            del inner[path[-1]]
        (folder / file).write_text(json.dumps(data))

    return change


def stack_config(folder: Path, value: Any) -> None:
    """Changes the config in the metadata of a husai stack; with `...` all of it is gone."""
    path = folder / "stack.safetensors"
    with safe_open(path, "pt") as handle:
        meta = dict(handle.metadata())
    config = json.loads(meta.pop("config"))
    if value is not ...:
        meta["config"] = json.dumps(config | value)
    save_file(load_file(path), path, meta)


FLAGS: dict[str, tuple[str, Callable[[Path, Any], None], tuple[Any, ...]]] = {
    "husai": ("topk", stack_config, (..., {"k": ""}, {"kind": "linear"}, {"kind": None})),
    "saelens": ("topk", json_field("cfg.json", "k"), (..., None, "3", 3.0, 0)),
    "saelens-architecture": (
        "topk",
        json_field("cfg.json", "architecture"),
        (..., None, "", "linear", "standard", "jumprelu", "gated"),
    ),
    "dictionary_learning": ("topk", json_field("config.json", "trainer", "dict_class"), (..., None, "AutoEncoder")),
    "sparsify": ("topk", json_field("cfg.json", "k"), (..., None, "3")),
    "sparsify-activation": ("topk", json_field("cfg.json", "activation"), (None, "relu", "groupmax")),
}


@pytest.mark.parametrize("case", FLAGS)
def test_without_the_flag_there_is_no_sae(case: str, tmp_path: Path) -> None:
    name, change, values = FLAGS[case]
    for number, value in enumerate(values):
        folder = convert(random_sae(name), tmp_path / str(number), case.split("-")[0])
        change(folder, value)
        with pytest.raises(UserError, match=str(folder)):
            husai.load(folder)


def test_an_old_config_says_topk_only_in_its_activation(tmp_path: Path) -> None:
    """Where the flag was lost: `architecture: standard` with `activation_fn_str: topk`."""
    folder = convert(random_sae("topk"), tmp_path / "sae", "saelens")
    old = {"d_in": D, "d_sae": 12, "dtype": "float32", "activation_fn_str": "topk", "activation_fn_kwargs": {"k": 3}}
    (folder / "cfg.json").write_text(json.dumps(old | {"architecture": "standard", "hook_point": "blocks.0.hook"}))
    sae = husai.load(folder)
    assert sae.config.kind == "topk" and differs(sae, random_sae("topk"), rows(200)) < 1e-5
    (folder / "cfg.json").write_text(json.dumps(old | {"activation_fn_kwargs": {}}))
    with pytest.raises(UserError, match=r"activation_fn_kwargs\.k is missing"):
        husai.load(folder)
