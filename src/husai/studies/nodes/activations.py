"""Node `activations`: rows captured from a model, planted, made as a surrogate, or taken from a user's file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from husai.activations.cache import ActivationCache
from husai.activations.capture import capture
from husai.activations.external import ExternalFile, import_file
from husai.activations.guards import describe_rows
from husai.activations.labels import UNLABELLED, RowLabels
from husai.activations.manifest import Origin
from husai.activations.planted_twin import planted_twin
from husai.activations.source import CapturedSource, ExternalSource, PlantedSource
from husai.activations.surrogates import gaussian_twin, shuffled_dimensions
from husai.activations.writer import write_rows
from husai.errors import Refused
from husai.models.random_model import random_model
from husai.models.sanity import check, require_readable
from husai.models.transformer import Transformer
from husai.models.weights import load_model
from husai.store.record import Measurement
from husai.store.tensors import load_arrays, save_arrays
from husai.studies.node import Outcome, Work
from husai.tasks.planted import Planted

ROWS, MLP_FILE, TRUTH = "rows", "mlp.safetensors", "truth.safetensors"


def run(work: Work) -> Outcome:
    """Write the rows into `rows/`; what they are goes into the facts."""
    source = work.fields["source"]
    make = _surrogate if source["kind"] == "surrogate" else _MAKERS[source["kind"]]
    cache = make(work, source)
    manifest = cache.manifest
    facts = {"rows": describe_rows(manifest), "origin": manifest.origin.plain(), "manifest": f"{ROWS}/manifest.json"}
    found = [
        _count("rows", manifest.n_rows, "rows"),
        _count("different_rows", manifest.rows.near_unique, "rows"),
        _count("mean_square_norm", manifest.mean_square_norm, "squared units of the activations"),
        _count("effective_rank", manifest.effective_rank, "dimensions (exp of the entropy of singular values)"),
        _count("participation_ratio", manifest.participation_ratio, "dimensions ((sum l)^2 / sum l^2)"),
    ]
    if (work.draft / TRUTH).exists():
        facts["true_l0"] = _true_l0(work.draft / TRUTH, manifest.n_rows)
        found.append(_count("true_l0", facts["true_l0"], "active planted features per row", TRUTH))
    return Outcome(found, facts, {"root_seed": work.fields.get("root_seed", 0)})


_MANIFEST = f"{ROWS}/manifest.json"


def _count(name: str, value: float | None, unit: str, file: str = _MANIFEST) -> Measurement:
    reason = "" if value is not None else "the rows are too wide for a covariance"
    exact = "a property of these rows, no sample"
    return Measurement(name=name, value=value, reason=reason, unit=unit, no_interval=exact, artefacts=(file,))


def _true_l0(truth: Path, n_rows: int) -> float:
    """Active planted features per row, mean over all rows; from counts, so that four in every row are 4 exactly."""
    return float(np.rint(load_arrays(truth)["frequency_F"] * n_rows).sum() / n_rows)


def _captured(work: Work, plain: dict[str, Any]) -> ActivationCache:
    source = CapturedSource.parse(plain)
    task = source.task.build()
    _save_groups(work.draft, task.groups_N)
    if source.random_model is None:
        sanity = work.parent("model").facts["sanity"]
        if not sanity["readable"]:
            failed = "; ".join(check["sentence"] for check in sanity["checks"] if check["state"] == "failed")
            raise Refused(f"the model of {task.name} is not worth reading: {failed}")
        model, what = load_model(work.folders["model"] / "model.safetensors"), "trained model"
    else:
        model = random_model(source.model.fitted(task), work.fields["root_seed"], source.random_model)
        require_readable(check(model, task, work.fields["root_seed"]), declared_control=True)
        what = f"random-weight model {source.random_model} (control)"
    _save_mlp(work.draft, model, source.hooks)
    where = {"positions": source.positions, "batch": source.batch, "description": f"{what} on {task.name}"}
    return capture(model, task, source.hooks, work.draft / ROWS, details={"declared": source.plain()}, **where)


def _planted(work: Work, plain: dict[str, Any]) -> ActivationCache:
    source = PlantedSource.parse(plain)
    made = source.planted.build()
    origin = Origin(kind="planted", synthetic=True, description=source.describe(), hashes=_save_truth(work, made))
    return write_rows(work.draft / ROWS, made.x_ND, origin, labels=_largest(made))


def _save_truth(work: Work, made: Planted) -> dict[str, str]:
    """Write the dictionary; returns the hash of everything planted."""
    save_arrays(work.draft / TRUTH, {"dictionary_FD": made.dictionary_FD, "frequency_F": made.frequency_F})
    return {"planted": made.content_hash}


def _largest(made: Planted) -> RowLabels:
    """The feature with the largest coefficient in each row, no label where none is active.

    Nothing was ever trained on them, so none is held out.
    """
    strongest_N = made.values_NK.argmax(axis=1)[:, None]
    labels_N = np.take_along_axis(made.indices_NK, strongest_N, axis=1)[:, 0]
    labels_N = np.where(made.active_NK.any(axis=1), labels_N, UNLABELLED)
    return RowLabels("largest", len(made.dictionary_FD), labels_N, np.zeros(len(labels_N), dtype=bool))


def _external(work: Work, plain: dict[str, Any]) -> ActivationCache:
    source = ExternalSource.parse(plain | {"path": work.local["path"]})
    file = ExternalFile(
        path=Path(source.path),
        key=source.key,
        d_in=source.d_in,
        flatten=source.flatten,
        synthetic=source.declared_synthetic,
    )
    return import_file(file, work.draft / ROWS)


def _surrogate(work: Work, plain: dict[str, Any]) -> ActivationCache:
    """Same number of rows, mean and covariance as the parent's rows; nothing else of them."""
    of = ActivationCache(work.folders["of"] / ROWS)
    root, draw, hashes = work.fields["root_seed"], plain["draw"], {"of": of.manifest.rows_sha256}
    if plain["how"] == "gaussian":
        rows = gaussian_twin(of.mean_D, of.covariance_DD, len(of), root, draw)
    elif plain["how"] == "planted":
        sizes = plain["n_features"], plain["n_active"]
        made = planted_twin(of.mean_D, of.covariance_DD, len(of), *sizes, root, draw)
        rows, hashes = made.x_ND, hashes | _save_truth(work, made)
    else:
        rows = shuffled_dimensions(of.to_array(), root, draw)
    origin = Origin(
        kind="surrogate",
        synthetic=True,
        description=f"{plain['how']} surrogate {draw} of: {of.manifest.origin.description}",
        hashes=hashes,
        hook_name=of.manifest.origin.hook_name if of.manifest.origin.hooks else "",
        hooks=of.manifest.origin.hooks,
    )
    if (work.folders["of"] / MLP_FILE).exists():
        save_arrays(work.draft / MLP_FILE, load_arrays(work.folders["of"] / MLP_FILE))
    return write_rows(work.draft / ROWS, rows, origin)


def _save_mlp(folder: Path, model: Transformer, hooks: tuple[str, ...]) -> None:
    """The MLP between the two hooks, where they are its input and its output: some SAEs must know it."""
    for block, inside in enumerate(model.blocks):
        ends = (f"blocks.{block}.hook_resid_mid", f"blocks.{block}.hook_mlp_out")
        if hooks == ends and not model.config.layer_norm:
            weights = {name: getattr(inside.mlp, name).detach().numpy() for name in ("W_in", "b_in", "W_out")}
            save_arrays(folder / MLP_FILE, weights)


def _save_groups(folder: Path, groups_N: np.ndarray) -> None:
    """Which rows of the task belong together, so that held-out rows have no twin among the others."""
    save_arrays(folder / "groups.safetensors", {"groups_N": groups_N})


_MAKERS: dict[str, Callable[[Work, dict[str, Any]], ActivationCache]] = {
    "captured": _captured,
    "planted": _planted,
    "external": _external,
}
