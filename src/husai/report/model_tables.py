"""Tables that exist only where a model was read: sanity checks, splicing, Fourier planes."""

from __future__ import annotations

from dataclasses import replace

from husai.report.cells import Cell, Number, Words, value, with_interval
from husai.report.tables import Column, Table, cell
from husai.report.view import Upstream, View

REPLACEMENTS = {
    "clean": "nothing (the clean model)",
    "sae": "the SAE's reconstruction",
    "frozen": "an SAE with a frozen random decoder",
    "mean": "the mean activation",
    "zero": "zero",
}
STYLES = {"passed": "flag yes", "failed": "flag no", "not needed": "quiet"}
ZERO_POINTS = {"frozen": "a frozen random decoder", "mean": "mean ablation", "zero": "zero ablation"}


def by_arm(view: View, kind: str) -> list[tuple[Cell, Upstream]]:
    """The records `<kind> <arm>` that exist, with the arm's name."""
    roles = [(i, f"{kind} {arm}") for i, arm in enumerate(view.arms)]
    return [(view.arm(i), view.upstream[role]) for i, role in roles if role in view.upstream]


def sanity(view: View) -> Table:
    """Every check of the study's model."""
    return sanity_of(view.upstream.get("model"))


def sanity_of(model: Upstream | None) -> Table:
    """Every check of a model: its state, and the sentence that its record made from its numbers."""
    columns = [Column("check", text=True), Column("state", text=True), Column("what was found", text=True)]
    rows: list[list[Cell]] = []
    checks = model.record.facts["sanity"]["checks"] if model else []
    for i, check in enumerate(checks):
        assert model is not None
        at = f"facts.sanity.checks.{i}"
        name = Words(check["name"], f"{model.id}@{at}.name", style="name")
        rows.append([name, _state(model, at), model.fact(f"{at}.sentence")])
    return Table("sanity", "Checks of the model", columns, rows, "this study read no model", wordy=True)


def _state(model: Upstream, at: str) -> Cell:
    """The word of the record, in its colour; what had nothing to measure is neither good nor bad."""
    found = model.fact(f"{at}.state")
    return replace(found, style=STYLES.get(found.text, "")) if isinstance(found, Words) else found


def recovered(view: View) -> Table:
    """How much of the model's loss the SAE gives back, first with the frozen random decoder as zero point."""
    found = by_arm(view, "splice")
    columns = [Column("zero point", text=True), *(Column(arm) for arm, _ in found)]
    rows: list[list[Cell]] = [
        [words, *(cell(up.get("loss_recovered", zero_point=name), up.id, with_interval) for _, up in found)]
        for name, words in ZERO_POINTS.items()
        if found
    ]
    empty = "this study spliced nothing into a model"
    return Table("recovered", "Loss recovered, by what counts as nothing", columns, rows, empty)


def splice(view: View) -> Table:
    """Cross-entropy, KL and accuracy with every replacement, per arm."""
    found = by_arm(view, "splice")
    metrics = {"cross_entropy": "CE, nats", "kl": "KL, nats", "accuracy": "accuracy"}
    columns = [Column("in place of the activations", text=True)]
    columns += [Column(head, arm) for arm, _ in found for head in metrics.values()]
    rows: list[list[Cell]] = []
    for name, words in REPLACEMENTS.items():
        cells = [cell(up.get(metric, replacement=name), up.id, with_interval) for _, up in found for metric in metrics]
        if cells:
            rows.append([words, *cells])
    return Table("splice", "What the model loses", columns, rows, "this study spliced nothing into a model")


def fourier(view: View) -> Table:
    """Overlap of the latents with Fourier planes, beside chance."""
    columns = [Column("arm", text=True), Column("share in the best plane"), Column("chance")]
    names = ("fourier_overlap", "fourier_overlap.chance")
    rows: list[list[Cell]] = [
        [arm, *(cell(up.get(name), up.id, with_interval if name == names[0] else value) for name in names)]
        for arm, up in by_arm(view, "fourier")
    ]
    return Table("fourier", "Do the latents lie in Fourier planes?", columns, rows, "no Fourier planes were measured")


def frequencies(view: View) -> Table:
    """Share of the activations' variance in the planes of the strongest frequencies (the same for all arms)."""
    columns = [Column("frequency", text=True), Column("share of variance")]
    rows: list[list[Cell]] = []
    for _, up in by_arm(view, "fourier")[:1]:
        for m in up.record.select("frequency_energy"):
            name = Words(m.scope["frequency"], f"{up.id}#{m.key}", "scope.frequency")
            rows.append([name, value(m, up.id)])
    return Table(
        "frequencies", "Where the activations' variance lies", columns, rows, "no Fourier planes were measured"
    )


def held_out(view: View) -> list[tuple[Cell, Cell]]:
    """Accuracy of the model on held-out rows, and the steps it was trained for."""
    model = view.upstream.get("model")
    if model is None:
        return []
    steps = model.get("pretrain_steps")
    shown: Cell = (
        Number(steps.value, f"{model.id}#{steps.key}", "value", ".0f")
        if steps and steps.value
        else cell(steps, model.id)
    )
    return [("held-out accuracy", cell(model.get("held_out_accuracy"), model.id)), ("training steps", shown)]
