"""A group of SAEs that are compared with each other: what is measured of it, with units, intervals and floors.

Without activations there are no fidelities, and nothing is said of alive latents.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from husai.evals.fidelity import Fidelity, subset_explained_variance
from husai.saes.sae import SAE
from husai.stability.pairwise import POPULATIONS, PairTable, Population
from husai.stability.reappearance import carried, reappearance, reappears
from husai.stability.strata import stratified_matches
from husai.statistics.intervals import pair_mean, unit_mean
from husai.store.record import Measurement
from husai.studies.measured import measured, over_pairs, single

RANKS = (8, 32)  # of the decoder subspaces compared
SHOWN_T = 0.7
# Firing frequencies; the same for every arm, since an arm's own would hide the difference.
STRATA = (0.01, 0.03, 0.1, 0.3)
Values = list[float | None]
Row = tuple[str, Values, str, bool | None]  # name, a value for each SAE, unit, whether higher is better


@dataclass(frozen=True)
class Group:
    """SAEs, their names, every pair of them and, of each, its numbers on the same rows x [N, D].

    `names` tell them apart in the scope of a number, under `key`; `rows` says which rows, as in `360 held-out rows`.
    """

    saes: Sequence[SAE]
    names: tuple[str, ...]
    pairs: PairTable
    fidelities: Sequence[Fidelity] = ()
    x_ND: Tensor | None = None
    rows: str = ""
    key: str = "seed"

    @property
    def populations(self) -> tuple[Population, ...]:
        """What is known of these latents: which are alive only on activations."""
        return POPULATIONS if self.fidelities else ("all",)

    @property
    def alive_SF(self) -> np.ndarray:
        """Alive on these rows [S, F], F of the largest; all latents where there are no rows."""
        return self.pairs.matches.alive_SF

    def pair_measurements(self, artefacts: tuple[str, ...] = ()) -> list[Measurement]:
        """Every metric of the pairs with its interval, its floor and what is above it; margins and own neighbours."""
        known = [key for key in self.pairs.values if key[1] in self.populations]
        made = [m for metric, population in known for m in _metric(self.pairs, metric, population, artefacts)]
        for population in self.populations:
            margins = self.pairs.margin[population]
            scope = {"population": population}
            made.append(over_pairs("matching_margin", margins, pair_mean, "cosine", scope, artefacts=artefacts))
            own = [o.mean for o in self.pairs.own[population]]
            made.append(over_seeds("own_nearest_neighbour", own, "cosine", scope, None))
        return made

    def fidelity_rows(self) -> list[Row]:
        """Reconstruction, sparsity and dead latents of each SAE; explained variance comes first."""
        fs, n = self.fidelities, self.rows
        firings = [float((f.frequency_F[f.alive_F] * f.n_rows).mean()) if f.alive_F.any() else None for f in fs]
        return [
            ("explained_variance", [f.explained_variance for f in fs], f"share of variance, {n}", True),
            ("mse", [f.mse for f in fs], "squared units, mean over rows of the sum over d_in", False),
            ("l0", [f.l0 for f in fs], "latents per row", None),
            ("dead_share", [f.dead_share for f in fs], f"share of latents, {n}", False),
            ("alive", [float(f.alive_F.sum()) for f in fs], f"latents, {n}", None),
            ("firings_per_alive_latent", firings, f"rows of {n}", None),
        ]

    def with_each(self, name: str, values: Values, unit: str, better: bool | None) -> list[Measurement]:
        """A number of each SAE, and their mean."""
        each = [
            single(name, v, unit, {self.key: one}, f"one {self.key}", higher_is_better=better)
            for one, v in zip(self.names, values, strict=True)
        ]
        return [*each, over_seeds(name, values, unit, {}, better)]

    def reappearing(self, t: float) -> list[Measurement]:
        """How many features come back, and, on activations, what they carry alone."""
        back = reappears(reappearance(self.pairs.matches, t))
        share: Values = [float(b.sum() / max(a.sum(), 1)) for b, a in zip(back, self.alive_SF, strict=True)]
        what = f"in at least half of the other seeds at cosine >= {t:g}"
        of = "alive latents" if self.fidelities else "all latents"
        rows: list[Row] = [("reappearing_share", share, f"share of {of} that come back {what}", True)]
        if self.x_ND is not None:
            own = [b[: len(f.mass_F)] for b, f in zip(back, self.fidelities, strict=True)]
            mass = carried(back, self.padded([f.mass_F for f in self.fidelities])).share_S
            alone = [subset_explained_variance(s, self.x_ND, b) for s, b in zip(self.saes, own, strict=True)]
            unit = f"share of activation mass of latents that come back {what}"
            rows.append(("reappearing_mass", list(mass), unit, True))
            unit = f"share of variance with only latents that come back {what}"
            rows.append(("reappearing_explained_variance", list(alone), unit, True))
        return [m for row in rows for m in self.with_each(*row)]

    def strata(self, edges: Sequence[float]) -> list[Measurement]:
        """`mcc_signed` by firing frequency; nothing where no latent of the first SAE fires."""
        if not self.fidelities or not self.alive_SF[0].any():
            return []
        frequency_SF = self.padded([f.frequency_F for f in self.fidelities])
        cut = stratified_matches(self.pairs.matches, frequency_SF, edges)
        return [
            over_pairs("mcc_signed.stratum", cut.values_QSS[q], pair_mean, "cosine", {"stratum": cut.label(q)})
            for q in range(len(cut.values_QSS))
        ]

    def padded(self, values: Sequence[np.ndarray]) -> np.ndarray:
        """One array per SAE as one [S, F], zero beyond the latents of a smaller one."""
        out = np.zeros(self.alive_SF.shape)
        for row, x in zip(out, values, strict=True):
            row[: len(x)] = x
        return out


def _metric(pairs: PairTable, metric: str, population: Population, artefacts: tuple[str, ...]) -> list[Measurement]:
    """One metric: raw, and where it has a floor, the floor and the value above it."""
    scope = {"population": population}
    unit = "share of features" if metric.startswith("shared_at") else "cosine"
    matrix, floors = pairs.matrix(metric, population), pairs.floors(metric, population)
    null = "isotropic floor (describes, does not decide)" if floors is not None else ""
    more = {"higher_is_better": True, "artefacts": artefacts, "null": null}
    made = [over_pairs(metric, matrix, pair_mean, unit, scope, **more)]
    if floors is not None:
        exact = "expectation for independent isotropic decoders of the sizes compared"
        made.append(single(f"{metric}.floor", float(np.nanmean(floors)), unit, scope, exact))
        normal = pairs.normalised(metric, population)
        made.append(over_pairs(f"{metric}.normalised", normal, pair_mean, "(v - floor)/(1 - floor)", scope))
    return made


def over_seeds(name: str, values: Values, unit: str, scope: dict[str, str], better: bool | None) -> Measurement:
    """Mean of one value per seed; missing where one of them is."""
    known = [v for v in values if v is not None and np.isfinite(v)]
    if len(known) < len(values):
        return single(name, None, unit, scope, "not defined for every seed", higher_is_better=better)
    return measured(name, unit_mean(known, unit="seeds"), unit, scope, higher_is_better=better)
