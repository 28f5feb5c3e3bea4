"""`path=value` on the command line: what it reaches, how it is read, and what it says when it is wrong."""

from __future__ import annotations

from typing import Annotated, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from husai.config import Config
from husai.errors import UserError


class Small(Config):
    kind: Literal["small"] = "small"
    k: int = Field(default=4, ge=1)
    rate: float = 0.1


class Large(Config):
    kind: Literal["large"] = "large"
    width: int = 8


Part = Annotated[Small | Large, Field(discriminator="kind")]


class Whole(Config):
    name: str = "x"
    flag: bool = False
    most: int | None = None
    part: Part = Small()
    parts: tuple[Part, ...] = (Small(k=1), Large())
    words: tuple[str, ...] = ("a", "b")


def refused(*assignments: str) -> str:
    with pytest.raises(UserError) as caught:
        Whole().override(list(assignments))
    return str(caught.value)


@pytest.mark.parametrize(
    ("assignment", "expected"),
    [
        ("name=y", Whole(name="y")),
        ("part.k=7", Whole(part=Small(k=7))),
        (" part.k = 7", Whole(part=Small(k=7))),
        ("part.rate=1e-3", Whole(part=Small(rate=0.001))),
        ("part.rate=-1.5E+2", Whole(part=Small(rate=-150.0))),
        ("part.k=1e3", Whole(part=Small(k=1000))),
        ("part.rate=3", Whole(part=Small(rate=3.0))),
        ("parts.1.width=9", Whole(parts=(Small(k=1), Large(width=9)))),
        ("words=[c, d]", Whole(words=("c", "d"))),
        ("words.1=z", Whole(words=("a", "z"))),
        ("words=[]", Whole(words=())),
        ("most=5", Whole(most=5)),
        ("most=null", Whole()),
        ("flag=true", Whole(flag=True)),
        ("part={kind: large, width: 3}", Whole(part=Large(width=3))),
        ("name=a=b", Whole(name="a=b")),
        ("name=", None),
    ],
)
def test_a_path_reaches_its_field(assignment, expected):
    if expected is None:
        assert "name" in refused(assignment)
        return
    found = Whole().override([assignment])
    assert found == expected
    assert Whole.parse(found.plain()) == found


@pytest.mark.parametrize("text", ["'1e5'", '"1e5"', "'3'", '"true"', "'[a]'", '"null"'])
def test_what_is_quoted_stays_text(text):
    assert Whole().override([f"name={text}"]).name == text[1:-1]


def test_text_that_only_looks_like_a_number_stays_text():
    for text in ("nan", "inf", "infinity", "1_0e", "e5", "1e", "0x"):
        assert Whole().override([f"name={text}"]).name == text


def test_later_assignments_see_earlier_ones():
    found = Whole().override(["part={kind: large, width: 3}", "part.width=4", "part.width=5"])
    assert found.part == Large(width=5)


def test_the_original_is_not_touched():
    whole = Whole()
    whole.override(["part.k=9", "words.0=q"])
    assert whole == Whole()


@pytest.mark.parametrize(
    ("assignment", "parts"),
    [
        ("nam=y", ("unknown key 'nam'", "did you mean 'name'?")),
        ("part.K=5", ("unknown key 'K'", "did you mean 'k'?")),
        ("part.zzzzzz=5", ("unknown key 'zzzzzz'", "valid: k, kind, rate")),
        ("parts.2.k=5", ("'2' is not an index", "0 to 1")),
        ("parts.-1.k=5", ("'-1' is not an index",)),
        ("parts.x=5", ("'x' is not an index",)),
        ("name.x=5", ("'name' has no parts",)),
        ("most.x=5", ("'most' has no parts",)),
        ("part.k", ("write path=value",)),
        ("=5", ("unknown key ''",)),
        (".=5", ("unknown key ''",)),
        ("part.k=[1", ("not readable as YAML", "quote")),
        ("part.k={a: b", ("not readable as YAML",)),
        ("name=@x", ("not readable as YAML",)),
        ("part.k=four", ("part.small.k", "valid integer", "'four'")),
        ("part.k=1.5", ("part.small.k", "integer")),
        ("part.k=0", ("part.small.k", "greater than or equal to 1", "(given: 0)")),
        ("part.k=null", ("part.small.k", "given: None")),
        ("part.k=[1]", ("part.small.k", "valid integer")),
        ("part.k=true", ("part.k", "a number is needed, not true")),
        ("part.rate=off", ("part.rate", "a number is needed, not false")),
        ("part.rate=.nan", ("part.small.rate", "finite")),
        ("part.rate=.inf", ("part.small.rate", "finite")),
        ("part=5", ("part",)),
        ("part.kind=huge", ("part", "'small', 'large'")),
        ("part={kind: large, widht: 3}", ("part.large.widht", "did you mean 'width'?")),
        ("name=5", ("name", "valid string")),
        ("words=a", ("words", "valid tuple")),
    ],
)
def test_what_is_wrong_is_named_in_one_line(assignment, parts):
    said = refused(assignment)
    assert "\n" not in said
    assert said.startswith("--set ")
    for part in parts:
        assert part in said


@given(st.text(max_size=30), st.text(max_size=30))
def test_no_assignment_breaks_it(path, value):
    try:
        found = Whole().override([f"{path}={value}"])
    except UserError:
        return
    assert Whole.parse(found.plain()) == found


def test_another_kind_keeps_what_was_declared_and_takes_its_own_defaults() -> None:
    assert Whole().override(["part.kind=large"]) == Whole(part=Large())
    assert Whole().override(["part.kind=large", "part.width=3"]) == Whole(part=Large(width=3))
    assert Whole().override(["parts.1.kind=small", "parts.1.k=2"]) == Whole(parts=(Small(k=1), Small(k=2)))
    assert Whole().override(["part.k=7", "part.kind=small"]) == Whole(part=Small(k=7))
    assert (
        refused("part.k=7", "part.kind=large")
        == "--set part.kind=large: unknown key 'part.large.k': valid: kind, width"
    )
    assert refused("parts.7.kind=large") == "--set parts.7.kind: '7' is not an index; valid: 0 to 1"
    assert refused("prat.kind=large") == "--set prat.kind: unknown key 'prat': did you mean 'part'?"


class Perhaps(Config):
    part: Part | None = None


def test_a_kind_where_there_is_nothing_yet_makes_it() -> None:
    assert Perhaps().override(["part.kind=large"]) == Perhaps(part=Large())
    assert Perhaps().override(["part.kind=large", "part.width=3"]) == Perhaps(part=Large(width=3))
    with pytest.raises(UserError, match="'part' has no parts"):
        Perhaps().override(["part.width=3"])
    with pytest.raises(UserError, match="unknown key 'prat'"):
        Perhaps().override(["prat.kind=large"])
