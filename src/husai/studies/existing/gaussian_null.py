"""The trained null of dictionaries that exist already: the same SAE trained on a Gaussian like their activations.

Low-rank activations alone make dictionaries agree. What SAEs of equal architecture, d_sae, k and number show on a
Gaussian with the same mean and covariance is therefore what any agreement is to be held against (definitions, 2).
They are trained as nodes of a results folder: asked again they are there, and a stopped training goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from husai.activations.cache import ActivationCache
from husai.activations.surrogates import gaussian_twin
from husai.errors import UserError, unknown
from husai.saes.config import AnySAEConfig, TopKConfig
from husai.saes.config.sizes import check_sizes
from husai.saes.conventions import PENALISED
from husai.saes.formats.load import Loaded
from husai.saes.registry import architecture
from husai.saes.stack import load_stack
from husai.store.index import Results
from husai.studies.alone import Steps, given_activations
from husai.studies.existing.group import Group
from husai.studies.existing.rows import GivenRows, coupled, training_of
from husai.studies.existing.saes import group_of
from husai.studies.node import folder_of
from husai.studies.plan import gaussian_node, stack_node
from husai.training.config import TrainingConfig

NULLS = ("gaussian",)
FOLDER = "null"
EVALUATION_DRAW = 2  # rows of the twin that the null is measured on; draws 0 and 1 are those that studies train on
L0_TOLERANCE = 0.05


@dataclass(frozen=True)
class NullRequest:
    """How the null is to be trained: `k` and `steps` where they are not those of the SAEs, and where it is kept."""

    root: Path
    workers: int
    kind: str = "gaussian"
    k: int | None = None
    steps: int | None = None


@dataclass(frozen=True)
class Null:
    """The null's SAEs, measured like the others; `words` say what they are, `cautions` what does not match."""

    group: Group
    words: str
    cautions: tuple[str, ...]
    config: AnySAEConfig
    training: TrainingConfig
    stack_id: str


def check_request(request: NullRequest, loaded: Sequence[Loaded]) -> AnySAEConfig:
    """What would be trained, before anything is computed.

    Raises:
        UserError: no such null, SAEs that differ, or an architecture that husai cannot train.
    """
    if request.kind not in NULLS:
        raise unknown("null", request.kind, NULLS)
    configs = [one.sae.config for one in loaded]
    if request.k is not None:
        config = _topk(configs, request.k)
    elif any(c != configs[0] for c in configs):
        what = _first_difference(configs)
        raise UserError(f"the SAEs differ in {what}: a trained null is of one kind; leave out --null")
    else:
        config = configs[0]
    config = config.model_copy(update={"supervised": None})  # no row of a Gaussian has a label
    if not architecture(config).trained:
        raise UserError(f"husai cannot train the architecture {config.kind}: leave out --null, or name a --k for TopK")
    if config.kind in PENALISED and any(training_of(one) is None for one in loaded):
        raise UserError(
            f"the penalty ({PENALISED[config.kind]}) that these {config.kind} SAEs were trained with is not known, and "
            "a null with another one is no null: name a --k for TopK, or leave out --null"
        )
    check_sizes(config, loaded[0].sae.cfg.d_in)
    return config


def train_null(
    request: NullRequest, loaded: Sequence[Loaded], activations: Path, key: str | None, rows: GivenRows
) -> Null:
    """Train as many SAEs on the Gaussian twin and measure them on as many fresh rows of it.

    Raises:
        UserError: as `check_request`, or what a training refuses.
        Interrupted: a stop was asked for.
    """
    config = check_request(request, loaded)
    training, whose, unequal = _training(loaded, request.steps)
    given = given_activations(activations, key, rows.cache.d_in, 0)
    twin = gaussian_node(given, 0, "Gaussian twin of the activations")
    title = f"null: {len(loaded)} SAEs on a Gaussian like the activations"
    stack = stack_node(config, training, training.steps, tuple(range(len(loaded))), 0, twin, title)
    Steps(request.root, FOLDER, request.workers).run([given, twin, stack])
    trained = load_stack(folder_of(stack, Results(request.root)) / "stack.safetensors")
    names = [f"null {seed}" for seed in trained.seeds]
    x = _fresh(rows.cache, len(rows.x_ND))
    group, _ = group_of([trained[i] for i in range(len(trained))], names, x, f"{len(x)} fresh rows of the Gaussian")
    words = f"{len(loaded)} {_described(config)} trained for {training.steps} steps of {training.batch} rows ({whose})"
    where = "on a Gaussian with the mean and covariance of these activations"
    return Null(group, f"{words} {where}", (*unequal, *_cautions(group, config, loaded)), config, training, stack.id)


def unlike(group: Group, null: Group) -> str:
    """A sentence if the L0 of the null is not that of the SAEs; empty if it is."""
    here, there = (float(np.mean([f.l0 for f in g.fidelities])) for g in (group, null))
    if abs(here - there) <= L0_TOLERANCE * max(here, there):
        return ""
    return f"the null has L0 {there:.4g}, the SAEs {here:.4g}: it is not matched; name a --k that is"


def _training(loaded: Sequence[Loaded], steps: int | None) -> tuple[TrainingConfig, str, list[str]]:
    """The SAEs' own training where the records say what it was, else husai's default; whose it is; how it differs."""
    known = [training_of(one) for one in loaded]
    own = [t.config for t in known if t is not None]
    if len(own) == len(loaded) and all(config == own[0] for config in own):
        training, whose = own[0].model_copy(update={"engine": "auto"}), "as these SAEs were"
    else:
        training, whose = TrainingConfig(), "husai's default: how these SAEs were trained is not known"
    if steps is None or steps == training.steps:
        return training, whose, []
    unequal = [f"the null was trained for {steps} steps, the SAEs for {training.steps}: it is no equal control"]
    changed = training.model_copy(update={"steps": steps})
    return changed, f"--steps; else {whose}", unequal if whose.startswith("as") else []


def _topk(configs: Sequence[AnySAEConfig], k: int) -> AnySAEConfig:
    if len({c.d_sae for c in configs}) > 1:
        raise UserError("the SAEs differ in d_sae: a trained null is of one kind; leave out --null")
    first = configs[0]
    same = isinstance(first, TopKConfig) and all(c == first for c in configs)
    return first.model_copy(update={"k": k}) if same else TopKConfig(d_sae=first.d_sae, k=k)


def _first_difference(configs: Sequence[AnySAEConfig]) -> str:
    plain = [c.plain() for c in configs]
    names = dict.fromkeys(name for p in plain for name in p)
    return next(name for name in ("kind", *names) if any(p.get(name) != plain[0].get(name) for p in plain))


def _described(config: AnySAEConfig) -> str:
    k = getattr(config, "k", None)
    return f"{config.kind} SAEs (d_sae {config.d_sae}{'' if k is None else f', k {k}'})"


def _fresh(cache: ActivationCache, n: int) -> torch.Tensor:
    """Rows of the twin that no training saw, as many as the SAEs are measured on: alive depends on how many."""
    return torch.from_numpy(gaussian_twin(cache.mean_D, cache.covariance_DD, n, 0, EVALUATION_DRAW))


def _cautions(group: Group, config: AnySAEConfig, loaded: Sequence[Loaded]) -> tuple[str, ...]:
    found = []
    if coupled(loaded):
        found.append("the null was trained without the coupling of the SAEs: it is no equal control")
    if config.kind != loaded[0].sae.config.kind:
        found.append(f"the null is {config.kind}, the SAEs are {loaded[0].sae.config.kind}: asked for with --k")
    if any(one.sae.config.supervised is not None for one in loaded):
        found.append("the null was trained without the head of the SAEs: no row of a Gaussian has a label")
    dead = float(np.mean([f.dead_share for f in group.fidelities]))
    if dead > 0.5:
        found.append(f"{dead:.0%} of the null's latents are dead: it is a weak null over all latents")
    return tuple(found)
