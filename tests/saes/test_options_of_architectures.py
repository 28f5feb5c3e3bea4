"""Options that an architecture cannot honour are refused in one line, before anything runs."""

from __future__ import annotations

import pytest
import torch
from pydantic import TypeAdapter, ValidationError

from husai.errors import UserError
from husai.saes.config import (
    AlignedConfig,
    AnySAEConfig,
    ArchetypalConfig,
    CommonConfig,
    GatedConfig,
    GBAConfig,
    LinearConfig,
    PCAConfig,
    RandomConfig,
    SAEConfig,
)
from husai.saes.config.sizes import check_sizes
from husai.saes.registry import ARCHITECTURES, architecture
from husai.training.config import TrainingConfig
from husai.training.coupling.alignment import Alignment
from husai.training.engines.choose import choose
from husai.training.engines.reference import ReferenceEngine

NEW: list[type[CommonConfig]] = [
    GatedConfig, GBAConfig, ArchetypalConfig, AlignedConfig, LinearConfig, PCAConfig, RandomConfig,
]  # fmt: skip


@pytest.mark.parametrize(
    ("config", "options", "says"),
    [
        (GBAConfig, {"freeze": "encoder"}, "freeze must be none or decoder or soft_decoder"),
        (ArchetypalConfig, {"decoder_norm": "unit"}, "decoder_norm must be free"),
        (ArchetypalConfig, {"decoder_norm": "projected"}, "decoder_norm must be free"),
        (ArchetypalConfig, {"freeze": "decoder"}, "freeze must be none"),
        (ArchetypalConfig, {"freeze": "soft_decoder"}, "freeze must be none"),
        (ArchetypalConfig, {"freeze": "encoder"}, "freeze must be none"),
        (ArchetypalConfig, {"decorrelation": 0.1}, "decorrelation must be 0"),
        (AlignedConfig, {"freeze": "encoder"}, "freeze must be none or decoder"),
        (AlignedConfig, {"freeze": "soft_decoder"}, "freeze must be none or decoder"),
        (AlignedConfig, {"decoder_norm": "free"}, "decoder_norm must be unit or projected"),
        (PCAConfig, {"subtract_b_dec": False}, "subtract_b_dec must be True"),
        (PCAConfig, {"freeze": "decoder"}, "freeze must be none"),
        (RandomConfig, {"decorrelation": 0.1}, "decorrelation must be 0"),
        (RandomConfig, {"tied_init": False}, "tied_init must be True"),
        (RandomConfig, {"decoder_norm": "free"}, "decoder_norm must be unit"),
    ],
)
def test_what_makes_no_sense_is_refused(config: type[CommonConfig], options: dict[str, object], says: str) -> None:
    with pytest.raises(UserError, match=says) as caught:
        config.parse(options)
    assert "\n" not in str(caught.value)
    with pytest.raises(ValidationError):
        config.model_validate(options)


@pytest.mark.parametrize("config", NEW)
def test_a_config_is_read_back_by_its_kind_and_has_code(config: type[CommonConfig]) -> None:
    made = config()
    read: AnySAEConfig = TypeAdapter(SAEConfig).validate_python(made.plain())
    assert read == made
    arch = ARCHITECTURES[read.kind]
    assert architecture(read) is arch
    assert arch.knob == "" or hasattr(read, arch.knob)
    assert set(arch.buffers) <= arch.shapes(read, 16).keys()


def test_sizes_that_cannot_work_are_refused() -> None:
    with pytest.raises(UserError, match="only d_in = 8 principal directions, not 9: lower d_sae"):
        check_sizes(PCAConfig(d_sae=9), 8)
    assert check_sizes(PCAConfig(d_sae=8), 8) == []
    with pytest.raises(UserError, match="groups = 5 is more than d_sae = 4"):
        check_sizes(GBAConfig(d_sae=4), 8)
    assert "aims at 0.5 firings in a window" in check_sizes(GBAConfig(target=0.1, groups=2, ratio=0.5, window=10), 8)[0]
    assert check_sizes(GBAConfig(), 8) == [] and check_sizes(LinearConfig(d_sae=900), 8) == []
    for config in (ArchetypalConfig(d_sae=20, k=8), AlignedConfig(d_sae=20, k=8), RandomConfig(d_sae=20, k=8)):
        with pytest.raises(UserError, match="k = 8 is not sparse"):
            check_sizes(config, 8)
    with pytest.raises(UserError, match="aux_k"):
        check_sizes(AlignedConfig(d_sae=20, k=3, aux_k=21), 8)


@pytest.mark.parametrize("config", [ArchetypalConfig(), PCAConfig(), RandomConfig()])
def test_a_coupling_that_could_move_nothing_is_refused(config: AnySAEConfig) -> None:
    coupling = Alignment(torch.randn(4, 8), weight=0.1, variance=1.0)
    with pytest.raises(UserError, match=f"{config.kind} has no W_dec that alignment could move"):
        ReferenceEngine(config, TrainingConfig(), coupling)
    ReferenceEngine(LinearConfig(), TrainingConfig(), coupling)


@pytest.mark.parametrize("config", NEW)
def test_everything_new_but_one_runs_on_the_reference_engine_and_says_why(config: type[CommonConfig]) -> None:
    made: AnySAEConfig = TypeAdapter(SAEConfig).validate_python(config().plain())
    engine, why = choose(made, TrainingConfig())
    if config is AlignedConfig:
        assert engine.name == "cpu"
        return
    assert engine.name == "reference"
    assert made.kind in why and ("no fixed number" in why) != hasattr(made, "k")
