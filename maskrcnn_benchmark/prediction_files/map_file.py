"""Maps as PNG files: written fast, and read from anybody with every number checked."""

import io
import struct
from pathlib import Path

import numpy as np
from PIL import Image

from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.files import atomic_write
from maskrcnn_benchmark.utils.pictures import decoding, opened_picture

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREY, _PALETTE = 0, 3
# Level 1 of zlib: on label maps a third larger than the best, at a fraction of the time
_COMPRESSION = 1
_REMEDY = "it is cut off or damaged, write it again"


def write_map(path, values, palette=None):
    """Write a map as PNG; a reader of `path` sees the old file or the whole new one. Arguments as in `encode_map`."""
    data = encode_map(values, palette)
    with atomic_write(path, durable=False) as file:
        file.write(data)


def encode_map(values, palette=None):
    """A map as the bytes of a PNG.

    Args:
        values: uint8 or uint16 [H, W].
        palette: uint8 [256, 3] RGB colours of the values of a uint8 map, or None for grey.
    """
    image = Image.fromarray(values)
    if palette is not None:
        image.putpalette(palette.tobytes())  # which turns grey into indices
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=_COMPRESSION)
    return buffer.getvalue()


def read_strength(path, size):
    """The strengths of an edge map: uint8 [H, W].

    Args:
        path: a grey PNG of 1 to 16 bits; 16 bits are rounded to 8.
        size: (width, height) that it must have.

    Raises `UserError` for anything else.
    """
    values, depth, colour = _read(path, size)
    if colour == _PALETTE:
        raise UserError(f"{path} has a palette; an edge map is grey, from 0 (no edge) to 255 or 65535 (a sure one)")
    if depth == 16:
        return np.rint(values / 257).astype(np.uint8)
    return values.astype(np.uint8) * np.uint8(255) if depth == 1 else values


def read_labels(path, size, low, high, meaning):
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


def read_direction(path, size):
    """The direction codes of an occlusion map (`answers.encode_direction`): uint16 [H, W]."""
    values, depth, _ = _read(path, size)
    if depth != 16:
        raise UserError(f"{path} has {depth} bits per pixel; directions are PNGs of 16 bits")
    return values.astype(np.uint16)


def _read(path, size):
    """(values [H, W], bits per pixel, PNG's colour type); the size is compared before anything is decoded."""
    path = Path(path)
    with decoding(path, _REMEDY), open(path, "rb") as file:
        head = file.read(33)
    if not head.startswith(_SIGNATURE) or len(head) < 33 or head[12:16] != b"IHDR":
        raise UserError(f"{path} is not a PNG; save maps as PNG, which keeps every number")
    width, height, depth, colour = struct.unpack(">IIBB", head[16:26])
    if (width, height) != tuple(size):
        raise UserError(f"{path} is {width}x{height} pixels, but its image is {size[0]}x{size[1]}; resize the map")
    if colour not in (_GREY, _PALETTE):
        raise UserError(f"{path} holds colours; save one number per pixel, as a grey PNG or with a palette")
    with opened_picture(path, path, ("PNG",), _REMEDY) as image, decoding(path, _REMEDY):
        values = np.asarray(image)
    if values.shape != (height, width):
        raise UserError(f"{path} cannot be decoded (it has a second head); {_REMEDY}")
    return values, depth, colour


def voc_palette():
    """PASCAL VOC's colours, in which the bits of a value are dealt out to red, green and blue: uint8 [256, 3]."""
    values = np.arange(256)
    palette = np.zeros((256, 3), np.uint8)
    for bit in range(8):
        palette[:, bit % 3] |= ((values >> bit & 1) << (7 - bit // 3)).astype(np.uint8)
    return palette
