"""Tables of a survey: arms beside their controls, the worth of their numbers, truth, convergence, SAEs, sources."""

from __future__ import annotations

from husai.report.cells import Cell, Flag, Missing, Number, Small, Words, fact, with_interval
from husai.report.survey_view import ArmView, Comparison, SurveyView
from husai.report.tables import FOUND, QUALITY, Column, Table, cell, first_level, found_at
from husai.report.view import STATISTIC, Upstream, source_order

EMPTY = "no arm is in the record"


def arm_name(arm: ArmView) -> Cell:
    """Letter and name."""
    return (Words(arm.letter, "", style="tag"), " ", arm.name)


def level(view: SurveyView) -> Cell:
    """The one level of the intervals of stability."""
    return first_level(view.record.select(STATISTIC), view.id)


def settings(view: SurveyView) -> Table:
    """What was run."""
    columns = [Column("setting", text=True), Column("what it is", text=True), Column("arms"), Column("seeds")]
    columns += [Column("steps, at first"), Column("steps, at most"), Column("controls", text=True)]
    columns += [Column("what varied between seeds", text=True)]
    rows: list[list[Cell]] = []
    for i in range(len(view.settings)):
        at, declared = f"facts.settings.{i}", f"config.settings.{i}"
        numbers = [view.fact(f"{declared}.{name}") for name in ("seeds", "training.steps", "max_steps")]
        arms = [view.fact(f"facts.comparisons.{j}.arms") for j in _entries(view, i)]
        row: list[Cell] = [view.setting(i), view.fact(f"{at}.title"), joined(arms, " + "), *numbers]
        rows.append([*row, joined(view.listed(f"{at}.controls")), view.fact(f"{at}.what_varied")])
    return Table("settings", "Settings", columns, rows, wordy=True)


def _entries(view: SurveyView, setting: int) -> list[int]:
    found = view.facts.get("comparisons", [])
    return [i for i, entry in enumerate(found) if entry["setting"] == view.settings[setting]]


def joined(cells: list[Cell], between: str = ", ") -> Cell:
    """Cells in a row."""
    return tuple(part for found in cells for part in (between, found))[1:] if cells else "none"


def arms(table: Comparison) -> Table:
    """Every arm: what it costs, how stable it is beyond each control, and where that puts it."""
    controls = table.arms[0].controls
    columns = [Column(head, text=True) for head in ("arm", "place, or why it has none", "the rule says")]
    columns += [Column("L0"), Column("explained variance")]
    columns += [Column("alive", "stability, latents"), Column("all", "stability, latents")]
    columns += [Column(_control(table, name), "excess over") for name in controls]
    rows = [_arm_row(arm, controls) for arm in table.ordered]
    return Table(f"arms-{table.number}", "Arms and controls", columns, rows, EMPTY)


def _control(table: Comparison, name: str) -> Cell:
    m = table.arms[0].get("excess", control=name, level="0.95")
    return Words(name, f"{table.view.id}#{m.key}", "scope.control", "source") if m else name


def _arm_row(arm: ArmView, controls: list[str]) -> list[Cell]:
    found = [arm.on_source("l0"), arm.on_source("explained_variance")]
    found += [arm.on_source(STATISTIC, population=population) for population in ("alive", "all")]
    found += [arm.get("excess", control=name, level="0.95") for name in controls]
    how = Small((arm.fact("steps"), " steps, ", arm.fact("engine")))
    shown = [cell(m, arm.view.id, with_interval) for m in found]
    return [(arm_name(arm), how), standing(arm), arm.fact("says"), *shown]


def standing(arm: ArmView) -> Cell:
    """Rank, front and who is surely ahead; or why the arm takes no part."""
    if not arm.takes_part:
        return joined(arm.listed("reasons"), "; ")
    if arm.rank is None:
        return "no ranking: nothing to be compared with"
    at = f"{arm.view.id}@facts.arms.{arm.index}.rank"
    front = Flag(arm.rank["on_front"], f"{at}.on_front", "on the front", "not on the front", plain=True)
    place: list[Cell] = [arm.fact("rank.rank"), " of ", arm.fact("rank.of"), ", ", front]
    behind = arm.listed("rank.surely_behind")
    return (*place, Small(("surely behind ", joined(behind)))) if behind else tuple(place)


def quality(table: Comparison) -> Table:
    """What every stability is worth: a collapsed dictionary matches anything, an untrained one its own start."""
    wanted = [entry for entry in QUALITY if entry[1] not in ("explained_variance", "l0")]
    wanted.insert(0, ("mean squared error", "mse", {}))
    columns = [Column("arm", text=True), *(Column(head) for head, *_ in wanted), Column("seconds of its steps")]
    rows: list[list[Cell]] = []
    for arm in table.ordered:
        found = [cell(arm.on_source(name, **scope), arm.view.id, with_interval) for _, name, scope in wanted]
        rows.append([arm_name(arm), *found, _seconds(arm)])
    return Table(f"quality-{table.number}", "What the stability is worth", columns, rows, EMPTY)


def _seconds(arm: ArmView) -> Cell:
    """Wall clock of its last training's steps on the machine that made them: no property of the arm."""
    up = arm.view.upstream.get(f"stack {arm.facts['setting']} target {arm.facts['arm']} {arm.facts['steps']}")
    return Missing("not in the record") if up is None else up.fact("provenance.parts.steps", ".3g")


def controls(table: Comparison) -> Table:
    """Stability and L0 on each control."""
    names = table.arms[0].controls
    columns = [Column("arm", text=True)]
    for name in names:
        columns += [Column("stability, alive", _control(table, name)), Column("L0", _control(table, name))]
    rows: list[list[Cell]] = []
    for arm in table.ordered:
        row: list[Cell] = [arm_name(arm)]
        for name in names:
            row.append(cell(arm.get(STATISTIC, source=name, population="alive"), arm.view.id, with_interval))
            row.append(cell(arm.get("l0", source=name), arm.view.id))
        rows.append(row)
    return Table(f"controls-{table.number}", "The same arms on their controls", columns, rows, EMPTY)


def convergence(table: Comparison) -> Table:
    """The three checks of every arm on its source and on every control."""
    columns = [Column("arm", text=True), Column("on", text=True), Column("state", text=True)]
    columns += [Column("change at most"), Column("change of EV"), Column("in words", text=True)]
    rows = [_convergence_row(arm, group) for arm in table.arms for group in arm.facts["convergence"]]
    name = f"convergence-{table.number}"
    return Table(name, "Does training twice as long change anything?", columns, rows, EMPTY, wordy=True)


def _convergence_row(arm: ArmView, group: str) -> list[Cell]:
    m = arm.get("statistic_change_bound", source=group)
    on: Cell = Words(group, f"{arm.view.id}#{m.key}", "scope.source", "source") if m else group
    held, at = arm.facts.get("converged", {}).get(group), f"{arm.view.id}@facts.arms.{arm.index}.converged.{group}"
    state = Flag(held, at, "converged", "not converged") if held is not None else Missing("not in the record")
    changes = [cell(c, arm.view.id) for c in (m, arm.get("explained_variance_change", source=group))]
    return [arm_name(arm), on, state, *changes, arm.fact(f"convergence.{group}")]


def truth(table: Comparison) -> Table:
    """Agreement with the truth beside agreement between seeds, and what follows; no rows where no truth is known."""
    columns = [Column("arm", text=True), Column("between seeds"), Column("to the truth"), Column("of at most")]
    columns += [Column("matched only"), Column("explained variance")]
    names = ("mcc_to_truth", "mcc_to_truth_attainable", "matched_to_truth", "explained_variance")
    rows: list[list[Cell]] = []
    for arm in _with_truth(table):
        found = [arm.on_source(STATISTIC, population="alive"), *(arm.on_source(name) for name in names)]
        shown = [cell(m, arm.view.id, with_interval) for m in found]
        rows.append([arm_name(arm), *shown, arm.fact("truth.words")])
    columns += [Column("so it is", text=True)]
    return Table(f"truth-{table.number}", "Between seeds, and to the truth", columns, rows, "no truth is known")


def truth_found(table: Comparison) -> Table:
    """Precision and recall of the true features; no columns but the first where the record has none."""
    arms = _with_truth(table)
    more, cells = found_at([[arm.on_source(name) for name in FOUND] for arm in arms], table.view.id)
    rows: list[list[Cell]] = [[arm_name(arm), *extra] for arm, extra in zip(arms, cells, strict=True)]
    columns = [Column("arm", text=True), *more]
    return Table(
        f"truth-found-{table.number}", "How many of the true features are found", columns, rows if more else []
    )


def _with_truth(table: Comparison) -> list[ArmView]:
    return [arm for arm in table.ordered if arm.on_source("mcc_to_truth") is not None]


def heads(table: Comparison) -> Table:
    """What heads read off the codes, beside what that costs; no rows where no arm has a head."""
    columns = [Column("arm", text=True), Column("head's accuracy"), Column("on rows that the task holds out")]
    columns += [Column("a constant answer"), Column("explained variance"), Column("stability")]
    names = ("head_accuracy", "head_accuracy.task_held_out", "head_accuracy.majority", "explained_variance")
    rows: list[list[Cell]] = []
    for arm in table.ordered:
        found = [*(arm.on_source(name) for name in names), arm.on_source(STATISTIC, population="alive")]
        if found[0] is not None:
            rows.append([arm_name(arm), *(cell(m, arm.view.id, with_interval) for m in found)])
    return Table(f"heads-{table.number}", "Labels read off the codes", columns, rows, "no arm has a head")


def saes(view: SurveyView, setting: int) -> Table:
    """The SAE of every arm as it was trained, with the value that a search has found for its L0."""
    columns = [Column(head, text=True) for head in ("arm", "architecture", "engine", "why this engine", "fields")]
    rows: list[list[Cell]] = []
    for arm in view.arms:
        if arm.setting == setting:
            facts = [arm.fact(name) for name in ("kind", "engine", "why_engine")]
            rows.append([arm_name(arm), *facts, _fields(arm)])
    return Table(f"saes-{setting}", "The SAE of each arm", columns, rows, EMPTY, wordy=True)


def _fields(arm: ArmView) -> Cell:
    at = f"{arm.view.id}@facts.arms.{arm.index}.sae"
    held = {name: value for name, value in arm.facts["sae"].items() if name != "kind" and value is not None}
    found: list[Cell] = [
        (f"{name} ", fact(value, f"{at}.{name}", form=".4g" if isinstance(value, float) else ""))
        for name, value in held.items()
    ]
    return joined(found)


def searches(view: SurveyView) -> Table:
    """What was found for the arms whose own field had to be searched for."""
    columns = [Column("search", text=True), Column("L0 asked for"), Column("L0 found"), Column("value found")]
    columns.append(Column("within a match", text=True))
    rows: list[list[Cell]] = []
    for up in view.of_kind("calibrate"):
        found = [cell(up.get(name), up.id) for name in ("requested_l0", "calibrated_l0", "knob")]
        rows.append([up.fact("name"), *found, _reached(up)])
    return Table(
        "searches", "Searches for an L0", columns, rows, "every arm's L0 is set by itself, or none was asked for"
    )


def _reached(up: Upstream) -> Cell:
    held = up.record.facts.get("reached")
    return up.fact("facts.reached") if held is None else Flag(held, f"{up.id}@facts.reached", "reached", "not reached")


def sources(view: SurveyView) -> Table:
    """What every source is, in the words of its record."""
    columns = [Column("rows of", text=True), Column("what they are", text=True)]
    found = [
        view.upstream.get(f"activation {name} {source}") for name in view.settings for source in _rows_of(view, name)
    ]
    once = {up.id: up for up in found if up is not None}  # settings may read the same rows
    rows: list[list[Cell]] = [[up.fact("name"), up.fact("facts.rows")] for up in once.values()]
    return Table("sources", "Where the activations come from", columns, rows, wordy=True)


def _rows_of(view: SurveyView, setting: str) -> list[str]:
    """The source itself first, then its controls."""
    start = f"activation {setting} "
    return sorted((role.removeprefix(start) for role in view.upstream if role.startswith(start)), key=source_order)


def training(view: SurveyView, setting: int) -> list[tuple[Cell, Cell]]:
    """How the SAEs of a setting were trained."""
    declared = view.plain["config"]["settings"][setting]
    held = declared["training"] | {f"controls.{name}": value for name, value in declared["controls"].items()}
    found: list[tuple[Cell, Cell]] = []
    for name, value in held.items():
        if not isinstance(value, list | tuple | dict):
            path = name if "." in name else f"training.{name}"
            form = ".4g" if isinstance(value, float) else ""
            words = name.removeprefix("controls.").replace("_", " ")
            found.append((words, view.fact(f"config.settings.{setting}.{path}", form)))
    return found


def declared(view: SurveyView) -> list[tuple[Cell, Cell]]:
    """What holds for all settings."""
    within = view.facts["matched_within"]
    share = Number(within, f"{view.id}@facts.matched_within", "value", ".0%")
    return [
        ("margin", view.margin),
        ("an L0 matches within", share),
        ("root seed", view.fact("config.root_seed")),
        ("level of intervals", level(view)),
    ]
