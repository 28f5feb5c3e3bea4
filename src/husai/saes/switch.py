"""Switch SAE (2410.08201): a router sends each row to one of E TopK SAEs that share b_dec.

    i = argmax p(x);   f = p_i(x) * the k largest of relu(W_enc (x - b_dec) + b_enc) within expert i
    x_hat = f W_dec + b_dec

with p = softmax(W_router (x - b_router)); the source has no b_enc. Codes hold the probability, so that decoding is the
ordinary one. `router.py` has the loss; the selection is that of `expert_topk.py` with one expert per row.
"""

from __future__ import annotations

from husai.saes.expert_topk import within_experts
from husai.saes.router import routed

SWITCH = routed("the k largest pre-activations within the one expert of each row", "arXiv 2410.08201", within_experts)
