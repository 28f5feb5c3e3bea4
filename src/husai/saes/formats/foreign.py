"""Files of other tools, opened without trust: no code is run, and whatever is wrong is one line with file and field.

Tensors become float32, in which husai computes; half precision loses nothing by it, and float64 is said.
"""

from __future__ import annotations

import pickle
import struct
import warnings
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from husai.errors import UserError, nearest
from husai.events import log
from husai.store.files import read_json

# What the readers of NumPy, safetensors and torch raise on bytes that make no sense.
_DAMAGE = (
    *(ArithmeticError, AssertionError, AttributeError, EOFError, LookupError, MemoryError, OSError, RuntimeError),
    *(SyntaxError, TokenError, TypeError, ValueError, SafetensorError, struct.error, zipfile.BadZipFile, zlib.error),
)
DTYPES = {
    name: dtype
    for dtype in (torch.float32, torch.float64, torch.float16, torch.bfloat16)
    for name in (str(dtype), str(dtype).removeprefix("torch."))
}
_REQUIRED: Any = object()
_MOST = 2**31  # a size beyond this is a damaged number, not a size


@dataclass(frozen=True)
class Fields:
    """The object of a JSON file; every look at it says what is wrong with the field, `at` being the path to it."""

    path: Path
    values: dict[str, Any]
    at: str = ""

    @staticmethod
    def of(path: Path) -> Fields:
        """The file's object.

        Raises:
            UserError: missing, not JSON, or not an object.
        """
        values = read_json(path)
        if not isinstance(values, dict):
            raise UserError(f"{path} holds no JSON object: it was truncated or changed")
        return Fields(path, values)

    def wrong(self, name: str, wanted: str) -> UserError:
        """The error of one field."""
        shown = repr(self.values[name]) if name in self.values else "nothing"
        return UserError(
            f"{self.path}: {self.at}{name} is {shown if len(shown) < 60 else shown[:57] + '...'}, {wanted}"
        )

    def get(self, name: str, default: Any = _REQUIRED) -> Any:
        """The value; without a default it must be there."""
        if name not in self.values and default is _REQUIRED:
            raise UserError(f"{self.path}: {self.at}{name} is missing")
        return self.values.get(name, default)

    def integer(self, name: str, default: Any = _REQUIRED, least: int = 1) -> Any:
        """A whole number."""
        value = self.get(name, default)
        if value is default:
            return value
        if type(value) is not int or not least <= value < _MOST:
            raise self.wrong(name, f"not a whole number from {least} on")
        return value

    def flag(self, name: str, default: Any = _REQUIRED) -> Any:
        """true or false."""
        value = self.get(name, default)
        if not isinstance(value, bool) and value is not default:
            raise self.wrong(name, "not true or false")
        return value

    def text(self, name: str, default: Any = _REQUIRED) -> Any:
        """Text."""
        value = self.get(name, default)
        if not isinstance(value, str) and value is not default:
            raise self.wrong(name, "not text")
        return value

    def one_of(self, name: str, options: Iterable[str], default: Any = _REQUIRED) -> Any:
        """Text that is one of the options."""
        value = self.text(name, default)
        if value not in (known := tuple(options)):
            raise self.wrong(name, nearest(value, known) if isinstance(value, str) else f"not one of {known}")
        return value

    def inner(self, name: str, default: Any = _REQUIRED) -> Fields:
        """An object within."""
        value = self.get(name, default)
        if not isinstance(value, dict):
            raise self.wrong(name, "not an object")
        return Fields(self.path, value, f"{self.at}{name}.")


@dataclass
class Held:
    """Tensors of one file, taken by name; what nobody took at the end does not belong there."""

    path: Path
    tensors: dict[str, Tensor]
    taken: set[str] = field(default_factory=set)
    said: bool = False

    def __contains__(self, name: str) -> bool:
        """Whether it is in the file."""
        return name in self.tensors

    def raw(self, name: str) -> Tensor:
        """As it is in the file.

        Raises:
            UserError: missing, sparse or without values.
        """
        if name not in self.tensors:
            raise UserError(f"{self.path}: tensor {name} is missing")
        self.taken.add(name)
        tensor = self.tensors[name].detach()
        if tensor.layout != torch.strided or tensor.is_meta or tensor.is_quantized:
            raise UserError(f"{self.path}: {name} is sparse, quantised or without values: save it dense")
        return tensor

    def take(self, name: str, *shape: int | None, dtype: torch.dtype | None = None) -> Tensor:
        """A tensor of floats as float32, by way of `dtype`; None in the shape is any length from 1 on.

        Raises:
            UserError: missing, of another shape, not floats, or not finite.
        """
        tensor = self.raw(name)
        known = len(tensor.shape) == len(shape) and all(
            size == wanted if wanted is not None else size > 0 for size, wanted in zip(tensor.shape, shape, strict=True)
        )
        if not known:
            wanted_ = ", ".join("any" if wanted is None else str(wanted) for wanted in shape)
            raise UserError(f"{self.path}: {name} has shape {tuple(tensor.shape)}, expected ({wanted_})")
        if tensor.dtype not in DTYPES.values():
            raise UserError(f"{self.path}: {name} holds {tensor.dtype}, not floats of 16, 32 or 64 bits")
        if tensor.dtype == torch.float64 and tensor.dim() > 1 and not self.said:
            self.said = True
            log(f"{self.path} is float64: converted to float32")
        read = tensor.to(dtype or tensor.dtype).to(torch.float32).contiguous().clone()
        if not torch.isfinite(read).all():
            raise UserError(f"{self.path}: {name} holds NaN or infinite values: the file is damaged")
        return read

    def integer(self, name: str, least: int = 1) -> int:
        """A whole number kept as a tensor.

        Raises:
            UserError: missing, or something else.
        """
        tensor = self.raw(name)
        whole = not tensor.dtype.is_floating_point and not tensor.dtype.is_complex and tensor.dtype != torch.bool
        if tensor.numel() != 1 or tensor.dim() > 1 or not whole or not least <= int(tensor.reshape(())) < _MOST:
            raise UserError(f"{self.path}: {name} is not one whole number from {least} on")
        return int(tensor.reshape(()))

    def whole(self, what: str) -> None:
        """Everything in the file was understood.

        Raises:
            UserError: something was not.
        """
        if odd := sorted(self.tensors.keys() - self.taken):
            raise UserError(f"{self.path}: tensor {odd[0]} does not belong to {what}")


def read_safetensors(path: Path) -> Held:
    """Every tensor of a safetensors file.

    Raises:
        UserError: missing, truncated, or not safetensors.
    """
    _must_be_a_file(path)
    try:
        with safe_open(path, framework="pt", device="cpu") as handle:
            return Held(path, {name: handle.get_tensor(name) for name in handle.keys()})  # noqa: SIM118
    except _DAMAGE as error:
        raise UserError(f"{path} is not a whole safetensors file ({_line(error)}): get it again") from None


def read_npz(path: Path) -> Held:
    """Every array of an `.npz`, pickled ones refused.

    Raises:
        UserError: missing, truncated, not `.npz`, or not numbers.
    """
    _must_be_a_file(path)
    try:
        with path.open("rb") as handle, warnings.catch_warnings():  # NumPy leaves a damaged file open
            warnings.simplefilter("ignore")
            loaded = np.load(handle, allow_pickle=False)
            if not isinstance(loaded, np.lib.npyio.NpzFile):
                raise TypeError("one array, not several with names")
            with loaded:
                return Held(path, {name: _tensor(loaded[name]) for name in loaded.files})
    except _DAMAGE as error:
        raise UserError(f"{path} is not a whole .npz file of numbers ({_line(error)}): get it again") from None


def _tensor(array: Any) -> Tensor:
    if not isinstance(array, np.ndarray):
        raise TypeError("not an array")
    return torch.from_numpy(np.array(array, dtype=array.dtype.newbyteorder("=")))


def read_pt(path: Path) -> dict[str, Any]:
    """The dict of a `.pt` file: tensors, numbers, text and containers; anything that needs code is not opened.

    Raises:
        UserError: missing, damaged, needs code, or holds no dict with names.
    """
    _must_be_a_file(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch talks about odd pickles that it then refuses
            loaded = torch.load(path, weights_only=True, map_location="cpu")
    except pickle.UnpicklingError:
        raise UserError(
            f"{path} is damaged, or is a pickle that needs code to be read, which husai does not run:"
            " save the state dict"
        ) from None
    except _DAMAGE as error:
        raise UserError(f"{path} is not a whole .pt file ({_line(error)}): get it again") from None
    if not isinstance(loaded, dict) or not all(isinstance(name, str) for name in loaded):
        raise UserError(f"{path} holds no state dict: save the state dict of the SAE")
    return loaded


def held_in(path: Path, state: dict[str, Any]) -> Held:
    """The tensors of a state dict.

    Raises:
        UserError: something in it is no tensor.
    """
    if odd := sorted(str(name) for name, value in state.items() if not isinstance(value, Tensor)):
        raise UserError(f"{path}: {odd[0]} is no tensor")
    return Held(path, {str(name): value for name, value in state.items()})


def _must_be_a_file(path: Path) -> None:
    if not path.is_file():
        raise UserError(f"{path} does not exist, or is not a file")


def _line(error: BaseException) -> str:
    """First line of another library's message, shortened."""
    text = (str(error).strip() or type(error).__name__).splitlines()[0]
    return text if len(text) <= 120 else text[:117] + "..."
