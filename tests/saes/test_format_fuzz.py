"""Damaged folders of every tool: one clear line, or an SAE that is exactly right; never a traceback, never a wrong SAE.

A mutation is harmless to the meaning or it is damage: an SAE that is loaded all the same must compute what the tool's
own class computed before. Changes that make another SAE that is whole (a flag with its other value, fewer digits) are
named in `OTHER` and only have to be understood or refused. No file ever runs code: a canary would tell.
"""

from __future__ import annotations

import json
import math
import pickle
import random
import shutil
import struct
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

import husai
from husai.errors import UserError
from husai.saes.formats.convert import convert
from our_saes import random_sae, rows

VECTORS = Path(__file__).parent / "vectors"
VALUES: tuple[Any, ...] = (
    *(None, True, False, -1, 0, 1.5, 10**30, -(10**30), math.nan, "", "x", "none", "\n\n", [], [1], {}, {"k": 3}),
    *("5.0.0", "6.1.0", "float32", "relu", "linear"),
)
# Fields whose other values make another whole SAE, in files or in defaults.
OTHER = {"apply_b_dec_to_input", "rescale_acts_by_decoder_norm", "transcode", "skip_connection", "dict_class"}
OTHER |= {"architecture", "sae_lens_version", "metadata", "norm_factor", "reshape_activations"}
HALF = {torch.float16, torch.bfloat16}


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Whole folders by name, each with `expected.safetensors`."""
    found = {path.name: path for path in sorted(VECTORS.iterdir()) if path.is_dir()}
    for name in ("topk", "batchtopk", "gated", "switch"):
        ours, x = random_sae(name), rows(16)
        folder = convert(ours, tmp_path_factory.mktemp("husai") / name, "husai")
        save_file({"x": x, "f": ours.encode(x), "y": ours(x)}, folder / "expected.safetensors")
        found[f"husai-{name}"] = folder
    return found


class Mutation:
    """One damage; `whole` says that another SAE may come of it, and only a traceback is wrong."""

    def __init__(self, draw: random.Random, folder: Path) -> None:
        self.draw, self.folder, self.whole, self.what = draw, folder, False, ""
        held = sorted(p for p in folder.iterdir() if p.name != "expected.safetensors")
        self.configs = [p for p in held if p.suffix == ".json"]
        self.weights = next(p for p in held if p.suffix != ".json")

    def apply(self) -> None:
        """One of the ways."""
        ways: list[Callable[[], None]] = [self.truncate, self.file, self.tensor, self.tensor, self.tensor, self.header]
        ways += [self.field] * 5 + [self.text] * 2 if self.configs else []
        way = self.draw.choice(ways)
        way()
        self.what = self.what or way.__name__

    def truncate(self) -> None:
        path = self.draw.choice([*self.configs, self.weights])
        data = path.read_bytes()
        path.write_bytes(data[: self.draw.randrange(len(data))])

    def file(self) -> None:
        path = self.draw.choice([*self.configs, self.weights])
        other = self.draw.choice([*self.configs, self.weights]).read_bytes()
        ways = [path.unlink, lambda: path.rename(path.with_name("other" + path.suffix)), lambda: path.write_bytes(b"")]
        ways += [lambda: (path.unlink(), path.mkdir()), lambda: path.write_bytes(other + b"\0"), lambda: poison(path)]
        self.draw.choice(ways)()

    def header(self) -> None:
        """Bytes changed where names, types and sizes are; what the bytes then say is what they say."""
        data = bytearray(self.weights.read_bytes())
        for _ in range(self.draw.randrange(1, 4)):
            data[self.draw.randrange(min(len(data), 400))] = self.draw.randrange(256)
        self.weights.write_bytes(bytes(data))
        self.whole = True

    def text(self) -> None:
        path = self.draw.choice(self.configs)
        texts = ["", "null", "[]", "[[[", '"k"', "{", '{"a": }', "\ufeff{}", "[" * 100_000, "{}", "5", "\0" * 50]
        path.write_text(self.draw.choice(texts))

    def field(self) -> None:
        """A field of the config deleted, renamed, or of another type."""
        path = self.draw.choice(self.configs)
        config = json.loads(path.read_text())
        inner = config["trainer"] if "trainer" in config and self.draw.random() < 0.9 else config
        name = self.draw.choice(sorted(inner))
        how = self.draw.choice(["delete", "rename", "value", "value", "value"])
        value = inner.pop(name)
        if how == "rename":
            inner[name[:-1]] = value
        elif how == "value":
            inner[name] = self.draw.choice(VALUES)
        path.write_text(json.dumps(config))
        self.whole, self.what = name in OTHER, f"field {name}"

    def tensor(self) -> None:
        """A tensor missing, too many, of another name, type or shape, or with holes."""
        tensors, put = opened(self.weights)
        name = self.draw.choice(sorted(tensors))
        ways = [self._names, self._type, self._shape, self._holes]
        self.draw.choice(ways)(tensors, name)
        put({key: t.contiguous().clone() for key, t in tensors.items()})

    def _names(self, tensors: dict[str, Tensor], name: str) -> None:
        self.what = f"name of {name}"
        tensor = tensors.pop(name)
        other = self.draw.choice([None, name + "_", "W_dec", "threshold", "scaling_factor", "bias"])
        self.whole = other in tensors  # another tensor's values: a whole SAE if they have its shape
        if other is not None:
            tensors[other] = tensor
        if self.draw.random() < 0.3:
            tensors[name] = tensor

    def _type(self, tensors: dict[str, Tensor], name: str) -> None:
        dtypes = [torch.float16, torch.bfloat16, torch.float64, torch.int32, torch.int64, torch.bool, torch.uint8]
        dtype = self.draw.choice(
            dtypes if self.weights.suffix != ".npz" else [d for d in dtypes if d != torch.bfloat16]
        )
        self.whole = dtype in HALF
        tensors[name] = tensors[name].to(dtype)

    def _shape(self, tensors: dict[str, Tensor], name: str) -> None:
        tensor = tensors[name]
        if tensor.dim() == 2 and tensor.shape[0] == tensor.shape[1]:
            tensor = tensor[:-1]  # its transpose would be another whole SAE
        turned = [tensor.flatten(), tensor[None], tensor[..., None], tensor.T if tensor.dim() == 2 else tensor[None]]
        turned += [torch.cat([tensor, tensor])] if tensor.dim() else []
        turned += [tensor[:0], tensor[:-1]] if tensor.dim() and len(tensor) > 1 else []
        tensors[name] = self.draw.choice([t for t in turned if t.shape != tensors[name].shape])

    def _holes(self, tensors: dict[str, Tensor], name: str) -> None:
        tensor = tensors[name].clone(memory_format=torch.contiguous_format)
        if tensor.is_floating_point():
            tensor.view(-1)[self.draw.randrange(tensor.numel())] = self.draw.choice([math.nan, math.inf, -math.inf])
        else:
            tensor.view(-1)[0] = self.draw.choice([-1, 0, 2**30])
        tensors[name] = tensor


def opened(path: Path) -> tuple[dict[str, Tensor], Callable[[dict[str, Tensor]], Any]]:
    """Tensors of a file of weights, and how they are put back."""
    if path.suffix == ".safetensors":
        with safe_open(path, "pt") as handle:
            meta = handle.metadata()
        return load_file(path), lambda tensors: save_file(tensors, path, meta)
    if path.suffix == ".npz":
        with np.load(path) as arrays:
            tensors = {name: torch.from_numpy(arrays[name]) for name in arrays.files}
        return tensors, lambda tensors: np.savez(path, **{n: t.numpy() for n, t in tensors.items()})
    loaded = torch.load(path, weights_only=True)
    if "ae" in loaded:
        return dict(loaded["ae"]), lambda tensors: torch.save(loaded | {"ae": tensors}, path)
    return dict(loaded), lambda tensors: torch.save(tensors, path)


class Poison:
    """What runs code when it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return Path.touch, (self.canary,)


def poison(path: Path) -> Path:
    """In place of the file, a pickle that would create `canary` beside it; returns the canary."""
    canary = path.parent.parent / "canary"
    path.write_bytes(pickle.dumps({"ae": Poison(canary), "W_enc": Poison(canary)}))
    return canary


def judge(folder: Path, mutation: Mutation) -> str:
    """`refused` or `right`; anything else fails."""
    told = load_file(folder / "expected.safetensors")
    try:
        sae = husai.load(folder)
        f, y = sae.encode(told["x"]), sae(told["x"])
    except UserError as error:
        said = str(error)
    else:
        said = ""
    if said:
        assert "\n" not in said and str(folder) in said, said
        return "refused"
    if not mutation.whole:
        assert (f - told["f"]).abs().max() <= 1e-5 and (y - told["y"]).abs().max() <= 1e-5, "a wrong SAE"
    return "other" if mutation.whole else "right"


def fuzz(bases: dict[str, Path], tmp_path: Path, numbers: range) -> Counter[str]:
    """As many mutated folders as numbers; each is drawn from its own."""
    ends: Counter[str] = Counter()
    for number in numbers:
        draw = random.Random(number)
        name = draw.choice(sorted(bases))
        folder = Path(shutil.copytree(bases[name], tmp_path / f"f{number}" / name))
        mutation = Mutation(draw, folder)
        mutation.apply()
        try:
            ends[judge(folder, mutation)] += 1
        except Exception as error:
            raise AssertionError(f"{number}: {name}, {mutation.what}: {type(error).__name__}: {error}") from error
        shutil.rmtree(folder.parent)
    assert not (tmp_path / "canary").exists(), "code in a file was run"
    return ends


def test_400_damaged_folders(bases: dict[str, Path], tmp_path: Path) -> None:
    ends = fuzz(bases, tmp_path, range(400))
    assert ends["refused"] > 200 and ends["right"] > 20, ends


@pytest.mark.slow
def test_2000_damaged_folders(bases: dict[str, Path], tmp_path: Path) -> None:
    ends = fuzz(bases, tmp_path, range(10_000, 12_000))
    assert ends["refused"] > 1000 and ends["right"] > 100, ends


def test_the_judge_sees_a_wrong_sae(bases: dict[str, Path], tmp_path: Path) -> None:
    """Weights of the same shapes that are not those of the folder: nothing damaged, and not what was expected."""
    folder = Path(shutil.copytree(bases["saelens-topk"], tmp_path / "saelens-topk"))
    mutation = Mutation(random.Random(0), folder)
    assert judge(folder, mutation) == "right"
    tensors, put = opened(mutation.weights)
    put(tensors | {"b_enc": tensors["b_enc"] + 0.01})
    with pytest.raises(AssertionError, match="a wrong SAE"):
        judge(folder, mutation)


@pytest.mark.parametrize("how", ["legacy", "zip", "nested"])
def test_code_in_a_pt_file_is_never_run(how: str, bases: dict[str, Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(bases["dictionary_learning-AutoEncoderTopK"], tmp_path / "trainer_0"))
    path, canary = folder / "ae.pt", tmp_path / "canary"
    state = torch.load(path, weights_only=True)
    if how == "legacy":
        assert poison(path) == canary
    elif how == "zip":
        torch.save(Poison(canary), path)
    else:
        torch.save({"ae": state, "config": Poison(canary)}, path)
    with pytest.raises(UserError, match="a pickle that needs code to be read, which husai does not run"):
        husai.load(folder)
    assert not canary.exists()
    torch.load(path, weights_only=False) if how != "legacy" else pickle.loads(path.read_bytes())  # noqa: S301
    assert canary.exists(), "the canary sings where the file is trusted"


@pytest.mark.parametrize("name", ["params.npz"])
def test_code_in_an_npz_is_never_run(name: str, bases: dict[str, Path], tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    folder = Path(shutil.copytree(bases["gemma-scope"], tmp_path / "scope"))
    with np.load(folder / name) as arrays:
        held = {key: arrays[key] for key in arrays.files}
    np.savez(folder / name, **(held | {"b_enc": np.array([Poison(canary)] * 12, dtype=object)}))
    with pytest.raises(UserError, match=r"not a whole \.npz file of numbers"):
        husai.load(folder)
    assert not canary.exists()


def test_a_safetensors_header_that_lies_about_its_length(bases: dict[str, Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(bases["sparsify-topk"], tmp_path / "sae"))
    path = folder / "sae.safetensors"
    for length in (0, 2**40, 2**64 - 1):
        path.write_bytes(struct.pack("<Q", length) + path.read_bytes()[8:])
        with pytest.raises(UserError, match="not a whole safetensors file"):
            husai.load(folder)
