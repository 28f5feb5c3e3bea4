"""A user's own files: read exactly, converted aloud, refused in one line that says what to do."""

from __future__ import annotations

import contextlib
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from husai.activations.external import ExternalFile, import_file
from husai.errors import UserError

X = torch.tensor(np.random.default_rng(0).standard_normal((40, 6)), dtype=torch.float32)


def save(path: Path, tensor: torch.Tensor, key: str = "acts") -> Path:
    if path.suffix == ".npy":
        np.save(path, tensor.numpy())
    elif path.suffix == ".safetensors":
        save_file({key: tensor.contiguous()}, path)
    else:
        torch.save(tensor, path)
    return path


FLOATS = [torch.float16, torch.bfloat16, torch.float32, torch.float64]


@pytest.mark.parametrize(
    ("suffix", "dtype"),  # NumPy has no bfloat16
    [(s, d) for s in (".npy", ".safetensors", ".pt") for d in FLOATS if (s, d) != (".npy", torch.bfloat16)],
)
def test_rows_are_read_exactly(tmp_path, heard, suffix, dtype):
    path = save(tmp_path / f"x{suffix}", X.to(dtype))
    cache = import_file(ExternalFile(path, d_in=6), tmp_path / "c", shard_rows=7)
    assert np.array_equal(cache.to_array(), X.to(dtype).float().numpy())
    said = [message for _, message in heard.lines if "converted to float32" in message]
    assert len(said) == (dtype != torch.float32)
    origin = cache.manifest.origin
    assert (origin.kind, origin.synthetic, origin.details["shape"]) == ("external", False, [40, 6])
    assert path.name in origin.description
    assert (heard.steps[-1].done, heard.steps[-1].total) == (40, 40)


@pytest.mark.parametrize("suffix", [".npy", ".safetensors", ".pt"])
def test_large_files_are_read_piece_by_piece(tmp_path, monkeypatch, suffix):
    monkeypatch.setattr("husai.activations.external._BLOCK_VALUES", 40)
    cache = import_file(ExternalFile(save(tmp_path / f"x{suffix}", X)), tmp_path / "c")
    assert np.array_equal(cache.to_array(), X.numpy())


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_several_arrays_need_a_key(tmp_path, suffix):
    path = tmp_path / f"x{suffix}"
    arrays = {"layer0": X, "layer1": 2 * X}
    save_file(arrays, path) if suffix == ".safetensors" else torch.save(arrays, path)
    with pytest.raises(UserError, match=r"holds 2 arrays \(layer0, layer1\): name one"):
        import_file(ExternalFile(path), tmp_path / "c")
    with pytest.raises(UserError, match=r"unknown key .* 'layer2': did you mean 'layer\d'"):
        import_file(ExternalFile(path, key="layer2"), tmp_path / "c")
    assert np.array_equal(import_file(ExternalFile(path, key="layer1"), tmp_path / "c").to_array(), 2 * X.numpy())


@pytest.mark.parametrize("suffix", [".npy", ".pt"])
def test_a_key_for_a_file_without_names_is_refused(tmp_path, suffix):
    with pytest.raises(UserError, match="leave out the key 'acts'"):
        import_file(ExternalFile(save(tmp_path / f"x{suffix}", X), key="acts"), tmp_path / "c")


@pytest.mark.parametrize("suffix", [".npy", ".safetensors", ".pt"])
def test_no_axis_is_guessed(tmp_path, suffix):
    turned = save(tmp_path / f"t{suffix}", X.T.contiguous())
    with pytest.raises(UserError, match=r"\[6, 40\]: the width 40 is not the declared d_in=6 .*save the transpose"):
        import_file(ExternalFile(turned, d_in=6), tmp_path / "c")
    with pytest.raises(UserError, match=r"the width 40 is not the declared d_in=7$"):
        import_file(ExternalFile(turned, d_in=7), tmp_path / "c")
    for number, shape in enumerate([(240,), (2, 4, 5, 6), ()]):
        path = save(tmp_path / f"w{number}{suffix}", X.flatten()[: int(np.prod(shape))].reshape(shape).clone())
        with pytest.raises(UserError, match=r"activations must be \[rows, width\]"):
            import_file(ExternalFile(path), tmp_path / "c")


def test_fewer_rows_than_dimensions_is_said(tmp_path, heard):
    import_file(ExternalFile(save(tmp_path / "t.npy", X.T.contiguous())), tmp_path / "c")
    assert [level for level, message in heard.lines if "fewer rows than dimensions" in message] == ["warning"]


@pytest.mark.parametrize("suffix", [".npy", ".safetensors", ".pt"])
def test_three_axes_are_flattened_only_when_asked(tmp_path, suffix):
    path = save(tmp_path / f"x{suffix}", X.reshape(8, 5, 6))
    with pytest.raises(UserError, match="ask to flatten"):
        import_file(ExternalFile(path), tmp_path / "c")
    cache = import_file(ExternalFile(path, d_in=6, flatten=True), tmp_path / "c")
    assert np.array_equal(cache.to_array(), X.numpy())
    assert np.array_equal(cache.column("positions"), np.tile(np.arange(5), 8))
    assert np.array_equal(cache.column("examples"), np.repeat(np.arange(8), 5))
    with pytest.raises(UserError, match=r"must be \[rows, positions, width\]"):
        import_file(ExternalFile(save(tmp_path / f"y{suffix}", X), flatten=True), tmp_path / "d")


@pytest.mark.parametrize("suffix", [".npy", ".safetensors", ".pt"])
@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.complex64, torch.uint8])
def test_only_floats_are_activations(tmp_path, suffix, dtype):
    path = save(tmp_path / f"x{suffix}", X.to(dtype))
    with pytest.raises(UserError, match="activations are float16"):
        import_file(ExternalFile(path), tmp_path / "c")


def test_bad_values_are_named_by_row(tmp_path, monkeypatch):
    monkeypatch.setattr("husai.activations.external._BLOCK_VALUES", 40)
    bad = X.double().clone()
    bad[33, 2] = 1e300  # no float32 is that large
    with pytest.raises(UserError, match="row 33 holds inf in dimension 2"):
        import_file(ExternalFile(save(tmp_path / "x.npy", bad)), tmp_path / "c")


@pytest.mark.parametrize("shape", [(0, 6), (6, 0)])
def test_empty_files_are_refused(tmp_path, shape):
    with pytest.raises(UserError, match="nothing in it"):
        import_file(ExternalFile(save(tmp_path / "x.npy", torch.zeros(shape))), tmp_path / "c")


class Dangerous:
    def __reduce__(self):
        return (Path.touch, (Path("ran-code"),))


@pytest.mark.parametrize("wrap", [lambda x: x, lambda x: {"acts": X, "meta": x}])
def test_pickles_that_need_code_are_refused_and_not_run(tmp_path, monkeypatch, wrap):
    monkeypatch.chdir(tmp_path)
    torch.save(wrap(Dangerous()), tmp_path / "x.pt")
    (tmp_path / "y.pt").write_bytes(pickle.dumps(wrap(Dangerous())))
    np.save(tmp_path / "z.npy", np.array([wrap(Dangerous())], dtype=object), allow_pickle=True)
    for name, message in (("x.pt", "needs code"), ("y.pt", "needs code"), ("z.npy", "not a whole .npy")):
        with pytest.raises(UserError, match=message):
            import_file(ExternalFile(tmp_path / name), tmp_path / "c")
    assert not (tmp_path / "ran-code").exists()


def test_other_contents_and_suffixes_are_refused(tmp_path):
    torch.save([X, X], tmp_path / "list.pt")
    with pytest.raises(UserError, match="holds a list"):
        import_file(ExternalFile(tmp_path / "list.pt"), tmp_path / "c")
    torch.save({"a": 1}, tmp_path / "none.pt")
    with pytest.raises(UserError, match=r"holds 0 arrays \(no tensors\)"):
        import_file(ExternalFile(tmp_path / "none.pt"), tmp_path / "c")
    torch.save(X.to_sparse(), tmp_path / "sparse.pt")
    with pytest.raises(UserError, match="save it dense"):
        import_file(ExternalFile(tmp_path / "sparse.pt"), tmp_path / "c")
    np.save(tmp_path / "text.npy", np.array(["a", "b"]))
    with pytest.raises(UserError, match="save one array of floats"):
        import_file(ExternalFile(tmp_path / "text.npy"), tmp_path / "c")
    (tmp_path / "x.csv").write_text("1,2")
    with pytest.raises(UserError, match=r"read from \.npy, \.safetensors, \.pt"):
        import_file(ExternalFile(tmp_path / "x.csv"), tmp_path / "c")
    with pytest.raises(UserError, match="does not exist"):
        import_file(ExternalFile(tmp_path / "no.npy"), tmp_path / "c")


def test_big_endian_and_fortran_order_are_read_as_they_are(tmp_path):
    np.save(tmp_path / "x.npy", np.asfortranarray(X.numpy().astype(">f4")))
    assert np.array_equal(import_file(ExternalFile(tmp_path / "x.npy"), tmp_path / "c").to_array(), X.numpy())


def test_synthetic_rows_can_be_declared(tmp_path):
    cache = import_file(ExternalFile(save(tmp_path / "x.npy", X), synthetic=True), tmp_path / "c")
    assert cache.manifest.origin.synthetic
    assert "declared synthetic" in cache.manifest.origin.description


@settings(max_examples=150, deadline=None)
@given(suffix=st.sampled_from([".npy", ".safetensors", ".pt"]), data=st.data())
def test_damaged_files_never_give_a_traceback(tmp_path_factory, suffix, data):
    folder = tmp_path_factory.mktemp("damage")
    path = save(folder / f"x{suffix}", X)
    raw = bytearray(path.read_bytes())
    if data.draw(st.booleans()):
        raw = raw[: data.draw(st.integers(0, len(raw) - 1))]
    else:
        for _ in range(data.draw(st.integers(1, 4))):
            raw[data.draw(st.integers(0, min(len(raw) - 1, 400)))] = data.draw(st.integers(0, 255))
    path.write_bytes(bytes(raw))
    with contextlib.suppress(UserError):
        assert import_file(ExternalFile(path, d_in=6), folder / "c").d_in == 6
