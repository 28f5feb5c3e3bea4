"""The pages of a programme, and of a survey with claims and a calibration, as a reader meets them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]
PAGES = ("programme", "claimed", "calibrated")
SHOWN = (
    "body", "h3", ".kicker", ".lead", ".how", ".bare", ".quiet", ".state-supported .state",
    ".state-not-supported .state", ".state-undecided .state", ".state-not-run .state", ".state-supported .sign",
    ".state-not-supported .sign", ".state-not-run .sign", ".flag.yes", ".flag.no", "dt", "small.interval", ".note",
)  # fmt: skip


def path_of(built_programme: Any, name: str) -> Path:
    built = built_programme if name == "programme" else getattr(built_programme, name)
    return built.folder / "report.html"


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (400, "dark")])
def test_opens_quietly_and_fits(open_page: Any, built_programme: Any, name: str, width: int, scheme: str) -> None:
    path = path_of(built_programme, name)
    opened = open_page(path, width, scheme)
    page = opened.page
    assert opened.complaints == []
    assert [url for url in opened.requests if not url.startswith("data:")] == [path.as_uri()]
    page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    shown = page.evaluate(
        "[...document.querySelectorAll('p, li, h1, h2, h3, dt, dd, figcaption, svg')]"
        ".filter((e) => !e.closest('.scroll, nav') && e.getBoundingClientRect().right > innerWidth + 1)"
        ".map((e) => e.outerHTML.slice(0, 80))"
    )
    assert shown == []
    tall = page.evaluate(
        "[...document.querySelectorAll('dd')].filter((e) => e.getBoundingClientRect().height > 300)"
        ".map((e) => e.innerText.slice(0, 80))"
    )
    assert tall == [], "words set letter by letter"


def test_wide_tables_need_no_scrolling_on_a_wide_screen(open_page: Any, built_programme: Any) -> None:
    for name, tables in (("programme", "front"), ("claimed", "levels"), ("claimed", "claim"), ("calibrated", "c")):
        page = open_page(path_of(built_programme, name)).page
        wide = page.evaluate(
            "(name) => [...document.querySelectorAll(`[id^=table-${name}]`)].map((t) => t.parentElement)"
            ".filter((e) => e.offsetParent && e.scrollWidth > e.clientWidth).length",
            tables,
        )
        assert wide == 0, name


def test_light_and_dark_have_contrast(open_page: Any, built_programme: Any) -> None:
    """WCAG AA: 4.5 to 1 for the words of every state, and for the sign on its colour."""
    for scheme in ("light", "dark"):
        for name in PAGES:
            ratios = open_page(path_of(built_programme, name), 1280, scheme).contrast(*SHOWN)
            assert {kind: ratio for kind, ratio in ratios.items() if ratio < 4.5} == {}, f"{name}, {scheme}"
            assert len(ratios) > 4


def test_from_a_hypothesis_to_the_report_of_its_study(open_page: Any, built_programme: Any) -> None:
    page = open_page(path_of(built_programme, "programme")).page
    page.click("#studies a >> nth=0")
    page.wait_for_url("**/claimed_*/report.html")
    assert "1 supported, 2 not supported" in page.inner_text("#answer")


def test_without_scripts_the_pages_say_everything(open_page: Any, built_programme: Any) -> None:
    for name, place in zip(PAGES, ("#hypotheses", "#claims", "#calibration"), strict=True):
        page = open_page(path_of(built_programme, name), java_script_enabled=False).page
        assert "supported" in " ".join(page.inner_text(place).split())
