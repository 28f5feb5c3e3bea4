"""From a coupling's config and a trained reference to the coupling."""

from __future__ import annotations

from husai.saes.config import AnySAEConfig
from husai.saes.registry import architecture
from husai.saes.sae import SAE
from husai.training.coupling.alignment import Alignment
from husai.training.coupling.config import AlignmentConfig, AnyCoupling
from husai.training.coupling.coupling import Coupling
from husai.training.coupling.pinning import pinning


def couple(coupling: AnyCoupling, config: AnySAEConfig, reference: SAE, root: int) -> Coupling:
    """Tie SAEs of a config to a reference that was trained on the same scaled rows.

    Raises:
        UserError: the reference does not fit; Refused, where nothing would.
    """
    if isinstance(coupling, AlignmentConfig):
        variance = float(reference.W_dec.shape[-1])  # of scaled rows: their mean square norm is their width
        return Alignment(reference.W_dec, coupling.weight, variance)
    return pinning(config, architecture(config), reference, coupling.fraction, root)
