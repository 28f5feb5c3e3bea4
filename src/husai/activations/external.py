"""A user's own activations (`.npy`, `.safetensors`, `.pt`) made into a cache. No axis is guessed, no code is run."""

from __future__ import annotations

import pickle
import struct
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from tokenize import TokenError

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from husai.activations.cache import ActivationCache
from husai.activations.manifest import Origin
from husai.activations.writer import ShardWriter
from husai.errors import UserError, unknown
from husai.events import check_stop, log, report, warn
from husai.store.files import sha256

_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_BLOCK_VALUES = 4 * 2**20
# What the readers of NumPy, safetensors and torch raise on bytes that make no sense (found by damaging files).
_DAMAGE = (
    *(ArithmeticError, AssertionError, AttributeError, EOFError, LookupError, MemoryError, OSError, RuntimeError),
    *(SyntaxError, TokenError, TypeError, ValueError, struct.error),
)


@dataclass(frozen=True)
class ExternalFile:
    """One array of a file. Axes are [rows, width]; [rows, positions, width] only with `flatten`.

    `key` names the array where the file holds several. `d_in` declares the width, which then must match. `synthetic`
    is for rows that did not come from a model.
    """

    path: Path
    key: str | None = None
    d_in: int | None = None
    flatten: bool = False
    synthetic: bool = False


@dataclass(frozen=True, eq=False)
class _Array:
    """An array that is read piece by piece along its first axis."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    read: Callable[[int, int], Tensor]


def import_file(source: ExternalFile, folder: Path, *, shard_rows: int | None = None) -> ActivationCache:
    """Read the file into a cache in `folder`; float16, bfloat16 and float64 become float32, and that is said.

    Raises:
        UserError: no such file, not readable, a pickle that needs code, no or several arrays without a key, not
            floats, wrong number of axes or width, NaN or infinity (names the row), constant rows.
        Interrupted: the user stopped the run.
    """
    path = Path(source.path)
    if not path.is_file():
        raise UserError(f"{path} does not exist, or is not a file")
    if path.suffix not in _READERS:
        raise UserError(f"{path}: activations are read from {', '.join(_READERS)}; save them as one of these")
    array = _READERS[path.suffix](path, source.key)
    d_in = _checked_width(path, array, source)
    _say_conversion(path, array.dtype)
    origin = Origin(
        kind="external",
        synthetic=source.synthetic,
        description=f"{'declared synthetic' if source.synthetic else 'given by the user'}: {path.name}",
        hashes={"file": sha256(path)},
        details={"key": source.key, "shape": list(array.shape), "dtype": _name(array.dtype)},
    )
    with ShardWriter(folder, d_in, origin, shard_rows=shard_rows) as writer:
        step = max(1, _BLOCK_VALUES // max(1, int(np.prod(array.shape[1:]))))
        for start in range(0, array.shape[0], step):
            check_stop("run the same command again; the import starts over")
            stop = min(start + step, array.shape[0])
            writer.append(_float32(array.read(start, stop), d_in), **_places(array.shape, start, stop))
            report("import", f"activations from {path.name}", stop, array.shape[0])
    return ActivationCache(folder)


def _checked_width(path: Path, array: _Array, source: ExternalFile) -> int:
    """Width of a row, after every check that needs no data."""
    shape = list(array.shape)
    if array.dtype not in _FLOATS:
        raise UserError(f"{path} holds {_name(array.dtype)}: activations are float16, bfloat16, float32 or float64")
    if len(shape) == 3 and not source.flatten:
        raise UserError(
            f"{path} is {shape}: ask to flatten it if that is [rows, positions, width], and mask padding first"
        )
    if len(shape) != (3 if source.flatten else 2):
        wanted = "[rows, positions, width]" if source.flatten else "[rows, width]"
        raise UserError(f"{path} is {shape}: activations must be {wanted}")
    if source.d_in is not None and shape[-1] != source.d_in:
        turned = " (its first axis is: save the transpose)" if shape[0] == source.d_in else ""
        raise UserError(f"{path} is {shape}: the width {shape[-1]} is not the declared d_in={source.d_in}{turned}")
    if min(shape) < 1:
        raise UserError(f"{path} is {shape}: there is nothing in it")
    if np.prod(shape[:-1]) < shape[-1]:
        warn(f"{path} is {shape}: fewer rows than dimensions; the last axis is taken as the width, as declared")
    return shape[-1]


def _say_conversion(path: Path, dtype: torch.dtype) -> None:
    if dtype != torch.float32:
        log(f"{path} holds {_name(dtype)}: converted to float32")


def _float32(block: Tensor, d_in: int) -> np.ndarray:
    return block.detach().to(torch.float32).reshape(-1, d_in).contiguous().numpy()


def _places(shape: tuple[int, ...], start: int, stop: int) -> dict[str, np.ndarray]:
    """Columns of flattened rows: place in the sequence, and number of the sequence."""
    if len(shape) == 2:
        return {}
    examples, positions = np.arange(start, stop), np.arange(shape[1])
    return {"positions": np.tile(positions, len(examples)), "examples": np.repeat(examples, len(positions))}


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _read_npy(path: Path, key: str | None) -> _Array:
    if key is not None:
        raise UserError(f"{path} holds one array without a name: leave out the key '{key}'")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # headers of old files are read in a slower way, nothing more
            array = np.load(path, mmap_mode="r", allow_pickle=False)
    except _DAMAGE as error:
        raise UserError(f"{path} is not a whole .npy file of numbers ({_line(error)}): save it again") from None
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "biufc":
        raise UserError(f"{path} holds {getattr(array, 'dtype', 'several arrays')}: save one array of floats")
    native = array.dtype.newbyteorder("=")

    def read(start: int, stop: int) -> Tensor:
        return torch.from_numpy(np.array(array[start:stop], dtype=native))

    try:
        dtype = torch.from_numpy(np.empty(0, dtype=native)).dtype
    except TypeError:
        raise UserError(f"{path} holds {array.dtype}: save it as float32") from None
    return _Array(array.shape, dtype, read)


def _read_safetensors(path: Path, key: str | None) -> _Array:
    try:
        with safe_open(path, framework="pt") as handle:
            name = _chosen(path, key, list(handle.keys()))
            part = handle.get_slice(name)
            shape = tuple(part.get_shape())
            dtype = part[0:0].dtype if shape else torch.float32
    except (SafetensorError, *_DAMAGE) as error:
        raise UserError(f"{path} is not a whole safetensors file ({_line(error)}): save it again") from None

    def read(start: int, stop: int) -> Tensor:
        with safe_open(path, framework="pt") as handle:
            return handle.get_slice(name)[start:stop]

    return _Array(shape, dtype, read)


def _read_pt(path: Path, key: str | None) -> _Array:
    loaded = _load_pt(path)
    if isinstance(loaded, dict):
        tensors = {str(name): value for name, value in loaded.items() if isinstance(value, Tensor)}
        tensor = tensors[_chosen(path, key, tensors)]
    elif isinstance(loaded, Tensor):
        if key is not None:
            raise UserError(f"{path} holds one tensor without a name: leave out the key '{key}'")
        tensor = loaded
    else:
        raise UserError(f"{path} holds a {type(loaded).__name__}: save one tensor, or a dict of tensors")
    if tensor.layout != torch.strided or tensor.is_meta:
        raise UserError(f"{path} holds a sparse or empty tensor: save it dense")
    return _Array(tuple(tensor.shape), tensor.dtype, lambda start, stop: tensor[start:stop])


def _load_pt(path: Path) -> object:
    """`torch.load` with weights only: tensors, numbers and containers, all in memory; anything else needs code."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch talks about odd pickles that it then refuses
            return torch.load(path, weights_only=True, map_location="cpu")
    except pickle.UnpicklingError:
        raise UserError(
            f"{path} is damaged, or is a pickle that needs code to be read, which husai does not run:"
            " save the tensor alone, as .safetensors"
        ) from None
    except _DAMAGE as error:
        raise UserError(f"{path} is not a whole .pt file ({_line(error)}): save it again") from None


def _chosen(path: Path, key: str | None, names: Iterable[str]) -> str:
    """The name of the array to read: the key, or the only one there is."""
    held = sorted(names)
    if key is not None:
        if key not in held:
            raise unknown(f"key in {path}", key, held)
        return key
    if len(held) != 1:
        raise UserError(f"{path} holds {len(held)} arrays ({', '.join(held) or 'no tensors'}): name one of them as key")
    return held[0]


def _line(error: BaseException) -> str:
    """First line of another library's message, shortened."""
    text = (str(error).strip() or type(error).__name__).splitlines()[0]
    return text if len(text) <= 120 else text[:117] + "..."


_READERS: dict[str, Callable[[Path, str | None], _Array]] = {
    ".npy": _read_npy,
    ".safetensors": _read_safetensors,
    ".pt": _read_pt,
}
