"""The report as a reader meets it: opened from disk, at two widths, in light and dark, sorted and filtered."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]
ROWS = "#table-features tbody tr"
KINDS = (
    "body", "nav a", ".kicker", ".hypothesis", ".state", ".how", "span.arm-0", "span.arm-1", "thead th",
    "small.interval", ".note", ".missing", ".flag.yes", "figcaption", 'a[href="features.csv"]', "dt", ".quiet",
    "td.match button", "td.none", "output", "summary", ".name",
)  # fmt: skip


@pytest.fixture
def report(built_study: Any) -> Path:
    return built_study.folder / "report.html"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
def test_opens_quietly_and_fits(open_page: Any, report: Path, width: int, scheme: str, tmp_path: Path) -> None:
    opened = open_page(report, width, scheme)
    opened.opens_quietly_and_fits(report, width)
    shot = opened.page.screenshot(path=tmp_path / "page.png")
    assert len(shot) > 10_000


def test_light_and_dark_have_contrast(open_page: Any, report: Path) -> None:
    """WCAG AA: 4.5 to 1 for text of every kind, measured on the page."""
    for scheme in ("light", "dark"):
        ratios = open_page(report, 1280, scheme).contrast(*KINDS)
        assert len(ratios) > 10
        assert {name: ratio for name, ratio in ratios.items() if ratio < 4.5} == {}, scheme


def test_alive_features_come_first_and_columns_sort(open_page: Any, report: Path, studies: Any) -> None:
    page = open_page(report).page
    total = 2 * studies.S * studies.F
    assert page.inner_text("#feature-count") == f"{total} of {total} features"
    assert page.locator(f"{ROWS}.dead").count() == 0
    assert page.get_attribute("th[data-name=alive]", "aria-sort") == "descending"

    page.click("th[data-name=frequency] button")
    first = [float(x) for x in _column(page, "frequency")]
    assert first == sorted(first, reverse=True) and first[0] > first[-1]
    assert page.get_attribute("th[data-name=frequency]", "aria-sort") == "descending"
    assert page.get_attribute("th[data-name=alive]", "aria-sort") == "none"
    page.click("th[data-name=frequency] button")
    second = [float(x) for x in _column(page, "frequency")]
    assert second == sorted(second) and second[0] == 0.0
    page.click("th[data-name=arm] button")
    assert set(_column(page, "arm")) == {"k2"}


def test_missing_values_are_named_and_sort_last(open_page: Any, report: Path) -> None:
    page = open_page(report).page
    page.select_option("#filter-seed", "0")
    page.click("th[data-name=cosine_1] button")
    for _ in range(2):
        cells = _column(page, "cosine_1")
        assert cells[-1] == "dead" and cells[0].startswith("#")
        assert "" not in cells and set(_column(page, "cosine_0")) == {"itself"}
        page.click("th[data-name=cosine_1] button")


def test_filters_and_pages(open_page: Any, report: Path, studies: Any) -> None:
    page = open_page(report).page
    assert page.inner_text("#page-at") == "page 1 of 3" and page.is_disabled("#page-back")
    page.click("#page-on")
    assert page.inner_text("#page-at") == "page 2 of 3"
    page.select_option("#filter-arm", "k2")
    page.select_option("#filter-seed", "3")
    assert page.locator(ROWS).count() == studies.F and set(_column(page, "seed")) == {"3"}
    page.check("#filter-alive")
    assert page.locator(ROWS).count() == studies.F - 1
    page.fill("#filter-feature", "5")
    assert _column(page, "feature") == ["5"]
    page.fill("#filter-feature", "999")
    assert page.locator(ROWS).count() == 0 and page.inner_text("#page-at") == "page 1 of 1"
    page.click("button[type=reset]")
    page.wait_for_function("document.querySelector('#page-at').textContent === 'page 1 of 3'")


def test_a_partner_leads_to_the_feature_it_names(open_page: Any, report: Path, built_study: Any) -> None:
    page = open_page(report).page
    page.select_option("#filter-arm", "k4")
    page.select_option("#filter-seed", "2")
    page.fill("#filter-feature", "7")
    with (built_study.folder / "features.csv").open(newline="") as handle:
        rows = {(r["arm"], r["seed"], r["feature"]): r for r in csv.DictReader(handle)}
    partner = rows["k4", "2", "7"]["partner_4"]
    page.locator(f"{ROWS} td.match button").last.click()
    assert (_column(page, "arm"), _column(page, "seed"), _column(page, "feature")) == (["k4"], ["4"], [partner])
    assert _column(page, "cosine_2")[0].startswith("#7 ")  # one to one: the partner's partner is the feature itself


def test_without_scripts_the_page_still_says_everything(open_page: Any, report: Path, built_study: Any) -> None:
    opened = open_page(report, java_script_enabled=False)
    assert opened.says("#verdict", built_study.record.facts["verdict"]["words"])
    assert opened.says("#features", "features.csv")
    assert not opened.page.is_visible("#table-features")


def test_printing_opens_everything(open_page: Any, report: Path) -> None:
    opened = open_page(report)
    opened.prints_everything()
    assert len(opened.page.pdf()) > 50_000


def test_many_features_are_drawn_in_a_moment(open_page: Any, report: Path, tmp_path: Path) -> None:
    """Two arms of 256 latents and 5 seeds: sorting redraws one page of rows, not all of them."""
    text = report.read_text()
    grown = re.sub(r"\[\n(.*)\]\}</script>", lambda m: "[\n" + _repeat(m[1], 22) + "]}</script>", text, flags=re.DOTALL)
    path = tmp_path / "many.html"
    path.write_text(grown)
    page = open_page(path).page
    assert page.inner_text("#feature-count") == "2640 of 2640 features"
    spent = page.evaluate(
        "() => { const start = performance.now(); document.querySelector('th[data-name=cosine_1] button').click();"
        " return performance.now() - start; }"
    )
    assert spent < 500
    assert page.locator(ROWS).count() == 40


def _repeat(columns: str, times: int) -> str:
    """Every column of the embedded table, `times` times over."""
    return ",\n".join(f"[{','.join([line.strip('[],')] * times)}]" for line in columns.split(",\n"))


def _column(page: Any, name: str) -> list[str]:
    """Texts of a column of the table as it is shown."""
    return page.evaluate(
        "(name) => { const heads = [...document.querySelectorAll('#table-features thead th')];"
        " const at = heads.findIndex((h) => h.dataset.name === name);"
        " return [...document.querySelectorAll('#table-features tbody tr')].map((r) => r.cells[at].innerText.trim());}",
        name,
    )
