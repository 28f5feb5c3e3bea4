"""T01: "a grokked transformer, 100 % accuracy" whose input held the label at the position that was read.

Such a model copies: exchange the answer token and its prediction follows, every time. husai finds the label in the
data, shows that the prediction follows the token and not the operands, and refuses to read the model.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from husai.errors import Refused
from husai.models import sanity
from husai.models.config import PretrainConfig, TransformerConfig
from husai.models.predict import answers
from husai.models.pretrain import pretrain
from husai.tasks.modular import ModularConfig

P = 13


@pytest.fixture(scope="module")
def leaky():
    torch.set_num_threads(1)
    task = ModularConfig(p=P, layout="legacy_leaky").build()
    config = PretrainConfig(batch=64, eval_every=20, max_steps=1000, extra_steps=100)
    return task, pretrain(config, TransformerConfig(d_model=32, d_mlp=64), task, seed=0)


def test_the_leaky_model_looks_perfect(leaky):
    assert leaky[1].held_out_accuracy == 1.0
    assert leaky[1].steps < 500


def test_the_prediction_follows_any_token_put_in_place_of_the_answer(leaky):
    task, result = leaky
    tokens_NT = task.tokens_NT.copy()
    tokens_NT[:, 5] = (tokens_NT[:, 5] + np.random.default_rng(0).integers(1, P, task.n_rows)) % P
    assert np.array_equal(answers(result.model, tokens_NT, task.read_position), tokens_NT[:, 5])


def test_husai_says_so_and_refuses(leaky):
    task, result = leaky
    report = sanity.check(result.model, task, seed=0)
    assert report["held_out"].state == "passed"  # the number that fooled its authors
    assert report["answer_swap"].value == 1.0
    assert report["counterfactual"].value == 0.0
    assert report["label_in_context"].value == 1.0
    with pytest.raises(Refused, match=r"follow a random answer token at position 5.*100\.00 %"):
        sanity.require_readable(report)
