"""From a survey to its graph of nodes, for one budget of steps per setting and arm."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from husai.saes.config import AnySAEConfig
from husai.saes.registry import architecture
from husai.studies.coupled import Coupled
from husai.studies.heads import LEFT_OUT, on_rows
from husai.studies.here import here
from husai.studies.node import Node
from husai.studies.plan import (
    GAUSSIAN,
    OWN_SEEDS,
    TARGET,
    Detail,
    activations_nodes,
    gaussian_node,
    measure_node,
    random_model,
    reference_node,
    stack_node,
)
from husai.studies.surveys.survey import Setting, Survey, SurveyArm
from husai.studies.trained_by import saelens_stack_node
from husai.training.config import TrainingConfig
from husai.training.knobs import at_l0

MODELS_APART = 100  # between the random-weight models of one draw and of the next
UNTRAINED_STEPS = 2  # a budget has a half
CALIBRATION_SEEDS = (900_000, 900_001)  # of the SAEs that a search trains: none of those that are compared
Place = tuple[str, str, str]  # setting, source within it, arm
Budgets = dict[tuple[str, str], int]  # by setting and arm


@dataclass
class SurveyPlan:
    """Nodes of a survey; parents come before children. `not_run` says why an arm has none: `survey` is without it."""

    survey: Survey
    budgets: Budgets
    not_run: dict[tuple[str, str], str] = field(default_factory=dict)
    before: dict[str, Node] = field(default_factory=dict)
    activations: dict[tuple[str, str], Node] = field(default_factory=dict)
    calibrations: dict[Place, Node] = field(default_factory=dict)
    references: dict[Place, Node] = field(default_factory=dict)
    stacks: dict[tuple[str, str, str, int], Node] = field(default_factory=dict)
    measures: dict[tuple[str, str, str, int], Node] = field(default_factory=dict)
    levels: dict[tuple[str, str], Node] = field(default_factory=dict)
    projections: dict[tuple[str, str], Node] = field(default_factory=dict)

    @property
    def nodes(self) -> list[Node]:
        """What judging needs, once each."""
        every = [self.before, self.activations, self.calibrations, self.references, self.stacks, self.measures]
        return list({node.id: node for nodes in every for node in nodes.values()}.values())

    @property
    def extra(self) -> list[Node]:
        """What is asked of the final SAEs only."""
        return [*self.levels.values(), *self.projections.values()]

    def roles(self) -> dict[str, Node]:
        """Every node that the survey's record references, by role."""
        found = {f"before {title}": node for title, node in self.before.items()}
        for kind in ("activations", "calibrations", "references", "stacks", "measures", "levels", "projections"):
            nodes: Mapping[tuple[str | int, ...], Node] = getattr(self, kind)
            found |= {f"{kind.removesuffix('s')} {' '.join(map(str, key))}": node for key, node in nodes.items()}
        return found

    def measure(self, setting: str, source: str, arm: str, half: bool = False) -> Node:
        """Measurement at an arm's budget, or at half of it."""
        steps = self.budgets[setting, arm] // (2 if half else 1)
        return self.measures[setting, source, arm, steps]


def first_budgets(survey: Survey) -> Budgets:
    """Every arm that can be run, at the first budget of its setting; what is never trained needs few steps."""
    return {
        (setting.name, arm.name): setting.training.steps if architecture(arm.sae).trained else UNTRAINED_STEPS
        for setting in here(survey).survey.settings
        for arm in setting.arms
    }


def sources_of(setting: Setting) -> list[str]:
    """The source itself, its Gaussian twin, and each random-weight model."""
    return [TARGET, GAUSSIAN, *(random_model(i) for i in range(setting.random_models))]


def seeds_of(setting: Setting, source: str) -> tuple[int, ...]:
    """Seed numbers trained on a source; each random-weight model has its own."""
    if source in (TARGET, GAUSSIAN):
        return tuple(range(setting.first_seed, setting.first_seed + setting.seeds))
    first = OWN_SEEDS * (1 + sources_of(setting).index(source) - 2) + setting.first_seed
    return tuple(range(first, first + setting.controls.seeds_per_random_model))


def survey_plan(survey: Survey, budgets: Budgets) -> SurveyPlan:
    """The graph at these budgets, with half of each beside for the convergence test."""
    found = here(survey)
    made = SurveyPlan(found.survey, dict(budgets), found.not_run)
    for setting in made.survey.settings:
        _add_activations(made, setting)
    for setting in made.survey.settings:
        for arm in setting.arms:
            for source in sources_of(setting):
                _add_arm(made, setting, source, arm)
    return made


def _add_activations(made: SurveyPlan, setting: Setting) -> None:
    root = made.survey.root_seed
    *before, target = activations_nodes(setting.source, root, f"activations of {setting.name}")
    made.before |= {node.title: node for node in before}
    made.activations[setting.name, TARGET] = target
    made.activations[setting.name, GAUSSIAN] = gaussian_node(target, setting.draw, f"Gaussian twin of {setting.name}")
    for index in range(setting.random_models):
        assert setting.captured is not None
        title = f"{setting.name}: activations of random-weight model {index}"
        (random,) = activations_nodes(setting.captured.untrained(index + setting.draw * MODELS_APART), root, title)
        made.activations[setting.name, random_model(index)] = random


def _add_arm(made: SurveyPlan, setting: Setting, source: str, arm: SurveyArm) -> None:
    root, steps = made.survey.root_seed, made.budgets[setting.name, arm.name]
    activations, seeds = made.activations[setting.name, source], seeds_of(setting, source)
    sae, training, left_out = on_rows(arm.sae, setting.training, activations.fields)
    setting, arm = setting.model_copy(update={"training": training}), arm.model_copy(update={"sae": sae})
    note = f", {LEFT_OUT}" if left_out else ""
    sae, calibrated = _calibrated(made, setting, source, arm, steps)
    coupled = _coupled(made, setting, source, arm, sae)
    for budget in (steps // 2, steps):
        place = (setting.name, source, arm.name, budget)
        title = f"{setting.name} {source} {arm.name}: {len(seeds)} seeds, {budget} steps{note}"
        if arm.trained_by == "saelens":  # no trunk to go on from: each budget is a whole training
            stack = saelens_stack_node(sae, setting.training, budget, seeds, root, activations, f"{title}, SAELens")
        else:
            half = made.stacks.get((setting.name, source, arm.name, budget // 2))
            stack = stack_node(
                sae, setting.training, budget, seeds, root, activations, title, half, calibrated, coupled
            )
        made.stacks[place] = stack
        name, detail = f"measure {setting.name} {source} {arm.name} at {budget} steps", _detail(source, budget, steps)
        made.measures[place] = measure_node(stack, activations, root, name, detail)
    if source == TARGET and architecture(sae).trained:
        _add_extra(made, setting, arm.name, made.stacks[setting.name, source, arm.name, steps], activations)


def _coupled(made: SurveyPlan, setting: Setting, source: str, arm: SurveyArm, sae: AnySAEConfig) -> Coupled | None:
    """The arm's coupling, with a reference for each group where it needs them: trained for the first budget, so that
    what is trained for more steps goes on with the same one."""
    if arm.coupling is None:
        return None
    coupled = Coupled(arm.coupling, None, setting.group_size)
    if not arm.coupling.needs_reference:
        return coupled
    activations, root = made.activations[setting.name, source], made.survey.root_seed
    groups, steps = coupled.groups(seeds_of(setting, source)), setting.training.steps
    title = f"{setting.name} {source} {arm.name}: {groups} references, {steps} steps"
    reference = reference_node(sae, setting.training, steps, root, activations, title, groups)
    made.references[setting.name, source, arm.name] = reference
    return replace(coupled, reference=reference)


def _add_extra(made: SurveyPlan, setting: Setting, arm: str, stack: Node, activations: Node) -> None:
    fields, parents = {"root_seed": made.survey.root_seed}, {"stack": stack, "activations": activations}
    for kind, wanted, nodes in (
        ("levels", setting.levels, made.levels),
        ("projection", setting.projections, made.projections),
    ):
        if wanted:
            nodes[setting.name, arm] = Node(kind, f"{kind} of {setting.name} {arm}", fields, parents)


def _detail(source: str, budget: int, steps: int) -> Detail:
    """Everything is measured at the budget, on the source itself; elsewhere only what is compared."""
    return "full" if budget == steps and source == TARGET else "pairs"


def _calibrated(
    made: SurveyPlan, setting: Setting, source: str, arm: SurveyArm, steps: int
) -> tuple[AnySAEConfig, Node | None]:
    """The config to train, and the node that finds the value of its knob, where it takes a search.

    Random-weight models share the search on the first of them; controls begin where the source's search ended.
    """
    if arm.l0 is None:
        return arm.sae, None
    exact = at_l0(arm.sae, arm.l0)
    if exact is not None:
        return exact, None
    where = source if source in (TARGET, GAUSSIAN) else random_model(0)
    place = (setting.name, where, arm.name)
    if place not in made.calibrations:
        made.calibrations[place] = calibrate_node(
            arm.sae,
            arm.l0,
            setting.training.model_copy(update={"steps": steps}),
            made.survey.root_seed,
            made.activations[setting.name, where],
            f"{setting.name} {where} {arm.name}: L0 = {arm.l0:g}",
            None if where == TARGET else made.calibrations[setting.name, TARGET, arm.name],
        )
    return arm.sae, made.calibrations[place]


def calibrate_node(
    sae: AnySAEConfig,
    l0: float,
    training: TrainingConfig,
    root: int,
    activations: Node,
    title: str,
    near: Node | None = None,
) -> Node:
    """Search for the value of the config's knob that gives this L0 after that training.

    The search begins at the value that `near`, a search on other rows, has found.
    """
    fields = {
        "sae": sae.plain(),
        "l0": l0,
        "training": training.plain(),
        "seeds": list(CALIBRATION_SEEDS),
        "root_seed": root,
    }
    parents = {"activations": activations} | ({"near": near} if near else {})
    return Node("calibrate", title, fields, parents)
