"""sparsify: a folder `<hookpoint>/` with `cfg.json` and `sae.safetensors`.

    pre = relu(encoder(x - b_dec)), without b_dec if `transcode`;   f = the k largest of pre
    y = f W_dec + b_dec (+ x W_skip^T);   W_dec [F, D] as it is

`multi_topk` is about training: `encode` keeps k (the `sae_out` of its forward is left over from a loss on 4 k). A skip
connection without `transcode` is a skip transcoder whose b_dec is folded into b_enc: the same function. `num_latents`
of 0 stands for d_in * expansion_factor. `groupmax`, one latent of each of k groups, is nothing that husai has. Read off
sparsify 1.3 (`sparse_coder.py`, `fused_encoder.py`).
"""

from __future__ import annotations

from pathlib import Path

from husai.errors import UserError
from husai.saes.formats.foreign import Fields, Held, read_safetensors
from husai.saes.formats.origin import Origin, save
from husai.saes.formats.plain import Plain, plain_of, sae_of
from husai.saes.sae import SAE
from husai.store.files import write_json

CONFIG, WEIGHTS = "cfg.json", "sae.safetensors"
LOOKS_LIKE = f"a folder with {CONFIG} and {WEIGHTS}"
NAMES = {"W_enc": "encoder.weight", "b_enc": "encoder.bias", "W_dec": "W_dec", "b_dec": "b_dec"}


def recognises(path: Path) -> bool:
    """A folder with both files, or the file with the weights."""
    folder = _folder(path)
    return (folder / CONFIG).is_file() and (folder / WEIGHTS).is_file()


def _folder(path: Path) -> Path:
    return path.parent if path.name == WEIGHTS and path.is_file() else path


def read(path: Path) -> SAE:
    """The SAE of a folder; its hook is what the folder is named for.

    Raises:
        UserError: damaged, or groupmax; names file and field.
    """
    folder = _folder(path).resolve()
    fields = Fields.of(folder / CONFIG)
    plain = _plain(fields, read_safetensors(folder / WEIGHTS))
    return sae_of(plain, fields.inner("husai", {}).text("hook_name", folder.name))


def _plain(fields: Fields, held: Held) -> Plain:
    if fields.one_of("activation", ("topk", "groupmax"), "topk") == "groupmax":
        raise fields.wrong("activation", "one latent of each of k groups, which husai does not read")
    if fields.flag("signed", False):
        raise fields.wrong("signed", "which sparsify had in early versions and husai does not read")
    fields.flag("multi_topk", False)
    d_in, d_sae, skip = fields.integer("d_in"), _latents(fields), fields.flag("skip_connection", False)
    transcode = fields.flag("transcode", False)
    shapes = {"W_enc": (d_sae, d_in), "b_enc": (d_sae,), "W_dec": (d_sae, d_in), "b_dec": (d_in,)}
    p = {name: held.take(NAMES[name], *shape) for name, shape in shapes.items()}
    if skip:
        p["W_skip"] = held.take("W_skip", d_in, d_in)
    held.whole(f"a sparse coder with skip_connection = {str(skip).lower()} (in {fields.path.name})")
    k = fields.integer("k")
    if k > d_sae:
        raise fields.wrong("k", f"more than the {d_sae} latents")
    plain = Plain("topk", p, not transcode, k, transcoder=transcode or skip)
    return plain.subtracting(False) if plain.transcoder else plain


def _latents(fields: Fields) -> int:
    return fields.integer("num_latents", 0, least=0) or fields.integer("d_in") * fields.integer("expansion_factor")


def write(sae: SAE, folder: Path, origin: Origin) -> None:
    """The folder, readable by `SparseCoder.load_from_disk`.

    Raises:
        UserError: not TopK, or a transcoder between hooks of two widths.
    """
    plain = plain_of(sae, "sparsify")
    if plain.activation != "topk":
        raise UserError(
            f"sparsify has TopK only, not {sae.config.kind}: nothing was written. Use --to saelens or --to husai"
        )
    if plain.d_in != plain.d_out:
        raise UserError(
            f"sparsify has transcoders between hooks of one width, not {plain.d_in} and {plain.d_out}: use --to husai"
        )
    plain = plain if plain.transcoder else plain.subtracting(True)
    save(folder / WEIGHTS, {NAMES.get(name, name): tensor for name, tensor in plain.p.items()})
    cfg = {
        "activation": "topk",
        "expansion_factor": max(1, plain.d_sae // plain.d_in),
        "normalize_decoder": False,
        "num_latents": plain.d_sae,
        "k": plain.k,
        "multi_topk": False,
        "skip_connection": "W_skip" in plain.p,
        "transcode": plain.transcoder,
        "d_in": plain.d_in,
        "husai": {"hook_name": sae.hook_name, **origin.plain()},
    }
    write_json(folder / CONFIG, cfg)
