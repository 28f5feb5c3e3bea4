"""Adaptive L0 on the grokked model: which k, if any, may be recommended?"""

from __future__ import annotations

from husai.recipes.architectures import grokked
from husai.recipes.quickstart import CIRCULAR
from husai.recipes.scale import Scale, cap, remarks, training
from husai.saes.config import TopKConfig
from husai.studies.calibrations.calibration import Calibration


def study(scale: Scale = "full") -> Calibration:
    """Every k at d_sae = 128 above an explained variance of .2, the winner on fresh seeds against k = 32."""
    return Calibration(
        name="calibrate",
        source=grokked("blocks.0.hook_resid_post"),
        sae=TopKConfig(d_sae=128, aux_k=32),
        k=(4, 8, 16, 32) if scale == "full" else (4, 32),
        reference_k=32,
        ev_floor=0.2,
        training=training(scale),
        max_steps=cap(scale, full=10_000),
        remarks=(CIRCULAR, *remarks(scale)),
    )
