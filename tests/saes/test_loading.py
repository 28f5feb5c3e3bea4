"""`husai.load`: whose folder is this, which seed of it, and one clear line for everything else."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import husai
from husai.errors import UserError
from husai.saes.config import AnySAEConfig, JumpReluConfig, ReluL1Config, TopKConfig
from husai.saes.formats import load as loading
from husai.saes.formats.load import Reader, load_all, load_named
from husai.saes.sae import SAE
from husai.saes.stack import SAEStack
from husai.store.tensors import load_arrays, read_metadata, save_arrays
from husai.training.config import TrainingConfig
from husai.training.state import start

CONFIGS: list[AnySAEConfig] = [TopKConfig(d_sae=20, k=3), ReluL1Config(d_sae=20), JumpReluConfig(d_sae=20)]


def made(config: AnySAEConfig = CONFIGS[0], seeds: tuple[int, ...] = (4, 7)) -> SAEStack:
    state = start(config, TrainingConfig(), 8, seeds, root=1)
    return SAEStack(config, seeds, state.parameters, torch.full((8,), 0.3), 1.7, "blocks.0.hook_x")


def same(a: SAE, b: SAE) -> bool:
    x = torch.randn(30, 8, generator=torch.Generator().manual_seed(3))
    return torch.equal(a.encode(x), b.encode(x)) and torch.equal(a(x), b(x)) and a.cfg == b.cfg


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of a stack with seeds 4 and 7."""
    (tmp_path / "stack-1").mkdir()
    made().save(tmp_path / "stack-1" / "stack.safetensors")
    return tmp_path / "stack-1"


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("name", ["stack.safetensors", "mine.safetensors", "checkpoints/sae.safetensors"])
def test_one_seed_is_loaded_from_its_file_and_from_its_folder(config: AnySAEConfig, name: str, tmp_path: Path) -> None:
    stack, path = made(config, (7,)), tmp_path / "run" / name
    path.parent.mkdir(parents=True)
    stack.save(path)
    places = [path] if name == "mine.safetensors" else [path, tmp_path / "run"]
    for place in places:
        assert same(husai.load(place), stack[0])
        assert same(husai.load(str(place), seed=7), stack[0])
        assert [one.seed for one in load_named(place)] == [7]


def test_a_seed_of_several_is_chosen_by_its_number(folder: Path) -> None:
    stack = made()
    assert same(husai.load(f"{folder}#7"), stack[1])
    assert same(husai.load(folder, seed=4), stack[0])
    assert not same(husai.load(folder, seed=4), stack[1])
    assert all(same(a, stack[i]) for i, a in enumerate(load_all(folder)))
    assert [one.name for one in load_named(folder)] == ["stack-1#4", "stack-1#7"]
    assert [one.seed for one in load_named(f"{folder}#7")] == [7]


def test_a_path_with_the_mark_in_its_name_is_a_path(folder: Path) -> None:
    other = folder.rename(folder.with_name("stack#7"))
    assert len(load_all(other)) == 2
    assert same(husai.load(f"{other}#7"), made()[1])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{}", r"holds 2 seeds \(4, 7\): choose one, as .*stack-1#4 or by seed="),
        ("{}#0", "holds no seed 0: there are 4, 7"),
        ("{}#last", "after # comes the number of a seed"),
        ("{}/none", "does not exist: give the folder or file of an SAE"),
    ],
)
def test_a_wrong_choice_is_one_line(folder: Path, text: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        husai.load(text.format(folder))


def test_what_no_tool_wrote_is_named_with_the_tools_that_are_known(folder: Path) -> None:
    odd = folder.parent / "odd"
    odd.mkdir()
    with pytest.raises(UserError, match=r"is no SAE that husai can read: it is empty\. Known: husai \("):
        husai.load(odd)
    for name in "abcdef":
        (odd / name).write_text("x")
    with pytest.raises(UserError, match=r"it holds a, b, c, d and 2 more\. Known: husai"):
        husai.load(odd)
    with pytest.raises(UserError, match="it is a file of another kind"):
        husai.load(odd / "a")
    with pytest.raises(UserError, match=r"it is a folder of 1 of them; give these, for example .*stack-1"):
        husai.load(folder.parent)


def test_a_run_without_an_sae_says_what_it_is(built_study) -> None:
    measure = next(p.parent for p in built_study.root.rglob("record.json") if p.parent.name.startswith("measure"))
    with pytest.raises(UserError, match="is a run of kind 'measure', which holds no SAE"):
        husai.load(measure)


@pytest.mark.parametrize("damage", ["cut", "nan", "shape"])
def test_a_damaged_file_names_the_file_and_the_field(folder: Path, damage: str) -> None:
    path = folder / "stack.safetensors"
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-8])
        says = "not a whole safetensors file"
    else:
        arrays, meta = load_arrays(path), read_metadata(path)
        if damage == "nan":
            arrays["W_enc"][1, 2, 3] = np.nan
            says = "W_enc holds NaN"
        else:
            arrays["W_dec"] = arrays["W_dec"].swapaxes(1, 2)
            says = "W_dec has shape"
        save_arrays(path, arrays, meta)
    with pytest.raises(UserError, match=rf"stack\.safetensors.*{says}"):
        husai.load(folder, seed=4)


def test_another_tool_is_one_more_line_in_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sae, broken = made()[0], made()[1]
    (tmp_path / "theirs.bin").write_text("theirs")
    reader = Reader("theirs", "a .bin", lambda path: path.suffix == ".bin", lambda path: sae)
    monkeypatch.setattr(loading, "READERS", (*loading.READERS, reader))
    assert same(husai.load(tmp_path / "theirs.bin"), sae)
    assert load_named(tmp_path / "theirs.bin")[0].tool == "theirs"
    with pytest.raises(UserError, match=r"holds one SAE \(theirs\): leave out the seed 3"):
        husai.load(tmp_path / "theirs.bin", seed=3)
    holes = replace(broken, parameters=broken.parameters | {"b_enc": torch.full((20,), torch.nan)})
    monkeypatch.setattr(loading, "READERS", (replace(reader, read=lambda path: holes),))
    with pytest.raises(UserError, match="b_enc holds NaN or infinite values"):
        husai.load(tmp_path / "theirs.bin")


def test_importing_husai_imports_nothing_heavy() -> None:
    code = "import sys, husai; husai.load; print([m for m in ('torch', 'numpy', 'pydantic') if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert run.stdout.strip() == "[]"
