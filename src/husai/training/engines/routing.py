"""The router of one seed in a step: where its rows go, its own terms, its gradient and its Adam step."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from husai.saes.config import Routed
from husai.training.engines.kernels.experts import route_rows, router_gradient, router_slopes, update_router

Moments = tuple[np.ndarray, np.ndarray, np.ndarray]  # weights, m, v
Share = Callable[[Iterable[int], Callable[[int, int], None]], None]


class Routing:
    """Room for one seed in flight: log p [B, E], the gates [B, E], chosen experts [B, E], slopes along the gates."""

    def __init__(self, config: Routed, batch: int, d_in: int, dtype: np.dtype) -> None:
        shape = batch, config.experts
        self.config, self.everywhere = config, config.kind == "global_mask"
        self.log_p_BE, self.gates_BE, self.wanted_BE = (np.zeros(shape, dtype) for _ in range(3))
        self.slope_BE, self.entropy_B = np.zeros(shape, dtype), np.zeros(batch, dtype)
        self.chosen_BE = np.zeros(shape, np.int8)
        self.gradient_ED, self.total_E = np.zeros((config.experts, d_in), dtype), np.zeros(config.experts, dtype)

    def fill(self, first: int, x_BD: np.ndarray, router: tuple[Moments, Moments]) -> None:
        """The experts of some rows, as they came."""
        W, b, rows = router[0][0], router[1][0], slice(first, first + len(x_BD))
        active = self.config.active_experts
        route_rows(x_BD, W, b, active, self.log_p_BE[rows], self.gates_BE[rows], self.chosen_BE[rows])

    def of(self, rows: slice) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What coding rows needs and fills."""
        return self.gates_BE[rows], self.chosen_BE[rows], self.wanted_BE[rows]

    def terms(self, variance: float) -> dict[str, float]:
        """The router's own terms, and slopes of all terms along its logits; after the codes of all rows."""
        config, E = self.config, self.config.experts
        share_E = self.chosen_BE.mean(0, dtype=np.float64) / config.active_experts
        dtype, weight = self.log_p_BE.dtype, config.balance * variance * E
        entropy = dtype.type(-config.entropy * variance / 2)
        balance_E = (-weight / 2 * share_E).astype(dtype)
        router_slopes(self.log_p_BE, self.wanted_BE, balance_E, entropy, self.slope_BE, self.entropy_B)
        found = {}
        if config.balance:
            found["balance"] = weight * float(share_E @ np.exp(self.log_p_BE).mean(0, dtype=np.float64))
        if config.entropy:
            found["entropy"] = config.entropy * variance * float(self.entropy_B.mean(dtype=np.float64))
        return found

    def update(self, x_BD: np.ndarray, router: tuple[Moments, Moments], adam: np.ndarray, share: Share) -> None:
        """Adam on the router, from the slopes that `terms` left."""
        (W, b), g_D = router, np.zeros(x_BD.shape[1], self.slope_BE.dtype)

        def of_expert(lane: int, e: int) -> None:
            self.total_E[e] = router_gradient(self.slope_BE, x_BD, b[0], e, self.gradient_ED)

        share(range(self.config.experts), of_expert)
        update_router(W, b, self.gradient_ED, self.total_E, adam, g_D)
