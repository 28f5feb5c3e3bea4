"""A row with stand-ins for the peers: which setting counts, how ratios are formed, what is said of what did not run."""

from __future__ import annotations

import time
from dataclasses import dataclass

import pytest
from torch import Tensor

from benchmarks.options import read
from benchmarks.peers import registry
from benchmarks.peers.peer import Step, why_not
from benchmarks.rows import table_row
from benchmarks.sizes import Size
from benchmarks.tools import ready

SIZE = Size(16, 32, 4, 64, 2)
FAST, SLOW = "fast", "slow"


@dataclass(frozen=True)
class Sleeper:
    """A peer whose steps take a known time, longer in its default setting; `broken` names one that fails."""

    name: str
    reason: str = ""
    broken: tuple[str, ...] = ()

    def available(self) -> str:
        return self.reason

    def settings(self, device: str) -> tuple[str, ...]:
        return SLOW, FAST

    def make(self, size: Size, seed: int, device: str, setting: str) -> Step:
        if setting in self.broken:
            raise RuntimeError(f"no {setting} here")

        def step(x_BD: Tensor) -> None:
            assert x_BD.shape == (size.batch, size.d_in)
            time.sleep(0.02 if setting == SLOW else 0.004)

        return step


def _options(*arguments: str):
    tiny = ["--seconds", "0.001", "--warm-up", "0", "--engine", "reference", "--no-memory"]
    return read(["--peers", "saelens,dictionary_learning,sparsify", *tiny, *arguments])


@pytest.fixture
def peers(monkeypatch: pytest.MonkeyPatch) -> None:
    both = (SLOW, FAST)
    found = [Sleeper("saelens"), Sleeper("dictionary_learning", "not installed"), Sleeper("sparsify", broken=both)]
    monkeypatch.setattr(registry, "PEERS", {})
    monkeypatch.setattr("benchmarks.tools.PEERS", {peer.name: peer for peer in found})


@pytest.mark.usefixtures("peers")
def test_ratios_are_medians_of_peers_over_the_median_of_husai(capsys: pytest.CaptureFixture[str]) -> None:
    row = table_row(SIZE, _options())
    assert row["ratio_saelens"] == row["ms_saelens"] / row["ms_husai"]
    assert row["over_floor"] == row["ms_husai"] / row["ms_encoder_product"]
    assert 4.0 <= row["ms_saelens"] < 20.0
    assert row["spread"]["saelens"]["ms"] == row["ms_saelens"]
    low, high = row["spread"]["saelens"]["iqr"]
    assert low <= row["ms_saelens"] <= high
    assert row["spread"]["husai"]["ratio_iqr"] == [1.0, 1.0]
    assert row["ratio_dictionary_learning"] is None
    assert row["ratio_sparsify"] is None
    said = capsys.readouterr().err
    assert "dictionary_learning did not run: not installed" in said
    assert "sparsify does not run with slow: RuntimeError('no slow here')" in said
    assert "sparsify did not run: fast: RuntimeError('no fast here')" in said


@pytest.mark.usefixtures("peers")
def test_the_fastest_setting_counts_and_all_that_were_tried_are_kept() -> None:
    row = table_row(SIZE, _options())
    assert row["spread"]["saelens"]["setting"] == FAST
    assert set(row["spread"]["saelens"]["ms_tried"]) == {SLOW, FAST}
    default = table_row(SIZE, _options("--peer-settings", "default"))
    assert default["spread"]["saelens"]["setting"] == SLOW
    assert default["ms_saelens"] >= 20.0


def test_a_broken_setting_leaves_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmarks.data import make_batches

    monkeypatch.setattr("benchmarks.tools.PEERS", {"saelens": Sleeper("saelens", broken=(FAST,))})
    tried = ready("saelens", SIZE, make_batches(SIZE, 2), _options())
    assert tried.tool is not None and tried.setting == SLOW


@pytest.mark.filterwarnings("ignore")  # deprecations among the peers' own dependencies
@pytest.mark.parametrize("name", ["saelens", "dictionary_learning", "sparsify"])
def test_every_peer_says_why_it_cannot_run_or_takes_steps(name: str) -> None:
    from benchmarks.data import make_batches

    peer = registry.PEERS[name]
    reason = peer.available()
    if reason:
        assert "make peers" in reason
        pytest.skip(f"{name}: {reason}")
    batches = make_batches(SIZE, 2)
    step = peer.make(SIZE, 0, "cpu", peer.settings("cpu")[0])
    for x_BD in batches:
        step(x_BD)


def test_a_package_that_is_not_there_is_a_reason() -> None:
    assert why_not("no_such_package_of_husai", "make peers").startswith("ModuleNotFoundError")
    assert why_not("json", "make peers") == ""
