"""Replays of published claims: a tiny one through the real runner, its page and audit, and rules that can fail."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

import husai
from husai.errors import UserError
from husai.models.config import PretrainConfig, TransformerConfig
from husai.recipes import recipe
from husai.stability.metrics import mean_max_cos
from husai.stability.nulls import floor_mean_max_cos
from husai.statistics.estimate import Estimate
from husai.store.audit import audit
from husai.store.record import RunRecord
from husai.studies import present
from husai.studies.present_replay import replay_answer, replay_dry_run
from husai.studies.replay import ALL, Replay, Scale, leaky
from husai.studies.replay_run import ReplayRun, check_replay, replay_nodes
from husai.studies.replays.catalogue import CLAIMS
from husai.studies.replays.claim import (
    NOT_REPRODUCED,
    OVERTURNED,
    STANDS,
    Check,
    Figure,
    Found,
    Reading,
    facts,
    near,
)
from husai.studies.study import Controls

PRETRAIN = PretrainConfig(batch=64, lr=1e-2, max_steps=120, eval_every=60, hold=1000, warmup_steps=0)
SOURCE = leaky(13, PRETRAIN, n_layers=1).model_copy(update={"model": TransformerConfig(d_model=32, d_mlp=64)})
TINY = Scale(
    source=SOURCE, batch=64, seeds=5, steps=6, search_steps=4, search_k=(2, 8), k=(2, 8), d_sae=32, wide=48,
    wide_steps=3,
    wide_longer=30, narrow=16, longer=8, coupled=60, planted_steps=40, planted_rows=400, simulations=100,
    controls=Controls(random_models=5, seeds_per_random_model=2),
)  # fmt: skip
TINY_REPLAY = Replay(name="tiny", question="what?", scale=TINY, published=False)
DRAWS_ONLY = TINY_REPLAY.model_copy(update={"claims": ("T28", "T29")})


class Done:
    """A finished replay."""

    def __init__(self, root: Path, folder: Path, record: RunRecord) -> None:
        self.root, self.folder, self.record = root, folder, record


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Done]:
    from tests.studies.conftest import InProcess

    root = tmp_path_factory.mktemp("replay")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("husai.studies.computing.LocalExecutor", InProcess)
        patch.setattr("husai.studies.nodes.stack.warn", lambda text: None)
        patch.setattr("husai.events.warn", lambda text: None)
        folder, record = ReplayRun(TINY_REPLAY, root).start()
        yield Done(root, folder, record)


def test_every_claim_has_three_columns_and_a_state_from_numbers(done: Done) -> None:
    said = done.record.facts["claims"]
    assert [entry["claim"] for entry in said] == list(ALL) == list(CLAIMS)
    for entry in said:
        for column in ("claimed", "reproduced", "true"):
            assert done.record.select(column, claim=entry["claim"]), (entry["claim"], column)
        assert entry["words"].startswith(entry["state"])
        assert entry["replayed"] and entry["against"]
    legacy = [m for m in done.record.select("reproduced") if m.n_unit == "pairs"]
    assert legacy and all(m.interval and m.interval.method.startswith("legacy bootstrap") for m in legacy)
    assert not any(m.n_unit == "pairs" for m in done.record.select("true")), "the right reading has no pairs as units"


def test_what_needs_no_training_is_right_even_here(done: Done) -> None:
    state = {entry["claim"]: entry["state"] for entry in done.record.facts["claims"]}
    assert {state[name] for name in ("T18", "T28", "T29")} <= {OVERTURNED, NOT_REPRODUCED}
    assert state["T28"] == state["T29"] == OVERTURNED
    assert (
        done.record.get("reproduced", claim="T29", what="mean_max_cos of an untrained decoder with the truth").value
        == 1
    )


def test_page_terminal_and_summary_say_it_and_the_audit_agrees(done: Done, tmp_path: Path) -> None:
    found = audit(done.root)
    assert found.passed, found.findings[:5]
    page = " ".join(re.sub(r"<[^>]*>", " ", (done.folder / "report.html").read_text()).split())
    _, terminal = replay_answer(done.folder, done.record)
    summary = (done.folder / "summary.md").read_text()
    for entry in done.record.facts["claims"]:
        assert entry["title"] in page and entry["state"] in page
        assert f"{entry['claim']} {entry['title']}: {entry['words']}" in terminal and entry["words"] in summary
    assert "smaller and shorter than published" in page and "smaller and shorter than published" in terminal
    assert terminal.endswith("report.html")
    path = Path(present.report(done.folder, done.root, tmp_path / "again"))
    assert path.read_bytes() == (done.folder / "report.html").read_bytes()


def test_an_altered_number_of_the_page_is_found(done: Done) -> None:
    path = done.folder / "report.html"
    before = path.read_text()
    try:
        path.write_text(re.sub(r'(data-part="value" data-format=".4g">)1<', r"\g<1>2<", before, count=1))
        assert path.read_text() != before
        assert not audit(done.root).passed
    finally:
        path.write_text(before)


def test_a_finished_replay_is_returned(done: Done) -> None:
    assert ReplayRun(TINY_REPLAY, done.root).start()[0] == done.folder


@pytest.mark.parametrize("claim", ALL)
def test_every_check_of_a_claim_decides(claim: str, done: Done) -> None:
    """Whatever a check asks, a number that is missing does not meet it: the replay fails, or the claim stands."""
    run = ReplayRun(TINY_REPLAY, done.root)
    nodes = {node.id: node for node in run.nodes}
    folders = {i: run.results.node_folder(node.kind, i) for i, node in nodes.items()}
    records = {i: run.results.node(node.kind, i) for i, node in nodes.items()}
    reading = CLAIMS[claim].read(Found(run.bench, {i: r for i, r in records.items() if r}, folders))
    good = replace(reading, replayed=_met(reading.replayed), against=_met(reading.against))
    assert good.state == OVERTURNED
    assert good.at(published=False).replayed, "something is asked at every scale"
    for i in range(len(good.replayed)):
        assert replace(good, replayed=_missing(good.replayed, i)).state == NOT_REPRODUCED
    for i in range(len(good.against)):
        assert replace(good, against=_missing(good.against, i)).state == STANDS
    worse = replace(good, replayed=_missing(good.replayed, 0))
    assert "missing" in facts(CLAIMS[claim], worse)["words"]


def _met(checks: tuple[Check, ...]) -> tuple[Check, ...]:
    return tuple(replace(check, value=check.bound) for check in checks)


def _missing(checks: tuple[Check, ...], i: int) -> tuple[Check, ...]:
    return (*checks[:i], replace(checks[i], value=math.nan), *checks[i + 1 :])


def test_states_and_the_checks_of_a_scale() -> None:
    figure, yes, no = Figure("x", 1.0, "-"), Check("x", 1, "at least", 0), Check("x", 1, "at most", 0)
    assert Reading((figure,), (figure,), (yes,), (yes,)).state == OVERTURNED
    assert Reading((figure,), (figure,), (yes,), (yes, no)).state == STANDS
    assert Reading((figure,), (figure,), (yes, no), (yes,)).state == NOT_REPRODUCED
    assert Reading((figure,), (figure,), (), (yes,)).state == NOT_REPRODUCED, "nothing was checked"
    far = near("x", 1.0, 2.0, 0.5)
    assert Reading((figure,), (figure,), (yes, far), (yes,)).at(published=True).state == NOT_REPRODUCED
    assert Reading((figure,), (figure,), (yes, far), (yes,)).at(published=False).state == OVERTURNED


def test_a_missing_number_is_said_never_zero() -> None:
    missing = Figure("x", Estimate(math.nan, None, None, 0.95, "mean", 5, "seeds", None, None), "cosine", "no pair")
    m = missing.measurement("T01", "true")
    assert m.value is None and m.reason == "no pair"


def test_recipes_and_dry_run() -> None:
    full, quick = recipe("replay")(), recipe("replay-quick")()
    assert isinstance(full, Replay) and isinstance(quick, Replay)
    assert (
        full.published
        and not quick.published
        and check_replay(full) == ["k = 64 is half of min(d_in, d_sae) = 128 or more: the code is hardly sparse"]
    )
    assert full.scale.steps == 280 and full.scale.search_k == (4, 8, 12, 16, 24, 32, 48, 64)
    data, text = replay_dry_run(quick, 2)
    assert len(data["nodes"]) == len(replay_nodes(quick)) and "nothing was run" in text
    few = DRAWS_ONLY
    assert {node.kind for node in replay_nodes(few)} == {"reading"}


def test_bad_declarations_are_refused() -> None:
    with pytest.raises(UserError, match="not sparse"):
        check_replay(TINY_REPLAY.model_copy(update={"scale": TINY.model_copy(update={"k": (2, 40)})}))
    with pytest.raises(UserError, match="named twice"):
        check_replay(DRAWS_ONLY.model_copy(update={"claims": ("T28", "T28")}))
    with pytest.raises((UserError, ValidationError)):
        Replay.parse({"name": "x", "question": "?", "claims": ["T99"]})


def test_only_replays_import_what_is_wrong_on_purpose() -> None:
    source = Path(husai.__file__).parent
    for path in source.rglob("*.py"):
        if path.parent.name != "replays":
            assert not re.search(r"legacy_(formulas|couplings)", path.read_text()), path


def test_published_draws_come_back_exactly() -> None:
    """`randn(128, 1024)` columns, seeds 1000 to 1004; `randn(128, 128)`, five seeds + 100,000."""
    from husai.studies.replays.legacy_formulas import raw_draw

    for seeds, n, wanted in (
        (range(1000, 1005), 1024, 0.298829),
        ([100_000 + s for s in (42, 123, 456, 789, 1011)], 128, 0.245556),
    ):
        drawn = [raw_draw(seed, 128, n).T for seed in seeds]
        pairs = [mean_max_cos(a, b) for i, a in enumerate(drawn) for b in drawn[:i]]
        assert np.mean(pairs) == pytest.approx(wanted, abs=1.5e-6)


def test_legacy_formulas_are_wrong_in_their_own_way() -> None:
    from husai.studies.replays.legacy_formulas import (
        conjugate_share,
        guessed_axes,
        mean_max_cos_by_guess,
        with_reference,
    )

    rng = np.random.default_rng(0)
    A, B = rng.standard_normal((2, 64, 128))
    assert guessed_axes(A).shape == (128, 64) and guessed_axes(A.T).shape == (128, 64)
    assert mean_max_cos_by_guess(A, B) == pytest.approx(floor_mean_max_cos(64, 128, 128).value, abs=0.01)
    angles = 2 * np.pi * 3 * np.arange(29) / 29
    for phase, share in ((0.0, 0.5), (np.pi / 2, 0.0), (np.pi / 4, 0.25)):
        assert conjugate_share(np.cos(angles + phase)[:, None], np.array([3]))[0] == pytest.approx(share, abs=1e-12)
    assert with_reference([0.5] * 4, 1.0) == pytest.approx(0.6)
