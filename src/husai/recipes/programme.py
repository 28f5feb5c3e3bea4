"""The stability programme: every phase in order, and five hypotheses decided from their records."""

from __future__ import annotations

from husai.recipes import calibrate, consistency, ground_truth, phase4a, phase4b, phase4c, phase4d, replay
from husai.recipes.scale import Scale, remarks
from husai.studies.programmes.programme import AnyStudy, Hypothesis, Programme
from husai.studies.surveys.survey import Survey


def studies(scale: Scale) -> tuple[AnyStudy, ...]:
    """In the order in which they run."""
    made = (phase4a, phase4b, phase4c, phase4d, calibrate, consistency, ground_truth, replay)
    return tuple(one.study(scale) for one in made)


def claims(survey: Survey, *families: str, names: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Full names of a survey's claims of these families, or of these names."""
    return tuple(f"{survey.name}/{c.name}" for c in survey.claims if c.family in families or c.name in names)


def hypotheses(scale: Scale) -> tuple[Hypothesis, ...]:
    """H1 to H5."""
    ablations, variants = phase4c.study(scale), phase4d.study(scale)
    return (
        Hypothesis(
            name="H1", title="Rank and sparsity matching", rule="all",
            text="Stability is highest where d_sae and k match the effective rank of the activations.",
            claims=claims(ablations, names=("peak-k", "peak-width")),
        ),
        Hypothesis(
            name="H2", title="Stability and quality trade off", rule="any",
            text="Some settings buy stability at the price of reconstruction: lower k is more stable, explains less.",
            claims=claims(ablations, "trade"),
        ),
        Hypothesis(
            name="H3", title="Architecture effect", rule="any",
            text="Newer architectures move the front against TopK, or a JSAE against the same without its Jacobian.",
            claims=claims(variants, "architecture"),
        ),
        Hypothesis(
            name="H4", title="Metrics need baselines", rule="overturned",
            text="Conclusions on stability can be trusted only with random baselines and causal checks beside them.",
            not_run=("causal checks: they do not exist yet, so this is decided as far as baselines go",),
        ),
        Hypothesis(
            name="H5", title="Transfer from tasks to benchmarks", rule="not run",
            text="What holds for modular arithmetic transfers in part to benchmark settings.",
            not_run=("other tasks and benchmarks: they do not exist yet",),
        ),
    )  # fmt: skip


def study(scale: Scale = "full") -> Programme:
    """All of it."""
    return Programme(
        name="programme",
        question="Which published regularities of SAE stability hold beyond trained controls, on a known model?",
        studies=studies(scale),
        hypotheses=hypotheses(scale),
        positive=(f"ground_truth/{ground_truth.POSITIVE}",),
        remarks=remarks(scale),
    )
