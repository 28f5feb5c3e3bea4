"""Running a replay: every node its claims take, then each claim read from them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from husai.errors import UserError
from husai.report.replay_site import write_replay_report
from husai.saes.config import TopKConfig
from husai.saes.config.sizes import check_sizes
from husai.statistics.estimate import Estimate
from husai.store.record import Measurement
from husai.studies.computing import Computing
from husai.studies.measured import measured
from husai.studies.node import Node
from husai.studies.plan import GAUSSIAN, RANDOM_MODEL, TARGET
from husai.studies.replays import t30_lower_k
from husai.studies.replays.bench import Bench
from husai.studies.replays.catalogue import claims
from husai.studies.replays.claim import STATES, Found, facts, measurements
from husai.studies.replays.replay import Replay
from husai.studies.undertaking import Ended, Undertaking

SMALLER = "other sizes than published: figures may differ for that reason alone"


@dataclass
class ReplayRun(Undertaking[Replay]):
    """One replay in one results folder."""

    kind = "replay"

    @cached_property
    def bench(self) -> Bench:
        """Its nodes."""
        return Bench(self.declared)

    @cached_property
    def nodes(self) -> list[Node]:
        """Every node of every claim once, parents first."""
        return replay_nodes(self.declared)

    def identity(self) -> tuple[dict[str, Any], set[str]]:
        """The declaration and its nodes."""
        return self.declared.plain(), {node.id for node in self.nodes}

    def warnings(self) -> list[str]:
        """Sizes that cannot work are refused before the model is trained."""
        return check_replay(self.declared)

    def through(self, done: Computing) -> Ended:
        """To a state for every claim."""
        done.nodes(self.nodes)
        found = Found(self.bench, done.records, done.folders)
        made, said = [], []
        for claim in claims(self.declared.claims):
            reading = claim.read(found).at(self.declared.published)
            made += measurements(claim, reading)
            said.append(facts(claim, reading))
        sweep = _sweep(found) if "T30" in self.declared.claims else []
        return Ended(
            roles={f"{node.kind} {node.title}": node for node in self.nodes},
            measurements=(*made, *sweep),
            facts=_facts(self.declared, said),
            seeds={"root_seed": self.declared.root_seed},
            write_report=write_replay_report,
        )


def replay_nodes(replay: Replay) -> list[Node]:
    """Every node of every claim once, parents first."""
    bench = Bench(replay)
    return list({node.id: node for claim in claims(replay.claims) for node in claim.nodes(bench)}.values())


def check_replay(replay: Replay) -> list[str]:
    """Whether every k is sparse for every size; returns warnings.

    Raises:
        UserError: one is not, or a claim is named twice.
    """
    s, d = replay.scale, replay.scale.source.model.d_model
    if len(set(replay.claims)) < len(replay.claims):
        raise UserError("a claim is named twice: name each once")
    sizes = [(s.d_sae, k) for k in (*s.k, *s.search_k)] + [(s.wide, k) for k in s.k] + [(s.narrow, s.k[0])]
    found = [text for d_sae, k in sizes for text in check_sizes(TopKConfig(d_sae=d_sae, k=k), d)]
    return list(dict.fromkeys([*found, *([] if replay.published else [SMALLER])]))


def _sweep(found: Found) -> list[Measurement]:
    """Agreement over k, as it was published, on the twin, and trained longer on everything: for the figure."""
    s, made = found.bench.scale, []
    for source in (TARGET, GAUSSIAN):
        for k, e in zip(s.search_k, t30_lower_k.curve(found, source), strict=True):
            made.append(_point(e, "as published", source, k))
    for source in (TARGET, GAUSSIAN, RANDOM_MODEL):
        for k, e in zip(s.k, t30_lower_k.ends(found, source), strict=True):
            made.append(_point(e, "trained longer", source, k))
    return made


def _point(e: Estimate, trained: str, source: str, k: int) -> Measurement:
    return measured("mean_max_cos", e, "cosine", {"trained": trained, "source": source, "k": str(k)})


def _facts(replay: Replay, said: list[dict[str, Any]]) -> dict[str, Any]:
    states = [entry["state"] for entry in said]
    counts = ", ".join(f"{n} {state}" for state in STATES if (n := states.count(state)))
    return {
        "question": replay.question,
        "claims": said,
        "answer": f"of {len(said)} published claims: {counts}",
        "scale": "published sizes where they are known" if replay.published else SMALLER,
        "k": list(replay.scale.k),
        "search_k": list(replay.scale.search_k),
        "warnings": check_replay(replay),
    }
