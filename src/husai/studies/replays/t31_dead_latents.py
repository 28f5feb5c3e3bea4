"""T31: an effect of k over all latents, where those that never fire still sit where they were drawn."""

from __future__ import annotations

from husai.statistics.intervals import pair_mean_difference
from husai.statistics.legacy import legacy_pair_bootstrap
from husai.studies.node import Node
from husai.studies.replays.bench import Bench, Trained
from husai.studies.replays.claim import Check, Claim, Figure, Found, Reading, high, low
from husai.studies.replays.t02_trained_as_random import COSINE, SEEDS


def _arms(bench: Bench) -> tuple[Trained, Trained]:
    s = bench.scale
    few, many = (bench.as_published(k, s.wide_steps, SEEDS, d_sae=s.wide) for k in s.k)
    return few, many


def nodes(bench: Bench) -> list[Node]:
    """Wide SAEs of both k, few steps."""
    return [bench.model, bench.rows, *(node for trained in _arms(bench) for node in trained.nodes)]


def read(found: Found) -> Reading:
    """The effect over all latents and over those that fire."""
    b = found.bench
    few, many = _arms(b)
    replayed = legacy_pair_bootstrap(found.pairs(few) - found.pairs(many), root=b.root)
    every = pair_mean_difference(found.pairs(few), found.pairs(many))
    living, strict = (
        pair_mean_difference(found.pairs(few, metric, "alive"), found.pairs(many, metric, "alive"))
        for metric in ("mean_max_cos", "mcc_signed")
    )
    return Reading(
        (Figure("effect of low k over all latents", replayed, COSINE),),
        (
            Figure("effect of low k over latents that fire", living, COSINE),
            Figure("the same, matched one to one (mcc_signed)", strict, COSINE),
            Figure("effect of low k over all latents, interval over seeds", every, COSINE),
        ),
        (Check("lower bound of the effect over all latents", low(replayed), "at least", 0.0),),
        (Check("upper bound of the effect over latents that fire", high(living), "at most", 0.0),),
    )


CLAIM = Claim(
    "T31",
    "The effect of k, over all latents",
    "published sweeps over k that average over all latents",
    (Figure("sign of the effect of low k over all latents", 1.0, "sign", "a direction; no figure for this size"),),
    "Latents that never fire keep their start and count like the others. Over latents that fire there are fewer "
    "partners to be near to, and the sign may be another one; both columns belong in a table.",
    nodes,
    read,
)
