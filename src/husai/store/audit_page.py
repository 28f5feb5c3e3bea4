"""Does a report say what its records say? Every number, word, mark in a figure and embedded file is looked up again."""

from __future__ import annotations

import base64
import binascii
import csv
import io
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from husai.errors import UserError
from husai.store.files import read_json, sha256
from husai.store.page import Element, Page, read_page
from husai.store.record import RunRecord
from husai.store.references import Library, Unreachable, Unresolved, shown

PIXEL = 0.06  # figures give positions with one decimal
EDGES = {"cx": "x", "x1": "x", "x2": "x", "x": "x", "cy": "y", "y1": "y", "y2": "y", "y": "y"}


@dataclass
class PageAudit:
    """What was looked up, what did not agree, and how much refers to records that are not here."""

    checked: dict[str, int] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)
    unreachable: int = 0

    def count(self, what: str) -> None:
        """One more of `what` looked up."""
        self.checked[what] = self.checked.get(what, 0) + 1


def audit_page(path: Path, library: Library, record: RunRecord, whole: bool) -> PageAudit:
    """Check a page against the records in `library`; `record` is that of the page's own run folder.

    `whole` says whether every record that the page may name should be here; where it is not, what cannot be looked up
    is counted in `unreachable`.
    """
    audit, page = PageAudit(), read_page(path)
    audit.findings += [f"line {line}: the number '{word}' refers to no record" for line, word in page.loose]
    for element in page.elements:
        for check in _checks(element, page, path.parent, library, record):
            try:
                check(audit)
            except Unreachable as error:
                audit.unreachable += 1
                if whole:
                    audit.findings.append(f"line {element.line}: {error}")
            except (UserError, OSError, ValueError, KeyError, TypeError, binascii.Error) as error:
                audit.findings.append(f"line {element.line}: <{element.tag}>: {error or type(error).__name__}")
    return audit


Check = Callable[[PageAudit], None]


def _checks(element: Element, page: Page, folder: Path, library: Library, record: RunRecord) -> Iterator[Check]:
    """What is to be checked of one element."""
    given = element.attributes
    if element.referenced and not element.closed:
        yield lambda audit: _differs(f"<{element.tag}> is not closed")
    if "data-digest" in given:
        yield lambda audit: _digest(audit, element, library)
    elif "data-tick" in given:
        yield lambda audit: _tick(audit, element)
    elif element.tag == "data" or "data-format" in given:
        yield lambda audit: _number(audit, element, library)
    elif "data-ref" in given:
        yield lambda audit: _words(audit, element, library)
    if "data-artefact" in given:
        yield lambda audit: _artefact(audit, element, folder, record)
    elif element.tag == "script" and "json" in given.get("type", ""):
        yield lambda audit: _differs("embedded data that name no artefact")
    for name in [name for name in given if name.startswith("data-at-")]:
        yield lambda audit, name=name: _position(audit, element, name.removeprefix("data-at-"), library)
    if element.tag == "polyline":
        yield lambda audit: _vertices(element, page)
    yield lambda audit: _links(element, folder, library)


def _differs(text: str) -> None:
    raise Unresolved(text)


def _clean(text: str) -> str:
    return " ".join(text.split())


def _number(audit: PageAudit, element: Element, library: Library) -> None:
    """Text and `value` of a <data> element against the record."""
    given = element.attributes
    ref, part = given.get("data-ref", ""), given.get("data-part", "value")
    value = library.look_up(ref, part)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Unresolved(f"{ref} holds no number ({part}: {value!r})")
    if element.tag == "data" and repr(value) != given.get("value"):
        raise Unresolved(f"value is {given.get('value')} where {ref} ({part}) holds {value!r}")
    text = shown(value, given.get("data-format", ""))
    if _clean(element.text) != text:
        raise Unresolved(f"shows {_clean(element.text)} where {ref} ({part}) holds {value!r}, shown as {text}")
    audit.count("numbers")


def _words(audit: PageAudit, element: Element, library: Library) -> None:
    """Text of an element against the words of the record; a flag shows one of its two words."""
    given = element.attributes
    ref, part = given["data-ref"], given.get("data-part", "value")
    value = library.look_up(ref, part)
    if "data-missing" in given:
        wanted = _missing(ref, part, value, library, short=given["data-missing"] == "short")
    elif isinstance(value, bool):
        wanted = given["data-yes"] if value else given["data-no"]
    else:
        wanted = str(value)
    if _clean(element.text) != _clean(wanted):
        raise Unresolved(f"says '{_clean(element.text)[:80]}' where {ref} says '{_clean(wanted)[:80]}'")
    audit.count("words")


def _missing(ref: str, part: str, value: Any, library: Library, *, short: bool) -> str:
    """What must stand where a value or its interval is not there; it may not be there."""
    if part == "no_interval":
        held = [library.look_up(ref, bound) for bound in ("low", "high")]
        what, why = "no interval", str(value)
    else:
        held = [value]
        what, why = "missing", library.look_up(ref, "reason") if "#" in ref else "not in the record"
    if any(bound is not None for bound in held):
        raise Unresolved(f"says '{what}' where {ref} holds {held}")
    return what if short else f"{what}: {why}"


def _digest(audit: PageAudit, element: Element, library: Library) -> None:
    run = element.attributes["data-digest"]
    if _clean(element.text) != library.digest(run):
        raise Unresolved(f"shows another hash than that of record {run}")
    audit.count("hashes")


def _tick(audit: PageAudit, element: Element) -> None:
    """A tick's label against its value, and its place against the axis."""
    given = element.attributes
    value = float(given["data-tick"])
    if _clean(element.text) != shown(value, given["data-format"]):
        raise Unresolved(f"the tick {_clean(element.text)} stands for {value!r}")
    _place(element, given["data-axis"], given["data-axis"], value)
    audit.count("ticks")


def _position(audit: PageAudit, element: Element, edge: str, library: Library) -> None:
    """The place of a mark against the value it stands for."""
    ref, _, part = element.attributes[f"data-at-{edge}"].rpartition("|")
    value = library.look_up(ref.removeprefix("-"), part)
    _place(element, edge, EDGES[edge], -value if ref.startswith("-") else value)
    audit.count("marks")


def _place(element: Element, edge: str, axis: str, value: float) -> None:
    low, high, first, last, scale = (element.inherited(f"data-axis-{axis}") or "").split()
    convert = {"linear": float, "log": lambda v: math.log10(1 + v)}[scale]
    a, b = convert(float(low)), convert(float(high))
    wanted = float(first) + (convert(value) - a) / (b - a) * (float(last) - float(first))
    found = float(element.attributes[edge])
    if abs(found - wanted) > PIXEL:
        raise Unresolved(f"a mark of {value!r} stands at {found}, its place is {wanted:.1f}")


def _vertices(element: Element, page: Page) -> None:
    """A curve goes through marks, and these were looked up."""
    marks = {(e.attributes.get("cx"), e.attributes.get("cy")) for e in page.elements if e.parent is element.parent}
    for vertex in element.attributes["points"].split():
        if tuple(vertex.split(",")) not in marks:
            raise Unresolved(f"the curve passes {vertex}, where there is no mark")


def _artefact(audit: PageAudit, element: Element, folder: Path, record: RunRecord) -> None:
    """An embedded copy against the artefact itself."""
    name = element.attributes["data-artefact"]
    if name not in {a.path for a in record.artefacts}:
        raise Unresolved(f"the record lists no artefact {name}")
    if element.tag in ("img", "image"):
        source = element.attributes.get("src") or element.attributes.get("href", "")
        if base64.b64decode(source.partition("base64,")[2], validate=True) != (folder / name).read_bytes():
            raise Unresolved(f"the picture is not {name}")
    else:
        _table(element, folder / name)
    audit.count("embedded files")


def _table(element: Element, path: Path) -> None:
    if element.attributes.get("data-sha256") != sha256(path):
        raise Unresolved(f"the embedded table names another hash than that of {path.name}")
    if path.suffix == ".json":
        same = json.loads(element.text) == read_json(path)
    else:
        rows = list(csv.reader(io.StringIO(path.read_text(encoding="utf-8"))))
        found = json.loads(element.text, parse_float=str, parse_int=str)
        columns = [["" if cell is None else cell for cell in column] for column in found["columns"]]
        same = [list(found["names"]), *map(list, zip(*columns, strict=True))] == rows
    if not same:
        raise Unresolved(f"the embedded table differs from {path.name}")


def _links(element: Element, folder: Path, library: Library) -> None:
    """Nothing is loaded from elsewhere; a link leads to a file beside the page, or of a run folder that is here."""
    for name in ("src", "href", "xlink:href", "action"):
        target = element.attributes.get(name, "")
        if not target or target.startswith(("#", "data:")):
            continue
        if "://" in target or target.startswith("/") or not (folder / target).is_file():
            if target.startswith("../") and element.tag == "a":
                raise Unreachable(f"{name} leads to {target[:100]}, which is not here")
            raise Unresolved(f"{name} leads to {target[:60]}, which is not beside the page")
        if ".." in Path(target).parts and not _in_a_run(folder / target, library):
            raise Unreachable(f"{name} leads to {target[:100]}, which is in no run folder")


def _in_a_run(path: Path, library: Library) -> bool:
    return path.resolve().parent in {folder.resolve() for folder in library.folders.values()}
