"""The report of a survey as a reader meets it: from disk, wide and narrow, in light and dark, on paper."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]


@pytest.fixture
def report(built_survey: Any) -> Path:
    return built_survey.folder / "report.html"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
def test_opens_quietly_and_fits(open_page: Any, report: Path, width: int, scheme: str) -> None:
    opened = open_page(report, width, scheme)
    page = opened.page
    assert opened.complaints == []
    assert [url for url in opened.requests if not url.startswith("data:")] == [report.as_uri()]
    page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    shown = page.evaluate(
        "[...document.querySelectorAll('p, li, h1, h2, h3, dt, dd, figcaption, svg')]"
        ".filter((e) => !e.closest('.scroll, nav') && e.getBoundingClientRect().right > innerWidth + 1)"
        ".map((e) => e.outerHTML.slice(0, 80))"
    )
    assert shown == []


def test_the_tables_of_arms_need_no_scrolling_on_a_wide_screen(open_page: Any, report: Path) -> None:
    page = open_page(report).page
    wide = page.evaluate(
        "[...document.querySelectorAll('[id^=table-arms-]')].map((t) => t.parentElement)"
        ".filter((e) => e.scrollWidth > e.clientWidth).length"
    )
    assert wide == 0


def test_a_pointer_learns_which_arm_a_mark_is(open_page: Any, report: Path) -> None:
    page = open_page(report).page
    titles = page.evaluate(
        "[...document.querySelectorAll('#figure-sparsity-0-beyond-0 circle title')].map((t) => t.textContent)"
    )
    assert sorted(set(titles)) == sorted(f"{kind}-{l0}" for kind in ("topk", "relu", "batchtopk") for l0 in (2, 4))


def test_light_and_dark_have_contrast(open_page: Any, report: Path) -> None:
    """WCAG AA: 4.5 to 1 for words, and for the letters in figures."""
    for scheme in ("light", "dark"):
        page = open_page(report, 1280, scheme).page
        ratios = page.evaluate(CONTRAST)
        assert len(ratios) > 10
        assert {name: ratio for name, ratio in ratios.items() if ratio < 4.5} == {}, scheme


def test_links_lead_to_tables_and_printing_opens_everything(open_page: Any, report: Path) -> None:
    page = open_page(report, reduced_motion="reduce").page
    page.click("#answer dl a >> nth=1")
    assert abs(page.evaluate("document.querySelector('#comparison-1').getBoundingClientRect().top")) < 120
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert page.locator("details:not([open])").count() == 0
    page.set_viewport_size({"width": 720, "height": 900})  # A4 without its margins
    page.emulate_media(media="print")
    assert page.evaluate("[...document.querySelectorAll('table')].every((t) => t.getBoundingClientRect().right <= 721)")


def test_without_scripts_the_page_says_everything(open_page: Any, report: Path, built_survey: Any) -> None:
    page = open_page(report, java_script_enabled=False).page
    assert built_survey.record.facts["answer"] in " ".join(page.inner_text("#answer").split())


CONTRAST = """() => {
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
  const kinds = ['body', 'nav a', '.kicker', '.words', '.found a', '.how', '.tag', '.arm-name', 'thead th',
    'small.interval', '.quiet', '.flag.yes', '.flag.no', 'figcaption', '.legend li', 'dt', 'a[href="arms.csv"]',
    'summary', '.name'];
  const found = {};
  for (const kind of kinds) {
    const e = document.querySelector(kind);
    if (!e) continue;
    const [a, b] = [light(parse(getComputedStyle(e).color)), light(behind(e))].sort((x, y) => y - x);
    found[kind] = (a + 0.05) / (b + 0.05);
  }
  for (const kind of ['svg .label.ink', 'svg .label.muted', 'svg .tick']) {
    const e = document.querySelector(kind), page = light(behind(document.body));
    const [a, b] = [light(parse(getComputedStyle(e).fill)), page].sort((x, y) => y - x);
    found[kind] = (a + 0.05) / (b + 0.05);
  }
  return found;
}"""
