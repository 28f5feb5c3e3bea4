"""`husai stability` and `husai compare` on what `husai train` left: the numbers of its own measurements."""

from __future__ import annotations

import csv
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from husai.saes.stack import SAEStack, load_stack
from husai.store.layout import read_record
from husai.store.record import RunRecord

FIELDS = ("sae.d_sae=24", "sae.k=3", "training.steps=60", "training.batch=64", "seeds=5")
# What a measure node knows and this command does not: the training's start, and kinds of rows.
ONLY_IN_A_STUDY = ("cosine_to_init", "explained_variance.")


@pytest.fixture(scope="module")
def five(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `rows.npy` and `results`, in which five seeds were trained on it: look, do not touch."""
    base = tmp_path_factory.mktemp("five")
    np.save(base / "rows.npy", load_digits().data.astype(np.float32)[:500])
    command = [sys.executable, "-m", "husai", "train", base / "rows.npy", "--results", base / "results"]
    options = [word for field in FIELDS for word in ("--set", field)]
    subprocess.run([*command, *options], check=True, capture_output=True, timeout=120)
    return base


def node(base: Path, kind: str) -> Path:
    (found,) = (base / "results" / "nodes").glob(f"{kind}-*")
    return found


def runs(base: Path) -> list[Path]:
    return sorted(p for p in (base / "results" / "experiments" / "train").iterdir() if p.is_dir())


@pytest.fixture
def measured(five) -> RunRecord:
    return read_record(node(five, "measure"))


def numbers(answer: dict, names: list[str]) -> dict[tuple[str, str], dict]:
    """Measurements by name and scope, SAEs by the number of their seed."""
    found = {}
    for m in answer["measurements"]:
        scope = {"seed" if k == "sae" else k: str(names.index(v)) if k == "sae" else v for k, v in m["scope"].items()}
        found[m["name"], json.dumps(scope, sort_keys=True)] = m
    return found


@pytest.mark.parametrize("saes", ["stack", "folders"])
@pytest.mark.parametrize("rows", ["folder", "file"])
def test_the_numbers_are_those_of_the_measure_node_to_the_last_bit(husai, five, measured, saes, rows):
    given = [node(five, "stack")] if saes == "stack" else runs(five)
    activations = node(five, "activations") if rows == "folder" else five / "rows.npy"
    answer = json.loads(husai("stability", *given, "--activations", activations, "--json").out)
    assert answer["rows"]["words"] == "100 held-out rows"
    got = numbers(answer, [one["name"] for one in answer["saes"]])
    wanted = [m for m in measured.measurements if not m.name.startswith(ONLY_IN_A_STUDY)]
    assert len(wanted) > 90
    for m in wanted:
        found = got[m.name, json.dumps(m.scope, sort_keys=True)]
        plain = m.plain()
        for field in ("value", "unit", "interval", "n", "n_unit", "null", "reason", "higher_is_better"):
            assert found[field] == plain[field], (m.key, field)
    assert {name for name, _ in got} - {m.name for m in wanted} == {"excess"}


def test_every_number_says_unit_n_interval_and_how(husai, five):
    answer = json.loads(
        husai("stability", node(five, "stack"), "--activations", node(five, "activations"), "--json").out
    )
    for m in answer["measurements"]:
        assert m["unit"]
        assert m["value"] is not None or m["reason"]
        assert m["value"] is None or m["interval"] is not None or m["no_interval"]
        if m["interval"]:
            assert m["interval"]["method"] and m["n"] == 5 and m["n_unit"] == "seeds"
    for pair in answer["pairs"]:
        values = np.array([[np.nan if v is None else v for v in row] for row in pair["values"]])
        mean = next(
            m for m in answer["measurements"]
            if m["name"] == pair["metric"] and m["scope"] == {"population": pair["population"]}
        )  # fmt: skip
        assert np.nanmean(values) == pytest.approx(mean["value"])
        assert pair["unit"] == mean["unit"] and pair["how"]


def test_the_feature_table_is_that_of_the_measure_node(husai, five, tmp_path):
    said = husai("stability", node(five, "stack"), "--activations", five / "rows.npy", "--csv", tmp_path / "f.csv")
    assert said.code == 0
    rows = list(csv.DictReader(io.StringIO((tmp_path / "f.csv").read_text())))
    for seed in range(5):
        path = node(five, "measure") / f"features-seed{seed}.csv"
        theirs = list(csv.DictReader(io.StringIO(path.read_text())))
        mine = [row for row in rows if row["number"] == str(seed)]
        assert len(mine) == len(theirs) == 24
        for a, b in zip(mine, theirs, strict=True):
            assert {k: v for k, v in a.items() if k in b} == b


def test_the_terminal_shows_the_same_numbers_and_what_they_are(husai, five, measured):
    said = husai("stability", node(five, "stack"), "--activations", node(five, "activations"))
    m = measured.get("mcc_signed", population="alive")
    assert f"{m.value:.3f} [{m.interval.low:.3f}, {m.interval.high:.3f}]" in said.out
    for words in ("5 SAEs of husai: topk", "100 held-out rows", "t(4)", "firing frequency", "EV", "no verdict"):
        assert words in said.out
    assert "no control was applied" in said.out


def test_saes_away_from_their_records_are_measured_on_all_rows_and_it_says_so(husai, five, tmp_path):
    copy = shutil.copy(node(five, "stack") / "stack.safetensors", tmp_path / "mine.safetensors")
    answer = json.loads(husai("stability", copy, "--activations", five / "rows.npy", "--json").out)
    assert answer["rows"]["words"] == "500 rows"
    assert "whether the SAEs saw them in training is not known" in answer["rows"]["note"]
    few = json.loads(husai("stability", copy, "--activations", five / "rows.npy", "--rows", 50, "--json").out)
    assert few["rows"]["words"] == "50 rows (drawn from 500; --rows takes more)"


def test_without_activations_it_reads_the_dictionaries_alone(husai, five, measured):
    said = husai("stability", *runs(five))
    assert said.code == 0 and "missing: without --activations" in said.out
    assert f"{measured.get('mcc_signed', population='all').value:.3f} [" in said.out
    three = json.loads(husai("stability", *runs(five)[:3], "--json").out)
    m = next(m for m in three["measurements"] if m["name"] == "mcc_signed" and m["value"] is not None)
    assert m["interval"] is None and m["no_interval"] == "too few seeds (3 < 5)"
    assert "too few seeds (3 < 5)" in husai("stability", *runs(five)[:3]).out


def test_a_trained_null_stands_beside_and_is_there_when_asked_again(husai, five, tmp_path, contents):
    words = ("stability", node(five, "stack"), "--activations", five / "rows.npy", "--null", "gaussian")
    before = contents(five / "results")
    said = husai(*words, "--results", tmp_path / "r")
    assert said.code == 0, said
    assert contents(five / "results") == before
    assert "null: 5 topk SAEs (d_sae 24, k 3) trained for 60 steps of 64 rows (as these SAEs were)" in said.out
    assert "beyond the Gaussian null by" in said.out and "no control was applied" not in said.out
    made = contents(tmp_path / "r")
    answer = json.loads(husai(*words, "--results", tmp_path / "r", "--json").out)
    assert contents(tmp_path / "r") == made
    value = {
        where: next(m for m in held if m["name"] == "mcc_signed" and m["scope"] == {"population": "all"})["value"]
        for where, held in (("own", answer["measurements"]), ("null", answer["null"]["measurements"]))
    }
    scope = {"metric": "mcc_signed", "population": "all", "control": "gaussian"}
    (excess,) = [m for m in answer["measurements"] if m["name"] == "excess" and m["scope"] == scope]
    assert excess["value"] == pytest.approx(value["own"] - value["null"])
    assert excess["interval"]["method"].startswith("difference, Welch t(")
    few = husai(*words, "--results", tmp_path / "r", "--steps", 30, "--k", 2)
    assert "(d_sae 24, k 2) trained for 30 steps" in few.out
    assert "warning: the null was trained for 30 steps, the SAEs for 60" in few.out
    assert "warning: the null has L0 2, the SAEs 3: it is not matched" in few.out


@pytest.fixture
def another(five, tmp_path) -> Path:
    """The same stack with noise on its decoders."""
    stack = load_stack(node(five, "stack") / "stack.safetensors")
    rng, W = np.random.default_rng(0), stack.parameters["W_dec"]
    W += 0.05 * W.new_tensor(rng.standard_normal(tuple(W.shape)))
    (tmp_path / "other").mkdir()
    stack.save(tmp_path / "other" / "stack.safetensors")
    return tmp_path / "other"


def test_two_groups_are_compared(husai, five, another):
    words = ("compare", *runs(five), "vs", another, "--activations", five / "rows.npy")
    own, same = (json.loads(husai(*words, *more, "--json").out) for more in ((), ("--same-seeds",)))
    scope = {"metric": "mcc_signed", "population": "alive"}
    a, b = (next(m for m in own["differences"] if m["scope"] == scope) for own in (own, same))
    assert a["value"] == pytest.approx(b["value"]) and a["value"] > 0
    assert a["interval"]["method"].startswith("difference, Welch t(")
    assert b["interval"]["method"] == "delete-one-seed jackknife over pairs, t(4)"
    assert same["state"] in ("differ", "no difference shown")
    said = husai(*words)
    assert own["words"] in said.out and "No control was applied" in said.out


def test_another_k_is_unmatched_on_the_command_line_too(husai, five, another):
    stack = load_stack(another / "stack.safetensors")
    config = stack.config.model_copy(update={"k": 5})
    SAEStack(config, stack.seeds, stack.parameters, stack.mean_D, 1.0).save(another / "stack.safetensors")
    said = husai("compare", node(five, "stack"), "vs", another)
    assert "Unmatched: k differs (3 against 5). The groups are not ranked." in said.out
    assert "A - B" not in said.out


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("stability", "{tmp}/none"), "does not exist: give the folder or file of an SAE"),
        (("stability", "{run}"), "stability needs at least two SAEs of different seeds"),
        (("stability", "{run}", "{run}"), "was given twice: a dictionary agrees with itself"),
        (("stability", "{stack}#8"), "holds no seed 8: there are 0, 1, 2, 3, 4"),
        (("stability", "{results}"), "is no SAE that husai can read: it holds experiments/, nodes/"),
        (("stability", "{stack}", "--null", "gaussian"), "--null gaussian needs --activations"),
        (("stability", "{stack}", "--k", "2"), "ask for it with --null gaussian"),
        (("stability", "{stack}", "--key", "x"), "give it with --activations"),
        (("stability", "{stack}", "--activations", "{tmp}/none.npy"), "does not exist: give a file of activations"),
        (("stability", "{stack}", "--activations", "{stack}"), "is not a finished folder of activations"),
        (("stability", "{stack}", "--activations", "{tmp}/wide.npy"), "the width 65 is not the declared d_in=64"),
        (("stability", "{stack}", "{tmp}/narrow"), "features of different widths cannot be compared"),
        (("stability", "{stack}", "{tmp}/nan"), "W_dec holds NaN or infinite values"),
        (("compare", "{stack}", "{stack}"), "write the two groups with 'vs' between them"),
        (("compare", "{stack}", "vs", "{stack}"), "is in both groups: give each SAE to one of them"),
        (("compare", "{run}", "vs", "{stack}"), "each group needs at least two SAEs"),
        (("compare", "{stack}", "vs", "{tmp}/narrow"), "features of different widths cannot be compared"),
    ],
)
def test_what_a_user_can_do_wrong_is_one_line(husai, five, tmp_path, words, complaint):
    np.save(tmp_path / "wide.npy", np.random.default_rng(0).standard_normal((50, 65)).astype(np.float32))
    stack = load_stack(node(five, "stack") / "stack.safetensors")
    narrow = {n: t[..., :20] if n in ("W_enc", "W_dec", "b_dec") else t for n, t in stack.parameters.items()}
    damaged = {n: t.clone() for n, t in stack.parameters.items()}
    damaged["W_dec"][0, 0, 0] = np.nan
    for name, held, mean in (("narrow", narrow, stack.mean_D[:20]), ("nan", damaged, stack.mean_D)):
        (tmp_path / name).mkdir()
        SAEStack(stack.config, stack.seeds, held, mean, 1.0).save(tmp_path / name / "stack.safetensors")
    places = {"tmp": tmp_path, "run": runs(five)[0], "stack": node(five, "stack"), "results": five / "results"}
    said = husai(*(word.format(**places) for word in words))
    assert complaint in said.complaint
    assert said.out == ""
