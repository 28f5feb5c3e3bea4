"""Equal arrays and equal metadata give equal files, in whatever order they are handed over."""

from __future__ import annotations

import itertools

import numpy as np

from husai.store.tensors import load_arrays, read_metadata, save_arrays

ARRAYS = {"b": np.arange(3), "a": np.ones((2, 2), dtype=np.float32), "c": np.zeros(1)}
METADATA = {"k3": "drei", "k1": "ä ' \" \n", "k2": "{}", "k4": "", "k5": "x" * 11}


def test_files_with_metadata_are_the_same_bytes(tmp_path):
    seen = set()
    for number, order in enumerate(itertools.islice(itertools.permutations(METADATA), 24)):
        path = tmp_path / str(number)
        save_arrays(path, dict(reversed(ARRAYS.items())) if number % 2 else ARRAYS, {k: METADATA[k] for k in order})
        seen.add(path.read_bytes())
    assert len(seen) == 1


def test_metadata_and_arrays_come_back(tmp_path):
    path = save_arrays(tmp_path / "x", ARRAYS, METADATA)
    assert read_metadata(path) == METADATA
    found = load_arrays(path)
    assert found.keys() == ARRAYS.keys()
    assert all(np.array_equal(found[name], ARRAYS[name]) and found[name].dtype == ARRAYS[name].dtype for name in found)
