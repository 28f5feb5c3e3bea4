"""Headless Chromium through playwright; without either, these tests are skipped and say why."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@dataclass
class Opened:
    """A page, with everything that it complained about and asked for."""

    page: Any
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def opens_quietly_and_fits(self, path: Path, width: int) -> None:
        """No complaint, no request but for the file itself, and nothing outside the window with everything open."""
        assert self.complaints == []
        assert [url for url in self.requests if not url.startswith("data:")] == [path.as_uri()]
        self.page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
        assert self.page.evaluate("document.documentElement.scrollWidth") <= width
        assert self.page.evaluate(OUTSIDE) == []

    def contrast(self, *kinds: str) -> dict[str, float]:
        """Contrast of the first element of each kind with what is behind it; for `svg`, of its fill with the page."""
        return self.page.evaluate(CONTRAST, list(kinds))

    def prints_everything(self) -> None:
        """On paper every part is open, and no table is wider than the sheet."""
        self.page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
        assert self.page.locator("details:not([open])").count() == 0
        self.page.set_viewport_size({"width": 720, "height": 900})  # A4 without its margins
        self.page.emulate_media(media="print")
        assert self.page.evaluate(
            "[...document.querySelectorAll('table')].every((t) => t.getBoundingClientRect().right <= 721)"
        )

    def says(self, part: str, words: str) -> bool:
        """Whether the words stand in the part of the page, however its lines are broken."""
        return words in " ".join(self.page.inner_text(part).split())


OUTSIDE = """[...document.querySelectorAll('p, li, h1, h2, h3, dt, dd, figcaption, svg')]
  .filter((e) => !e.closest('.scroll, nav') && e.getBoundingClientRect().right > innerWidth + 1)
  .map((e) => e.outerHTML.slice(0, 80))"""
CONTRAST = """(kinds) => {
  const parse = (c) => c.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (e) => {
    const c = e ? parse(getComputedStyle(e).backgroundColor) : [255, 255, 255];
    if (c.length < 4 || c[3] === 1) return c.slice(0, 3);
    const below = behind(e.parentElement);
    return below.map((v, i) => v * (1 - c[3]) + c[i] * c[3]);
  };
  const found = {};
  for (const kind of kinds) {
    const e = document.querySelector(kind), drawn = kind.startsWith('svg');
    if (!e) continue;
    const style = getComputedStyle(e);
    const pair = [light(parse(drawn ? style.fill : style.color)), light(behind(drawn ? document.body : e))];
    const [a, b] = pair.sort((x, y) => y - x);
    found[kind] = (a + 0.05) / (b + 0.05);
  }
  return found;
}"""


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = next((found for name in NAMES if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip(f"no browser on this machine: none of {', '.join(NAMES)} was found")
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=path, args=FLAGS)
        yield started
        started.close()


@pytest.fixture
def open_page(browser: Any) -> Iterator[Any]:
    """Opens a file at a width in a colour scheme, without a network."""
    contexts = []

    def open_at(path: Path, width: int = 1280, scheme: str = "light", **more: Any) -> Opened:
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, **more)
        contexts.append(context)
        page = context.new_page()
        opened = Opened(page)
        page.on("console", lambda m: opened.complaints.append(m.text) if m.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: opened.complaints.append(str(error)))
        page.on("request", lambda request: opened.requests.append(request.url))
        page.goto(path.as_uri())
        page.wait_for_load_state("load")
        return opened

    yield open_at
    for context in contexts:
        context.close()
