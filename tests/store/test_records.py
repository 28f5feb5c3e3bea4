"""The record: missing is a state, nothing is measured twice, and what is not there is said."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from husai.errors import UserError
from husai.store.provenance import now, provenance
from husai.store.record import Interval, Measurement, RunRecord

WHEN = provenance(now(), 1.0)


def number(name: str = "m", value: float | None = 1.0, **more) -> Measurement:
    return Measurement.parse({"name": name, "value": value, "unit": "u"} | more)


def record(*measurements: Measurement, **changes) -> RunRecord:
    fields = {"id": "0" * 16, "kind": "measure", "name": "n", "status": "ran", "config": {}, "provenance": WHEN}
    return RunRecord.parse(fields | {"measurements": measurements} | changes)


@pytest.mark.parametrize("value", [0.0, -0.0, 1e-300])
def test_zero_is_a_value(value):
    measured = record(number(value=value)).get("m")
    assert measured.value == 0.0 or measured.value == value
    assert not measured.missing


def test_missing_needs_its_reason():
    with pytest.raises(UserError, match="a missing value needs a reason"):
        number(value=None)
    assert number(value=None, reason="no alive latent").missing


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_value_is_finite(value):
    with pytest.raises(UserError, match="finite"):
        number(value=value)


def test_one_place_one_number():
    same = number(scope={"a": "1", "b": "2"}), number(value=2.0, scope={"b": "2", "a": "1"})
    with pytest.raises(UserError, match=r"measured twice: m\[a=1,b=2\]"):
        record(*same)
    record(number(scope={"a": "1"}), number(scope={"a": "2"}), number(), number(name="other"))


def test_what_is_not_there_is_never_guessed():
    found = record(number(scope={"arm": "k4"}), number(name="zero", value=0.0))
    assert found.get("m", arm="k4").value == 1.0
    for scope in ({}, {"arm": "k8"}, {"arm": "k4", "seed": "0"}):
        with pytest.raises(UserError, match="holds no m"):
            found.get("m", **scope)
    assert found.select("m") == found.select("m", arm="k4")
    assert found.select("m", arm="k8") == []


@pytest.mark.parametrize("status", ["failed", "not_run", "refused"])
def test_what_did_not_run_says_why(status):
    with pytest.raises(UserError, match=f"status {status} needs a reason"):
        record(status=status)
    assert record(status=status, reason="the disk was full").reason


@pytest.mark.parametrize(
    ("bounds", "words"),
    [
        ({"low": 2.0, "high": 1.0, "level": 0.95}, "low is above high"),
        ({"low": None, "high": None, "level": 0.95}, "at least one bound"),
        ({"low": 0.0, "high": 1.0, "level": 95.0}, "level"),
        ({"low": 0.0, "high": 1.0, "level": 0.95, "method": ""}, "method"),
    ],
)
def test_an_interval_has_bounds_in_order_a_level_and_a_method(bounds, words):
    with pytest.raises(UserError, match=words):
        Interval.parse({"method": "t(4)"} | bounds)
    assert Interval(low=None, high=1.0, level=0.9, method="t(4)").high == 1.0


@pytest.mark.parametrize("name", ["unit", "name"])
def test_a_number_has_a_name_and_a_unit(name):
    with pytest.raises(UserError, match=name):
        number(**{name: ""})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"id": "xyz"}, "id"),
        ({"status": "done"}, "status"),
        ({"schema_version": "husai.record/0"}, "schema_version"),
        ({"artefacts": [{"path": "a", "sha256": "0", "bytes": 1}]}, "sha256"),
        ({"verdict": "good"}, "unknown key 'verdict'"),
    ],
)
def test_the_schema_is_closed(changes, words):
    with pytest.raises(UserError, match=words):
        record(**changes)


values = st.floats(allow_nan=False, allow_infinity=False)


@given(st.dictionaries(st.text(max_size=5), values, max_size=5), st.text(max_size=5))
def test_a_record_comes_back_from_json_with_every_bit(by_scope, note):
    made = record(
        *(number(value=v, scope={"of": name}) for name, v in by_scope.items()), facts={"note": note}, config={"x": note}
    )
    back = RunRecord.parse(json.loads(json.dumps(made.plain())))
    assert back == made
    assert [m.value for m in back.measurements] == [m.value for m in made.measurements]
