"""What is written beside the parameters of an SAE that leaves husai: where it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from husai.store.tensors import save_arrays


@dataclass(frozen=True)
class Origin:
    """The number of the seed and the id of the run that trained it, where they are known."""

    seed: int | None = None
    run_id: str | None = None
    architecture: str = ""

    def plain(self) -> dict[str, Any]:
        """As metadata of other tools' configs."""
        return {"seed": self.seed, "run_id": self.run_id, "husai_architecture": self.architecture}


def save(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """A safetensors file of exactly these tensors."""
    save_arrays(path, {name: tensor.detach().contiguous().numpy() for name, tensor in tensors.items()})
