"""SAEs of other tools with random parameters, written by those tools; their own classes say what they compute.

`CASES[name](folder, d_in, d_sae)` writes a folder and returns the function that the tool's own class gives: x [N, D] to
features [N, F], their decoding [N, O] and the whole reconstruction [N, O]. Imports the tools when a case is made.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

Function = Callable[[Tensor], tuple[Tensor, Tensor, Tensor]]
Case = Callable[[Path, int, int], Function]
K, D_OUT = 3, 4


def random_(module: torch.nn.Module, seed: int) -> None:
    """Biases, thresholds and norms of no special value; thresholds of either sign, some 0."""
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in module.state_dict().items():
        if not tensor.is_floating_point():
            continue
        drawn = torch.randn(tensor.shape, generator=generator)
        if name == "threshold":
            drawn = drawn.abs() * 0.5 if tensor.dim() == 0 else (drawn * 0.5).index_fill(0, torch.tensor([0, 1]), 0.0)
        elif name == "topk_threshold":
            drawn = torch.tensor(0.31)
        elif tensor.dim() == 2:
            drawn = drawn * (0.5 + torch.rand(len(drawn), 1, generator=generator)) * 0.7
        else:
            drawn = drawn * 0.4
        tensor.copy_(drawn.to(tensor.dtype))


def plain_function(sae: Any) -> Function:
    """Of a class with encode, decode and a call."""

    @torch.no_grad()
    def function(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        f = sae.encode(x)
        return f, sae.decode(f), sae(x)

    return function


def saelens(name: str, **options: Any) -> Case:
    """One architecture of SAELens, saved and loaded by it."""

    def case(folder: Path, d_in: int, d_sae: int) -> Function:
        from sae_lens import SAE
        from sae_lens.registry import get_sae_class

        kind, config = get_sae_class(name)
        sizes = {"d_in": d_in, "d_sae": d_sae} | ({"d_out": D_OUT} if "transcoder" in name else {})
        sae = kind(config(**sizes, **options))
        sae.cfg.metadata.hook_name = "blocks.3.attn.hook_z" if "reshape_activations" in options else "blocks.3.hook_mlp"
        random_(sae, len(name))
        sae.save_model(folder)
        return plain_function(SAE.load_from_disk(folder, dtype="float32"))  # whatever the file holds: husai's dtype

    return case


def saelens_of_z(folder: Path, d_in: int, d_sae: int) -> Function:
    """Rows of z: [N, heads, d_head] for them, [N, heads d_head] for husai."""
    theirs = saelens("standard", reshape_activations="hook_z")(folder, d_in, d_sae)

    def function(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        f, decoded, y = theirs(x.reshape(len(x), 2, -1))
        return f, decoded.flatten(1), y.flatten(1)

    return function


def saelens_checkpoint(name: str, rescale: bool, k: float = K) -> Case:
    """A training checkpoint; what it computes is what SAELens makes of it at the end of training."""

    def case(folder: Path, d_in: int, d_sae: int) -> Function:
        from sae_lens import SAE
        from sae_lens.registry import get_sae_training_class

        kind, config = get_sae_training_class(name)
        options = {"matryoshka_widths": [3, d_sae]} if "matryoshka" in name else {}
        sae = kind(config(d_in=d_in, d_sae=d_sae, k=k, rescale_acts_by_decoder_norm=rescale, **options))
        random_(sae, 7)
        sae.save_model(folder)
        sae.save_inference_model(folder.with_name(folder.name + "-final"))
        return plain_function(SAE.load_from_disk(folder.with_name(folder.name + "-final")))

    return case


def saelens_before_6(name: str, changes: dict[str, Any], **options: Any) -> Case:
    """The config as older versions wrote it."""

    def case(folder: Path, d_in: int, d_sae: int) -> Function:
        from sae_lens import SAE

        saelens(name, **options)(folder, d_in, d_sae)
        cfg = {
            "d_in": d_in,
            "d_sae": d_sae,
            "dtype": "torch.float32",
            "hook_point": "blocks.1.hook_resid_pre",
        } | changes
        (folder / "cfg.json").write_text(json.dumps(cfg))
        return plain_function(SAE.load_from_disk(folder))

    return case


def dictionary_learning(name: str, *more: Any, norm_factor: float | None = None, k: int | None = None) -> Case:
    """One class of dictionary_learning; with `norm_factor` as a backup."""

    def case(folder: Path, d_in: int, d_sae: int) -> Function:
        from dictionary_learning import dictionary
        from dictionary_learning.trainers import batch_top_k, matryoshka_batch_top_k, top_k

        kind = next(
            getattr(m, name) for m in (dictionary, batch_top_k, matryoshka_batch_top_k, top_k) if hasattr(m, name)
        )
        sae = kind(d_in, d_sae, *([k] if k else []), *(more if k else ()))
        random_(sae, len(name))
        folder.mkdir(parents=True)
        state = sae.state_dict()
        optimiser = {"state": {}, "param_groups": [{"lr": 1e-3, "betas": (0.9, 0.999)}]}
        backup = {"step": 5, "ae": state, "optimizer": optimiser, "config": {"lr": 0.1}, "norm_factor": norm_factor}
        torch.save(state if norm_factor is None else backup, folder / "ae.pt")
        trainer = {"dict_class": name, "submodule_name": "resid_post_layer_5"} | ({"k": k} if k else {})
        (folder / "config.json").write_text(json.dumps({"trainer": trainer}))
        if norm_factor is not None:
            with torch.no_grad():
                sae.scale_biases(norm_factor)
        return plain_function(sae)

    return case


def sparsify(**options: Any) -> Case:
    """A sparse coder, saved and loaded by sparsify."""

    def case(folder: Path, d_in: int, d_sae: int) -> Function:
        from sparsify import SparseCoder
        from sparsify.config import SparseCoderConfig

        sizes = {"num_latents": d_sae} if "expansion_factor" not in options else {}
        coder = SparseCoder(d_in, SparseCoderConfig(k=K, **sizes, **options))
        random_(coder, 5)
        coder.save_to_disk(folder)
        return coder_function(SparseCoder.load_from_disk(folder))

    return case


def coder_function(coder: Any) -> Function:
    """Of a sparse coder, whose codes are values and indices.

    With multi_topk the `sae_out` of sparsify 1.3 is that of 4 k latents, left over from its loss: encode and decode
    keep k. It is switched off here, so that the whole reconstruction is that of the codes.
    """
    coder.cfg.multi_topk = False

    @torch.no_grad()
    def function(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        values, indices, pre = coder.encode(x)
        f = torch.zeros_like(pre).scatter(1, indices, values)
        return f, coder.decode(values, indices), coder(x).sae_out

    return function


def gemma_scope(folder: Path, d_in: int, d_sae: int) -> Function:
    """`params.npz`; computed by SAELens' JumpReLU."""
    from sae_lens import JumpReLUSAE, JumpReLUSAEConfig

    sae = JumpReLUSAE(JumpReLUSAEConfig(d_in=d_in, d_sae=d_sae, apply_b_dec_to_input=False))
    random_(sae, 2)
    folder.mkdir(parents=True)
    np.savez(folder / "params.npz", **{name: tensor.numpy() for name, tensor in sae.state_dict().items()})
    return plain_function(sae)


def _cases() -> dict[str, Case]:
    topk_old = {"activation_fn_str": "topk", "activation_fn_kwargs": {"k": K}, "normalize_activations": False}
    found: dict[str, Case] = {
        **{f"saelens-{n}": saelens(n) for n in ("standard", "jumprelu", "gated")},
        **{f"saelens-{n}-uncentred": saelens(n, apply_b_dec_to_input=False) for n in ("standard", "jumprelu", "gated")},
        "saelens-bfloat16": saelens("standard", dtype="bfloat16"),
        "saelens-hook-z": saelens_of_z,
        "saelens-old-topk": saelens_before_6("topk", topk_old, k=K),
        "saelens-old-topk-named": saelens_before_6("topk", {"architecture": "topk", "k": K}, k=K),
        "saelens-old-standard": saelens_before_6("standard", {"normalize_activations": "none"}),
        "saelens-old-jumprelu": saelens_before_6(
            "jumprelu", {"architecture": "jumprelu", "apply_b_dec_to_input": False}
        ),
        "saelens-checkpoint-topk": saelens_checkpoint("topk", rescale=True),
        "sparsify-topk": sparsify(),
        "sparsify-multi-topk": sparsify(multi_topk=True, expansion_factor=3, normalize_decoder=False),
        "sparsify-skip": sparsify(skip_connection=True),
        "sparsify-transcoder": sparsify(transcode=True),
        "sparsify-skip-transcoder": sparsify(transcode=True, skip_connection=True),
        "gemma-scope": gemma_scope,
    }
    for name in ("topk", "abstopk"):
        for rescale in (False, True):
            for apply in (False, True):
                options = {"rescale_acts_by_decoder_norm": rescale, "apply_b_dec_to_input": apply}
                label = f"saelens-{name}{'-rescaled' if rescale else ''}{'' if apply else '-uncentred'}"
                found[label] = saelens(name, k=K, **options)
    for name in ("transcoder", "skip_transcoder", "jumprelu_transcoder", "jumprelu_skip_transcoder"):
        found[f"saelens-{name}"] = saelens(name, apply_b_dec_to_input=False)
    for name in ("batchtopk", "matryoshka_batchtopk"):
        found[f"saelens-checkpoint-{name}"] = saelens_checkpoint(name, rescale=False)
        found[f"saelens-checkpoint-{name}-rescaled"] = saelens_checkpoint(name, rescale=True, k=2.5)
    for name in ("AutoEncoder", "AutoEncoderNew", "GatedAutoEncoder", "JumpReluAutoEncoder"):
        found[f"dictionary_learning-{name}"] = dictionary_learning(name)
    for name, more in (("AutoEncoderTopK", ()), ("BatchTopKSAE", ()), ("MatryoshkaBatchTopKSAE", ([2, 4, 6],))):
        found[f"dictionary_learning-{name}"] = dictionary_learning(name, *more, k=K)
        found[f"dictionary_learning-{name}-backup"] = dictionary_learning(name, *more, k=K, norm_factor=2.7)
    for name in ("AutoEncoder", "GatedAutoEncoder", "JumpReluAutoEncoder"):
        found[f"dictionary_learning-{name}-backup"] = dictionary_learning(name, norm_factor=0.6)
    return found


CASES = _cases()


def needs(name: str) -> str:
    """The package that a case needs."""
    tool = name.split("-")[0]
    return {"saelens": "sae_lens", "gemma": "sae_lens"}.get(tool, tool)
