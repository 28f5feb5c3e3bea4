"""T40. Claimed: a TopK SAE. True: k was 3,686 with a width of 1,024, so that nothing was sparse and the input could be
copied. husai refuses k that is not below d_in and d_sae, in one line and before it trains, and warns from half of it:
in `husai train` on a file, and in a study.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from husai import cli
from husai.errors import UserError
from husai.saes.config import TopKConfig
from husai.saes.config.sizes import check_sizes

PUBLISHED = "k = 3686 is not sparse for d_in = 1024, d_sae = 8192: choose k below 1024, better below 512"


def told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str]:
    """Exit code and stderr of a command."""
    monkeypatch.setattr(sys, "argv", ["husai", *map(str, words)])
    with pytest.raises(SystemExit) as left:
        cli.main()
    assert isinstance(left.value.code, int)
    return left.value.code, capsys.readouterr().err


def sets(*assignments: str) -> list[str]:
    return [word for assignment in assignments for word in ("--set", assignment)]


def test_husai_train_refuses_the_published_k(tmp_path: Path, monkeypatch, capsys) -> None:
    np.save(tmp_path / "x.npy", np.random.default_rng(0).laplace(size=(200, 1024)).astype(np.float32))
    options = [*sets("sae.d_sae=8192", "sae.k=3686", "seeds=2", "training.steps=2"), "--results", tmp_path / "results"]
    code, said = told(monkeypatch, capsys, "train", tmp_path / "x.npy", *options)
    assert (code, said.splitlines()[-1]) == (2, f"husai: {PUBLISHED}")
    assert not list(tmp_path.glob("results/nodes/stack-*"))


def test_a_study_refuses_the_published_k_before_anything_is_made(
    own_study, tmp_path: Path, monkeypatch, capsys
) -> None:
    sizes = ["target.planted.d_in=1024", "arms.0.sae.d_sae=8192", "arms.1.sae.d_sae=8192", "arms.1.sae.k=3686"]
    code, said = told(monkeypatch, capsys, "run", own_study, *sets(*sizes), "--results", tmp_path / "results")
    assert (code, said) == (2, f"husai: {PUBLISHED}\n")
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(("d_in", "d_sae"), [(1024, 8192), (4096, 1024)])
@pytest.mark.parametrize(("k", "is_"), [(511, "sparse"), (512, "warned"), (1023, "warned"), (1024, "refused")])
def test_both_widths_count_and_half_is_the_limit_of_silence(d_in: int, d_sae: int, k: int, is_: str) -> None:
    config = TopKConfig(d_sae=d_sae, k=k)
    if is_ == "refused":
        with pytest.raises(UserError, match=f"k = {k} is not sparse"):
            check_sizes(config, d_in)
        return
    warnings = check_sizes(config, d_in)
    assert bool(warnings) is (is_ == "warned")
    assert all("hardly sparse" in text for text in warnings)
