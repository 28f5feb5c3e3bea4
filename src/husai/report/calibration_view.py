"""What a calibration recommends, by which criteria, from which candidates: read from the facts of its survey."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from husai.report.cells import Cell, Flag, Number, Words, with_interval
from husai.report.figure import Axis, Curve, Dot, Figure, Item, Panel, Stroke, number, spanning
from husai.report.figures import point
from husai.report.survey_view import SurveyView
from husai.report.tables import Column, Table, cell
from husai.store.record import Measurement

SCORE = "decoder_projection"
AT = "facts.calibration"


@dataclass(frozen=True)
class Calibrated:
    """The calibration in a survey's record; a search by its place there: `search`, `twins.0` ..."""

    view: SurveyView

    @property
    def facts(self) -> dict[str, Any]:
        """What was concluded."""
        return self.view.facts["calibration"]

    @property
    def words(self) -> Cell:
        """The recommendation, or why there is none."""
        return self.view.fact(f"{AT}.words")

    @property
    def name(self) -> str:
        """Of the style in which it stands."""
        return "supported" if self.facts["recommended"] is not None else "undecided"

    @property
    def searches(self) -> list[Search]:
        """On the source itself, then on each twin."""
        twins = [Search(self, f"twins.{i}", twin) for i, twin in enumerate(self.facts["twins"])]
        return [Search(self, "search", self.facts["search"]), *twins]

    @property
    def about(self) -> list[tuple[Cell, Cell]]:
        """What was fixed beforehand."""
        found: list[tuple[Cell, Cell]] = [("least explained variance", self.view.fact(f"{AT}.ev_floor"))]
        return [*found, ("the same k within a factor", self.view.fact(f"{AT}.within"))]

    @property
    def against(self) -> list[Cell]:
        """The winner against the reference on fresh seeds, in words."""
        return self.view.listed(f"{AT}.against_reference")


@dataclass(frozen=True)
class Search:
    """One search: its candidates in the order of k."""

    of: Calibrated
    place: str
    facts: dict[str, Any]

    @property
    def at(self) -> str:
        """Its place in the record."""
        return f"{AT}.{self.place}"

    @property
    def title(self) -> Cell:
        """What was searched on."""
        view = self.of.view
        if self.facts["setting"] not in view.settings:
            return Words(self.facts["setting"], f"{view.id}@{self.at}.setting")
        return view.fact(f"facts.settings.{view.settings.index(self.facts['setting'])}.title")

    def fact(self, path: str) -> Cell:
        """What stands below its place."""
        return self.of.view.fact(f"{self.at}.{path}")

    def k(self, index: int) -> Number:
        """A candidate's k, as a place in a figure."""
        value = self.facts["candidates"][index]["k"]
        return Number(value, f"{self.of.view.id}@{self.at}.candidates.{index}.k", "value", "d")

    def measured(self, index: int, name: str) -> Measurement | None:
        """A measurement of a candidate's arm, which is named for its k."""
        arm = f"k{self.facts['candidates'][index]['k']}"
        return self.of.view.get(name, setting=self.facts["setting"], arm=arm)


def calibrated(view: SurveyView) -> Calibrated | None:
    """None where the survey is no calibration."""
    return Calibrated(view) if view.facts.get("calibration") else None


def criteria(found: Calibrated) -> Table:
    """What has to hold, and whether it does."""
    columns = [Column("criterion", text=True), Column("holds", text=True), Column("what was found", text=True)]
    rows: list[list[Cell]] = []
    for i, entry in enumerate(found.facts["criteria"]):
        at = f"{AT}.criteria.{i}"
        holds = Flag(entry["holds"], f"{found.view.id}@{at}.holds", "holds", "does not hold")
        rows.append([found.view.fact(f"{at}.criterion"), holds, found.view.fact(f"{at}.words")])
    return Table("criteria", "What a recommendation needs", columns, rows, wordy=True)


def candidates(search: Search) -> Table:
    """Every k of one search: what it is ranked by, and why it cannot win where it cannot."""
    columns = [Column("k"), Column("lower bound of the least excess"), Column("explained variance")]
    columns += [Column("decoder projection"), Column("place", text=True)]
    rows = [_candidate(search, i) for i in range(len(search.facts["candidates"]))]
    name = search.place.replace(".", "-")
    return Table(f"candidates-{name}", "Candidates", columns, rows)


def _candidate(search: Search, index: int) -> list[Cell]:
    at, facts = f"candidates.{index}", search.facts["candidates"][index]
    score = cell(search.measured(index, SCORE), search.of.view.id, with_interval)
    shown = [search.fact(f"{at}.{name}") for name in ("k", "bound", "explained_variance")]
    place: Cell = "may win, and does not"
    if facts["why_not"]:
        place = search.fact(f"{at}.why_not")
    elif facts["k"] == search.facts["winner"]:
        place = ("wins (k = ", search.fact("winner"), ")")
    return [*shown, score, place]


def projections(found: Calibrated) -> Figure:
    """Decoder projection against k, a small panel for each search: it falls to the k of the data, then is flat."""
    panels = [panel for search in found.searches if (panel := _panel(search)) is not None]
    alt = "Decoder projection against k, with intervals over seeds, for each search"
    won = any(search.facts["winner"] is not None for search in found.searches)
    legend: list[tuple[str, Cell]] = [("key-line dashed", "the k that wins the search")] if panels and won else []
    return Figure("projections", "Decoder projection against k", alt, panels, legend=legend, columns=3)


def _panel(search: Search) -> Panel | None:
    dots, bars, run = [], list[Item](), search.of.view.id
    for i in range(len(search.facts["candidates"])):
        m = search.measured(i, SCORE)
        at = point(m, run)
        if at is not None:
            dots.append(Dot(search.k(i), at, "arm-0"))
            low, high = point(m, run, "low"), point(m, run, "high")
            bars += [Stroke(search.k(i), low, search.k(i), high, "arm-0", 1)] if low and high else []
    if not dots:
        return None
    x = _k_axis([number(dot.x) for dot in dots])
    ends = [number(end) for bar in bars if isinstance(bar, Stroke) for end in (bar.y1, bar.y2)]
    y = spanning("decoder projection", [*(number(dot.y) for dot in dots), *ends])
    items = [*_winner(search, y), *bars, Curve(tuple(dots), "arm-0")]
    return Panel(x, y, items, search.title, 320, 240)


def _winner(search: Search, y: Axis) -> list[Item]:
    """A line at the k that wins."""
    if search.facts["winner"] is None:
        return []
    at = Number(search.facts["winner"], f"{search.of.view.id}@{search.at}.winner", "value", "d")
    return [Stroke(at, y.low, at, y.high, "ink", 1, dashed=True)]


def _k_axis(ks: list[float]) -> Axis:
    low, high = min(ks) * 0.85, max(ks) * 1.15
    return Axis("k", low, high, tuple(sorted(set(ks))), ".0f", "log")
