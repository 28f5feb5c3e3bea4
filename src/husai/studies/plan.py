"""From a study to its graph of nodes, for one budget of steps per arm."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from husai.activations.source import CapturedSource, ExternalSource, FolderSource, Source, SurrogateSource
from husai.errors import UserError
from husai.models.config import PretrainConfig
from husai.saes.config import AnySAEConfig
from husai.store.files import sha256
from husai.store.layout import is_complete, read_record
from husai.studies.coupled import Coupled, reference_seeds
from husai.studies.heads import LEFT_OUT, on_rows
from husai.studies.node import Node
from husai.studies.study import Study
from husai.training.config import TrainingConfig
from husai.training.engines.choose import which

TARGET, GAUSSIAN, GAUSSIAN_2 = "target", "gaussian", "gaussian-2"
PLANTED, PLANTED_GAUSSIAN = "planted", "planted-gaussian"
RANDOM_MODEL, RANDOM_MODEL_PREFIX = "random_model", "random-model-"  # all of them as one control, and each one
OWN_SEEDS = 1000  # model i has seeds from 1000 (i + 1) on: five models that shared two seeds would not be five units
FROZEN_SEEDS = (0, 1)
Detail = Literal["full", "pairs"]


def random_model(index: int) -> str:
    """Name of the source captured from random-weight model number `index`."""
    return f"{RANDOM_MODEL_PREFIX}{index}"


@dataclass
class Plan:
    """Nodes of a study with a budget of steps for each arm, by its name; parents come before children."""

    study: Study
    budgets: Mapping[str, int]
    model: Node | None = None
    before: list[Node] = field(default_factory=list)
    activations: dict[str, Node] = field(default_factory=dict)
    stacks: dict[tuple[str, str, int], Node] = field(default_factory=dict)
    measures: dict[tuple[str, str, int], Node] = field(default_factory=dict)
    frozen: dict[str, Node] = field(default_factory=dict)
    extras: dict[str, Node] = field(default_factory=dict)

    @property
    def needed(self) -> list[Node]:
        """What a verdict at these budgets needs; parents before children, long ones first."""
        return [*self.before, *self.activations.values(), *self.stacks.values(), *self.measures.values()]

    @property
    def extra(self) -> list[Node]:
        """What is asked of the final SAEs only."""
        return [*self.frozen.values(), *self.extras.values()]

    @property
    def nodes(self) -> list[Node]:
        """All nodes."""
        return [*self.needed, *self.extra]

    def roles(self) -> dict[str, Node]:
        """Every node that the study's record references, by role."""
        found = {"model" if node is self.model else f"before {node.title}": node for node in self.before}
        found |= {f"activations {source}": node for source, node in self.activations.items()}
        for kind, nodes in (("stack", self.stacks), ("measure", self.measures)):
            found |= {f"{kind} {source} {arm} {steps}": node for (source, arm, steps), node in nodes.items()}
        return found | {f"frozen {arm}": node for arm, node in self.frozen.items()} | self.extras

    @property
    def final(self) -> dict[tuple[str, str], Node]:
        """Measurements at the arms' budgets, by source and arm."""
        return {(source, arm): self.measures[source, arm, self.budgets[arm]] for source, arm, _ in self.measures}

    @property
    def sources(self) -> list[str]:
        """Names of the activation sources."""
        return list(self.activations)

    def seeds_of(self, source: str) -> tuple[int, ...]:
        """Seed numbers trained on a source; the same numbers mean the same streams on every source."""
        if not source.startswith(RANDOM_MODEL_PREFIX):
            return tuple(range(self.study.seeds))
        each = self.study.controls.seeds_per_random_model
        first = OWN_SEEDS * (1 + int(source.removeprefix(RANDOM_MODEL_PREFIX)))
        return tuple(range(first, first + each))


def plan(study: Study, budgets: int | Mapping[str, int]) -> Plan:
    """The graph for one budget, or one for each arm by its name, with half of it beside for the convergence test."""
    given = budgets if isinstance(budgets, Mapping) else {arm.name: budgets for arm in study.arms}
    made = Plan(study, dict(given))
    _add_activations(made)
    for source in made.sources:
        for arm in study.arms:
            for steps in (given[arm.name] // 2, given[arm.name]):
                _add_stack(made, source, arm.name, arm.sae, steps)
    if study.has_model:
        _add_extras(made)
    return made


def _add_activations(made: Plan) -> None:
    study = made.study
    *made.before, target = activations_nodes(study.target, study.root_seed, "target activations")
    made.model = made.before[0] if study.has_model else None
    made.activations[TARGET] = target
    if study.positive is not None:
        (planted,) = activations_nodes(study.positive, study.root_seed, "planted dictionary")
        made.activations[PLANTED] = planted
        made.activations[PLANTED_GAUSSIAN] = gaussian_node(planted, 0, "Gaussian twin of the planted data")
    made.activations[GAUSSIAN] = gaussian_node(target, 0, "Gaussian twin of the target")
    made.activations[GAUSSIAN_2] = gaussian_node(target, 1, "second Gaussian twin of the target")
    if isinstance(study.target, CapturedSource):
        for index in range(study.controls.random_models):
            title = f"activations of random-weight model {index}"
            (random,) = activations_nodes(study.target.untrained(index), study.root_seed, title)
            made.activations[random_model(index)] = random


def activations_nodes(source: Source, root: int, title: str = "activations") -> list[Node]:
    """The node of a source, after that of the model which it needs, if any."""
    if isinstance(source, CapturedSource) and source.pretrain is not None:
        model = _model(source, source.pretrain, root)
        return [model, Node("activations", title, _fields(source, root), {"model": model})]
    if isinstance(source, SurrogateSource):
        of = activations_nodes(source.of, root)
        return [*of, _surrogate(of[-1], source, title)]
    if isinstance(source, FolderSource):
        return [given_folder(Path(source.path))]
    if isinstance(source, ExternalSource):
        return [_file_node(source, root, title)]
    return [Node("activations", title, _fields(source, root))]


def _fields(source: Source, root: int) -> dict[str, Any]:
    return {"source": source.plain(), "root_seed": root}


def _file_node(source: ExternalSource, root: int, title: str) -> Node:
    """A user's file counts by its content, not by its place."""
    path = Path(source.path)
    if not path.is_file():
        raise UserError(f"{path} does not exist, or is not a file: give a .npy, .safetensors or .pt file")
    fields = {"source": source.plain() | {"path": path.suffix}, "root_seed": root, "file_sha256": sha256(path)}
    return Node("activations", title, fields, local={"path": str(path)})


def _model(source: CapturedSource, pretrain: PretrainConfig, root: int) -> Node:
    fields = {"task": source.task.plain(), "model": source.model.plain(), "pretrain": pretrain.plain()}
    return Node("model", f"transformer on {source.task.operation} mod {source.task.p}", {**fields, "root_seed": root})


def given_folder(path: Path) -> Node:
    """Activations that are there already.

    Raises:
        UserError: not a finished folder of activations.
    """
    if not path.exists():
        raise UserError(f"{path} does not exist: give a file of activations, or a folder that husai capture made")
    if not is_complete(path) or read_record(path).kind != "activations":
        raise UserError(f"{path} is not a finished folder of activations: give one that husai capture made, or a file")
    record = read_record(path)
    return Node("activations", record.name, record.config, fixed_id=record.id, given=path)


def _surrogate(of: Node, source: SurrogateSource, title: str) -> Node:
    what = source.model_dump(mode="json", exclude={"of"}, exclude_none=True)
    return Node("activations", title, {"source": what, "root_seed": of.fields["root_seed"]}, {"of": of})


def gaussian_node(of: Node, draw: int, title: str) -> Node:
    """Rows of a Gaussian with the mean and covariance of the rows of `of`; `draw` numbers independent ones."""
    fields = {"source": {"kind": "surrogate", "how": "gaussian", "draw": draw}, "root_seed": of.fields["root_seed"]}
    return Node("activations", title, fields, {"of": of})


def _add_stack(made: Plan, source: str, arm: str, sae: AnySAEConfig, steps: int) -> None:
    activations, study, seeds = made.activations[source], made.study, made.seeds_of(source)
    half = made.stacks.get((source, arm, steps // 2))
    sae, training, left_out = on_rows(sae, study.training, activations.fields)
    title = f"{source} {arm}: {len(seeds)} seeds, {steps} steps{f', {LEFT_OUT}' if left_out else ''}"
    stack = stack_node(sae, training, steps, seeds, study.root_seed, activations, title, half)
    made.stacks[source, arm, steps] = stack
    name = f"measure {source} {arm} at {steps} steps"
    detail: Detail = "full" if steps in study.budgets else "pairs"
    made.measures[source, arm, steps] = measure_node(stack, activations, study.root_seed, name, detail)


def measure_node(stack: Node, activations: Node, root: int, title: str, detail: Detail = "full") -> Node:
    """Measure a stack on the held-out rows of its activations; "pairs" is enough where it is only compared with T."""
    parents = {"stack": stack, "activations": activations}
    return Node("measure", title, {"root_seed": root, "detail": detail}, parents)


def stack_node(
    sae: AnySAEConfig,
    training: TrainingConfig,
    steps: int,
    seeds: tuple[int, ...],
    root: int,
    activations: Node,
    title: str,
    half: Node | None = None,
    calibrated: Node | None = None,
    coupled: Coupled | None = None,
) -> Node:
    """Train `seeds` of one SAE config for `steps` steps.

    `half` is the same at half the budget, whose trunk goes on; `calibrated` found the value of the config's knob;
    `coupled` ties the seeds together.

    Raises:
        UserError: an engine that cannot run this; a coupling that does not fit the seeds.
    """
    budget = training.model_copy(update={"steps": steps})
    fields = {
        "sae": sae.plain(),
        "training": budget.plain() | {"engine": which(sae, budget, coupled is not None)[0]},
        "seeds": list(seeds),
        "root_seed": root,
    }
    parents = {"activations": activations} | ({"calibrated": calibrated} if calibrated else {})
    if coupled:
        coupled.check(seeds)
        fields["coupling"] = coupled.coupling.plain()
        if coupled.groups(seeds) > 1:
            fields["group_size"] = coupled.group_size
        if coupled.reference is not None:
            parents["reference"] = coupled.reference
    return Node("stack", title, fields, parents, (half,) if half else ())


def reference_node(
    sae: AnySAEConfig, training: TrainingConfig, steps: int, root: int, activations: Node, title: str, groups: int = 1
) -> Node:
    """What couplings tie to: one more SAE of the config for each group, trained as if there were no coupling."""
    return stack_node(sae, training, steps, reference_seeds(groups), root, activations, title)


def _add_extras(made: Plan) -> None:
    """What is asked of the target's final SAEs only: effect on the model, Fourier planes."""
    study = made.study
    assert made.model is not None
    target = made.activations[TARGET]
    for arm in study.arms:
        steps = made.budgets[arm.name]
        stack = made.stacks[TARGET, arm.name, steps]
        parents = {"model": made.model, "activations": target, "stack": stack}
        if study.controls.frozen_decoder:
            frozen = arm.sae.model_copy(update={"freeze": "decoder"})
            title = f"target {arm.name}, frozen random decoder"
            made.frozen[arm.name] = stack_node(
                frozen, study.training, steps, FROZEN_SEEDS, study.root_seed, target, title
            )
            parents["frozen"] = made.frozen[arm.name]
        fields = {"root_seed": study.root_seed}
        made.extras[f"splice {arm.name}"] = Node("splice", f"splice target {arm.name}", fields, parents)
        if has_planes(study):
            parents = {"activations": target, "stack": stack, "model": made.model}
            made.extras[f"fourier {arm.name}"] = Node("fourier", f"Fourier planes, target {arm.name}", fields, parents)


def has_planes(study: Study) -> bool:
    """Whether the answers have Fourier planes: with an even modulus the last frequency has no sine."""
    return isinstance(study.target, CapturedSource) and study.target.task.p % 2 == 1
