"""Tables of a programme: what its hypotheses came to, what its studies answered, and every arm by its source."""

from __future__ import annotations

from husai.report.cells import Cell, Flag, Missing, Small, Words, with_interval
from husai.report.programme_view import FrontView, HypothesisView, ProgrammeView
from husai.report.survey_tables import joined
from husai.report.tables import Column, Table, cell

NUMBERS = {
    "explained_variance": "explained variance", "least_excess": "least excess", "mcc_signed": "stability (alive)",
    "l0": "L0", "dead_share": "dead share",
}  # fmt: skip


def hypotheses(view: ProgrammeView) -> Table:
    """Each with its state, the sentence that follows from its claims, its rule and what was not run."""
    heads = ("hypothesis", "what it says", "state", "what was found", "rule", "decided by", "not run")
    rows: list[list[Cell]] = []
    for found in view.hypotheses:
        facts = [found.fact(name) for name in ("hypothesis", "title", "state", "words", "rule_words")]
        rows.append([*facts, deciding(found), joined(found.listed("not_run"), "; ")])
    columns = [Column(head, text=True) for head in heads]
    return Table("hypotheses", "Hypotheses", columns, rows, "the programme names no hypothesis", wordy=True)


def deciding(found: HypothesisView) -> Cell:
    """Study and claim of each that decided."""
    return joined([(found.fact(f"claims.{i}.study"), "/", found.fact(f"claims.{i}.claim")) for i in found.deciding])


def claims(found: HypothesisView) -> Table:
    """Every claim that the rule looked at."""
    heads = ("claim", "what is claimed", "state", "without controls", "decides", "what was found")
    rows: list[list[Cell]] = []
    for i, claim in enumerate(found.facts["claims"]):
        name: Cell = (found.fact(f"claims.{i}.study"), "/", found.fact(f"claims.{i}.claim"))
        facts = [found.fact(f"claims.{i}.{part}") for part in ("title", "state", "without_controls")]
        decides = Flag(claim["deciding"], f"{found.view.id}@{found.at}.claims.{i}.deciding", "yes", "no", plain=True)
        rows.append([name, *facts, decides, found.fact(f"claims.{i}.words")])
    columns = [Column(head, text=True) for head in heads]
    name, why = f"claims-{found.index}", "no claim bears on it"
    return Table(name, "Every claim that its rule looked at", columns, rows, why, wordy=True)


def studies(view: ProgrammeView) -> Table:
    """What each study asked and answered."""
    heads = ("study", "kind", "run", "question", "answer")
    rows: list[list[Cell]] = []
    for found in view.studies:
        run = Words(found.facts["run"], f"{view.id}@{found.at}.run", style="name")
        asked = found.fact("question") if found.facts["question"] else "none"
        rows.append([found.fact("study"), found.fact("kind"), run, asked, _answer(found.fact("answer"))])
    return Table("studies", "Studies", [Column(head, text=True) for head in heads], rows, wordy=True)


def _answer(said: Cell) -> Cell:
    return "no answer in its record" if said == "none" else said


def front(arms: list[FrontView], number: int) -> Table:
    """Arms of one source with their numbers, and where that puts them among those that have converged."""
    columns = [Column("arm", text=True), *_shared()]
    rows: list[list[Cell]] = []
    for arm in arms:
        where = Small((joined([arm.fact(name) for name in ("study", "setting")]), ", ", arm.fact("steps"), " steps"))
        rows.append([((Words(arm.letter, "", style="tag"), " ", arm.name), where), *_found(arm)])
    return Table(f"front-{number}", "Arms, stability and reconstruction", columns, rows)


def every_arm(view: ProgrammeView) -> Table:
    """The same of all sources, for a file: every column holds one thing."""
    named = ("study", "setting", "arm", "kind", "source")
    columns = [*(Column(name, text=True) for name in named), *_shared(), Column("steps")]
    rows = [[*(arm.fact(name) for name in named), *_found(arm), arm.fact("steps")] for arm in view.front]
    return Table("front", "Arms, stability and reconstruction", columns, rows, "no survey is among the studies")


def _shared() -> list[Column]:
    heads = [Column(head, text=True) for head in ("place", "the rule says")]
    return [*heads, *(Column(head) for head in NUMBERS.values())]


def _found(arm: FrontView) -> list[Cell]:
    numbers = [cell(arm.get(name), arm.view.id, with_interval) for name in NUMBERS]
    return [standing(arm), arm.fact("says"), *numbers]


def standing(arm: FrontView) -> Cell:
    """On the front or not, and who is surely ahead; or why the arm takes no part."""
    if not arm.facts["takes_part"]:
        return arm.fact("why_not")
    if any(m is None or m.value is None for m in (arm.get("explained_variance"), arm.get("least_excess"))):
        return Missing("one of its two numbers")
    at = f"{arm.view.id}@{arm.at}.on_front"
    found: Cell = Flag(arm.facts["on_front"], at, "on the front", "not on the front", plain=True)
    behind = arm.listed("surely_behind")
    return (found, "; surely behind ", joined(behind)) if behind else found
