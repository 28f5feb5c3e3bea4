"""dictionary_learning: a folder `trainer_i/` with `ae.pt`, a state dict, and `config.json` with `trainer.dict_class`.

    AutoEncoder, AutoEncoderNew   relu(enc(x - bias)), relu(enc(x))        GatedAutoEncoder      see `gated.py`
    JumpReluAutoEncoder           relu(pre) [pre > threshold], x as it is  AutoEncoderTopK       the k largest
    BatchTopKSAE, MatryoshkaBatchTopKSAE   relu(pre) [relu(pre) > threshold], one threshold for all

`nn.Linear` keeps `decoder.weight` as [D, F]. A backup, a dict with the key "ae", holds an SAE of rows divided by
`norm_factor`: biases and thresholds are multiplied by it, as their `scale_biases` does; codes grow with them.

What is read is what the classes compute. `AutoEncoder.from_pretrained` also divides rows of the decoder by their norms,
unless told not to, and multiplies codes: reconstructions are the same, codes are not. So ReLU SAEs are written as
`AutoEncoderNew`, which it leaves alone, with b_dec folded into the bias. Read off dictionary_learning 0.1
(`dictionary.py`, `trainers/*.py`). The file is written by `torch_archive.py`, without pickle.
"""

from __future__ import annotations

import math
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from husai.errors import UserError
from husai.saes.config import BatchSelectConfig, BatchTopKConfig, MatryoshkaConfig
from husai.saes.formats.foreign import Fields, Held, held_in, read_pt
from husai.saes.formats.origin import Origin
from husai.saes.formats.plain import Plain, plain_of, sae_of
from husai.saes.formats.torch_archive import state_dict_bytes
from husai.saes.parameters import Parameters
from husai.saes.sae import SAE
from husai.store.files import write_bytes, write_json

CONFIG, WEIGHTS = "config.json", "ae.pt"
LOOKS_LIKE = f"a folder with {WEIGHTS} and {CONFIG}"

# Our names and theirs; those of `_TURNED` lie the other way round in their files.
_LINEAR = {"W_enc": "encoder.weight", "b_enc": "encoder.bias", "W_dec": "decoder.weight"}
_OWN = {name: name for name in ("W_enc", "b_enc", "W_dec", "b_dec")}
_NAMES: dict[str, dict[str, str]] = {
    "AutoEncoder": _LINEAR | {"b_dec": "bias"},
    "AutoEncoderNew": _LINEAR | {"b_dec": "decoder.bias"},
    "GatedAutoEncoder": {
        **{"W_enc": "encoder.weight", "W_dec": "decoder.weight", "b_dec": "decoder_bias"},
        **{"b_gate": "gate_bias", "b_mag": "mag_bias", "r_mag": "r_mag"},
    },
    "JumpReluAutoEncoder": _OWN | {"threshold": "threshold"},
    "AutoEncoderTopK": _LINEAR | {"b_dec": "b_dec"},
    "BatchTopKSAE": _LINEAR | {"b_dec": "b_dec"},
    "MatryoshkaBatchTopKSAE": _OWN,
}
_TURNED = {"decoder.weight", "W_enc"}
_SUBTRACTING = {name for name in _NAMES if name not in ("AutoEncoderNew", "JumpReluAutoEncoder")}
_BY_THRESHOLD = ("BatchTopKSAE", "MatryoshkaBatchTopKSAE")


def recognises(path: Path) -> bool:
    """A folder with `ae.pt`, or a `.pt` file (a checkpoint) whose `config.json` is beside it or in the folder above."""
    if path.is_dir():
        return (path / WEIGHTS).is_file()
    return path.suffix == ".pt" and path.is_file() and _config_of(path).is_file()


def _config_of(file: Path) -> Path:
    beside, above = file.parent / CONFIG, file.resolve().parent.parent / CONFIG
    return above if above.is_file() and not beside.is_file() else beside


def read(path: Path) -> SAE:
    """The SAE of a folder.

    Raises:
        UserError: damaged, a pickle that needs code, or of an unknown class; names file and field.
    """
    file = path / WEIGHTS if path.is_dir() else path
    trainer = Fields.of(_config_of(file)).inner("trainer")
    name = trainer.one_of("dict_class", _NAMES)
    state, factor = _unwrapped(file, read_pt(file))
    held = held_in(file, state)
    p = _scaled(_parameters(name, held), factor)
    hook_name = trainer.text("submodule_name", None) or ""
    if name in _BY_THRESHOLD:
        sae = _by_threshold(name, trainer, held, p, factor, hook_name)
    else:
        activation = {"AutoEncoderTopK": "topk", "GatedAutoEncoder": "gated", "JumpReluAutoEncoder": "jumprelu"}
        k = _k(trainer, held, len(p["W_enc"])) if name == "AutoEncoderTopK" else 0
        plain = Plain(activation.get(name, "relu"), p, name in _SUBTRACTING, k)  # type: ignore[arg-type]
        sae = sae_of(plain, hook_name)
    if name == "AutoEncoderTopK" and "threshold" in held:  # codes are the k largest, whatever the threshold
        held.raw("threshold")
    held.whole(f"{name} (dict_class in {trainer.path.name})")
    return sae


def _unwrapped(file: Path, loaded: dict[str, Any]) -> tuple[dict[str, Any], float]:
    """The state dict, and what its biases are to be multiplied by."""
    if "ae" not in loaded:
        return loaded, 1.0
    state, factor = loaded["ae"], loaded.get("norm_factor")
    if not isinstance(state, dict):
        raise UserError(f"{file}: ae is no state dict")
    number = factor.item() if isinstance(factor, Tensor) and factor.numel() == 1 else factor
    if number is None:
        return state, 1.0
    if isinstance(number, bool) or not isinstance(number, int | float) or not 0 < number < math.inf:
        raise UserError(f"{file}: norm_factor is no number above 0")
    return state, float(number)


def _parameters(name: str, held: Held) -> Parameters:
    """By our names, feature-major."""
    theirs = _NAMES[name]
    turned = theirs["W_enc"] in _TURNED
    W_enc = held.take(theirs["W_enc"], None, None)
    F, D = W_enc.shape[::-1] if turned else W_enc.shape
    shapes = {"W_dec": (F, D), "b_dec": (D,)}
    p = {"W_enc": W_enc.T.contiguous() if turned else W_enc}
    for ours, name_ in theirs.items():
        if ours != "W_enc":
            shape = shapes.get(ours, (F,))
            tensor = held.take(name_, *(shape[::-1] if name_ in _TURNED else shape))
            p[ours] = tensor.T.contiguous() if name_ in _TURNED else tensor
    return p


def _scaled(p: Parameters, factor: float) -> Parameters:
    """`scale_biases`: an SAE of rows divided by `factor` as one of the rows themselves, codes grown as they."""
    moved = ("b_enc", "b_dec", "b_gate", "b_mag", "threshold")
    return {name: (t.double() * factor).float() if name in moved else t for name, t in p.items()}


def _k(trainer: Fields, held: Held, d_sae: int) -> int:
    """From both places where it is kept, which must agree."""
    in_config = trainer.integer("k", None)
    in_file = held.integer("k") if "k" in held else in_config
    k = in_config if in_config is not None else in_file
    if k is None:
        raise UserError(f"{held.path}: tensor k is missing, and {trainer.path.name} has no trainer.k")
    if in_file != k:
        raise trainer.wrong("k", f"but {held.path.name} says {in_file}")
    if k > d_sae:
        raise UserError(f"{held.path}: k is {k}, more than the {d_sae} latents")
    return k


def _by_threshold(name: str, trainer: Fields, held: Held, p: Parameters, factor: float, hook_name: str) -> SAE:
    """BatchTopK as husai keeps it: its threshold, and that there is one."""
    threshold = held.take("threshold")
    if threshold >= 0:
        threshold = threshold * factor
    F, D = p["W_enc"].shape
    common = {"d_sae": F, "k": _k(trainer, held, F), "decoder_norm": "free", "tied_init": False}
    config = BatchTopKConfig.parse(common)
    if name == "MatryoshkaBatchTopKSAE":
        config = MatryoshkaConfig.parse({**common, "prefixes": _prefixes(held, F)})
    buffers = {"threshold": threshold, "threshold_batches": torch.ones(())}
    return SAE(config, p | buffers, torch.zeros(D), 1.0, hook_name)


def _prefixes(held: Held, d_sae: int) -> tuple[int, ...]:
    sizes = held.raw("group_sizes")
    whole = sizes.dim() == 1 and sizes.dtype in (torch.int64, torch.int32)
    if not whole or int(sizes.sum()) != d_sae or not (sizes > 0).all():
        raise UserError(f"{held.path}: group_sizes are not whole numbers above 0 that sum to {d_sae}")
    return tuple(accumulate(sizes.tolist()))


def write(sae: SAE, folder: Path, origin: Origin) -> None:
    """The folder, readable by `load_dictionary`.

    Raises:
        UserError: dictionary_learning has no class that is the same function.
    """
    plain = plain_of(sae, "dictionary_learning")
    if plain.transcoder or plain.activation == "abstopk":
        raise UserError(
            f"dictionary_learning has no class for {sae.config.kind}: nothing was written. "
            "Use --to saelens, sparsify or husai"
        )
    name, more = _class_of(sae, plain)
    plain = plain.subtracting(name in _SUBTRACTING)
    state = {theirs: _theirs(plain.p[ours], theirs) for ours, theirs in _NAMES[name].items()}
    write_bytes(folder / WEIGHTS, state_dict_bytes(state | more))
    trainer = {
        "dict_class": name,
        "activation_dim": plain.d_in,
        "dict_size": plain.d_sae,
        "layer": None,
        "lm_name": None,
        "submodule_name": sae.hook_name,
        **({"k": int(more["k"])} if "k" in more else {}),
        **origin.plain(),
    }
    write_json(folder / CONFIG, {"trainer": trainer})


def _theirs(tensor: Tensor, name: str) -> np.ndarray:
    return np.ascontiguousarray((tensor.T if name in _TURNED else tensor).numpy())


def _class_of(sae: SAE, plain: Plain) -> tuple[str, dict[str, np.ndarray]]:
    """Their class, and what it keeps beside the parameters."""
    config = sae.config
    if isinstance(config, BatchSelectConfig) and plain.activation == "jumprelu":
        more = {"k": np.int32(config.k), "threshold": sae.parameters["threshold"].float().numpy()}
        if isinstance(config, MatryoshkaConfig):
            sizes = np.diff((0, *config.widths)).astype(np.int64)
            return "MatryoshkaBatchTopKSAE", _arrays(more | {"group_sizes": sizes})
        return "BatchTopKSAE", _arrays(more)
    if plain.activation == "topk":
        return "AutoEncoderTopK", _arrays({"k": np.int32(plain.k), "threshold": np.float32(-1)})
    names = {"relu": "AutoEncoderNew", "jumprelu": "JumpReluAutoEncoder", "gated": "GatedAutoEncoder"}
    return names[plain.activation], {}


def _arrays(values: dict[str, Any]) -> dict[str, np.ndarray]:
    return {name: np.asarray(value) for name, value in values.items()}
