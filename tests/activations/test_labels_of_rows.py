"""Labels travel with rows: the answer where it is predicted, marked where the task holds it out; damage is one line."""

from __future__ import annotations

import json

import numpy as np
import pytest

from husai.activations.cache import ActivationCache
from husai.activations.capture import capture
from husai.activations.labels import RowLabels
from husai.activations.manifest import Manifest
from husai.activations.writer import write_rows
from husai.config import content_hash
from husai.errors import UserError
from husai.store.tensors import load_arrays, save_arrays

HOOK = "blocks.0.hook_resid_post"
ROWS = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)


def three(values: list[int], test: list[bool] | None = None) -> RowLabels:
    return RowLabels("answer", 3, np.array(values), np.array(test or [False] * len(values)))


def test_every_captured_row_has_the_answer_of_its_example(model, task, tmp_path):
    cache = capture(model, task, HOOK, tmp_path / "c", batch=50, shard_rows=33)
    (entry,) = cache.manifest.labels
    assert (entry.name, entry.classes, entry.labelled, entry.test) == ("answer", 13, 169, len(task.test_index))
    labels = cache.labels("answer")
    a, b = task.tokens_NT[:, 0], task.tokens_NT[:, 1]
    assert np.array_equal(labels.labels_N, (a + b) % 13)
    assert np.array_equal(np.flatnonzero(labels.test_N), np.sort(task.test_index))
    assert load_arrays(tmp_path / "c" / "labels-answer.safetensors")["labels"].dtype == np.int32
    cache.verify()


def test_a_row_from_before_the_answer_has_none(model, task, tmp_path):
    examples = np.array([7, 100, 3, 50])
    cache = capture(model, task, HOOK, tmp_path / "c", positions=[1, 2], examples=examples, batch=3)
    labels = cache.labels("answer")
    assert np.array_equal(labels.labels_N[1::2], task.labels_N[examples])
    assert (labels.labels_N[::2] == -1).all()
    assert np.array_equal(labels.test_N, np.repeat(np.isin(examples, task.test_index), 2))
    assert cache.manifest.labels[0].labelled == 4


def test_learnable_are_labels_of_training_rows_that_the_task_does_not_hold_out():
    labels = three([0, 1, 2, -1, 1, 0], [False, True, False, False, False, True])
    assert labels.learnable(np.array([0, 1, 3, 4])).tolist() == [0, -1, -1, -1, 1, -1]


def test_rows_without_labels_say_so(make_cache):
    cache = make_cache(ROWS)
    assert cache.manifest.labels == ()
    with pytest.raises(UserError, match=r"carry no label 'answer' \(carried: none\): rows of a test; capture rows of"):
        cache.labels("answer")


def test_another_name_says_what_is_there(external, tmp_path):
    cache = write_rows(tmp_path / "c", ROWS, external, labels=three([0, 1, 2, -1, 1, 0]))
    with pytest.raises(UserError, match=r"no label 'colour' \(carried: answer\)"):
        cache.labels("colour")


@pytest.mark.parametrize("values", [[0, 1, 3], [0, -2, 1]])
def test_a_label_that_is_no_class_is_refused(values):
    with pytest.raises(UserError, match="labels must be from 0 to 2, or -1 for none"):
        three(values)


def test_too_few_labels_are_refused_before_the_folder_is_finished(external, tmp_path):
    with pytest.raises(UserError, match="label answer: 2 labels for 6 rows"):
        write_rows(tmp_path / "c", ROWS, external, labels=three([0, 1]))
    with pytest.raises(UserError, match="never finished"):
        ActivationCache(tmp_path / "c")


def test_a_changed_label_file_is_refused(external, tmp_path):
    cache = write_rows(tmp_path / "c", ROWS, external, labels=three([0, 1, 2, -1, 1, 0]))
    path = tmp_path / "c" / "labels-answer.safetensors"
    arrays = load_arrays(path)
    save_arrays(path, arrays | {"labels": arrays["labels"][::-1]})
    for read in (lambda: cache.labels("answer"), cache.verify):
        with pytest.raises(UserError, match=r"labels-answer\.safetensors was changed after it was written"):
            read()
    path.unlink()
    with pytest.raises(UserError, match="does not exist"):
        cache.verify()


def test_a_manifest_from_before_there_were_labels_is_read(make_cache):
    manifest = make_cache(ROWS).manifest
    old = {name: value for name, value in manifest.plain().items() if name != "labels"}
    old["content_sha256"] = content_hash({name: value for name, value in old.items() if name != "content_sha256"})
    assert Manifest.parse(json.loads(json.dumps(old))).labels == ()


def test_what_the_manifest_says_of_labels_is_sealed_too(external, tmp_path):
    cache = write_rows(tmp_path / "c", ROWS, external, labels=three([0, 1, 2, -1, 1, 0]))
    plain = cache.manifest.plain()
    plain["labels"][0]["classes"] = 2
    with pytest.raises(UserError, match="changed after it was written"):
        Manifest.parse(plain)
    plain["labels"] = []
    with pytest.raises(UserError, match="changed after it was written"):
        Manifest.parse(plain)
