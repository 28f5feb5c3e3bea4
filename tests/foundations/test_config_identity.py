"""Configs are frozen values; their canonical text and hash are the same on every machine."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from husai.config import Config, canonical_json, content_hash
from husai.errors import UserError

DATA = {"b": [1, 2.5, None, True], "a": 'ä "', "c": {"z": 1e-3, "y": 1e300}}
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


class Inner(Config):
    k: int = 1


class Outer(Config):
    rate: float = 0.5
    inner: Inner = Inner()


def test_the_text_and_the_hash_are_pinned():
    assert canonical_json(DATA) == '{"a":"ä \\"","b":[1,2.5,null,true],"c":{"y":1e+300,"z":0.001}}'
    assert content_hash(DATA) == "22612c3fa9400c82b86300752d599e1f214147774b9e249d5aa8a9b72723b8c3"


def test_the_hash_is_the_same_under_another_hash_seed():
    code = f"from husai.config import content_hash; print(content_hash({DATA!r}))"
    found = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout.strip()
        for seed in ("0", "12345")
    }
    assert found == {content_hash(DATA)}


@given(plain)
def test_the_order_of_keys_does_not_matter(data):
    def turned(value):
        if isinstance(value, dict):
            return {key: turned(value[key]) for key in reversed(value)}
        return [turned(v) for v in value] if isinstance(value, list) else value

    assert canonical_json(turned(data)) == canonical_json(data)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_floats_keep_every_bit(value):
    assert float(canonical_json(value)) == value


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_nan_and_infinity_have_no_hash_and_no_place_in_a_config(value):
    with pytest.raises(ValueError, match="JSON"):
        content_hash({"x": value})
    with pytest.raises(UserError, match=r"rate: .*finite"):
        Outer.parse({"rate": value})


def test_a_config_cannot_be_changed():
    outer = Outer()
    with pytest.raises(ValidationError, match="frozen"):
        outer.rate = 1.0  # type: ignore[misc]


def test_parse_names_the_thing_and_the_nearest_key():
    with pytest.raises(UserError, match=r"^recipe x: unknown key 'rat': did you mean 'rate'\?$"):
        Outer.parse({"rat": 1}, "recipe x")
    with pytest.raises(UserError, match=r"unknown key 'inner\.kk': did you mean 'k'\?$"):
        Outer.parse({"inner": {"kk": 1}})
    with pytest.raises(UserError, match="valid dictionary"):
        Outer.parse([1, 2])


def test_yaml_comes_back():
    outer = Outer(rate=1e-3, inner=Inner(k=7))
    assert Outer.parse(yaml.safe_load(outer.to_yaml())) == outer
    assert outer.to_yaml().splitlines()[0] == "rate: 0.001"
