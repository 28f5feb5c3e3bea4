"""T05: a Fourier score in which conjugate bins cancel cannot see the algorithm that it looks for."""

from __future__ import annotations

import numpy as np

from husai.activations.cache import ActivationCache
from husai.evals.fourier import explained_by_frequency
from husai.saes.stack import load_stack
from husai.seeds import Role, generator
from husai.statistics.intervals import unit_mean
from husai.studies.measured import measured, single
from husai.studies.node import Node, Outcome, Work
from husai.studies.replays.bench import Bench, Trained, reading
from husai.studies.replays.claim import Check, Claim, Figure, Found, Reading, near
from husai.studies.replays.legacy_formulas import conjugate_share
from husai.studies.replays.t03_trade_off import published
from husai.tasks.modular import ModularConfig

SHARE = "share of variance over the answers, mean over latents"
RANDOM = 2000
FREQUENCIES = 5  # those that a published network of this task used


def scores(work: Work) -> Outcome:
    """Both scores of the latents of every seed, of random profiles and of perfect waves of any phase."""
    task = ModularConfig.parse(work.parent("model").config["task"]).build()
    cache = ActivationCache(work.folders["activations"] / "rows")
    s_N, p, root = task.labels_N[cache.column("examples")], task.n_classes, work.fields["root_seed"]
    x_PD = _means(cache.to_array(), s_N, p)
    at = _strongest(x_PD, p)
    decoders = load_stack(work.folders["stack"] / "stack.safetensors").parameters["W_dec"].numpy()
    profiles = [x_PD @ W.T for W in decoders]
    rng = generator(root, Role.EVALUATION, "replay", "fourier")
    noise, waves = rng.standard_normal((p, RANDOM)), _waves(p, at)
    made = []
    for name, score in (("conjugate", _conjugate), ("real", _real)):
        by_seed = [score(profile, at, p) for profile in profiles]
        made.append(measured(f"{name}.latents", unit_mean(by_seed, unit="seeds"), SHARE, {}))
        made.append(single(f"{name}.random", score(noise, at, p), SHARE, {}, f"{RANDOM} random profiles"))
        for wave, profile in waves.items():
            made.append(single(f"{name}.{wave}", score(profile, at, p), SHARE, {}, "computed, no sample"))
    return Outcome(made, {"frequencies": [int(w) for w in at]})


def _means(x_ND: np.ndarray, s_N: np.ndarray, p: int) -> np.ndarray:
    """Mean row of every answer [P, D]."""
    sums = np.zeros((p, x_ND.shape[1]))
    np.add.at(sums, s_N, x_ND)
    return sums / np.bincount(s_N, minlength=p)[:, None]


def _strongest(x_PD: np.ndarray, p: int) -> np.ndarray:
    energy = (np.abs(np.fft.fft(x_PD - x_PD.mean(0), axis=0)) ** 2).sum(1)[1 : (p - 1) // 2 + 1]
    return np.sort(np.argsort(-energy, kind="stable")[:FREQUENCIES] + 1)


def _waves(p: int, at: np.ndarray) -> dict[str, np.ndarray]:
    """Perfect embeddings at these frequencies: cosines, sines."""
    angles = 2 * np.pi * np.outer(np.arange(p), at) / p
    return {"cosines": np.cos(angles), "sines": np.sin(angles)}


def _conjugate(profile_PF: np.ndarray, at: np.ndarray, p: int) -> float:
    return round(float(conjugate_share(profile_PF, at).mean()), 12)  # rounding errors are nothing


def _real(profile_PF: np.ndarray, at: np.ndarray, p: int) -> float:
    return float(explained_by_frequency(profile_PF, np.arange(p), p)[at - 1].sum(0).mean())


def _stack(bench: Bench) -> Trained:
    return published(bench)[1]


def _scores(bench: Bench) -> Node:
    parents = {"model": bench.model, "activations": bench.rows, "stack": _stack(bench).stack}
    return reading("conjugate_bins", "Fourier scores of the published SAEs", parents, bench.root)


def nodes(bench: Bench) -> list[Node]:
    """The SAEs of the report and their scores."""
    return [bench.model, bench.rows, _stack(bench).stack, _scores(bench)]


def read(found: Found) -> Reading:
    """What each score gives for the latents, for chance and for perfect waves."""
    node = _scores(found.bench)
    wrong, right = ({what: found.value(node, f"{name}.{what}") for what in ("latents", "random", "cosines", "sines")}
                    for name in ("conjugate", "real"))  # fmt: skip
    latents, rightly = (found.estimate(node, f"{name}.latents") for name in ("conjugate", "real"))
    unit = SHARE
    return Reading(
        (
            Figure("Fourier share of the latents", latents, unit),
            Figure("the same of random profiles", wrong["random"], unit, f"{RANDOM} profiles"),
        ),
        (
            Figure("perfect sines, published score", wrong["sines"], unit, "computed"),
            Figure("perfect cosines, published score", wrong["cosines"], unit, "computed"),
            Figure("perfect sines, real basis", right["sines"], unit, "computed"),
            Figure("latents, real basis", rightly, unit, null=f"random profiles {right['random']:.4f}"),
            Figure("random profiles, real basis", right["random"], unit, f"{RANDOM} profiles"),
        ),
        (near("the Fourier share of the latents", wrong["latents"], 0.02, 0.01),
         Check("Fourier share of the latents less that of random profiles",
               wrong["latents"] - wrong["random"], "at most", 0.05)),
        (
            Check("published score of perfect sines", wrong["sines"], "at most", wrong["random"]),
            Check("score of perfect sines in a real basis", right["sines"], "at least", 0.99),
        ),
    )  # fmt: skip


CLAIM = Claim(
    "T05",
    "The model uses another algorithm than the Fourier one",
    "a published report on SAE stability: a Fourier score of SAE features",
    (Figure("Fourier share of the latents", 0.02, SHARE),),
    "The two coefficients of every frequency were added, and what is odd in them cancels: a perfect wave scores what "
    "its phase makes of it, down to nothing. The report's own formula is not written down; this is the nearest one.",
    nodes,
    read,
)
