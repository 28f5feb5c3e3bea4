"""T12. "Best lambda": at the scale of those activations the penalty was 1,000 times the MSE. husai trains on rows that
were centred and scaled, and its terms are relative to their variance: the same activations in other units give the same
dictionary, bit for bit where the unit is a power of two, whatever is weighed.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from torch import Tensor

import husai.studies.nodes.stack as stack_code
from husai.activations.source import ExternalSource
from husai.saes.architecture import Batch, Terms
from husai.saes.config import (
    AnySAEConfig,
    BatchTopKConfig,
    GatedConfig,
    GBAConfig,
    JacobianConfig,
    JumpReluConfig,
    ReluL1Config,
    SwitchConfig,
    TopKConfig,
)
from husai.saes.conventions import OWN, SHARED, penalties
from husai.saes.objective import loss_terms
from husai.saes.parameters import unit_rows
from husai.saes.registry import architecture
from husai.saes.sae import SAE
from husai.saes.stack import SAEStack, load_stack
from husai.stability.metrics import mcc_signed
from husai.store.index import Results
from husai.studies.coupled import Coupled
from husai.studies.executors.worker import compute
from husai.studies.node import Node, folder_of, work_of
from husai.studies.plan import activations_nodes, measure_node, reference_node, stack_node
from husai.training.config import TrainingConfig
from husai.training.coupling.alignment import Alignment
from husai.training.coupling.assignment import Assignment
from husai.training.coupling.config import (
    AlignmentConfig,
    AnyCoupling,
    AssignmentConfig,
    ContrastiveConfig,
    JointConfig,
)
from husai.training.coupling.contrastive import Contrastive
from husai.training.coupling.couple import Tie, couple
from husai.training.coupling.coupling import Coupling
from husai.training.coupling.joint import Joint

D, F, STEPS = 10, 20, 40
ROWS = np.random.default_rng(0).standard_normal((500, 6)) @ np.random.default_rng(1).standard_normal((6, D)) + 3.0
TRAINING = TrainingConfig(steps=STEPS, batch=64, lr=1e-2)
CASES: dict[str, AnySAEConfig] = {
    "l1": ReluL1Config(d_sae=F, l1=0.3, decoder_norm="free"),
    "song_l1": ReluL1Config(d_sae=F, song_l1=0.05),
    "song_l1 of topk": TopKConfig(d_sae=F, k=3, song_l1=0.05),
    "l1 of gated": GatedConfig(d_sae=F, l1=0.3),
    "l0_coefficient": JumpReluConfig(d_sae=F, l0_coefficient=0.01, threshold=0.1, bandwidth=0.1),
    "l0_target": JumpReluConfig(d_sae=F, l0_coefficient=0.1, l0_target=3.0, threshold=0.1, bandwidth=0.1),
    "decorrelation": TopKConfig(d_sae=F, k=3, decorrelation=2.0),
    "aux_coefficient": BatchTopKConfig(d_sae=F, k=2, aux_k=4, aux_coefficient=0.3, dead_after=100),
    "balance, entropy": SwitchConfig(d_sae=F, k=2, balance=0.2, entropy=0.05),
    "rate": GBAConfig(d_sae=F, window=200, rate=0.1),
    **dict.fromkeys(("alignment", "assignment", "joint", "contrastive"), TopKConfig(d_sae=F, k=3)),
}
COUPLINGS: dict[str, AnyCoupling] = {
    "alignment": AlignmentConfig(weight=2.0),
    "assignment": AssignmentConfig(weight=2.0, every=15),
    "joint": JointConfig(weight=2.0, every=15),
    "contrastive": ContrastiveConfig(weight=2.0),
}


@functools.cache
def trained(case: str, unit: float) -> tuple[SAEStack, float]:
    """The SAEs of a case, and their mean EV, trained on the rows in some unit."""
    root = BASE[0] / f"{case}-{unit}"
    root.mkdir()
    np.save(root / "x.npy", (ROWS.astype(np.float32) * np.float32(unit)))
    (data,) = activations_nodes(ExternalSource(path=str(root / "x.npy")), 0)
    before, coupled, reference = [data], None, None
    if case in COUPLINGS:
        if COUPLINGS[case].needs_reference:
            reference = reference_node(CASES[case], TRAINING, STEPS, 0, data, "reference")
            before.append(reference)
        coupled = Coupled(COUPLINGS[case], reference)
    stack = stack_node(CASES[case], TRAINING, STEPS, (0, 1), 0, data, case, coupled=coupled)
    measure = measure_node(stack, data, 0, "measure", "pairs")
    records = [compute(work_of(node, Results(root)), root) for node in (*before, stack, measure)]
    explained = records[-1].get("explained_variance").value
    assert explained is not None
    return load_stack(_file(stack, root)), explained


def _file(stack: Node, root: Path) -> Path:
    return folder_of(stack, Results(root)) / "stack.safetensors"


BASE: list[Path] = []


@pytest.fixture(scope="module", autouse=True)
def folder(tmp_path_factory: pytest.TempPathFactory) -> Any:
    BASE[:] = [tmp_path_factory.mktemp("t12")]
    trained.cache_clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stack_code, "warn", lambda text: None)
        yield


@pytest.mark.parametrize("case", CASES)
def test_a_unit_that_is_a_power_of_two_changes_no_bit(case: str) -> None:
    (plain, explained), (other, again) = trained(case, 1.0), trained(case, 1024.0)
    assert plain.factor == other.factor * 1024
    assert all(torch.equal(tensor, other.parameters[name]) for name, tensor in plain.parameters.items())
    assert explained == pytest.approx(again, abs=1e-12)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("unit", [1000.0, 0.001])
def test_any_other_unit_changes_rounding_only(case: str, unit: float) -> None:
    (plain, explained), (other, again) = trained(case, 1.0), trained(case, unit)
    assert again == pytest.approx(explained, abs=1e-3)
    for a, b in zip(plain.parameters["W_dec"], other.parameters["W_dec"], strict=True):
        assert mcc_signed(a.numpy(), b.numpy()) > 0.999


def terms_at(config: AnySAEConfig, unit: float) -> Terms:
    """The terms when rows and all that has their unit (biases, thresholds) are multiplied, and routers divided."""
    width = 2 * D if isinstance(config, JacobianConfig) else D
    generator, p = torch.Generator().manual_seed(0), {}
    for name, shape in architecture(config).shapes(config, width).items():
        p[name] = torch.randn(shape, generator=generator, dtype=torch.float64)
        if name == "W_router":
            p[name] = p[name] / unit
        elif name.startswith(("b_", "mlp.b_")):
            p[name] = p[name] * unit
        elif name == "log_threshold":
            p[name] = p[name] + np.log(unit)
    x = unit * torch.randn(50, width, generator=generator, dtype=torch.float64)
    dead = torch.arange(F) % 3 == 0
    return loss_terms(architecture(config), config, p, Batch.of(x, dead))[0]


INNER = {**CASES, "jacobian": JacobianConfig(d_sae=F, k=3, d_mlp=7, jacobian=0.3)}
BY_LENGTH = ("l1",)  # of codes, which have the unit of the rows; every other term has its square


@pytest.mark.parametrize("case", INNER)
def test_a_term_keeps_its_share_of_the_loss_or_is_a_length_that_the_scaling_fixes(case: str) -> None:
    one, thousand = terms_at(INNER[case], 1.0), terms_at(INNER[case], 1000.0)
    assert one.keys() == thousand.keys()
    for name in one:
        power = 1 if name in BY_LENGTH else 2
        assert float(thousand[name]) == pytest.approx(1000**power * float(one[name]), rel=1e-9), name


def test_without_the_scaling_an_l1_would_weigh_a_thousand_times_less() -> None:
    """What happened, the other way round: the same lambda on the same activations in another unit."""
    one, thousand = terms_at(CASES["l1"], 1.0), terms_at(CASES["l1"], 1000.0)
    shares = [float(terms["l1"] / terms["mse"]) for terms in (one, thousand)]
    assert shares[0] == pytest.approx(1000 * shares[1])
    assert "rows scaled to a mean square norm of d_in" in penalties(CASES["l1"])["l1"]


MADE: dict[str, Callable[[Tensor, float], Coupling]] = {
    "alignment": lambda r, variance: Alignment(r, 0.3, variance),
    "assignment": lambda r, variance: Assignment(r, 0.3, variance),
    "joint": lambda r, variance: Joint(0.3, variance),
    "contrastive": lambda r, variance: Contrastive(unit_rows(r), 0.3, variance),
}


@pytest.mark.parametrize("name", MADE)
def test_the_weight_of_a_coupling_is_relative_to_the_variance(name: str) -> None:
    W, r = torch.randn(2, F, D, dtype=torch.float64), torch.randn(F, D, dtype=torch.float64)
    one, thousand = (MADE[name](r, variance).pull(0, W, {}) for variance in (1.0, 1e6))
    assert one[1] is not None and thousand[1] is not None and (one[1] != 0).any()
    assert torch.allclose(thousand[1], 1e6 * one[1], rtol=1e-12)
    assert float(thousand[0][0][name]) == pytest.approx(1e6 * float(one[0][0][name]))


@pytest.mark.parametrize("name", COUPLINGS)
def test_the_variance_is_that_of_scaled_rows(name: str) -> None:
    """Whatever the rows were before: centred, with a mean square norm of their width."""
    config = TopKConfig(d_sae=F, k=3)
    reference = SAE(config, {"W_dec": torch.randn(F, D)}, torch.zeros(D), 1.0)
    made = couple(COUPLINGS[name], [Tie(config, D, 0, reference, lambda n: torch.randn(n, D))])
    assert getattr(made, "variance") == float(D)  # noqa: B009 - not of every coupling


def test_every_weight_is_among_the_cases() -> None:
    """A new weight has words (see T50), and must come here."""
    weights = {*SHARED, *(name for _, name in OWN)}
    assert {name for config in INNER.values() for name in penalties(config)} == weights
    weighted = {c.model_fields["kind"].default for c in get_args(AnyCoupling) if "weight" in c.model_fields}
    assert set(COUPLINGS) == set(MADE) == weighted
