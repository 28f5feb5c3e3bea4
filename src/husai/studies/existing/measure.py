"""What `husai stability` and `husai compare` compute: from paths to everything that is known of these SAEs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from husai.errors import UserError
from husai.saes.formats.load import Loaded
from husai.stability.pairwise import POPULATIONS
from husai.statistics.intervals import independent_difference, pair_mean
from husai.store.files import write_text
from husai.store.record import Measurement
from husai.studies.existing.configuration import Configuration, configurations, divided, division, one_configuration
from husai.studies.existing.contrast import PRIMARY, Contrast, Side, check_same_seeds, comparable, contrast
from husai.studies.existing.gaussian_null import Null, NullRequest, check_request, train_null, unlike
from husai.studies.existing.group import SHOWN_T, STRATA, Group
from husai.studies.existing.rows import MOST_ROWS, GivenRows, coupled, opened, rows_for
from husai.studies.existing.saes import cautions, differing, features_of, group_of, open_saes, same_d_in
from husai.studies.measured import measured, single
from husai.studies.runner import default_workers

VERSUS = "vs"
NO_ROWS = "no activations were given (--activations)"


@dataclass(frozen=True)
class Request:
    """What is asked beside the SAEs: rows to measure on, the threshold of "comes back", a trained null."""

    activations: Path | None = None
    key: str | None = None
    most_rows: int = MOST_ROWS
    t: float = SHOWN_T
    null: NullRequest | None = None


def asked(
    activations: Path | None,
    key: str | None,
    most_rows: int,
    t: float,
    null: str | None,
    k: int | None,
    steps: int | None,
    root: Path,
    workers: int | None,
) -> Request:
    """The request that options of the command line make.

    Raises:
        UserError: an option that describes what was not asked for.
    """
    if null is None and (k is not None or steps is not None):
        raise UserError("--k and --steps describe the trained null: ask for it with --null gaussian")
    if activations is None and key is not None:
        raise UserError("--key names an array in a file of activations: give it with --activations")
    trained = None if null is None else NullRequest(root, workers or default_workers(), null, k, steps)
    return Request(activations, key, most_rows, t, trained)


@dataclass(frozen=True)
class Measured:
    """One group of SAEs with what was measured of it and of its null, and what must be said beside the numbers."""

    loaded: Sequence[Loaded]
    group: Group
    rows: GivenRows | None
    null: Null | None
    cautions: tuple[str, ...]
    t: float
    numbers: tuple[Measurement, ...]
    configurations: tuple[Configuration, ...] = ()

    def get(self, name: str, **scope: str) -> Measurement | None:
        """The measurement of that name and exact scope, if there is one."""
        return next((m for m in self.numbers if m.name == name and m.scope == scope), None)


@dataclass(frozen=True)
class Comparison:
    """Two groups and what may be said of their difference; `differ` names in what else they differ."""

    a: Measured
    b: Measured
    contrast: Contrast
    differ: dict[str, str]


def stability(paths: Sequence[str], request: Request) -> Measured:
    """Every metric between all pairs of these SAEs.

    Raises:
        UserError: as `open_saes`, `opened`, `check_request`.
        Interrupted: a stop was asked for.
    """
    loaded = open_saes(paths)
    _check(request, loaded)
    with _rows(loaded, request) as rows:
        return _measured(loaded, rows, request)


def compare(words: Sequence[str], request: Request, same_seeds: bool = False) -> Comparison:
    """Two groups of SAEs, written as `A1 A2 ... vs B1 B2 ...`, on the same rows.

    Raises:
        UserError: as `stability` and `contrast`; no `vs`, or more than one; a group of several configurations.
    """
    paths_a, paths_b = _sides(words)
    a, b = open_saes(paths_a, "each group"), open_saes(paths_b, "each group")
    same_d_in([*a, *b])
    _apart(a, b)
    if same_seeds:
        check_same_seeds(a, b)
    for name, loaded in (("A", a), ("B", b)):
        one_configuration(loaded, name)
        _check(request, loaded)
    with _rows([*a, *b], request) as rows:
        found_a, found_b = (_measured(loaded, rows, request) for loaded in (a, b))
    side_a, side_b = (_side(m) for m in (found_a, found_b))
    return Comparison(found_a, found_b, contrast(side_a, side_b, same_seeds), differing(a, b))


def _apart(a: Sequence[Loaded], b: Sequence[Loaded]) -> None:
    both = {(one.path.resolve(), one.seed) for one in a} & {(one.path.resolve(), one.seed) for one in b}
    if both:
        raise UserError(f"{min(map(str, (path for path, _ in both)))} is in both groups: give each SAE to one of them")


def _side(found: Measured) -> Side:
    null, plain = found.null, Side(found.loaded, found.group)
    return plain if null is None else replace(plain, null=null.group, null_id=null.stack_id)


def write_features(found: Measured, path: Path) -> Path:
    """Write the per-feature table of all SAEs as CSV.

    Raises:
        UserError: the place cannot be written.
    """
    return write_text(path, features_of(found.group, found.t).csv())


def _sides(words: Sequence[str]) -> tuple[list[str], list[str]]:
    if list(words).count(VERSUS) != 1:
        raise UserError(f"write the two groups with '{VERSUS}' between them: husai compare A1 A2 {VERSUS} B1 B2")
    at = list(words).index(VERSUS)
    return list(words[:at]), list(words[at + 1 :])


def _check(request: Request, loaded: Sequence[Loaded]) -> None:
    """Refuse now what would otherwise fail after the measuring."""
    if not 0 < request.t <= 1:
        raise UserError(f"--threshold is a cosine above 0 and at most 1, not {request.t:g}")
    if request.null is None:
        return
    if request.activations is None:
        raise UserError("--null gaussian needs --activations: the null is trained on a Gaussian like them")
    check_request(request.null, loaded)


@contextmanager
def _rows(loaded: Sequence[Loaded], request: Request) -> Iterator[GivenRows | None]:
    if request.activations is None:
        yield None
        return
    with opened(request.activations, request.key, same_d_in(loaded)) as cache:
        yield rows_for(cache, loaded, request.most_rows)


def _measured(loaded: Sequence[Loaded], rows: GivenRows | None, request: Request) -> Measured:
    x, words = (rows.x_ND, rows.words) if rows else (None, "")
    group, said = group_of([one.sae for one in loaded], [one.name for one in loaded], x, words, [request.t])
    null = None
    if request.null is not None and rows is not None and request.activations is not None:
        null = train_null(request.null, loaded, request.activations, request.key, rows)
        said += [*null.cautions, *filter(None, [unlike(group, null.group)])]
    kinds = configurations(loaded)
    numbers = divided([*_numbers(group, request.t), *_excess(group, null)], kinds, group)
    warned = (*division(kinds, group.names), *cautions(loaded), *coupled(loaded), *said)
    return Measured(loaded, group, rows, null, warned, request.t, tuple(numbers), tuple(kinds))


def _numbers(group: Group, t: float) -> list[Measurement]:
    """Everything that is known of the group, and what is missing without activations."""
    found = group.pair_measurements()
    rows = group.fidelity_rows() if group.fidelities else []
    found += [m for row in rows for m in group.with_each(*row)] if rows else _missing(found)
    return found + group.reappearing(t) + group.strata(STRATA)


def _missing(known: Sequence[Measurement]) -> list[Measurement]:
    alive = [m for m in known if m.scope == {"population": "all"} and not m.name.endswith((".floor", ".normalised"))]
    made = [single(m.name, None, m.unit, {"population": "alive"}, NO_ROWS) for m in alive]
    made += [single("activation_match", None, "cosine", {"population": p}, NO_ROWS) for p in POPULATIONS]
    units = {"explained_variance": "share of variance", "l0": "latents per row", "dead_share": "share of latents"}
    return made + [single(name, None, unit, {}, NO_ROWS) for name, unit in units.items()]


def _excess(group: Group, null: Null | None) -> list[Measurement]:
    """Every metric less that of the trained null; of the primary one that there is no null, where there is none."""
    if null is None:
        scope = {"metric": PRIMARY, "population": group.populations[-1], "control": "gaussian"}
        return [single("excess", None, "cosine", scope, "no null was trained (--null gaussian)")]
    made = []
    for metric, population in group.pairs.values:
        scope = {"metric": metric, "population": population, "control": "gaussian"}
        unit = "share of features" if metric.startswith("shared_at") else "cosine"
        if comparable(group, null.group, metric=metric, population=population):
            a, b = (pair_mean(g.pairs.matrix(metric, population)) for g in (group, null.group))
            made.append(measured("excess", independent_difference(a, b), unit, scope, null=null.words))
        else:
            made.append(single("excess", None, unit, scope, "some pair of SAEs has nothing to compare"))
    return made
