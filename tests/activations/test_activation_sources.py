"""Sources are configs: they round-trip, say in a sentence what they are, and import no torch."""

from __future__ import annotations

import subprocess
import sys

import pytest
from pydantic import TypeAdapter

from husai.activations.source import CapturedSource, ExternalSource, PlantedSource, Source, SurrogateSource
from husai.config import Config
from husai.errors import UserError
from husai.tasks.planted import PlantedConfig
from husai.tasks.structured import StructuredConfig

EVERY = [
    CapturedSource(),
    CapturedSource().untrained(2),
    CapturedSource(positions=(0, 2)),
    PlantedSource(),
    ExternalSource(path="x.npy", d_in=8),
    SurrogateSource(of=CapturedSource(), how="gaussian"),
    SurrogateSource(of=SurrogateSource(of=PlantedSource(), how="shuffled"), draw=3),
    PlantedSource(planted=StructuredConfig(zipf=1.2)),
]


class Holder(Config):
    source: Source


@pytest.mark.parametrize("source", EVERY, ids=lambda s: s.kind)
def test_round_trip(source):
    assert TypeAdapter(Source).validate_json(source.model_dump_json()) == source
    assert Holder.parse({"source": source.plain()}).source == source


def test_synthetic_and_descriptions():
    assert [source.synthetic for source in EVERY] == [False, False, False, True, False, True, True, True]
    assert ExternalSource(path="x.npy", declared_synthetic=True).synthetic
    assert EVERY[0].describe() == (
        "activations of a trained model at blocks.0.hook_resid_post, positions: read,"
        " on addition modulo 113 (standard layout)"
    )
    assert "untrained model 2" in EVERY[1].describe()
    assert "positions: 0, 2" in EVERY[2].describe()
    assert EVERY[5].describe() == f"Gaussian with the mean and covariance of ({EVERY[0].describe()})"
    assert "shuffled" in EVERY[6].describe() and "planted" in EVERY[6].describe()
    assert EVERY[7].describe() == (
        "planted rows: 9 on average of 1024 known features active in 96 dimensions, frequencies by Zipf's law "
        "(exponent 1.2), 256 need a parent to be active, the others correlated (blocks, 0.3)"
    )


def test_a_planted_dictionary_of_either_kind():
    """Files from before there were two kinds name none, and their nodes must keep their ids."""
    old = PlantedConfig(n_active=2).plain()
    assert PlantedSource(planted=PlantedConfig(n_active=2)).plain() == {"kind": "planted", "planted": old}
    assert sorted(old) == ["d_in", "kind", "n_active", "n_features", "n_rows", "seed"]
    assert PlantedSource.parse({"planted": {"n_active": 2}}).planted == PlantedConfig(n_active=2)
    other = PlantedSource(planted=PlantedConfig(d_in=8, n_rows=300)).override(["planted.kind=structured"])
    assert other.planted == StructuredConfig(d_in=8, n_rows=300)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"kind": "captured", "pretrain": None}, "set exactly one"),
        ({"kind": "captured", "random_model": 1}, "set exactly one"),
        ({"kind": "captured", "positions": []}, "positions is empty"),
        ({"kind": "captured", "hook": "x"}, "unknown key"),
        ({"kind": "recorded"}, "source"),
        ({"kind": "planted", "planted": {"kind": "grown"}}, "planted"),
        (
            {"kind": "planted", "planted": {"kind": "structured", "n_active": 3}},
            "n_active': did you mean 'mean_active'",
        ),
        ({"kind": "planted", "planted": {"n_activ": 3}}, "n_activ': did you mean 'n_active'"),
        ({"kind": "surrogate", "of": {"kind": "planted"}, "how": "pink"}, "how"),
        ({"kind": "external", "path": ""}, "path"),
    ],
)
def test_wrong_sources_are_refused(data, message):
    with pytest.raises(UserError, match=message):
        Holder.parse({"source": data})


def test_torch_free_modules_import_no_torch():
    names = ["source", "manifest", "cache", "writer", "guards", "strata", "scaling", "stream", "surrogates", "spectrum"]
    code = f"import sys, {', '.join(f'husai.activations.{n}' for n in names)}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
