"""BatchTopK SAE (2412.06410): k latents per row on average, so that rows may need more or fewer.

    pre = W_enc (x - b_dec) + b_enc;   f = the B k largest of relu(pre) of the batch;   x_hat = f W_dec + b_dec
    loss = mean_b ||x - x_hat||^2 + AuxK (see `aux.py`)

After training f = relu(pre) above a threshold, see `batch_select.py`: its L0 is measured, and is near k only where the
rows are like those of training.
"""

from __future__ import annotations

from husai.saes import batch_select
from husai.saes.architecture import Architecture, Batch, Terms
from husai.saes.aux import aux_term
from husai.saes.codes import DenseCodes, decode
from husai.saes.config import BatchTopKConfig
from husai.saes.parameters import Parameters, pre_activations, squared_error


def objective(config: BatchTopKConfig, p: Parameters, batch: Batch) -> tuple[Terms, DenseCodes]:
    """`mse` and `aux`, of the codes that the batch selects."""
    pre = pre_activations(p, batch.x_BD, config.subtract_b_dec)
    codes = batch_select.keep_in_batch(pre.relu(), config.k)
    x_hat = decode(codes, p["W_dec"], p["b_dec"])
    return {"mse": squared_error(batch.y_BO, x_hat)} | aux_term(config, p, batch, pre, x_hat), codes


BATCHTOPK = Architecture(
    summary="the k largest pre-activations per row on average over a batch; a threshold after training",
    source="arXiv 2412.06410",
    sparse=True,
    knob="k",
    encode=batch_select.encode,
    objective=objective,
    shapes=batch_select.shapes,
    init=batch_select.init,
    after_step_=batch_select.follow_,
    buffers=batch_select.BUFFERS,
)
