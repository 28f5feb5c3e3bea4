"""Ids are pinned hashes of what makes the numbers; tensors are whole or refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from husai.errors import UserError
from husai.store import identity
from husai.store.identity import node_id
from husai.store.tensors import array_hash, load_arrays, read_metadata, save_arrays

ARRAYS = {"a": np.arange(12, dtype=np.float32).reshape(3, 4), "b": np.array([1, 2], dtype=np.int64)}


def test_ids_are_pinned():
    assert node_id("stack", {"k": 4, "lr": 1e-3}) == "e8cca9440983cc42"
    assert node_id("model", {}) == "68ab9465070027c0"


@given(
    st.dictionaries(st.sampled_from("abcdef"), st.integers() | st.floats(allow_nan=False, allow_infinity=False)),
    st.sampled_from("abcdef"),
    st.integers(),
)
def test_any_field_counts(fields, key, value):
    changed = fields | {key: value}
    same = changed == fields and all(type(changed[k]) is type(fields[k]) for k in fields)
    assert (node_id("x", changed) == node_id("x", fields)) is same
    assert node_id("x", fields) != node_id("y", fields)


def test_new_code_is_a_new_id(monkeypatch):
    before = node_id("stack", {})
    monkeypatch.setitem(identity.VERSIONS, "stack", 2)
    assert node_id("stack", {}) != before
    assert node_id("model", {}) == "68ab9465070027c0"


def test_the_hash_of_arrays_sees_names_shapes_types_and_bytes():
    golden = "01c485faa2c7b2ec"
    assert array_hash(ARRAYS)[:16] == golden
    a = ARRAYS["a"]
    others = [
        {"a": a, "c": ARRAYS["b"]},
        {"a": a.reshape(4, 3), "b": ARRAYS["b"]},
        {"a": a.astype(np.float64), "b": ARRAYS["b"]},
        {"a": a + 1, "b": ARRAYS["b"]},
        {"a": a},
    ]
    assert len({array_hash(x) for x in others} | {array_hash(ARRAYS)}) == 6
    assert array_hash({"b": ARRAYS["b"], "a": np.asfortranarray(a)})[:16] == golden


def test_arrays_that_are_not_contiguous_come_back(tmp_path):
    path = save_arrays(tmp_path / "x", {"t": ARRAYS["a"].T, "s": ARRAYS["a"][:, ::2], "0": np.zeros((0, 3))})
    found = load_arrays(path)
    assert np.array_equal(found["t"], ARRAYS["a"].T)
    assert np.array_equal(found["s"], ARRAYS["a"][:, ::2])
    assert found["0"].shape == (0, 3)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.999])
@pytest.mark.parametrize("read", [load_arrays, read_metadata])
def test_a_cut_off_file_is_refused_with_its_name(tmp_path, share, read):
    path = save_arrays(tmp_path / "x.safetensors", {"a": np.zeros(1000)}, {"k": "v"})
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(UserError, match=r"x\.safetensors is not a whole safetensors file"):
        read(path)
    with pytest.raises(UserError, match=r"y does not exist"):
        read(tmp_path / "y")


@pytest.mark.parametrize("read", [load_arrays, read_metadata])
def test_a_folder_or_text_is_no_tensor_file(tmp_path, read):
    (tmp_path / "t").write_text("no tensors here, but more than eight bytes of text")
    for place in (tmp_path, tmp_path / "t"):
        with pytest.raises(UserError, match=r"not a whole safetensors file|cannot be read"):
            read(place)
