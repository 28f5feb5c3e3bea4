"""Dictionaries that exist already, measured against each other: nothing is trained, nothing is written.

The numbers are those of a study's measurements (`group.py`), made by the same functions.
"""

from __future__ import annotations

import csv
import io
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from husai.errors import UserError
from husai.evals.fidelity import Fidelity, fidelity
from husai.events import check_stop, report
from husai.report.features import Features, column_order
from husai.saes.config import k_label
from husai.saes.formats.load import Loaded, load_named
from husai.saes.sae import SAE
from husai.stability.features import feature_table
from husai.stability.pairwise import THRESHOLDS, Wanted, pairwise_of, side
from husai.studies.existing.group import RANKS, Group

CODES_IN_MEMORY, CODES_ON_DISK = 2 * 2**30, 16 * 2**30  # bytes of the codes that activation_match compares
CODES_AT_ONCE = 2**26  # values


def open_saes(paths: Sequence[str], what: str = "stability") -> list[Loaded]:
    """Load every SAE of every path; a stack of husai gives all of its seeds.

    Raises:
        UserError: as `load_named`; fewer than two, one of them twice, or of different d_in.
    """
    found = [one for path in paths for one in load_named(path)]
    if len(found) < 2:
        held = f"{found[0].name} is one" if found else "none was given"
        raise UserError(f"{what} needs at least two SAEs of different seeds, and {held}: add another")
    twice = [key for key, n in Counter((one.path.resolve(), one.seed) for one in found).items() if n > 1]
    if twice:
        raise UserError(f"{twice[0][0]} was given twice: a dictionary agrees with itself, whatever it holds")
    same_d_in(found)
    return _named_apart(found)


def same_d_in(found: Sequence[Loaded]) -> int:
    """The d_in that all have.

    Raises:
        UserError: they differ.
    """
    first = found[0]
    for one in found:
        if one.sae.cfg.d_in != first.sae.cfg.d_in:
            sizes = f"{first.name} has d_in = {first.sae.cfg.d_in}, {one.name} has d_in = {one.sae.cfg.d_in}"
            raise UserError(f"{sizes}: features of different widths cannot be compared; give SAEs of one hook")
    return first.sae.cfg.d_in


def cautions(found: Sequence[Loaded]) -> list[str]:
    """What makes agreement between these SAEs mean something else than stability over seeds."""
    made = []
    for name, of in _DESCRIBED.items():
        held = sorted({of(one) for one in found})
        if len(held) > 1:
            made.append(f"the SAEs differ in {name} ({', '.join(held)}): this is not stability over seeds alone")
    for i, a in enumerate(found):
        copies = [b.name for b in found[i + 1 :] if torch.equal(a.sae.W_dec, b.sae.W_dec)]
        made += [f"{a.name} and {copy} hold the same decoder: they are copies, not seeds" for copy in copies]
    return made


def differing(a: Sequence[Loaded], b: Sequence[Loaded]) -> dict[str, str]:
    """In what two groups differ, with the values of each."""
    found = {name: [", ".join(sorted({of(one) for one in g})) for g in (a, b)] for name, of in _DESCRIBED.items()}
    return {name: f"{left} against {right}" for name, (left, right) in found.items() if left != right}


_DESCRIBED = {
    "hook name": lambda one: one.sae.hook_name or "not known",
    "architecture": lambda one: one.sae.cfg.architecture,
    "k": lambda one: k_label(one.sae.config),
    "d_sae": lambda one: str(one.sae.cfg.d_sae),
}


def _named_apart(found: list[Loaded]) -> list[Loaded]:
    """Names that differ, by the whole path where the last part of it is the same."""
    counts = Counter(one.name for one in found)
    return [one if counts[one.name] == 1 else replace(one, name=_whole_name(one)) for one in found]


def _whole_name(one: Loaded) -> str:
    return str(one.path) if one.seed is None else f"{one.path}#{one.seed}"


def group_of(
    saes: Sequence[SAE],
    names: Sequence[str],
    x_ND: Tensor | None = None,
    rows: str = "",
    thresholds: Sequence[float] = THRESHOLDS,
) -> tuple[Group, list[str]]:
    """Every number of these SAEs, on rows x [N, D] if there are any; and what must be said about how.

    Raises:
        UserError: a value that is not finite; rows that are all equal.
        Interrupted: a stop was asked for.
    """
    fidelities = [] if x_ND is None else [_fidelity(sae, x_ND, i, len(saes)) for i, sae in enumerate(saes)]
    decoders = [sae.W_dec.detach().float().numpy() for sae in saes]
    encoders = [sae.W_enc.T.detach().float().numpy() for sae in saes]
    ranks = tuple(r for r in RANKS if r <= min(min(W.shape) for W in decoders))
    wanted = Wanted(tuple(sorted({*THRESHOLDS, *thresholds})), ranks)
    with _codes(saes, x_ND) as (codes, said):
        sides = [side(W, E, X) for W, E, X in zip(decoders, encoders, codes, strict=True)]
        pairs = pairwise_of(sides, _alive(decoders, fidelities), wanted)
    return Group(saes, tuple(names), pairs, fidelities, x_ND, rows, key="sae"), said


def _fidelity(sae: SAE, x_ND: Tensor, number: int, of: int) -> Fidelity:
    check_stop()
    report("fidelity", "measuring SAEs on the activations", number, of)
    found = fidelity(sae, x_ND)
    report("fidelity", "measuring SAEs on the activations", number + 1, of)
    return found


def _alive(decoders: Sequence[np.ndarray], fidelities: Sequence[Fidelity]) -> np.ndarray:
    """[S, F], F of the largest; without activations every latent counts."""
    alive = np.zeros((len(decoders), max(map(len, decoders))), dtype=bool)
    for i, W in enumerate(decoders):
        alive[i, : len(W)] = fidelities[i].alive_F if fidelities else True
    return alive


@contextmanager
def _codes(saes: Sequence[SAE], x_ND: Tensor | None) -> Iterator[tuple[list[np.ndarray | None], list[str]]]:
    """Codes [N, F] of each SAE, on the disk where they are large, and of fewer rows where they are larger still."""
    if x_ND is None:
        yield [None] * len(saes), []
        return
    bytes_per_row = 4 * sum(sae.cfg.d_sae for sae in saes)
    n = min(len(x_ND), CODES_ON_DISK // bytes_per_row)
    said = [] if n == len(x_ND) else [f"activation_match is over the first {n} of these rows: the codes are large"]
    with tempfile.TemporaryDirectory(prefix="husai-") as folder:
        on_disk = n * bytes_per_row > CODES_IN_MEMORY
        yield [_encoded(sae, x_ND[:n], Path(folder) / str(i) if on_disk else None) for i, sae in enumerate(saes)], said


@torch.no_grad()
def _encoded(sae: SAE, x_ND: Tensor, path: Path | None) -> np.ndarray:
    shape = (len(x_ND), sae.cfg.d_sae)
    out = np.empty(shape, np.float32) if path is None else np.memmap(path, np.float32, "w+", shape=shape)
    step = max(1, CODES_AT_ONCE // shape[1])
    for start in range(0, len(x_ND), step):
        check_stop()
        out[start : start + step] = sae.encode(x_ND[start : start + step]).float().numpy()
        report("codes", "codes of the latents", min(start + step, len(x_ND)), len(x_ND))
    return out


def features_of(group: Group, t: float) -> Features:
    """The per-feature tables of all SAEs as one; `partner_j` is the matched feature of SAE number j of the list."""
    W = [sae.W_dec.detach().float().numpy() for sae in group.saes]
    rows: list[dict[str, str]] = []
    for i, sae in enumerate(group.saes):
        rows += [{"number": str(i), "sae": group.names[i]} | row for row in _feature_rows(group, i, W, t, sae)]
    names = sorted(dict.fromkeys(name for row in rows for name in row), key=column_order)
    return Features(names, [[row.get(name, "") for name in names] for row in rows])


def _feature_rows(group: Group, i: int, W: list[np.ndarray], t: float, sae: SAE) -> list[dict[str, str]]:
    matches, own = group.pairs.matches, group.pairs.own["alive"][i]
    columns: dict[str, np.ndarray] = {}
    if group.fidelities:
        f = group.fidelities[i]
        found = (f.frequency_F, f.mean_activation_F, f.ev_carried_F)
        wide = [np.pad(x, (0, matches.alive_SF.shape[1] - len(x))) for x in found]
        columns = dict(zip(("frequency_F", "mean_activation_F", "explained_variance_F"), wide, strict=True))
    table = feature_table(i, W, matches, t=t, own_neighbour=own, **columns)
    read = list(csv.DictReader(io.StringIO(table.csv())))[: sae.cfg.d_sae]  # the matches go up to the largest SAE
    return read if group.fidelities else [row | {"alive": ""} for row in read]
