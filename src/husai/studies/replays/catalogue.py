"""Every claim, by its number."""

from __future__ import annotations

from husai.studies.replays import (
    t01_leaked_label,
    t02_trained_as_random,
    t03_trade_off,
    t04_axis_guessing,
    t05_conjugate_bins,
    t09_pinning,
    t10_copies,
    t11_reference_in_the_mean,
    t18_pairs,
    t28_seed_chose_rows,
    t29_shared_generator,
    t30_lower_k,
    t31_dead_latents,
    t32_consistent,
)
from husai.studies.replays.claim import Claim
from husai.studies.replays.replay import ClaimId

FILES = (
    t01_leaked_label, t02_trained_as_random, t03_trade_off, t04_axis_guessing, t05_conjugate_bins, t09_pinning,
    t10_copies, t11_reference_in_the_mean, t18_pairs, t28_seed_chose_rows, t29_shared_generator, t30_lower_k,
    t31_dead_latents, t32_consistent,
)  # fmt: skip
CLAIMS: dict[str, Claim] = {file.CLAIM.id: file.CLAIM for file in FILES}


def claims(wanted: tuple[ClaimId, ...]) -> list[Claim]:
    """Those that a replay covers, in the order of their numbers."""
    return [claim for claim_id, claim in CLAIMS.items() if claim_id in wanted]
