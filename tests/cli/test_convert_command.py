"""`husai convert`: an SAE of a run as another tool's folder, and what is in the way."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import husai as library


def stack_of(trained: Path) -> Path:
    return next(path.parent for path in trained.glob("nodes/stack-*/stack.safetensors"))


@pytest.mark.parametrize("tool", ["saelens", "dictionary_learning", "sparsify", "husai"])
def test_a_trained_seed_is_written_for_every_tool(husai, trained: Path, tmp_path: Path, tool: str) -> None:
    stack = stack_of(trained)
    said = husai("convert", stack, tmp_path / "out", "--to", tool, "--seed", "1")
    assert (said.code, said.err) == (0, "")
    assert said.out.splitlines()[-1] == str(tmp_path / "out")
    x = torch.randn(20, 64)
    ours, theirs = library.load(stack, seed=1), library.load(tmp_path / "out")
    assert torch.allclose(theirs.encode(x), ours.encode(x), atol=1e-4)
    assert torch.allclose(theirs(x), ours(x), atol=1e-4)


def test_the_answer_in_json_and_the_origin(husai, trained: Path, tmp_path: Path) -> None:
    stack = stack_of(trained)
    said = husai("convert", stack, tmp_path / "out", "--to", "saelens", "--seed", "0", "--json")
    answer = json.loads(said.out)
    assert answer == {
        "files": ["cfg.json", "sae_weights.safetensors"],
        "folder": str(tmp_path / "out"),
        "from": "husai",
        "seed": 0,
        "tool": "saelens",
    }
    meta = json.loads((tmp_path / "out" / "cfg.json").read_text())["metadata"]
    assert meta["seed"] == 0 and meta["run_id"] == json.loads((stack / "record.json").read_text())["id"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("{stack}", "{out}", "--to", "saelens"), "holds 2 seeds (0, 1): choose one with --seed 0"),
        (("{stack}", "{out}", "--to", "saelense", "--seed", "0"), "unknown tool 'saelense': did you mean 'saelens'?"),
        (("{stack}", "{stack}", "--to", "saelens", "--seed", "0"), "nothing is overwritten, choose another name"),
        (("{stack}", "{out}", "--to", "saelens", "--seed", "7"), "holds no seed 7"),
        (("{out}", "{out}", "--to", "saelens"), "does not exist"),
        (("{stack}", "{out}"), "Missing option '--to'"),
    ],
)
def test_what_is_in_the_way_is_one_line(
    husai, trained: Path, tmp_path: Path, words: tuple[str, ...], says: str
) -> None:
    said = husai("convert", *(word.format(stack=stack_of(trained), out=tmp_path / "out") for word in words))
    assert (said.code, said.out) == (2, "")
    assert says in said.err and len(said.err.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()
