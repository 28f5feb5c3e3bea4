"""Writes `tests/saes/vectors/`: a folder of each tool for every case, and what the tool's own class computes from it.

Run it where the peers are installed (`make peers`), after a change of `their_saes.py` or of a peer's version:

    PYTHONPATH=src:tests .venv-peers/bin/python tests/peers/make_vectors.py

With the vectors the reading of folders is tested where no peer is installed. Each is a few KB; `made_by.json` says
which versions made them.
"""

from __future__ import annotations

import json
import shutil
from importlib.metadata import version
from pathlib import Path

import torch
from safetensors.torch import save_file

from peers.their_saes import CASES

FOLDER = Path(__file__).parent.parent / "saes" / "vectors"
D, F, N = 5, 12, 16
PACKAGES = ("sae-lens", "dictionary-learning", "eai-sparsify", "torch")


def main() -> None:
    """Every case anew."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    for name, case in CASES.items():
        d_in = 6 if name == "saelens-hook-z" else D
        theirs = case(FOLDER / name, d_in, 3 * d_in if name == "sparsify-multi-topk" else F)
        x = torch.randn(N, d_in, generator=torch.Generator().manual_seed(9)) * 1.5 + 0.2
        f, decoded, y = (t.detach().float().contiguous() for t in theirs(x))
        save_file({"x": x, "f": f, "decoded": decoded, "y": y}, FOLDER / name / "expected.safetensors")
        shutil.rmtree(FOLDER / f"{name}-final", ignore_errors=True)
    (FOLDER / "made_by.json").write_text(json.dumps({name: version(name) for name in PACKAGES}, indent=1) + "\n")


if __name__ == "__main__":
    main()
