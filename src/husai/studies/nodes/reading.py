"""Node `reading`: a reading that belongs to one published claim, wrong ones included; each has its own file."""

from __future__ import annotations

from importlib import import_module

from husai.errors import unknown
from husai.studies.node import Outcome, Work

READINGS = {
    "leaky_rows": "husai.studies.replays.t01_leaked_label:rows",
    "own_start": "husai.studies.replays.t02_trained_as_random:own_start",
    "random_draws": "husai.studies.replays.t02_trained_as_random:random_draws",
    "guessed_axes": "husai.studies.replays.t04_axis_guessing:guessed_axes",
    "conjugate_bins": "husai.studies.replays.t05_conjugate_bins:scores",
    "decoder_only": "husai.studies.replays.t09_pinning:decoder_only",
    "assigned": "husai.studies.replays.t10_copies:assigned",
    "across_groups": "husai.studies.replays.t10_copies:across_groups",
    "coverage": "husai.studies.replays.t18_pairs:coverage",
    "chosen_rows": "husai.studies.replays.t28_seed_chose_rows:overlaps",
    "shared_generator": "husai.studies.replays.t29_shared_generator:recovered",
    "features_in_pairs": "husai.studies.replays.t32_consistent:rows",
}


def run(work: Work) -> Outcome:
    """What the claim's own code finds.

    Raises:
        UserError: unknown reading.
    """
    what = work.fields["reading"]
    if what not in READINGS:
        raise unknown("reading", what, READINGS)
    module, _, function = READINGS[what].partition(":")
    return getattr(import_module(module), function)(work)
