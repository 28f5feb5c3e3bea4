"""What is written comes back, whatever the blocks and shards; what is damaged is refused by name."""

from __future__ import annotations

import contextlib
import errno
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open

from husai.activations.cache import ActivationCache
from husai.activations.manifest import MANIFEST, STATISTICS, Manifest, Origin
from husai.activations.writer import ShardWriter, write_rows
from husai.errors import UserError
from husai.store import files

RNG = np.random.default_rng(0)
ROWS = RNG.standard_normal((257, 6)).astype(np.float32)
ORIGIN = Origin(kind="external", synthetic=False, description="rows of a test")


@settings(max_examples=25, deadline=None)
@given(
    cuts=st.lists(st.integers(1, 60), min_size=1, max_size=12),
    shard_rows=st.integers(15, 120),
    picks=st.lists(st.integers(0, 10_000), max_size=40),
    seed=st.integers(0, 2**31),
)
def test_rows_come_back_whatever_the_blocks_and_shards(tmp_path_factory, cuts, shard_rows, picks, seed):
    n = sum(cuts) + 1
    rows = np.random.default_rng(seed).standard_normal((n, 3)).astype(np.float32)
    tokens = np.arange(n) % 7
    writer = ShardWriter(tmp_path_factory.mktemp("c"), 3, ORIGIN, shard_rows=shard_rows)
    start = 0
    for cut in [*cuts, 1]:
        writer.append(rows[start : start + cut], tokens=tokens[start : start + cut])
        start += cut
    cache = writer.close()
    assert (len(cache), cache.d_in, cache.shape) == (n, 3, (n, 3))
    assert [s.rows for s in cache.manifest.shards] == [shard_rows] * (n // shard_rows) + [n % shard_rows] * (
        n % shard_rows > 0
    )
    wanted = np.array([p % n for p in picks], dtype=np.int64)
    assert np.array_equal(cache.rows(wanted), rows[wanted])
    assert np.array_equal(cache.column("tokens", wanted), tokens[wanted])
    assert np.array_equal(cache.column("tokens"), tokens)
    assert np.array_equal(cache.to_array(), rows)
    assert np.array_equal(np.concatenate(list(cache.blocks(7))), rows)
    assert np.array_equal(cache.block(n // 3, n), rows[n // 3 :])


def test_to_array_is_a_writable_copy_and_blocks_are_views_of_the_map(make_cache):
    cache = make_cache(ROWS, shard_rows=300)
    copy = cache.to_array()
    copy[0] = 0
    assert np.array_equal(cache.block(0, 3), ROWS[:3])
    assert not cache.block(0, 3).flags.owndata


def test_opening_reads_no_shard(make_cache, monkeypatch):
    folder = make_cache(ROWS).folder
    monkeypatch.setattr("husai.activations.shard.sha256", lambda path: pytest.fail(f"read {path}"))
    cache = ActivationCache(folder)
    assert len(cache) == len(ROWS)
    assert cache.mean_D.shape == (6,)


def test_only_the_shards_that_are_touched_are_read(make_cache):
    cache = make_cache(ROWS)
    with (cache.folder / "shard-00002.safetensors").open("r+b") as handle:
        handle.seek(-1, 2)
        handle.write(b"\xff")
    again = ActivationCache(cache.folder)
    assert np.array_equal(again.rows(np.array([5, 150])), ROWS[[5, 150]])
    with pytest.raises(UserError, match=r"shard-00002\.safetensors was changed"):
        again.rows(np.array([220]))
    with pytest.raises(UserError, match=r"shard-00002\.safetensors was changed"):
        ActivationCache(cache.folder).verify()


def test_row_numbers_must_exist(make_cache):
    cache = make_cache(ROWS)
    for wrong in (-1, len(ROWS)):
        with pytest.raises(IndexError, match="0 to 256"):
            cache.rows(np.array([0, wrong]))
    with pytest.raises(IndexError):
        cache.block(250, 258)
    assert cache.rows(np.array([], dtype=np.int64)).shape == (0, 6)


def test_unknown_column_names_those_that_are_held(make_cache):
    with pytest.raises(UserError, match=r"no column 'tokens' \(held: none\)"):
        make_cache(ROWS).column("tokens")
    cache = make_cache(ROWS, name="two", positions=np.zeros(257, dtype=np.int64))
    with pytest.raises(UserError, match="held: positions"):
        cache.column("tokens")


def test_equal_rows_give_equal_bytes(make_cache):
    one, two = make_cache(ROWS, name="one", block=10), make_cache(ROWS, name="two", block=257)
    for path in sorted(one.folder.iterdir()):
        assert path.read_bytes() == (two.folder / path.name).read_bytes()


def test_every_shard_says_where_its_rows_came_from(make_cache):
    origin = Origin(kind="planted", synthetic=True, description="known features")
    cache = make_cache(ROWS, origin=origin)
    for shard in cache.manifest.shards:
        with safe_open(cache.folder / shard.file, framework="numpy") as handle:
            marks = handle.metadata()
        assert (marks["kind"], marks["synthetic"], marks["description"]) == ("planted", "true", "known features")


@pytest.mark.parametrize(
    ("kind", "synthetic"), [("planted", False), ("surrogate", False), ("captured", True), ("real", False)]
)
def test_an_origin_cannot_lie(kind, synthetic):
    with pytest.raises(UserError):
        Origin.parse({"kind": kind, "synthetic": synthetic, "description": "x"})


def test_missing_files_are_named(make_cache, tmp_path):
    folder = make_cache(ROWS).folder
    (folder / "shard-00001.safetensors").rename(tmp_path / "away")
    with pytest.raises(UserError, match=r"shard-00001\.safetensors is missing"):
        ActivationCache(folder)
    (tmp_path / "away").rename(folder / "shard-00001.safetensors")
    (folder / STATISTICS).unlink()
    with pytest.raises(UserError, match=r"statistics\.safetensors does not exist"):
        _ = ActivationCache(folder).mean_D
    (folder / MANIFEST).unlink()
    with pytest.raises(UserError, match="never finished"):
        ActivationCache(folder)
    with pytest.raises(UserError, match="never finished"):
        ActivationCache(tmp_path / "nowhere")


def test_truncated_shard_is_refused_at_once(make_cache):
    folder = make_cache(ROWS).folder
    path = folder / "shard-00001.safetensors"
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(UserError, match=r"shard-00001\.safetensors has \d+ bytes instead of \d+: truncated"):
        ActivationCache(folder)


def _reseal(folder: Path, **changes: object) -> None:
    """A manifest changed by somebody who also mends its hash."""
    data = json.loads((folder / MANIFEST).read_text()) | changes | {"content_sha256": ""}
    (folder / MANIFEST).unlink()
    Manifest.parse(data).write(folder)


def test_a_shape_that_differs_from_the_manifest_is_refused(make_cache):
    folder = make_cache(ROWS).folder
    _reseal(folder, d_in=5)
    with pytest.raises(UserError, match=r"shard-00000.*\(100, 6\).*promises.*\(100, 5\)"):
        ActivationCache(folder).rows(np.array([0]))


def test_rows_that_do_not_add_up_are_refused(make_cache):
    folder = make_cache(ROWS).folder
    with pytest.raises(UserError, match="do not add up"):
        _reseal(folder, n_rows=256)


def test_a_file_that_is_no_safetensors_is_refused_even_with_the_right_hash(make_cache):
    folder = make_cache(ROWS).folder
    path = folder / "shard-00000.safetensors"
    for text in (b"", b"abc", b"\x02\x00\x00\x00\x00\x00\x00\x00[]", b"\xff" * 64, b"\x02" + b"\0" * 7 + b"{}"):
        path.write_bytes(text)
        data = json.loads((folder / MANIFEST).read_text())
        data["shards"][0] |= {"bytes": max(1, len(text)), "sha256": files.sha256(path)}
        _reseal(folder, shards=data["shards"])
        with pytest.raises(UserError, match="shard-00000"):
            ActivationCache(folder).rows(np.array([0]))


def test_manifest_changed_by_hand_is_refused(make_cache):
    folder = make_cache(ROWS).folder
    path = folder / MANIFEST
    text = path.read_text()
    for old, new in (
        ('"n_rows": 257', '"n_rows": 256'),
        ('"synthetic": false', '"synthetic": true'),
        ('"variance"', '"varianc"'),
        ("husai.activations/1", "husai.activations/9"),
        ('"unique": 257', '"unique": 2570'),
    ):
        assert old in text
        path.write_text(text.replace(old, new))
        with pytest.raises(UserError, match=r"manifest\.json"):
            ActivationCache(folder)
    path.write_text(json.dumps({k: v for k, v in json.loads(text).items() if k != "content_sha256"}))
    with pytest.raises(UserError, match="content_sha256 is missing"):
        ActivationCache(folder)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_named_by_row(tmp_path, value):
    rows = ROWS.copy()
    rows[131, 4] = rows[200, 0] = value
    writer = ShardWriter(tmp_path / "c", 6, ORIGIN)
    writer.append(rows[:100])
    with pytest.raises(UserError, match=r"row 131 .* dimension 4"):
        writer.append(rows[100:])


def test_constant_rows_are_refused(tmp_path):
    rows = np.tile(ROWS[:1], (50, 1))
    with pytest.raises(UserError, match="every row equals row 0"):
        write_rows(tmp_path / "a", rows, ORIGIN)
    rows[7, 2] = np.nextafter(rows[7, 2], np.float32(9))  # rounding is not variance
    with pytest.raises(UserError, match="every row equals row 0"):
        write_rows(tmp_path / "b", rows, ORIGIN)
    with pytest.raises(UserError, match="every row equals row 0"):
        write_rows(tmp_path / "z", np.zeros((5, 2)), ORIGIN)
    writer = ShardWriter(tmp_path / "p", 6, ORIGIN)
    writer.append(np.tile(ROWS[:1], (4, 1)), positions=np.arange(4))
    with pytest.raises(UserError, match="every row equals row 0"):
        writer.close()
    write_rows(tmp_path / "small", 5 + 1e-4 * ROWS, ORIGIN)  # small variance is variance
    assert not (tmp_path / "a" / MANIFEST).exists()


@pytest.mark.parametrize("n", [0, 1])
def test_too_few_rows_are_refused(tmp_path, n):
    with pytest.raises(UserError, match=f"{n} rows are too few"):
        write_rows(tmp_path / "c", ROWS[:n], ORIGIN)


def test_writer_refuses_other_shapes_types_and_columns(tmp_path):
    writer = ShardWriter(tmp_path / "c", 6, ORIGIN)
    for wrong in (ROWS[0], ROWS[:, :5], ROWS.astype(np.float64), ROWS[None]):
        with pytest.raises(UserError, match=r"must be float32 \[n, 6\]"):
            writer.append(wrong)
    with pytest.raises(UserError, match="column 'colour'"):
        writer.append(ROWS, colour=np.zeros(257))
    with pytest.raises(UserError, match="column 'tokens'"):
        writer.append(ROWS, tokens=np.zeros(256))
    writer.append(ROWS, tokens=np.zeros(257))
    with pytest.raises(UserError, match="columns changed"):
        writer.append(ROWS)


def test_the_callers_buffer_may_be_used_again(tmp_path):
    writer = ShardWriter(tmp_path / "c", 6, ORIGIN)
    buffer = ROWS.copy()
    writer.append(buffer)
    buffer[:] = 0
    assert np.array_equal(writer.close().to_array(), ROWS)


def test_a_finished_folder_is_not_overwritten_and_a_stopped_one_starts_over(tmp_path, make_cache):
    with pytest.raises(UserError, match="already holds activations"):
        ShardWriter(make_cache(ROWS).folder, 6, ORIGIN)
    with contextlib.suppress(RuntimeError), ShardWriter(tmp_path / "stopped", 6, ORIGIN, shard_rows=10) as writer:
        writer.append(ROWS)
        raise RuntimeError
    assert not (tmp_path / "stopped" / MANIFEST).exists()
    with ShardWriter(tmp_path / "stopped", 6, ORIGIN, shard_rows=100) as writer:
        writer.append(ROWS)
    assert len(list((tmp_path / "stopped").glob("shard-*"))) == 3
    assert np.array_equal(ActivationCache(tmp_path / "stopped").to_array(), ROWS)


def test_a_full_disk_is_one_line(tmp_path, monkeypatch):
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr("husai.store.files.os.fsync", full)
    with pytest.raises(UserError, match="no space left while writing"):
        write_rows(tmp_path / "c", ROWS, ORIGIN)
    assert not list((tmp_path / "c").iterdir())
