"""SAELens: a folder with `cfg.json` and `sae_weights.safetensors`, of version 6 and before.

    standard   relu(pre)       topk, abstopk   the k largest of pre, of |pre|     jumprelu   relu(pre) [pre > threshold]
    gated      see `gated.py`  transcoders     relu or JumpReLU, + x W_skip^T where they skip

pre = (x - b_dec) W_enc + b_enc, without b_dec where `apply_b_dec_to_input` is false (in transcoders it must be). With
`rescale_acts_by_decoder_norm` pre ||W_dec_f|| is selected and codes are decoded with unit rows: the norms are folded
in, which is the same function. Training checkpoints of batchtopk and matryoshka_batchtopk are read as the JumpReLU that
SAELens makes of them. With `reshape_activations = hook_z` rows are those of z with its last two axes flattened.

A flag that was lost is an error: a `k` without the architecture that it belongs to, or the reverse. Weights are rounded
to the config's `dtype`, as SAELens does, and then computed with in float32.

Read off SAELens 6.54 (`saes/*.py`, `loading/pretrained_sae_loaders.py`).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from husai.errors import UserError
from husai.saes.formats.foreign import DTYPES, Fields, Held, read_safetensors
from husai.saes.formats.origin import Origin, save
from husai.saes.formats.plain import GATED, Activation, Plain, plain_of, sae_of
from husai.saes.parameters import Parameters
from husai.saes.sae import SAE
from husai.store.files import write_json

CONFIG, WEIGHTS = "cfg.json", "sae_weights.safetensors"
LOOKS_LIKE = f"a folder with {CONFIG} and {WEIGHTS}"
_VERSION = "6.0.0"  # from which on this format is as it is written here

_SAES = ("standard", "topk", "abstopk", "jumprelu", "gated")
_BY_THRESHOLD = ("batchtopk", "matryoshka_batchtopk")
_TRANSCODERS = ("transcoder", "skip_transcoder", "jumprelu_transcoder", "jumprelu_skip_transcoder")
_NOT = {
    "matching_pursuit": "it stops by rules that husai's matching pursuit does not have",
    "temporal": "its codes depend on the tokens before",
}
_NORMALISED = {
    "expected_average_only_in": "the factor of its rows is not in the folder: fold it in SAELens"
    " (fold_activation_norm_scaling_factor) and save again",
    "layer_norm": "every row is divided by its own deviation, which husai's SAEs do not do",
    "constant_norm_rescale": "every row is divided by its own norm, which husai's SAEs do not do",
    "covariance_whitening": "the whitening is not in the folder: fold it in SAELens and save again",
}


def recognises(path: Path) -> bool:
    """A folder with both files, or the file with the weights."""
    folder = _folder(path)
    return (folder / CONFIG).is_file() and (folder / WEIGHTS).is_file()


def _folder(path: Path) -> Path:
    return path.parent if path.name == WEIGHTS and path.is_file() else path


def read(path: Path) -> SAE:
    """The SAE of a folder.

    Raises:
        UserError: damaged, or something that husai's SAEs do not do; names file and field.
    """
    fields = _modern(Fields.of(_folder(path) / CONFIG))
    held = read_safetensors(_folder(path) / WEIGHTS)
    plain = _plain(fields, held)
    return sae_of(plain, fields.inner("metadata", {}).text("hook_name", None) or "")


def _modern(fields: Fields) -> Fields:
    """The config as version 6 has it."""
    version = fields.text("sae_lens_version", None) or fields.inner("metadata", {}).text("sae_lens_version", None)
    if version is not None and not re.match(r"\d+\.", version):
        raise UserError(f"{fields.path}: sae_lens_version is {version!r}, not a version")
    return fields if version and int(version.split(".")[0]) >= 6 else _before_6(fields)


def _before_6(fields: Fields) -> Fields:
    """Names and defaults of old configs."""
    old = {"hook_point": "hook_name", "activation_fn_str": "activation_fn"}
    cfg = {old.get(name, name): value for name, value in fields.values.items()}
    now = Fields(fields.path, cfg)
    cfg.setdefault("architecture", "standard")
    cfg.setdefault("apply_b_dec_to_input", True)
    hook_name = now.text("hook_name", None) or ""
    cfg.setdefault("reshape_activations", "hook_z" if "hook_z" in hook_name else "none")
    activation = now.text("activation_fn", None) or "relu"
    if activation not in ("relu", "topk"):
        raise now.wrong("activation_fn", "and SAELens 6 would run it as relu: only relu and topk are read")
    if activation == "topk" or cfg["architecture"] == "topk":
        _old_topk(now)
    elif "k" in now.inner("activation_fn_kwargs", {}).values:
        raise now.wrong("activation_fn_kwargs", f"but the activation is {activation}: the word topk was lost")
    if cfg.get("finetuning_scaling_factor") not in (None, False):
        raise now.wrong("finetuning_scaling_factor", "and SAELens 6 has no such factor any more")
    normalise = cfg.get("normalize_activations")
    if normalise is None or isinstance(normalise, bool):
        cfg["normalize_activations"] = "expected_average_only_in" if normalise else "none"
    return Fields(fields.path, cfg | {"metadata": {**now.inner("metadata", {}).values, "hook_name": hook_name}})


def _old_topk(now: Fields) -> None:
    """The activation says topk, the architecture often standard: lost, it would run as a ReLU."""
    if now.one_of("architecture", ("standard", "topk")) == "standard" or "activation_fn_kwargs" in now.values:
        now.values["k"] = now.inner("activation_fn_kwargs", {}).integer("k")
    now.values["architecture"] = "topk"


def _plain(fields: Fields, held: Held) -> Plain:
    architecture = _checked(fields)
    dtype = DTYPES[fields.one_of("dtype", DTYPES)]
    d_in, d_sae = fields.integer("d_in"), fields.integer("d_sae")
    transcoder = architecture in _TRANSCODERS
    d_out = fields.integer("d_out") if transcoder else d_in
    p = _parameters(architecture, held, (d_in, d_sae, d_out), dtype)
    plain = Plain(
        activation=_activation(architecture),
        p=p,
        subtract_b_dec=not transcoder and fields.flag("apply_b_dec_to_input"),
        k=_k(fields, d_sae) if architecture in ("topk", "abstopk") else 0,
        transcoder=transcoder,
    )
    _rest(fields, held, architecture)
    return _rescaled(fields, plain) if architecture in ("topk", "abstopk", *_BY_THRESHOLD) else plain


def _activation(architecture: str) -> Activation:
    if architecture in _BY_THRESHOLD or architecture.startswith("jumprelu"):
        return "jumprelu"
    known: dict[str, Activation] = {"topk": "topk", "abstopk": "abstopk", "gated": "gated"}
    return known.get(architecture, "relu")


def _parameters(architecture: str, held: Held, sizes: tuple[int, int, int], dtype: torch.dtype) -> Parameters:
    """By our names, feature-major."""
    d_in, d_sae, d_out = sizes
    shapes: dict[str, tuple[int, ...]] = {"W_enc": (d_in, d_sae), "W_dec": (d_sae, d_out), "b_dec": (d_out,)}
    shapes |= dict.fromkeys(GATED if architecture == "gated" else ("b_enc",), (d_sae,))
    if "skip" in architecture:
        shapes["W_skip"] = (d_out, d_in)
    p = {name: held.take(name, *shape, dtype=dtype) for name, shape in shapes.items()}
    p["W_enc"] = p["W_enc"].T.contiguous()
    threshold_F = _threshold(architecture, held, d_sae, dtype)
    return p if threshold_F is None else p | {"threshold": threshold_F}


def _checked(fields: Fields) -> str:
    """The architecture; nothing is asked for that would not be done, and no flag of another one is left over."""
    architecture = fields.text("architecture")
    if architecture in _NOT:
        raise fields.wrong("architecture", f"which husai does not read: {_NOT[architecture]}")
    fields.one_of("architecture", (*_SAES, *_BY_THRESHOLD, *_TRANSCODERS))
    if "k" in fields.values and architecture not in ("topk", "abstopk", *_BY_THRESHOLD):
        raise fields.wrong("k", f"which {architecture} does not have: name the right architecture, or remove k")
    normalise = fields.one_of("normalize_activations", ("none", *_NORMALISED), "none")
    if normalise != "none":
        raise fields.wrong("normalize_activations", f"which husai does not read: {_NORMALISED[normalise]}")
    reshape = fields.one_of("reshape_activations", ("none", "hook_z"), "none")
    if architecture in _TRANSCODERS:
        if fields.flag("apply_b_dec_to_input"):
            raise fields.wrong("apply_b_dec_to_input", "but b_dec of a transcoder belongs to its output")
        if reshape != "none":
            raise fields.wrong("reshape_activations", "which transcoders do not do")
    return architecture


def _k(fields: Fields, d_sae: int) -> int:
    k = fields.integer("k")
    if k > d_sae:
        raise fields.wrong("k", f"more than d_sae = {d_sae}")
    return k


def _threshold(architecture: str, held: Held, d_sae: int, dtype: torch.dtype) -> Tensor | None:
    """[F]; one number for all latents in checkpoints of BatchTopK, a logarithm in old ones of JumpReLU."""
    if architecture in _BY_THRESHOLD:
        return held.take("topk_threshold").expand(d_sae).clone()
    if not architecture.startswith("jumprelu"):
        return None
    if "log_threshold" in held and "threshold" not in held:
        return held.take("log_threshold", d_sae, dtype=dtype).exp()
    return held.take("threshold", d_sae, dtype=dtype)


def _rest(fields: Fields, held: Held, architecture: str) -> None:
    """A factor of all ones was once written beside; anything else that is left over is an error."""
    if "scaling_factor" in held and not torch.allclose(held.raw("scaling_factor").double(), torch.ones(()).double()):
        raise UserError(f"{held.path}: scaling_factor is not 1: fold it in SAELens and save again")
    held.whole(f"{architecture} (architecture in {fields.path.name})")


def _rescaled(fields: Fields, plain: Plain) -> Plain:
    if not fields.flag("rescale_acts_by_decoder_norm", False):
        return plain
    try:
        return plain.unscaled()
    except UserError as error:
        raise UserError(f"{fields.path}: rescale_acts_by_decoder_norm: {error}") from None


def write(sae: SAE, folder: Path, origin: Origin) -> None:
    """The folder, readable by `SAE.load_from_disk`.

    Raises:
        UserError: SAELens has no SAE that is the same function.
    """
    plain = plain_of(sae, "SAELens")
    arrays = {name: t.T if name == "W_enc" else t for name, t in plain.p.items()}
    save(folder / WEIGHTS, arrays)
    cfg: dict[str, Any] = {
        "architecture": _architecture(plain),
        "d_in": plain.d_in,
        "d_sae": plain.d_sae,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": plain.subtract_b_dec,
        "normalize_activations": "none",
        "reshape_activations": "none",
        "metadata": {"sae_lens_version": _VERSION, "hook_name": sae.hook_name, **origin.plain()},
    }
    if plain.activation in ("topk", "abstopk") and not plain.transcoder:
        cfg |= {"k": plain.k, "rescale_acts_by_decoder_norm": False}
    if plain.transcoder:
        cfg |= {"d_out": plain.d_out}
    write_json(folder / CONFIG, cfg)


def _architecture(plain: Plain) -> str:
    if not plain.transcoder:
        return {"relu": "standard"}.get(plain.activation, plain.activation)
    if plain.activation == "topk" and plain.k < plain.d_sae:
        raise UserError(
            "SAELens has transcoders with relu and jumprelu only, not with topk: nothing was written. "
            "Use --to sparsify (hooks of one width) or --to husai"
        )
    kind = "skip_transcoder" if "W_skip" in plain.p else "transcoder"
    return f"jumprelu_{kind}" if plain.activation == "jumprelu" else kind
