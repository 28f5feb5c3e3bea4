"""A state dict in the container of `torch.save`, for tools that open nothing else: `docs/adr/0008` says why.

    archive/data.pkl       a stream of opcodes that builds the dict; arrays are named in it, not held
    archive/byteorder      little
    archive/data/<n>       the bytes of array n
    archive/version        3

The stream is made here, opcode by opcode, out of names and sizes: no object is ever pickled. The only things that it
names are those that rebuild tensors, so `torch.load(..., weights_only=True)` opens it. Equal arrays give equal bytes.
Protocol 2 of Python's `pickletools`; the layout is that of `torch.serialization` and `torch._utils._rebuild_tensor_v2`.
"""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Mapping

import numpy as np

_STORAGE = {"float32": "FloatStorage", "int32": "IntStorage", "int64": "LongStorage"}
_LONG_AGO = (1980, 1, 1, 0, 0, 0)  # the first date that a zip can hold: bytes do not depend on the day


def state_dict_bytes(arrays: Mapping[str, np.ndarray]) -> bytes:
    """The file that holds the arrays by name; float32, int32 and int64."""
    ordered = {name: np.ascontiguousarray(arrays[name]).reshape(arrays[name].shape) for name in sorted(arrays)}
    members = {"data.pkl": _stream(ordered), "byteorder": b"little"}
    little = [array.astype(array.dtype.newbyteorder("<")).tobytes() for array in ordered.values()]
    members |= {f"data/{number}": data for number, data in enumerate(little)}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, data in (members | {"version": b"3\n"}).items():
            archive.writestr(zipfile.ZipInfo(f"archive/{name}", _LONG_AGO), data)
    return buffer.getvalue()


def _stream(arrays: Mapping[str, np.ndarray]) -> bytes:
    """PROTO 2, EMPTY_DICT, MARK, (name, tensor)..., SETITEMS, STOP."""
    pairs = b"".join(_text(name) + _tensor(number, array) for number, (name, array) in enumerate(arrays.items()))
    return b"\x80\x02}(" + pairs + b"u."


def _tensor(number: int, array: np.ndarray) -> bytes:
    """_rebuild_tensor_v2(storage, offset 0, shape, strides, no gradient, no hooks)."""
    storage = _global("torch", _STORAGE[array.dtype.name])
    named = b"(" + _text("storage") + storage + _text(str(number)) + _text("cpu") + _int(array.size) + b"t"
    strides = [stride // array.itemsize for stride in array.strides]
    arguments = named + b"Q" + _int(0) + _ints(list(array.shape)) + _ints(strides) + b"\x89" + _NO_HOOKS
    return _REBUILD + b"(" + arguments + b"tR"


def _global(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


def _text(text: str) -> bytes:
    data = text.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def _int(number: int) -> bytes:
    if number < 2**31:
        return b"J" + struct.pack("<i", number)
    data = number.to_bytes(8, "little")
    return b"\x8a" + bytes([len(data)]) + data


def _ints(numbers: list[int]) -> bytes:
    return b"(" + b"".join(map(_int, numbers)) + b"t"


_REBUILD = _global("torch._utils", "_rebuild_tensor_v2")
_NO_HOOKS = _global("collections", "OrderedDict") + b")R"
