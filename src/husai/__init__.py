"""husai: which features of a sparse autoencoder come back beyond matched nulls, are true, and matter to the model."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from husai.saes.sae import SAE

__all__ = ["load"]


def load(path: str | Path, seed: int | None = None) -> SAE:
    """The SAE in a folder or file, whichever known tool wrote it; `seed` (or `path#3`) where there are several.

    Raises:
        UserError: nothing there, no known tool wrote it, it is damaged, or it holds several seeds and none was chosen.
    """
    from husai.saes.formats.load import load as read  # torch is imported here, not with husai

    return read(path, seed)
