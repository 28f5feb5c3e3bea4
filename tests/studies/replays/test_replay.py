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
from husai.statistics.estimate import Estimate, estimate
from husai.store.audit import audit
from husai.store.record import RunRecord
from husai.studies.presenting import present
from husai.studies.presenting.replay import replay_answer, replay_dry_run
from husai.studies.replays.catalogue import CLAIMS
from husai.studies.replays.claim import (
    FIGURE,
    MECHANISM,
    NOT_REPRODUCED,
    OVERTURNED,
    STANDS,
    STATES,
    UNDECIDED,
    UNDERTRAINED,
    Check,
    Figure,
    Found,
    Reading,
    against_controls,
    facts,
    near,
    settled,
)
from husai.studies.replays.replay import ALL, Replay, Scale, leaky
from husai.studies.replays.run import ReplayRun, check_replay, replay_nodes
from husai.studies.replays.t03_trade_off import EV_MARGIN
from husai.studies.study import Controls

PRETRAIN = PretrainConfig(batch=64, lr=1e-2, max_steps=120, eval_every=60, hold=1000, warmup_steps=0)
SOURCE = leaky(13, PRETRAIN, n_layers=1).model_copy(update={"model": TransformerConfig(d_model=32, d_mlp=64)})
TINY = Scale(
    source=SOURCE, batch=64, seeds=5, steps=6, search_steps=4, search_k=(2, 8), k=(2, 8), d_sae=32, wide=48,
    wide_steps=3, wide_longer=30, narrow=16, longer=8, enough=(16, 8), coupled=60, planted_steps=40, planted_rows=400,
    simulations=100,
    controls=Controls(random_models=5, seeds_per_random_model=2),
)  # fmt: skip
TINY_REPLAY = Replay(name="tiny", question="what?", scale=TINY)
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
        assert entry["replayed"] and entry["against"] and entry["state"] in STATES
        assert not entry["state"].startswith(FIGURE), "at other sizes no figure is asked for"
        if entry["claim"] in ("T03", "T30"):
            assert entry["settled"] and entry["upheld"]
    counts = done.record.facts["answer"].removeprefix("of 14 published claims: ")
    assert sum(int(n) for n in re.findall(r"(?:^|, )(\d+) ", counts)) == 14
    legacy = [m for m in done.record.select("reproduced") if m.n_unit == "pairs"]
    assert legacy and all(m.interval and m.interval.method.startswith("legacy bootstrap") for m in legacy)
    assert not any(m.n_unit == "pairs" for m in done.record.select("true")), "the right reading has no pairs as units"


def test_what_needs_no_training_is_right_even_here(done: Done) -> None:
    state = {entry["claim"]: entry["state"] for entry in done.record.facts["claims"]}
    assert state["T18"] in (MECHANISM + OVERTURNED, NOT_REPRODUCED)
    assert state["T28"] == state["T29"] == MECHANISM + OVERTURNED
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
        assert (entry["why"].replace("'", "&#39;") in page) == entry["state"].endswith(OVERTURNED), entry["claim"]
        assert f"{entry['claim']} {entry['title']}: {entry['words']}" in terminal and entry["words"] in summary
    assert "other sizes than published" in page and "other sizes than published" in terminal
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
    """Whatever a check asks, a number that is missing does not meet it: the replay fails, or nothing is decided."""
    run = ReplayRun(TINY_REPLAY, done.root)
    nodes = {node.id: node for node in run.nodes}
    folders = {i: run.results.node_folder(node.kind, i) for i, node in nodes.items()}
    records = {i: run.results.node(node.kind, i) for i, node in nodes.items()}
    reading = CLAIMS[claim].read(Found(run.bench, {i: r for i, r in records.items() if r}, folders))
    good = replace(
        reading, replayed=_met(reading.replayed), against=_met(reading.against), settled=_met(reading.settled)
    )
    how = MECHANISM if claim in ("T11", "T28", "T31", "T32") else FIGURE
    assert good.state == how + OVERTURNED
    assert good.at(published=False).state == MECHANISM + OVERTURNED
    assert good.at(published=False).replayed, "something is asked at every scale"
    for i in range(len(good.replayed)):
        assert replace(good, replayed=_missing(good.replayed, i)).state == NOT_REPRODUCED
    for i in range(len(good.against)):
        assert replace(good, against=_missing(good.against, i)).state == how + UNDECIDED
    for i in range(len(good.settled)):
        assert replace(good, settled=_missing(good.settled, i)).state == how + UNDERTRAINED
    assert bool(good.settled) == bool(good.upheld) == (claim in ("T03", "T30"))
    worse = replace(good, replayed=_missing(good.replayed, 0))
    assert "missing" in facts(CLAIMS[claim], worse)["words"]


def _met(checks: tuple[Check, ...]) -> tuple[Check, ...]:
    return tuple(replace(check, value=check.bound) for check in checks)


def _missing(checks: tuple[Check, ...], i: int) -> tuple[Check, ...]:
    return (*checks[:i], replace(checks[i], value=math.nan), *checks[i + 1 :])


def test_states_and_the_checks_of_a_scale() -> None:
    figure, yes, no = Figure("x", 1.0, "-"), Check("x", 1, "at least", 0), Check("x", 1, "at most", 0)
    assert Reading((figure,), (figure,), (yes,), (yes,)).state == MECHANISM + OVERTURNED
    assert Reading((figure,), (figure,), (yes,), (yes, no)).state == MECHANISM + STANDS
    assert Reading((figure,), (figure,), (yes,), (no,), (yes,)).state == MECHANISM + STANDS
    assert Reading((figure,), (figure,), (yes,), (no,), (no,)).state == MECHANISM + UNDECIDED
    for against in (yes, no):
        undertrained = Reading((figure,), (figure,), (yes,), (against,), (yes,), (yes, no))
        assert undertrained.state == MECHANISM + UNDERTRAINED
        assert no.words() in facts(CLAIMS["T30"], undertrained)["words"]
    assert Reading((figure,), (figure,), (yes, no), (yes,)).state == NOT_REPRODUCED
    assert Reading((figure,), (figure,), (), (yes,)).state == NOT_REPRODUCED, "nothing was checked"
    far = near("x", 1.0, 2.0, 0.5)
    assert Reading((figure,), (figure,), (yes, far), (yes,)).at(published=True).state == NOT_REPRODUCED
    assert Reading((figure,), (figure,), (yes, far), (yes,)).at(published=False).state == MECHANISM + OVERTURNED
    close = near("x", 1.0, 1.2, 0.5)
    assert Reading((figure,), (figure,), (yes, close), (yes,)).at(published=True).state == FIGURE + OVERTURNED


def _D(value: float, half: float | None) -> Estimate:
    """Five seeds; None: no interval."""
    if half is None:
        return Estimate(value, None, None, 0.95, "mean", 2, "seeds", None, None)
    return estimate(value, half / 2.7764451052, 4, level=0.95, method="t", n=5, unit="seeds")


@pytest.mark.parametrize(
    ("first", "second", "ends"),
    [
        ((0.2, 0.1), (0.2, 0.1), STANDS),
        ((0.2, 0.1), (0.1, 0.1), UNDECIDED),  # an interval over the margin shows nothing
        ((0.2, 0.1), (-0.2, 0.1), OVERTURNED),
        ((0.1, 0.1), (0.0, 0.01), OVERTURNED),
        ((0.2, 0.1), (0.2, None), UNDECIDED),  # in either place
        ((0.2, None), (0.2, 0.1), UNDECIDED),
    ],
)
def test_only_what_is_not_beyond_a_control_overturns(
    first: tuple[float, float], second: tuple[float, float | None], ends: str
) -> None:
    overturns, upholds = against_controls("it", {"gaussian": _D(*first), "random_model": _D(*second)}, 0.05)
    figure, yes = Figure("x", 1.0, "-"), Check("x", 1, "at least", 0)
    assert Reading((figure,), (figure,), (yes,), (overturns,), (upholds,)).state == MECHANISM + ends


@pytest.mark.parametrize(
    ("change", "half", "holds"),
    [(0.0, 0.02, True), (0.02, 0.01, False), (-0.02, 0.01, False), (0.0, 0.03, False), (0.0, None, False)],
)
def test_both_bounds_of_a_change_count(change: float, half: float | None, holds: bool) -> None:
    assert settled("x", _D(change, half), 0.05).holds == holds


def test_explained_variance_has_a_margin_of_its_own(done: Done) -> None:
    (said,) = [entry for entry in done.record.facts["claims"] if entry["claim"] == "T03"]
    assert EV_MARGIN == 0.01 and "beyond 0.01" in said["against"][0]
    assert all("at most 0.005" in text for text in said["settled"])


def test_published_cannot_lie() -> None:
    full = Replay(name="x", question="?")
    assert full.published and not full.override(["scale.steps=20"]).published
    assert "other sizes than published" in " ".join(check_replay(full.override(["scale.steps=20"])))
    with pytest.raises(UserError, match="published"):
        full.override(["published=true"])


def test_the_right_reading_has_steps_for_each_k_and_the_published_one_its_own() -> None:
    longer = Replay(name="x", question="?", claims=("T30",)).override(["scale.enough=[10000,2500]"])
    titles = [n.title for n in replay_nodes(longer) if n.kind == "stack"]
    for k, steps in ((4, 10_000), (4, 5_000), (4, 2_500), (32, 2_500), (32, 1_250)):
        assert f"target k = {k} of 128: 5 seeds, {steps} steps of 512" in titles


def test_a_missing_number_is_said_never_zero() -> None:
    missing = Figure("x", Estimate(math.nan, None, None, 0.95, "mean", 5, "seeds", None, None), "cosine", "no pair")
    m = missing.measurement("T01", "true")
    assert m.value is None and m.reason == "no pair"


def test_recipes_and_dry_run() -> None:
    full, quick = recipe("replay")(), recipe("replay")("quick")
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
