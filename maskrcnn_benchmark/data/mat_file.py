"""Reading MATLAB's .mat files of data sets: by scipy, within bounds that a damaged or hostile file cannot leave."""

import io
import os
import struct
import zlib
from pathlib import Path
from typing import Any

from scipy.io import loadmat

from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.files import read_at_most
from maskrcnn_benchmark.utils.text import printable

# Larger than any file of labels: the annotation of a crowd with all its masks takes some hundred MB when unpacked
MOST_BYTES = 64 << 20
MOST_UNPACKED = 1 << 30
_MOST_ELEMENTS = 1 << 20
_DEEPEST = 16
_HEADER = 128
_HDF5 = b"\x89HDF\r\n\x1a\n"
# Types of elements of a MAT-file of level 5, and classes of arrays ("MAT-File Format", The MathWorks)
_MATRIX, _COMPRESSED = 14, 15
_CELL, _STRUCT, _CHAR = 1, 2, 4
_NUMBERS = range(6, 16)


class _Damaged(Exception):
    """What is wrong with a file, in words."""


def read_mat(path: str | os.PathLike, variable: str, data: bytes | None = None) -> Any:
    """The value of a variable in a .mat file of MATLAB 5 to 7, as `scipy.io.loadmat` gives it; no code is ever run.

    Args:
        path: the file.
        variable: name of the variable.
        data: the bytes of the file, where they have been read.

    Raises `UserError` for a file that is missing, of MATLAB 7.3, no .mat file, damaged, larger than `MOST_BYTES` or
    `MOST_UNPACKED`, nested deeper than any data set's, or without the variable.
    """
    path = Path(path)
    data = read_mat_bytes(path) if data is None else data
    if data[:10] == b"MATLAB 7.3" or _HDF5 in data[:1024]:
        raise UserError(
            f"{path} is a .mat file of MATLAB 7.3 (HDF5), which is not read: load it in MATLAB and write it again with "
            "save(..., '-v7'), or take the archive's own file"
        )
    try:
        order = {b"IM": "<", b"MI": ">"}.get(data[126:_HEADER])
        if order is None:
            raise _Damaged("it has no header of MATLAB 5 to 7")
        # scipy sees unpacked elements alone, which have been looked at
        content = loadmat(io.BytesIO(_unpacked(data, order)), variable_names=[variable])
    except Exception as error:  # on damaged files scipy raises nearly anything
        words = printable(" ".join(str(error).split()) or type(error).__name__)
        raise UserError(f"{path} cannot be read as a .mat file ({words}); unpack it again") from None
    if variable not in content:
        raise UserError(f"{path} has no variable {variable!r}; is it another kind of file?")
    return content[variable]


def read_mat_bytes(path: Path) -> bytes:
    """The bytes of a file. Raises `UserError` for one that cannot be read or has more than `MOST_BYTES`."""
    return read_at_most(path, MOST_BYTES, "file of labels", "unpack it again")


def _unpacked(data: bytes, order: str) -> bytes:
    """The file with every packed element in its unpacked form, all of which hold what they say."""
    pieces, total, place = [data[:_HEADER]], 0, _HEADER
    while place + 8 <= len(data):
        kind, length = struct.unpack_from(f"{order}II", data, place)
        if place + 8 + length > len(data):
            raise _Damaged("it is cut off")
        piece = data[place : place + 8 + length]
        if kind == _COMPRESSED:
            unpacker = zlib.decompressobj()
            piece = unpacker.decompress(data[place + 8 : place + 8 + length], MOST_UNPACKED - total + 1)
        total += len(piece)
        if total > MOST_UNPACKED:
            raise _Damaged(f"it unpacks to more than {MOST_UNPACKED >> 20} MiB")
        _check(piece, order)
        pieces.append(piece)
        place += 8 + length
    return b"".join(pieces)


def _check(data: bytes, order: str) -> None:
    """Look through an element: every array within holds what its size says, and none lies deeper than `_DEEPEST`."""
    open_elements, count = [(0, len(data), 0)], 0
    while open_elements:
        place, end, depth = open_elements.pop()
        while place < end:
            kind, start, stop, following = _element(data, place, end, order)
            count += 1
            if count > _MOST_ELEMENTS or depth > _DEEPEST:
                raise _Damaged("it holds more arrays than any file of labels, or deeper ones")
            if kind == _MATRIX and stop > start:
                open_elements.append((_check_array(data, start, stop, order), stop, depth + 1))
            place = following


def _check_array(data: bytes, start: int, stop: int, order: str) -> int:
    """Check the class and the size of an array; returns where its elements begin after flags and size."""
    _, flags, _, place = _element(data, start, stop, order)
    _, first, last, place = _element(data, place, stop, order)
    if flags + 4 > stop or last - first < 8:
        raise _Damaged("an array has no size")
    kind = struct.unpack_from(f"{order}I", data, flags)[0] & 0xFF
    number = 1
    for side in struct.unpack_from(f"{order}{(last - first) // 4}i", data, first):
        number *= side
        if side < 0 or number > MOST_UNPACKED:
            raise _Damaged("an array has an impossible size")
    if kind not in (_CELL, _STRUCT, _CHAR, *_NUMBERS):
        raise _Damaged("it holds what no file of labels holds, such as an object or a sparse array")
    if kind in (_CELL, _STRUCT) and number > 1 and 8 * number > stop - place:
        raise _Damaged("an array says that it has more elements than there are")
    return place


def _element(data: bytes, place: int, end: int, order: str) -> tuple[int, int, int, int]:
    """(type, where its data begin and end, where the next one begins) of the element at a place."""
    if place + 8 > end:
        raise _Damaged("it is cut off")
    kind, length = struct.unpack_from(f"{order}II", data, place)
    if kind >> 16:  # a small one: its length is in the upper half, its data in the other four bytes
        kind, length = kind & 0xFFFF, kind >> 16
        if length > 4:
            raise _Damaged("a small element is too long")
        return kind, place + 4, place + 4 + length, place + 8
    start = place + 8
    if start + length > end:
        raise _Damaged("an element is longer than what holds it")
    return kind, start, start + length, min(start + length + -length % 8, end)
