"""Are these rows enough, and real, for this SAE? Refusals for what would mislead, sentences for what must be said."""

from __future__ import annotations

import math
from collections.abc import Collection

from husai.activations.manifest import Manifest, NormStatistics
from husai.errors import Refused

ROWS_PER_LATENT = 10
FEW_DIFFERENT = 0.5
COMMON_TOKEN = 0.5
TOP_ROWS_SHARE = 0.1
TOP_ROWS_EXCESS = 10
HALF_VARIANCE_ROWS = 0.05
FIRST_POSITION_EXCESS = 0.25
WHITE_KURTOSIS = 0.1
WHITE_FLATNESS = 0.95


def check_rows(manifest: Manifest, d_sae: int, trained_on: int | None = None) -> list[str]:
    """Everything that must be said about training an SAE of `d_sae` latents on these rows.

    `trained_on`: how many different rows there can be in training, where some are held out.

    Returns:
        Warnings, one sentence each.

    Raises:
        Refused: fewer different rows than latents.
    """
    return [
        *_row_warnings(manifest, d_sae, trained_on),
        *_token_warnings(manifest),
        *_variance_warnings(manifest),
        *_noise_warnings(manifest),
    ]


def require_real(manifest: Manifest, wanted: Collection[str] = ()) -> None:
    """Refuse synthetic rows that nobody asked for by the name of their kind (`planted`, `surrogate`, `external`).

    Raises:
        Refused: the rows never passed through a model, and their kind is not in `wanted`.
    """
    origin = manifest.origin
    if origin.synthetic and origin.kind not in wanted:
        raise Refused(
            f"these activations are synthetic ({origin.kind}: {origin.description}): they say nothing about a model;"
            f" ask for '{origin.kind}' by name if that is what you want (husai train: --set synthetic=[{origin.kind}])"
        )


def row_facts(manifest: Manifest, d_sae: int) -> dict[str, float | str]:
    """The numbers behind the warnings, to be kept with every result."""
    norms, facts = manifest.norms, {}
    facts["unique_rows_per_latent"] = manifest.rows.near_unique / d_sae
    facts["duplicate_row_share"] = manifest.rows.duplicate_share
    facts["norm_outliers"] = norms.outliers
    facts["norm_outlier_variance_share"] = norms.outlier_variance_share
    facts["rows_for_half_variance"] = norms.rows_for_half_variance
    if norms.first_position_variance_share is not None:
        facts["first_position_variance_share"] = norms.first_position_variance_share
    if manifest.tokens is not None:
        facts["unique_tokens_per_latent"] = manifest.tokens.unique / d_sae
        facts["commonest_token_share"] = manifest.tokens.commonest_share
        facts["rows_follow"] = manifest.tokens.follows
    return facts


def describe_rows(manifest: Manifest) -> str:
    """What the rows are, in one honest sentence: an embedding table is not called a layer."""
    origin, what = manifest.origin, manifest.origin.description
    if manifest.tokens is not None and origin.hook_name:
        hook = " and ".join(each.hook_name for each in origin.hooks) or origin.hook_name
        place = f"positions {origin.positions}" if origin.positions else "all positions"
        table = "token embedding table" if "embed" in hook else "a table with one row per token"
        what = {
            "token": f"{table} read at {hook}: rows depend on the token alone",
            "token_and_position": f"embeddings read at {hook}: rows depend on the token and its position alone",
            "context": f"activations at {hook}, {place}: rows depend on their context",
            "unknown": f"activations at {hook}, {place}: no token repeats, so what the rows depend on is not known",
        }[manifest.tokens.follows]
    mark = "synthetic, " if origin.synthetic else ""
    return f"{what} ({mark}{manifest.n_rows} rows, {manifest.rows.near_unique} different, d_in {manifest.d_in})"


def _row_warnings(manifest: Manifest, d_sae: int, trained_on: int | None) -> list[str]:
    found: list[str] = []
    different, n = manifest.rows.near_unique, manifest.n_rows
    learned = different if trained_on is None else min(different, trained_on)
    if learned < d_sae:
        to_train = f" to train on ({different} in all {n})" if learned < different else f" (of {n})"
        raise Refused(
            f"{learned} different rows{to_train} are fewer than the {d_sae} latents they should determine: capture "
            f"more data, or choose d_sae = {learned} at most ({max(1, learned // ROWS_PER_LATENT)} for "
            f"{ROWS_PER_LATENT} rows a latent)"
        )
    if learned < ROWS_PER_LATENT * d_sae:
        found.append(f"only {learned / d_sae:.1f} different rows per latent ({learned} rows, {d_sae} latents)")
    if different <= FEW_DIFFERENT * n:
        found.append(f"{manifest.rows.duplicate_share:.1%} of the {n} rows are repeats; {different} are different")
    return found


def _token_warnings(manifest: Manifest) -> list[str]:
    tokens = manifest.tokens
    if tokens is None or (manifest.origin.positions == "read" and tokens.follows == "context"):
        return []  # at the read position every row stands on the same token, and says something about its context
    found: list[str] = []
    if tokens.commonest_share > COMMON_TOKEN:
        found.append(
            f"token {tokens.commonest} alone covers {tokens.commonest_share:.1%} of the rows ({tokens.unique} tokens"
            " in all): features describe what happens at that token"
        )
    if tokens.follows == "token":
        found.append(
            f"rows depend on the token alone (as a token embedding table does, {tokens.unique} entries):"
            " no context has been read in, and repeats of a token add nothing"
        )
    if tokens.follows == "token_and_position":
        found.append("rows depend on the token and its position alone: no context has been read in yet")
    return found


def _variance_warnings(manifest: Manifest) -> list[str]:
    if not _concentrated(manifest.norms, manifest.n_rows):
        return []
    norms, n = manifest.norms, manifest.n_rows
    named = [f"{norms.outliers} norm outliers carry {norms.outlier_variance_share:.1%}"]
    if norms.first_position_share and norms.first_position_variance_share is not None:
        named.append(f"the first position carries {norms.first_position_variance_share:.1%}")
    return [
        f"half of the variance lies in {norms.rows_for_half_variance} of {n} rows ({', '.join(named)}):"
        " report explained variance with and without them"
    ]


def _concentrated(norms: NormStatistics, n: int) -> bool:
    """Whether few rows, or the first position, decide what explained variance says."""
    top = norms.top_rows_variance_share > max(TOP_ROWS_SHARE, TOP_ROWS_EXCESS * norms.top_rows / n)
    first = (norms.first_position_variance_share or 0.0) > (norms.first_position_share or 0.0) + FIRST_POSITION_EXCESS
    return top or first or norms.rows_for_half_variance < HALF_VARIANCE_ROWS * n


def _noise_warnings(manifest: Manifest) -> list[str]:
    """White Gaussian noise saved as activations looks like this, and no known model does."""
    if manifest.origin.synthetic or manifest.participation_ratio is None:
        return []
    d, n = manifest.d_in, manifest.n_rows
    flatness = manifest.participation_ratio * (1 + d / n) / d  # 1 for white noise, whose sample spectrum is not flat
    noise = 3 * math.sqrt(24 / (n * d))
    if abs(manifest.excess_kurtosis) > max(WHITE_KURTOSIS, noise) or flatness < WHITE_FLATNESS or d < 8:
        return []
    return [
        "these rows cannot be told from white Gaussian noise (flat spectrum, no excess kurtosis): check that they come"
        " from a model; an SAE finds 'selective' latents in noise too"
    ]
