"""Node `measure`: one arm on one source at one budget: pairs of seeds, fidelity, features, trajectory, recovery.

At half of the first budget only what the convergence test compares is asked for (detail "pairs").
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch

from husai.activations.labels import UNLABELLED
from husai.activations.strata import ALL, WITHOUT_OUTLIERS
from husai.evals.fidelity import Fidelity, fidelity
from husai.evals.head import head_answers
from husai.evals.recovery import FOUND_AT, Recovery, recovery
from husai.saes.stack import SAEStack, load_stack
from husai.stability.features import feature_table
from husai.stability.matching import Matches, match_all
from husai.stability.pairwise import PairTable, pairwise
from husai.stability.shared_init import shared_initialisation
from husai.stability.trajectory import Trajectory, trajectory
from husai.store.files import write_json
from husai.store.record import Measurement
from husai.store.tensors import load_arrays, save_arrays
from husai.studies.between_groups import group_measurements
from husai.studies.existing.group import RANKS, SHOWN_T, STRATA, Group, Row, over_seeds
from husai.studies.measured import single
from husai.studies.node import Outcome, Work
from husai.studies.nodes.activations import TRUTH
from husai.studies.nodes.labels import head_labels
from husai.studies.nodes.rows import Rows, open_rows
from husai.training.config import TrainingConfig

PAIRS, FEATURES, TRAJECTORY, HEATMAP = "pairs.safetensors", "features", "trajectory.json", "heatmap.safetensors"


@dataclass(frozen=True)
class Found:
    """Everything measured once, for the functions below to put into words."""

    stack: SAEStack
    rows: Rows
    fidelities: list[Fidelity]
    pairs: PairTable
    matches: Matches
    curve: Trajectory

    @property
    def W_dec_SFD(self) -> np.ndarray:
        """Decoders of all seeds."""
        return self.stack.parameters["W_dec"].numpy()

    @property
    def alive_SF(self) -> np.ndarray:
        """Alive on the held-out rows."""
        return np.stack([f.alive_F for f in self.fidelities])

    @property
    def frequency_SF(self) -> np.ndarray:
        """Firing frequency on the held-out rows."""
        return np.stack([f.frequency_F for f in self.fidelities])

    @cached_property
    def group(self) -> Group:
        """The seeds side by side."""
        saes = [self.stack[i] for i in range(len(self.stack))]
        names, x = tuple(map(str, self.stack.seeds)), self.rows.held_out()
        return Group(saes, names, self.pairs, self.fidelities, x, f"{self.fidelities[0].n_rows} held-out rows")


def run(work: Work) -> Outcome:
    """Measure on held-out rows; matrices, tables and curves go into files."""
    if work.fields["detail"] == "pairs":
        return _convergence_only(work)
    found, facts = _find(work)
    _save(work, found)
    group = found.group
    made = group.pair_measurements((PAIRS,)) + _fidelity_measurements(found)
    made += group.reappearing(SHOWN_T) + group.strata(STRATA) + _truth(work, found) + _head(found)
    made += _between_groups(facts, found.pairs)
    return Outcome(made, facts, {"seeds": list(found.stack.seeds)})


def _opened(work: Work) -> tuple[TrainingConfig, Rows, SAEStack]:
    record = work.parent("stack")
    training = TrainingConfig.parse(record.config["training"])
    rows = open_rows(work.folders["activations"], training, record.config["root_seed"])
    return training, rows, load_stack(work.folders["stack"] / "stack.safetensors")


def _convergence_only(work: Work) -> Outcome:
    """The pairwise statistic, explained variance and L0: the same numbers as in full detail, and nothing else."""
    _, rows, stack = _opened(work)
    fidelities = [fidelity(stack[i], rows.held_out()) for i in range(len(stack))]
    alive = np.stack([f.alive_F for f in fidelities])
    pairs = pairwise(stack.parameters["W_dec"].numpy(), alive_masks_SF=alive, d_in=stack.parameters["W_dec"].shape[-1])
    _save_pairs(work, pairs)
    unit = f"share of variance, {fidelities[0].n_rows} held-out rows"
    explained = over_seeds("explained_variance", [f.explained_variance for f in fidelities], unit, {}, True)
    l0 = over_seeds("l0", [f.l0 for f in fidelities], "latents per row", {}, None)
    facts = _groups(work)
    made = [explained, l0, *_between_groups(facts, pairs)]
    return Outcome(made, facts, {"seeds": list(stack.seeds)})


def _groups(work: Work) -> dict[str, Any]:
    """The group of each seed, where a coupling tied them in groups."""
    facts = work.parent("stack").facts
    return {"groups": facts["groups"]} if "groups" in facts else {}


def _between_groups(facts: dict[str, Any], pairs: PairTable) -> list[Measurement]:
    return group_measurements(pairs, facts["groups"], (PAIRS,)) if "groups" in facts else []


def _find(work: Work) -> tuple[Found, dict[str, Any]]:
    training, rows, stack = _opened(work)
    x = rows.held_out()
    fidelities = [fidelity(stack[i], x) for i in range(len(stack))]
    alive = np.stack([f.alive_F for f in fidelities])
    W_dec, W_enc = stack.parameters["W_dec"].numpy(), stack.parameters["W_enc"].numpy()
    pairs = pairwise(
        W_dec,
        W_enc,
        alive,
        activations_SNF=_codes(stack, x),
        d_in=stack.parameters["W_dec"].shape[-1],
        ranks=_ranks(W_dec),
    )
    curve = _trajectory(work, alive)
    shared = shared_initialisation(load_arrays(work.folders["stack"] / "trajectory.safetensors")["step.0"])
    facts: dict[str, Any] = {
        "held_out_rows": len(x),
        "density": [f.density() for f in fidelities],
        "collapsed_seeds": list(pairs.collapsed),
        "shared_initialisation": shared.words(),
        "initialisation_is_shared": shared.shared,
        "distance_from_start": curve.words(),
        "varied": list(training.vary),
        "data": training.data,
        "alive": [int(n) for n in alive.sum(1)],
        **_groups(work),
    }
    return Found(stack, rows, fidelities, pairs, match_all(W_dec, alive), curve), facts


@torch.no_grad()
def _codes(stack: SAEStack, x_ND: torch.Tensor) -> np.ndarray:
    return np.stack([stack[i].encode(stack[i].split(x_ND)[0]).numpy() for i in range(len(stack))])


def _ranks(W_SFD: np.ndarray) -> tuple[int, ...]:
    return tuple(r for r in RANKS if r <= min(W_SFD.shape[1:]))


def _trajectory(work: Work, alive_SF: np.ndarray) -> Trajectory:
    snapshots = load_arrays(work.folders["stack"] / "trajectory.safetensors")
    steps = sorted(int(name.removeprefix("step.")) for name in snapshots)
    return trajectory(np.stack([snapshots[f"step.{s}"] for s in steps]), steps, alive_SF)


def _save_pairs(work: Work, pairs: PairTable) -> None:
    matrices = {f"{metric}|{population}": values for (metric, population), values in pairs.values.items()}
    save_arrays(work.draft / PAIRS, matrices)


def _save(work: Work, found: Found) -> None:
    _save_pairs(work, found.pairs)
    curve = found.curve
    write_json(
        work.draft / TRAJECTORY,
        {
            "steps": list(curve.steps),
            "mcc_signed_alive": _listed(curve.mean("alive")),
            "mcc_signed_all": _listed(curve.mean("all")),
            "cosine_to_init": _listed(_over_alive(curve.cosine_to_init_nS)),
        },
    )
    for i, seed in enumerate(found.stack.seeds):
        f = found.fidelities[i]
        table = feature_table(
            i,
            found.W_dec_SFD,
            found.matches,
            t=SHOWN_T,
            frequency_F=f.frequency_F,
            mean_activation_F=f.mean_activation_F,
            explained_variance_F=f.ev_carried_F,
        )
        table.to_csv(work.draft / f"{FEATURES}-seed{seed}.csv")
    save_arrays(work.draft / HEATMAP, {"cosine_FF": _heatmap(found)})


def _over_alive(values_nS: np.ndarray) -> np.ndarray:
    """Mean over the seeds that have a value [n]; NaN where none has."""
    known = np.isfinite(values_nS)
    return np.divide(
        np.where(known, values_nS, 0).sum(1), known.sum(1), out=np.full(len(known), np.nan), where=known.any(1)
    )


def _listed(values: np.ndarray) -> list[float | None]:
    return [float(v) if np.isfinite(v) else None for v in values]


def _heatmap(found: Found) -> np.ndarray:
    """Cosines of the alive features of the first two seeds, both ordered by their match: the diagonal is the match."""
    partner, cosine = found.matches.partner_SSF[0, 1], found.matches.cosine_SSF[0, 1]
    matched = np.flatnonzero(partner >= 0)
    order = matched[np.argsort(-cosine[matched], kind="stable")]
    a, b = found.W_dec_SFD[0][order], found.W_dec_SFD[1][partner[order]]
    norms = np.linalg.norm(a, axis=1)[:, None] * np.linalg.norm(b, axis=1)[None]
    return (a @ b.T / norms).astype(np.float32)


def _fidelity_measurements(found: Found) -> list[Measurement]:
    group, to_init = found.group, found.curve.cosine_to_init_nS[-1]
    explained, *others = group.fidelity_rows()
    last: Row = ("cosine_to_init", [float(c) for c in to_init], "cosine, alive rows", None)
    return [m for row in (explained, *_without(found), *others, last) for m in group.with_each(*row)]


def _without(found: Found) -> Iterator[Row]:
    """Explained variance without norm outliers, without the first position, without both: as far as they are known."""
    x = found.rows.held_out()
    for name, keep in found.rows.strata().items():
        if (name != ALL and 1 < keep.sum() < len(keep)) or name == WITHOUT_OUTLIERS:
            rest = x[torch.from_numpy(keep)]
            values: list[float | None] = [fidelity(s, rest).explained_variance for s in found.group.saes]
            yield f"explained_variance.{name}", values, f"share of variance, {int(keep.sum())} rows", True


def _truth(work: Work, found: Found) -> list[Measurement]:
    """On planted data: agreement with the truth, beside the agreement between seeds."""
    path = work.folders["activations"] / TRUTH
    if not path.exists():
        return []
    truth = load_arrays(path)
    scores = [recovery(found.W_dec_SFD[i], truth["dictionary_FD"], found.alive_SF[i]) for i in range(len(found.stack))]
    rows: list[tuple[str, list[float], str]] = [
        ("mcc_to_truth", [s.mcc_to_truth for s in scores], "cosine, over the larger count of latents and features"),
        ("mcc_to_truth_attainable", [s.attainable for s in scores], "largest possible value at these counts"),
        ("matched_to_truth", [s.matched for s in scores], "cosine, mean over the latents that were matched"),
        *_found(scores, truth.get("frequency_F")),
    ]
    return [m for name, values, unit in rows for m in found.group.with_each(name, list(values), unit, True)]


def _found(scores: list[Recovery], frequency_F: np.ndarray | None) -> Iterator[tuple[str, list[float], str]]:
    """How many latents are planted features, and how many of those were found; no firings for rows made before them."""
    for t in FOUND_AT:
        at = f"one-to-one partner has cosine >= {t:g}"
        yield f"precision_to_truth({t:g})", [s.precision(t) for s in scores], f"share of alive latents whose {at}"
        yield f"recall_of_truth({t:g})", [s.recall(t) for s in scores], f"share of planted features whose {at}"
        if frequency_F is not None:
            firings = [s.recall_of_firings(t, frequency_F) for s in scores]
            yield f"firings_of_truth_found({t:g})", firings, f"share of firings of planted features whose {at}"


def _head(found: Found) -> list[Measurement]:
    """How often a head names the label, on held-out rows, and on those of them that the task holds out as well."""
    head = found.stack.config.supervised
    if head is None:
        return []
    labels, x = head_labels(found.rows, head), found.rows.held_out()
    answers = [head_answers(sae, x) for sae in found.group.saes]
    made = []
    for name, of in (
        ("head_accuracy", labels.measured_H != UNLABELLED),
        ("head_accuracy.task_held_out", labels.test_H),
    ):
        if of.any():
            values: list[float | None] = [float((a[of] == labels.measured_H[of]).mean()) for a in answers]
            unit = f"share of {int(of.sum())} held-out rows whose {head.label} the head names"
            made += found.group.with_each(name, values, unit, True)
    unit = f"share of the commonest {head.label} on the held-out rows: what a constant answer gets at most"
    return [*made, single("head_accuracy.majority", labels.majority, unit, {}, "a count")]
