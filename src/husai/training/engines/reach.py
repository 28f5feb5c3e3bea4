"""A guess of the smallest code that a batch will keep, from the step before: it saves time and changes no bit."""

from __future__ import annotations

import numpy as np
import torch

FIRST_SLACK, SMALLEST_SLACK, LARGEST_SLACK = 0.05, 0.02, 0.5  # how far below the last step's smallest code to look
SAMPLE = 256  # rows that the first guess is made from


class Reach:
    """A seed's guess of what the chosen reach."""

    def __init__(self) -> None:
        self.value, self.slack, self.known = 0.0, FIRST_SLACK, False

    def start(self, x_BD: np.ndarray, W_enc_FD: np.ndarray, b_enc_F: np.ndarray, k: int) -> None:
        """From the products of some rows."""
        some = torch.from_numpy(x_BD[:SAMPLE])
        z = torch.addmm(torch.from_numpy(b_enc_F), some, torch.from_numpy(W_enc_FD).T).numpy().ravel()
        place = z.size - min(z.size, len(some) * k)
        self.known = True
        self.near(float(np.partition(z, place)[place]))

    def near(self, smallest: float) -> None:
        """Below what the chosen reached."""
        self.slack = max(SMALLEST_SLACK, self.slack * 0.99)
        self.value = max(0.0, smallest * (1 - self.slack)) if np.isfinite(smallest) else 0.0

    def lower(self) -> None:
        """It was too high; at 0, where all that may be positive is looked at, it no longer can be."""
        self.slack = min(LARGEST_SLACK, 1.5 * self.slack)
        self.value = self.value * (1 - self.slack) if self.slack < LARGEST_SLACK else 0.0
