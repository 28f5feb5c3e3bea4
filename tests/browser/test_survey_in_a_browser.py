"""The report of a survey as a reader meets it: from disk, wide and narrow, in light and dark, on paper."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]
KINDS = (
    "body", "nav a", ".kicker", ".words", ".found a", ".how", ".tag", ".arm-name", "thead th", "small.interval",
    ".quiet", ".flag.yes", ".flag.no", "figcaption", ".legend li", "dt", 'a[href="arms.csv"]', "summary", ".name",
    "svg .label.ink", "svg .label.muted", "svg .tick",
)  # fmt: skip


@pytest.fixture
def report(built_survey: Any) -> Path:
    return built_survey.folder / "report.html"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
def test_opens_quietly_and_fits(open_page: Any, report: Path, width: int, scheme: str) -> None:
    open_page(report, width, scheme).opens_quietly_and_fits(report, width)


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
        ratios = open_page(report, 1280, scheme).contrast(*KINDS)
        assert len(ratios) > 10
        assert {name: ratio for name, ratio in ratios.items() if ratio < 4.5} == {}, scheme


def test_links_lead_to_tables_and_printing_opens_everything(open_page: Any, report: Path) -> None:
    opened = open_page(report, reduced_motion="reduce")
    opened.page.click("#answer dl a >> nth=1")
    assert abs(opened.page.evaluate("document.querySelector('#comparison-1').getBoundingClientRect().top")) < 120
    opened.prints_everything()


def test_without_scripts_the_page_says_everything(open_page: Any, report: Path, built_survey: Any) -> None:
    opened = open_page(report, java_script_enabled=False)
    assert opened.says("#answer", built_survey.record.facts["answer"])
