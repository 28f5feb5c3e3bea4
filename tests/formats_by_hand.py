"""What the formulas of other tools make of a folder that husai wrote, in NumPy and float64, without their code."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file

Outputs = tuple[np.ndarray, np.ndarray]


def keep(values: np.ndarray, k: int) -> np.ndarray:
    """The k largest of each row, 0 elsewhere."""
    least = np.sort(values, axis=1)[:, -k][:, None]
    return np.where(values >= least, values, 0)


def saelens(folder: Path, x: np.ndarray) -> Outputs:
    """`cfg.json` and `sae_weights.safetensors`."""
    cfg = json.loads((folder / "cfg.json").read_text())
    p = {name: a.astype(np.float64) for name, a in load_file(folder / "sae_weights.safetensors").items()}
    arch, F = cfg["architecture"], cfg["d_sae"]
    assert cfg["normalize_activations"] == "none" and cfg["metadata"]["sae_lens_version"] >= "6.0.0"
    wide = {
        "W_enc": (cfg["d_in"], F),
        "W_dec": (F, cfg.get("d_out", cfg["d_in"])),
        "b_dec": (cfg.get("d_out", cfg["d_in"]),),
    }
    one = {name: (F,) for name in (("b_gate", "b_mag", "r_mag") if arch == "gated" else ("b_enc",))}
    wide |= {"threshold": (F,)} if "jumprelu" in arch else {}
    wide |= {"W_skip": (cfg["d_out"], cfg["d_in"])} if "skip" in arch else {}
    assert {name: a.shape for name, a in p.items()} == wide | one, "an extra tensor is fatal there"
    z = (x - p["b_dec"] if cfg["apply_b_dec_to_input"] else x) @ p["W_enc"]
    if arch == "gated":
        f = (z + p["b_gate"] > 0) * np.maximum(z * np.exp(p["r_mag"]) + p["b_mag"], 0)
    else:
        pre = z + p["b_enc"]
        f = np.maximum(pre, 0)
        if arch == "topk":
            assert cfg["rescale_acts_by_decoder_norm"] is False
            f = keep(f, cfg["k"])
        if arch == "abstopk":
            f = np.where(keep(np.abs(pre), cfg["k"]) > 0, pre, 0)
        if "jumprelu" in arch:
            f = f * (pre > p["threshold"])
    return f, f @ p["W_dec"] + p["b_dec"] + (x @ p["W_skip"].T if "skip" in arch else 0)


def dictionary_learning(folder: Path, x: np.ndarray) -> Outputs:
    """`ae.pt` and `config.json`."""
    trainer = json.loads((folder / "config.json").read_text())["trainer"]
    state = torch.load(folder / "ae.pt", weights_only=True)
    p = {name: t.numpy().astype(np.float64) for name, t in state.items()}
    name = trainer["dict_class"]
    if "encoder.weight" in p:
        W_enc, W_dec = p["encoder.weight"].T, p["decoder.weight"].T
    else:
        W_enc, W_dec = p["W_enc"], p["W_dec"]
    if name == "GatedAutoEncoder":
        z = (x - p["decoder_bias"]) @ W_enc
        f = (z + p["gate_bias"] > 0) * np.maximum(z * np.exp(p["r_mag"]) + p["mag_bias"], 0)
        return f, f @ W_dec + p["decoder_bias"]
    b_enc = p.get("encoder.bias", p.get("b_enc"))
    b_dec = p["decoder.bias"] if name == "AutoEncoderNew" else p["b_dec"]
    pre = (x if name in ("AutoEncoderNew", "JumpReluAutoEncoder") else x - b_dec) @ W_enc + b_enc
    f = np.maximum(pre, 0)
    if name == "AutoEncoderTopK":
        assert state["k"].dtype == torch.int32 and trainer["k"] == int(state["k"])
        f = keep(f, trainer["k"])
    elif "threshold" in p:
        f = f * (f > p["threshold"])
    if name == "MatryoshkaBatchTopKSAE":
        assert int(state["group_sizes"].sum()) == f.shape[1]
    return f, f @ W_dec + b_dec


def sparsify(folder: Path, x: np.ndarray) -> Outputs:
    """`cfg.json` and `sae.safetensors`."""
    cfg = json.loads((folder / "cfg.json").read_text())
    p = {name: a.astype(np.float64) for name, a in load_file(folder / "sae.safetensors").items()}
    assert set(p) == {"encoder.weight", "encoder.bias", "W_dec", "b_dec"} | (
        {"W_skip"} if cfg["skip_connection"] else set()
    )
    pre = (x if cfg["transcode"] else x - p["b_dec"]) @ p["encoder.weight"].T + p["encoder.bias"]
    f = keep(np.maximum(pre, 0), cfg["k"])
    return f, f @ p["W_dec"] + p["b_dec"] + (x @ p["W_skip"].T if cfg["skip_connection"] else 0)


BY_HAND = {"saelens": saelens, "dictionary_learning": dictionary_learning, "sparsify": sparsify}
