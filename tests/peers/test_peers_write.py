"""Folders that husai writes, opened by the loaders of those tools: the same features and reconstructions."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
import torch
from torch import Tensor

from husai.errors import UserError
from husai.saes.formats.convert import convert
from husai.saes.formats.origin import Origin
from our_saes import OPTIONS, D, random_sae, rows
from peers.their_saes import Function, coder_function, plain_function

BOUND = 1e-5


def saelens(folder: Path) -> tuple[Function, Any]:
    from sae_lens import SAE

    sae = SAE.load_from_disk(folder)
    return plain_function(sae), sae


def dictionary_learning(folder: Path) -> tuple[Function, Any]:
    for name in (
        "zstandard",
        "datasets",
        "nnsight",
    ):  # for other functions of that module; `make peers` leaves some out
        if name not in sys.modules and importlib.util.find_spec(name) is None:
            sys.modules[name] = MagicMock()
    from dictionary_learning.utils import load_dictionary

    sae, _ = load_dictionary(str(folder), device="cpu")
    return plain_function(sae), sae


def sparsify(folder: Path) -> tuple[Function, Any]:
    from sparsify import SparseCoder

    coder = SparseCoder.load_from_disk(folder)
    return coder_function(coder), coder


OPENED: dict[str, Callable[[Path], tuple[Function, Any]]] = {
    "saelens": saelens,
    "dictionary_learning": dictionary_learning,
    "sparsify": sparsify,
}
PACKAGE = {"saelens": "sae_lens"}


def scaled(values: Tensor) -> float:
    """Bound for outputs that may be above 1: float32 keeps seven digits."""
    return BOUND * max(1.0, float(values.abs().max()))


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("tool", OPENED)
def test_their_loader_computes_what_husai_computes(tool: str, name: str, tmp_path: Path) -> None:
    pytest.importorskip(PACKAGE.get(tool, tool), reason=f"{tool} is not installed: make peers")
    ours = random_sae(name)
    try:
        folder = convert(ours, tmp_path / "layers.3", tool, Origin(4, "abc", ours.config.kind))
    except UserError:  # which ones may be refused is tested in `test_format_writers.py`
        return
    theirs, _ = OPENED[tool](folder)
    x = rows()
    f, decoded, y = theirs(x)
    assert (ours.encode(x) - f).abs().max() <= scaled(f)
    assert (ours(x) - y).abs().max() <= scaled(y)
    if "skip" not in name:
        assert (ours.decode(f) - decoded).abs().max() <= scaled(decoded)
    assert (f != 0).any()


def test_metadata_survives_saelens(tmp_path: Path) -> None:
    pytest.importorskip("sae_lens", reason="SAELens is not installed: make peers")
    _, sae = saelens(convert(random_sae("topk"), tmp_path / "sae", "saelens", Origin(4, "abc", "topk")))
    meta = sae.cfg.metadata
    assert (meta.hook_name, meta.seed, meta.run_id) == ("blocks.0.hook_resid_post", 4, "abc")
    assert (sae.cfg.k, sae.cfg.rescale_acts_by_decoder_norm, sae.cfg.d_in) == (3, False, D)


@pytest.mark.parametrize("norms", ["unit", "free"])
def test_the_loader_that_divides_by_norms_leaves_codes_alone(norms: str, tmp_path: Path) -> None:
    pytest.importorskip("dictionary_learning", reason="dictionary_learning is not installed: make peers")
    ours = random_sae("relu_l1")
    if norms == "unit":
        ours.parameters["W_dec"] = torch.nn.functional.normalize(ours.parameters["W_dec"], dim=1)
    theirs, _ = dictionary_learning(convert(ours, tmp_path / "sae", "dictionary_learning"))
    assert (theirs(rows())[0] - ours.encode(rows())).abs().max() < scaled(ours.encode(rows()))
