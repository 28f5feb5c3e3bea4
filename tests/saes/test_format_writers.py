"""Folders that husai writes: exactly the same function by the formulas of the tool, or nothing at all."""

from __future__ import annotations

import io
import json
import pickle
import pickletools
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

import husai
from formats_by_hand import BY_HAND
from husai.errors import UserError
from husai.saes.formats.convert import WRITERS, convert
from husai.saes.formats.origin import Origin
from husai.saes.formats.torch_archive import state_dict_bytes
from husai.store.files import sha256
from our_saes import OPTIONS, D, random_sae, rows

# What each tool cannot hold; everything else it must.
NOWHERE = {"linear", "pca", "matching_pursuit", "switch", "expert_topk", "global_mask", "route", "jsae"}
TOPK = {"topk", "topk-uncentred", "hierarchical_topk", "aligned", "archetypal", "random"}
SAME_WIDTH = {"transcoder-topk-6", "skip_transcoder-topk-6"}
TRANSCODERS = {name for name in OPTIONS if "transcoder" in name}
REFUSED = {
    "saelens": NOWHERE | {name for name in TRANSCODERS if "topk" in name},
    "dictionary_learning": NOWHERE | TRANSCODERS | {"abstopk", "abstopk-uncentred"},
    "sparsify": set(OPTIONS) - TOPK - SAME_WIDTH,
    "husai": set(),
}
HELD = [(tool, name) for tool, refused in REFUSED.items() for name in OPTIONS if name not in refused]


def close(found: np.ndarray, expected: torch.Tensor) -> bool:
    """Within 1e-5, of the largest where that is above 1: float32 keeps seven digits."""
    return bool(np.abs(found - expected.numpy()).max() <= 1e-5 * max(1.0, float(expected.abs().max())))


@pytest.mark.parametrize(("tool", "name"), [pair for pair in HELD if pair[0] != "husai"])
def test_by_their_formulas_it_is_the_same_function(tool: str, name: str, tmp_path: Path) -> None:
    ours, x = random_sae(name), rows()
    f, y = BY_HAND[tool](convert(ours, tmp_path / "sae", tool), x.double().numpy())
    assert close(f, ours.encode(x)) and close(y, ours(x))
    assert (f != 0).any()


@pytest.mark.parametrize(("tool", "name"), HELD)
def test_read_again_it_is_the_same_function(tool: str, name: str, tmp_path: Path) -> None:
    ours, x = random_sae(name), rows(50)
    again = husai.load(convert(ours, tmp_path / "sae", tool))
    x = torch.cat([x, x], 1) if name in ("route", "jsae") else x
    assert close(again.encode(x).numpy(), ours.encode(x)) and close(again(x).numpy(), ours(x))
    assert again.cfg.hook_name == ours.hook_name


@pytest.mark.parametrize(("tool", "name"), [(tool, name) for tool, names in REFUSED.items() for name in sorted(names)])
def test_what_cannot_be_held_is_refused_with_reason_and_way_out(tool: str, name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"(use|Use) .*husai"):
        convert(random_sae(name), tmp_path / "sae", tool)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("tool", BY_HAND)
def test_without_a_threshold_batch_topk_is_written_as_the_topk_that_it_is(tool: str, tmp_path: Path) -> None:
    ours, x = random_sae("batchtopk"), rows()
    ours.parameters["threshold_batches"] = torch.zeros(())
    f, y = BY_HAND[tool](convert(ours, tmp_path / "sae", tool), x.double().numpy())
    assert close(f, ours.encode(x)) and close(y, ours(x))
    assert (f != 0).sum(1).max() == 3


@pytest.mark.parametrize("tool", WRITERS)
def test_nothing_is_overwritten_and_nothing_is_left_half(tool: str, tmp_path: Path, monkeypatch) -> None:
    ours = random_sae("topk")
    for name in ("file", "link", "full"):
        place = tmp_path / name
        place.write_text("mine") if name == "file" else place.mkdir() if name == "full" else place.symlink_to("nowhere")
    (tmp_path / "full" / "mine").write_text("mine")
    for name in ("file", "link", "full"):
        with pytest.raises(UserError, match="is there already: nothing is overwritten"):
            convert(ours, tmp_path / name, tool)
    assert (tmp_path / "full" / "mine").read_text() == "mine"
    (tmp_path / "empty").mkdir()
    assert len(list(convert(ours, tmp_path / "empty", tool).iterdir())) in (1, 2)

    def fails(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fails)
    with pytest.raises(UserError, match="no space left"):
        convert(ours, tmp_path / "sae", tool)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["empty", "file", "full", "link"]


def test_an_unknown_tool_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"unknown tool 'sealens': did you mean 'saelens'"):
        convert(random_sae("topk"), tmp_path / "sae", "sealens")


def test_origin_is_written_beside(tmp_path: Path) -> None:
    ours, origin = random_sae("topk"), Origin(7, "abc", "topk")
    found = {
        "saelens": json.loads((convert(ours, tmp_path / "a", "saelens", origin) / "cfg.json").read_text())["metadata"],
        "dictionary_learning": json.loads(
            (convert(ours, tmp_path / "b", "dictionary_learning", origin) / "config.json").read_text()
        )["trainer"],
        "sparsify": json.loads((convert(ours, tmp_path / "c", "sparsify", origin) / "cfg.json").read_text())["husai"],
    }
    for told in found.values():
        assert (told["seed"], told["run_id"], told["husai_architecture"]) == (7, "abc", "topk")
    assert husai.load(convert(ours, tmp_path / "d", "husai", origin), seed=7).config == ours.config


@pytest.mark.parametrize("tool", WRITERS)
def test_equal_saes_give_equal_bytes(tool: str, tmp_path: Path) -> None:
    a, b = (convert(random_sae("topk"), tmp_path / name, tool) for name in "ab")
    assert {p.name: sha256(p) for p in a.iterdir()} == {p.name: sha256(p) for p in b.iterdir()}


ALLOWED = {"torch._utils _rebuild_tensor_v2", "torch FloatStorage", "torch IntStorage", "torch LongStorage",
           "collections OrderedDict"}  # fmt: skip
OPCODES = {"PROTO", "EMPTY_DICT", "MARK", "BINUNICODE", "GLOBAL", "BININT", "LONG1", "TUPLE", "BINPERSID", "NEWFALSE",
           "EMPTY_TUPLE", "REDUCE", "SETITEMS", "STOP"}  # fmt: skip


def test_the_stream_in_ae_pt_names_nothing_but_what_rebuilds_tensors(tmp_path: Path, monkeypatch) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("husai pickled something")

    for name in ("dump", "dumps", "Pickler"):
        monkeypatch.setattr(pickle, name, never)
    folder = convert(random_sae("matryoshka"), tmp_path / "sae", "dictionary_learning")
    with zipfile.ZipFile(folder / "ae.pt") as archive:
        assert all(member.compress_type == zipfile.ZIP_STORED for member in archive.infolist())
        assert all(member.date_time == (1980, 1, 1, 0, 0, 0) for member in archive.infolist()), "bytes know no date"
        stream = archive.read("archive/data.pkl")
    opcodes = list(pickletools.genops(stream))
    assert {op.name for op, _, _ in opcodes} <= OPCODES
    assert {argument for op, argument, _ in opcodes if op.name == "GLOBAL"} <= ALLOWED
    pickletools.dis(stream, out=io.StringIO())  # checks the stack


def test_large_numbers_and_empty_shapes_survive_the_stream(tmp_path: Path) -> None:
    from husai.saes.formats import torch_archive

    arrays = {
        "k": np.asarray(np.int32(-5)),
        "g": np.array([2**40, 3]),
        "W": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    }
    (tmp_path / "x.pt").write_bytes(state_dict_bytes(arrays))
    for name, tensor in torch.load(tmp_path / "x.pt", weights_only=True).items():
        assert tensor.shape == arrays[name].shape and np.array_equal(tensor.numpy(), arrays[name])
        assert tensor.numpy().dtype == arrays[name].dtype
    for number in (0, 2**31 - 1, 2**31, 2**40):
        assert pickle.loads(b"\x80\x02" + torch_archive._int(number) + b".") == number  # noqa: S301


def test_scaled_rows_are_folded_in(tmp_path: Path) -> None:
    """What leaves husai reads rows as they were captured, though training saw (x - mean) * factor."""
    ours = random_sae("relu_l1")
    assert ours.factor == 1.7 and ours.mean_D.abs().sum() > 1
    f, _ = BY_HAND["saelens"](convert(ours, tmp_path / "sae", "saelens"), rows().double().numpy())
    z = (rows() - ours.mean_D) * 1.7
    p = ours.parameters
    assert close(f, ((z - p["b_dec"]) @ p["W_enc"].T + p["b_enc"]).clamp(min=0))
    assert D == 6
