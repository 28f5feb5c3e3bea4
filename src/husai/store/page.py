"""Reading a report page as it is: every element, the text in it, and every number that refers to nothing."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
UNSEEN = {"script", "style"}
# Attributes that a reader sees or hears.
SPOKEN = ("alt", "title", "aria-label", "aria-description", "placeholder", "content")
REFERENCES = ("data-ref", "data-digest", "data-tick")
# A digit inside a name is no number: L0, k4, gaussian-2, blocks.0.hook_resid_post, mcc_signed. T/2 is half the budget.
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:[.-][A-Za-z0-9_]+)*")
NAMES = {"T/2", "utf-8"}


@dataclass
class Element:
    """An element of the page: attributes, the text inside, the line it starts on, and what encloses it."""

    tag: str
    attributes: dict[str, str]
    line: int
    parent: Element | None
    text: str = ""
    closed: bool = False

    @property
    def referenced(self) -> bool:
        """Whether its text is checked against what it refers to."""
        return self.tag == "data" or any(name in self.attributes for name in REFERENCES)

    def inherited(self, name: str) -> str | None:
        """The attribute of this element or of the nearest one around it that has it."""
        at: Element | None = self
        while at is not None:
            if name in at.attributes:
                return at.attributes[name]
            at = at.parent
        return None


@dataclass
class Page:
    """All elements in their order, and the words with numbers outside of every referenced element."""

    elements: list[Element] = field(default_factory=list)
    loose: list[tuple[int, str]] = field(default_factory=list)


def numbers_in(text: str) -> list[str]:
    """Words of `text` that hold a digit and are not names."""
    words = [word.strip("()[]{},;:.\"'“”\u2018\u2019…!?") for word in text.split()]
    held = [word for word in words if any(c.isnumeric() for c in word)]
    return [word for word in held if word not in NAMES and not NAME.fullmatch(word)]


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.page = Page()
        self.open: list[Element] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = self._add(tag, attrs)
        if tag not in VOID:
            self.open.append(element)
        else:
            element.closed = True

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._add(tag, attrs).closed = True

    def handle_endtag(self, tag: str) -> None:
        if any(element.tag == tag for element in self.open):
            while self.open:
                element = self.open.pop()
                element.closed = element.tag == tag
                if element.closed:
                    break

    def handle_data(self, data: str) -> None:
        for element in self.open:
            if element.referenced or element.tag in UNSEEN:
                element.text += data
        if not any(element.referenced or element.tag in UNSEEN for element in self.open):
            self.page.loose += [(self.getpos()[0], word) for word in numbers_in(data)]

    def _add(self, tag: str, attrs: list[tuple[str, str | None]]) -> Element:
        attributes = {name: value or "" for name, value in attrs}
        element = Element(tag, attributes, self.getpos()[0], self.open[-1] if self.open else None)
        self.page.elements.append(element)
        if "charset" not in attributes and attributes.get("name") != "viewport":
            for name in SPOKEN:
                self.page.loose += [(element.line, word) for word in numbers_in(attributes.get(name, ""))]
        return element


def read_page(path: Path) -> Page:
    """Parse a page; what is not closed is left marked so."""
    reader = _Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    reader.close()
    return reader.page
