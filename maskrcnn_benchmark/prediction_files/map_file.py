"""Maps as PNG and .npy files: written fast, and read from anybody with every number checked."""

import io
import os
import struct
from pathlib import Path

import numpy as np
from PIL import Image

from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.files import atomic_write
from maskrcnn_benchmark.utils.pictures import decoding, opened_picture

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREY, _RGB, _PALETTE = 0, 2, 3
_HOLDS = {_GREY: "one number per pixel", _PALETTE: "places of a palette"}
_WANTED = {
    (_GREY, _PALETTE): "one number per pixel, as a grey PNG or with a palette",
    (_GREY,): "one number per pixel, as a grey PNG",
    (_RGB,): "three numbers per pixel, as an RGB PNG without transparency",
}
# Level 1 of zlib: on label maps a third larger than the best, at a fraction of the time
_COMPRESSION = 1
_REMEDY = "it is cut off or damaged, write it again"


def write_map(path: str | os.PathLike, data: bytes) -> None:
    """Write the content of a map's file; a reader of `path` sees the old file or the whole new one."""
    with atomic_write(path, durable=False) as file:
        file.write(data)


def encode_map(values: np.ndarray, palette: np.ndarray | None = None) -> bytes:
    """A map as the bytes of a PNG.

    Args:
        values: uint8 or uint16 [H, W], or uint8 [H, W, 3].
        palette: uint8 [256, 3] RGB colours of the values of a uint8 map, or None for grey.
    """
    image = Image.fromarray(values)
    if palette is not None:
        image.putpalette(palette.tobytes())  # which turns grey into indices
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=_COMPRESSION)
    return buffer.getvalue()


def encode_array(values: np.ndarray) -> bytes:
    """An array as the bytes of a .npy file, in C's order."""
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(values), allow_pickle=False)
    return buffer.getvalue()


def read_strength(
    path: str | os.PathLike, size: tuple[int, int], what: str = "an edge map is grey, from 0 (no edge)"
) -> np.ndarray:
    """The strengths of an edge map, or of whatever else is more or less there: uint8 [H, W].

    Args:
        path: a grey PNG of 1 to 16 bits; 16 bits are rounded to 8.
        size: (width, height) that it must have.
        what: what it is and what 0 means, for an error.

    Raises `UserError` for anything else.
    """
    values, depth, colour = _read(path, size)
    if colour == _PALETTE:
        raise UserError(f"{path} has a palette; {what} to 255 or 65535 (a sure one)")
    if depth == 16:
        return np.rint(values / 257).astype(np.uint8)
    return values.astype(np.uint8) * np.uint8(255) if depth == 1 else values


def read_labels(path: str | os.PathLike, size: tuple[int, int], low: int, high: int, meaning: str) -> np.ndarray:
    """The numbers of a label map: uint8 [H, W].

    Args:
        path: a grey PNG or one with a palette, of up to 16 bits.
        size: (width, height) that it must have.
        low, high: the least and the greatest number that it may hold.
        meaning: what the numbers are, for an error.

    Raises `UserError` for anything else.
    """
    values, depth, colour = _read(path, size)
    if colour == _GREY and depth in (2, 4):
        values = values // (255 // (2**depth - 1))  # PIL spreads them over 0..255
    least, greatest = int(values.min()), int(values.max())
    if least < low or greatest > high:
        wrong = greatest if greatest > high else least
        raise UserError(f"{path} holds the value {wrong}, but {meaning}")
    return values.astype(np.uint8)


def read_picture(
    path: str | os.PathLike, size: tuple[int, int], dtype: np.dtype, channels: int, what: str
) -> np.ndarray:
    """The numbers of a PNG that has exactly the bits and channels asked for: uint8 [3, H, W], or of `dtype` [H, W].

    Args:
        path: of the file.
        size: (width, height) that it must have.
        dtype: uint8, or uint16 of one channel.
        channels: 1 or 3.
        what: what it is, for an error.

    Raises `UserError` for anything else.
    """
    wanted, bits = (_RGB if channels == 3 else _GREY), 8 * dtype.itemsize
    values, depth, _ = _read(path, size, (wanted,))
    if depth != bits:
        raise UserError(f"{path} has {depth} bits per pixel; {what} are PNGs of {bits} bits")
    values = values.astype(dtype)
    return values if channels == 1 else np.ascontiguousarray(values.transpose(2, 0, 1))


def _read(path, size, colours=(_GREY, _PALETTE)):
    """(values [H, W] or [H, W, 3], bits of a value, PNG's colour type); the head is compared before all is decoded."""
    path = Path(path)
    with decoding(path, _REMEDY), open(path, "rb") as file:
        head = file.read(33)
    if not head.startswith(_SIGNATURE) or len(head) < 33 or head[12:16] != b"IHDR":
        raise UserError(f"{path} is not a PNG; save maps as PNG, which keeps every number")
    width, height, depth, colour = struct.unpack(">IIBB", head[16:26])
    if (width, height) != tuple(size):
        raise UserError(f"{path} is {width}x{height} pixels, but its image is {size[0]}x{size[1]}; resize the map")
    if colour not in colours:
        raise UserError(f"{path} holds {_HOLDS.get(colour, 'colours')}; save {_WANTED[colours]}")
    with opened_picture(path, path, ("PNG",), _REMEDY) as image, decoding(path, _REMEDY):
        values = np.asarray(image)
    if values.shape != ((height, width, 3) if colour == _RGB else (height, width)):
        raise UserError(f"{path} cannot be decoded (it has a second head); {_REMEDY}")
    return values, depth, colour


def voc_palette() -> np.ndarray:
    """PASCAL VOC's colours, in which the bits of a value are dealt out to red, green and blue: uint8 [256, 3]."""
    values = np.arange(256)
    palette = np.zeros((256, 3), np.uint8)
    for bit in range(8):
        palette[:, bit % 3] |= ((values >> bit & 1) << (7 - bit // 3)).astype(np.uint8)
    return palette
