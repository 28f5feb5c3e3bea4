"""T57. "ce_loss_score .985": the share of the loss recovered above zero ablation, on a scale where an SAE whose decoder
stayed random already gets .84. husai's report gives the loss recovered above that frozen random decoder first, beside
the other zero points by name, and says that it is missing where no frozen decoder was trained.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from husai.evals.splice import recovered
from husai.report.cells import plain
from husai.report.model_tables import recovered as table
from husai.report.view import View
from husai.store.audit import audit
from husai.studies.measured import single

CLEAN, ZERO = 0.0, 1.0
SAE, FROZEN = 0.015, 0.16  # cross-entropies: .985 and .84 of the way from zero ablation to the clean model


def with_numbers(frozen: bool) -> Any:
    """Splice records with the published numbers."""
    points = {"zero": ZERO, "mean": ZERO} | ({"frozen": FROZEN} if frozen else {})

    def alter(node: Any, made: list[Any], facts: dict[str, Any]) -> list[Any]:
        if node.kind != "splice":
            return made
        kept = [m for m in made if m.name == "accuracy"]
        found = {"clean": CLEAN, "sae": SAE, **points}
        kept += [single("cross_entropy", ce, "nats", {"replacement": name}, "exact") for name, ce in found.items()]
        for name, ce in points.items():
            share = recovered(SAE, CLEAN, ce)
            kept.append(single("loss_recovered", share, "share", {"zero_point": name}, "one number"))
        return kept

    return alter


@pytest.fixture(scope="module", params=[True, False])
def case(request: pytest.FixtureRequest, studies: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[bool, Any]:
    wanted = studies.Wanted(alter=with_numbers(request.param))
    return request.param, studies.build(tmp_path_factory.mktemp("t57") / "results", wanted)


def test_the_published_number_and_the_true_one() -> None:
    assert recovered(SAE, CLEAN, ZERO) == pytest.approx(0.985)
    assert recovered(FROZEN, CLEAN, ZERO) == pytest.approx(0.84)
    assert recovered(SAE, CLEAN, FROZEN) == pytest.approx(0.90625)
    assert recovered(FROZEN, CLEAN, FROZEN) == 0.0


def test_the_frozen_decoder_comes_first(case: tuple[bool, Any]) -> None:
    frozen, built = case
    rows = table(View.of(built.record, built.upstream)).rows
    first, *others = [[plain(cell) for cell in row] for row in rows]
    assert first[0] == "a frozen random decoder"
    assert [row[0] for row in others] == ["mean ablation", "zero ablation"]
    assert others[1][1].startswith("0.985")
    assert first[1].startswith("0.906") if frozen else first[1] == "missing: not in the record"


def test_the_page_and_the_summary_say_it(case: tuple[bool, Any]) -> None:
    frozen, built = case
    page = (built.folder / "report.html").read_text()
    section = re.search(r'<section id="splice">.*?</section>', page, re.DOTALL)
    assert section is not None
    text = " ".join(re.sub(r"<[^>]*>", " ", section[0]).split())
    assert text.index("a frozen random decoder") < text.index("zero ablation 0.985")
    assert "whose decoder stayed random, then above the two ablations" in text
    summary = (built.folder / "summary.md").read_text()
    assert f"| a frozen random decoder | {'0.906' if frozen else 'missing: not in the record'}" in summary
    assert "| zero ablation | 0.985" in summary
    assert audit(built.root).passed


def test_the_number_above_zero_ablation_never_stands_alone(case: tuple[bool, Any]) -> None:
    _, built = case
    path: Path = built.folder / "summary.md"
    for line in path.read_text().splitlines():
        if "0.985" in line:
            assert line.startswith(("| zero ablation |", "| mean ablation |"))
