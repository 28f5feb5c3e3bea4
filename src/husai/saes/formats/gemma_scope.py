"""Gemma Scope (2408.05147): `params.npz` with `W_enc` [D, F], `b_enc`, `W_dec` [F, D], `b_dec`, `threshold` [F].

    f = relu(pre) [pre > threshold],  pre = x W_enc + b_enc;   y = f W_dec + b_dec

b_dec is not taken off the input, so that a transcoder of the release, whose hooks have one width and whose file looks
the same, is the same function. An SAE of embeddings is as it is in the file: nothing is rescaled. The hook is read from
the folders' names, `.../layer_5/...` of a release for res, mlp or att, if they are kept.
"""

from __future__ import annotations

import re
from pathlib import Path

from husai.saes.formats.foreign import read_npz
from husai.saes.formats.plain import Plain, sae_of
from husai.saes.sae import SAE

FILE = "params.npz"
LOOKS_LIKE = f"a {FILE}, or the folder of one"
_SITES = {"res": "hook_resid_post", "mlp": "hook_mlp_out", "att": "attn.hook_z"}


def recognises(path: Path) -> bool:
    """A folder with `params.npz`, or any file `.npz`."""
    return (path / FILE).is_file() or (path.suffix == ".npz" and path.is_file())


def read(path: Path) -> SAE:
    """The SAE of a file.

    Raises:
        UserError: damaged; names file and field.
    """
    file = path / FILE if path.is_dir() else path
    held = read_npz(file)
    W_enc_DF = held.take("W_enc", None, None)
    d_in, d_sae = W_enc_DF.shape
    shapes = {"b_enc": (d_sae,), "W_dec": (d_sae, d_in), "b_dec": (d_in,), "threshold": (d_sae,)}
    p = {"W_enc": W_enc_DF.T.contiguous()} | {name: held.take(name, *shape) for name, shape in shapes.items()}
    held.whole("Gemma Scope")
    return sae_of(Plain("jumprelu", p, subtract_b_dec=False), _hook(file.resolve()))


def _hook(file: Path) -> str:
    """The hook, where the path names both layer and site; else nothing."""
    layer = re.search(r"layer_(\d+)", str(file.parent))
    site = re.search(r"gemma-scope[^/]*-(res|mlp|att)(/|$)", str(file.parent))
    return f"blocks.{layer[1]}.{_SITES[site[1]]}" if layer and site else ""
