"""What values a measured quantity can have, by its name.

A t interval knows nothing of it: five shares near 1 give one that ends at 1.02. Records keep the bounds as they were
computed; whatever shows an interval (pages, figures, summaries, the terminal) cuts it to the range, through
`Measurement.shown_interval`. A difference is no share: D, excesses and changes have no range here and are never cut.
"""

from __future__ import annotations

import math

INF = math.inf
SHARE, COSINE, AT_LEAST_0, AT_MOST_1 = (0.0, 1.0), (-1.0, 1.0), (0.0, INF), (-INF, 1.0)
ANYTHING = (-INF, INF)
RANGES: dict[str, tuple[float, float]] = {
    **dict.fromkeys(("mcc_signed", "activation_match", "cosine_to_init", "mcc_to_truth", "matched_to_truth"), COSINE),
    **dict.fromkeys(("mcc_abs", "mean_max_cos", "own_nearest_neighbour", "mcc_to_truth_attainable"), SHARE),
    **dict.fromkeys(("precision_to_truth", "recall_of_truth", "firings_of_truth_found"), SHARE),
    **dict.fromkeys(("shared_at", "subspace_overlap", "reappearing_share", "reappearing_mass", "dead_share"), SHARE),
    **dict.fromkeys(("accuracy", "held_out_accuracy", "fourier_overlap", "frequency_energy"), SHARE),
    **dict.fromkeys(("explained_variance", "reappearing_explained_variance"), AT_MOST_1),
    **dict.fromkeys(("mse", "l0", "alive", "firings_per_alive_latent", "cross_entropy", "kl"), AT_LEAST_0),
    "matching_margin": (-2.0, 2.0),  # one cosine minus another
    "loss_recovered": ANYTHING,  # above 1 where the reconstruction serves the model better than the activations did
    **dict.fromkeys(("difference", "excess"), ANYTHING),
}
NORMALISED = ".normalised"  # (v - floor) / (1 - floor)


def range_of(name: str) -> tuple[float, float]:
    """Least and largest value of the quantity of that name: `shared_at(0.7)` and `mcc_signed.stratum` go by their stem.

    A name that is not known may have any value.
    """
    if name.endswith(NORMALISED):
        return AT_MOST_1
    return RANGES.get(name.partition("(")[0].partition(".")[0], ANYTHING)


def within(value: float, name: str) -> float:
    """The value, or the end of the range that it is beyond."""
    low, high = range_of(name)
    return min(max(value, low), high)
