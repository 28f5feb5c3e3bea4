"""Configs of models: sizes from the task, no torch until something is built."""

from __future__ import annotations

import subprocess
import sys

import pytest

from husai.errors import UserError
from husai.models.config import PretrainConfig, TransformerConfig
from husai.tasks.modular import ModularConfig


def test_open_sizes_come_from_the_task():
    config = TransformerConfig(d_vocab=50).fitted(ModularConfig(p=7).build())
    assert config.sizes() == (50, 3, 7)


def test_open_sizes_cannot_be_built():
    with pytest.raises(UserError, match="are open"):
        TransformerConfig(d_vocab=7).build(0)


@pytest.mark.parametrize("name", ["d_vocab", "n_ctx", "d_vocab_out"])
def test_a_size_too_small_for_the_task_is_refused(name):
    with pytest.raises(UserError, match=f"model {name}=2 is too small"):
        TransformerConfig.parse({name: 2}).fitted(ModularConfig(p=7).build())


def test_heads_must_divide_the_width():
    with pytest.raises(UserError, match=r"d_model \(10\) must be a multiple of n_heads \(4\)"):
        TransformerConfig.parse({"d_model": 10})


def test_a_wrong_key_names_the_nearest():
    with pytest.raises(UserError, match="did you mean 'weight_decay'"):
        PretrainConfig.parse({"weight_decey": 1.0})


def test_configs_and_tasks_import_no_torch():
    code = (
        "import sys, husai.models.config, husai.tasks.modular, husai.tasks.planted, husai.tasks.leak;"
        "husai.models.config.TransformerConfig().fitted(husai.tasks.modular.ModularConfig(p=5).build());"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
