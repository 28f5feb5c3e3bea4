"""Pixels to PNG bytes: eight bits, RGBA, no metadata, the same bytes on every run."""

from __future__ import annotations

import struct
import zlib

import numpy as np


def png_bytes(pixels_HW4: np.ndarray) -> bytes:
    """A PNG of pixels [H, W, 4] uint8 (specification: W3C PNG, colour type 6)."""
    height, width, _ = pixels_HW4.shape
    rows = np.concatenate([np.zeros((height, 1), np.uint8), pixels_HW4.reshape(height, width * 4)], axis=1)
    header = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes(), 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in parts)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def signed_cells(values_HW: np.ndarray, positive: tuple[int, int, int], negative: tuple[int, int, int]) -> np.ndarray:
    """Pixels [H, W, 4] of values in [-1, 1]: colour by sign, opacity by size, so that the page shows through at 0."""
    values = np.nan_to_num(np.clip(values_HW, -1, 1))
    pixels = np.empty((*values.shape, 4), np.uint8)
    pixels[..., :3] = np.where(values[..., None] >= 0, np.array(positive), np.array(negative))
    pixels[..., 3] = np.rint(255 * np.abs(values))
    return pixels
