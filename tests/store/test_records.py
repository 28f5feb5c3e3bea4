"""The record: missing is a state, nothing is measured twice, and what is not there is said."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from husai.errors import UserError
from husai.store.provenance import now, provenance
from husai.store.ranges import RANGES, range_of
from husai.store.record import Interval, Measurement, RunRecord
from husai.store.references import part_of

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


def bounded(name: str, low: float | None, high: float | None) -> Measurement:
    value = next(b for b in (low, high) if b is not None)
    found = Interval(low=low, high=high, level=0.95, method="t")
    return Measurement(name=name, value=value, unit="u", interval=found)


@pytest.mark.parametrize(
    ("name", "low", "high", "shown"),
    [
        ("accuracy", 0.97, 1.02, (0.97, 1.0)),
        ("dead_share", -0.01, 0.03, (0.0, 0.03)),
        ("shared_at(0.7)", -0.2, 1.3, (0.0, 1.0)),
        ("subspace_overlap(8)", 0.9, 1.1, (0.9, 1.0)),
        ("mcc_signed", -1.1, 1.1, (-1.0, 1.0)),
        ("mcc_signed.stratum", 0.9, 1.1, (0.9, 1.0)),
        ("mcc_abs", -0.1, 0.2, (0.0, 0.2)),
        ("mcc_signed.normalised", -3.0, 1.1, (-3.0, 1.0)),
        ("mcc_abs.normalised", -0.5, 0.9, (-0.5, 0.9)),
        ("explained_variance", -4.0, 1.01, (-4.0, 1.0)),
        ("explained_variance.without_outliers", -4.0, 1.01, (-4.0, 1.0)),
        ("cross_entropy", -0.1, 7.0, (0.0, 7.0)),
        ("matching_margin", -2.5, 1.5, (-2.0, 1.5)),
        ("loss_recovered", -1.2, 1.2, (-1.2, 1.2)),
        ("difference", -1.3, 1.2, (-1.3, 1.2)),
        ("excess", -2.3, 2.2, (-2.3, 2.2)),
        ("explained_variance_change", -1.3, 1.2, (-1.3, 1.2)),
        ("anything_else", -9.0, 9.0, (-9.0, 9.0)),
        ("accuracy", None, 1.1, (None, 1.0)),
        ("accuracy", 1.01, 1.02, (1.0, 1.0)),
    ],
)
def test_an_interval_is_shown_within_the_range_of_its_quantity_and_kept_as_it_was(name, low, high, shown) -> None:
    made = bounded(name, low, high)
    found = made.shown_interval
    assert found is not None and (found.low, found.high) == shown
    assert made.interval is not None and (made.interval.low, made.interval.high) == (low, high)
    assert made.plain()["interval"]["high"] == high
    assert (part_of(made, "low"), part_of(made, "high")) == shown
    assert Measurement(name=name, value=0.5, unit="u").shown_interval is None


@given(st.sampled_from([*RANGES, "mcc_abs.normalised", "shared_at(0.5)"]), st.lists(st.floats(-9, 9), min_size=2))
def test_a_shown_interval_is_ordered_and_never_wider(name: str, ends: list[float]) -> None:
    low, high = min(ends), max(ends)
    found = bounded(name, low, high).shown_interval
    least, most = range_of(name)
    assert found is not None and found.low is not None and found.high is not None
    assert least <= found.low <= found.high <= most
    if least <= low and high <= most:
        assert (found.low, found.high) == (low, high)
