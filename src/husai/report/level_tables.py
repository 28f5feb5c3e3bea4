"""What dictionaries that learned nothing score, beside the trained ones: a table for each setting and metric."""

from __future__ import annotations

from husai.report.cells import Cell, Small, Words, with_interval
from husai.report.survey_tables import arm_name
from husai.report.survey_view import ArmView, SurveyView
from husai.report.tables import Column, Table, cell
from husai.store.record import Measurement

TRAINED = "trained"
METRICS = {"mcc_signed": "signed one-to-one cosine", "mean_max_cos": "mean of the largest cosines"}
POPULATIONS = ("alive", "all")
HEADS = ("value", "deviation over pairs", "trained less it", "trained over it")
PARTS = ("", ".deviation", ".difference", ".ratio")


def levels(view: SurveyView, setting: int) -> list[Table]:
    """A table for each metric and one of explained variance; none where no levels were measured."""
    arms = [arm for arm in view.arms if arm.setting == setting and _levels_of(arm)]
    return [*(_table(setting, metric, arms) for metric in METRICS), _quality(setting, arms)] if arms else []


def _levels_of(arm: ArmView) -> list[str]:
    """In the order of the record, the trained ones first."""
    own = {"setting": arm.facts["setting"], "arm": arm.facts["arm"], "population": "alive"}
    return [m.scope["level"] for m in arm.view.record.select("mcc_signed", **own) if "level" in m.scope]


def _table(setting: int, metric: str, arms: list[ArmView]) -> Table:
    columns = [Column("arm", text=True), Column("level", text=True)]
    columns += [Column(head, f"{population} latents") for population in POPULATIONS for head in HEADS]
    rows = [row for arm in arms for row in _rows(arm, metric)]
    return Table(f"levels-{metric}-{setting}", f"Levels, {METRICS[metric]}", columns, rows)


def _rows(arm: ArmView, metric: str) -> list[list[Cell]]:
    rows: list[list[Cell]] = []
    for name in _levels_of(arm):
        rows.append([arm_name(arm), _level(arm, name), *_numbers(arm, metric, name)])
    return [*rows, *([arm_name(arm), *refused] for refused in _refused(arm))]


def _numbers(arm: ArmView, metric: str, level: str) -> list[Cell]:
    found: list[Cell] = []
    for population in POPULATIONS:
        for part in PARTS:
            own = level == TRAINED and part in (".difference", ".ratio")  # of itself from itself
            m = arm.get(f"{metric}{part}", level=level, population=population)
            found.append("" if own else _cell(m, arm, part))
    return found


def _cell(m: Measurement | None, arm: ArmView, part: str) -> Cell:
    return cell(m, arm.view.id, with_interval) if part in ("", ".difference") else cell(m, arm.view.id)


def _level(arm: ArmView, name: str) -> Cell:
    m = arm.get("mcc_signed", level=name, population="alive")
    return Words(name, f"{arm.view.id}#{m.key}", "scope.level", "source") if m else name


def _quality(setting: int, arms: list[ArmView]) -> Table:
    """Explained variance of each level, side by side."""
    names = list(dict.fromkeys(name for arm in arms for name in _levels_of(arm)))
    holder = {name: next(arm for arm in arms if name in _levels_of(arm)) for name in names}
    columns = [Column("arm", text=True), *(Column(_level(holder[name], name)) for name in names)]
    rows: list[list[Cell]] = []
    for arm in arms:
        found = [arm.get("explained_variance", level=name) for name in names]
        rows.append([arm_name(arm), *(cell(m, arm.view.id, with_interval) for m in found)])
    return Table(f"levels-quality-{setting}", "Levels, explained variance", columns, rows)


def _refused(arm: ArmView) -> list[list[Cell]]:
    """Levels that this architecture does not have, with the reason in the words of the node's record."""
    up = arm.view.upstream.get(f"level {arm.facts['setting']} {arm.facts['arm']}")
    if up is None:
        return []
    empty: list[Cell] = [""] * (len(POPULATIONS) * len(PARTS))
    return [[(name, Small((up.fact(f"facts.refused.{name}"),))), *empty] for name in up.record.facts.get("refused", {})]
