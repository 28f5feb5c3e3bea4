"""`husai architectures`: every kind once, and what is said of each is true of its code."""

from __future__ import annotations

import json

from typer.testing import CliRunner

from husai.cli import app
from husai.saes.registry import ARCHITECTURES
from husai.training.config import TrainingConfig
from husai.training.engines.choose import choose


def test_every_architecture_is_listed_with_the_engine_that_would_train_it() -> None:
    from typing import get_args

    from husai.saes.config import AnySAEConfig

    answer = CliRunner().invoke(app, ["architectures", "--json"])
    entries = {entry["kind"]: entry for entry in json.loads(answer.stdout)}
    assert set(entries) == {*ARCHITECTURES, "freeze=decoder", "freeze=soft_decoder", "freeze=encoder"}
    for config in get_args(AnySAEConfig):
        entry = entries[config.model_fields["kind"].default]
        engine, why = choose(config(), TrainingConfig(engine="auto"))
        assert entry["engine"] == engine.name and (entry["why"] in why)
        assert entry["source"] and entry["summary"]
        assert not entry["knob"] or entry["knob"] in config.model_fields
    assert {kind for kind, entry in entries.items() if entry["role"] == "baseline"} >= {"linear", "pca", "random"}


def test_the_table_says_why_sparse_codes_are_left_to_the_reference() -> None:
    shown = CliRunner().invoke(app, ["architectures"]).stdout
    assert "matching_pursuit: engine reference, because each step of matching_pursuit needs the products" in shown
    assert "\ntopk: engine reference" not in shown
