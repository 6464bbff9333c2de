"""Arrays in NumPy's .npy files of anybody: shape, dtype and length are compared before anything is read of the data."""

import math
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.pictures import decoding

_LONGEST_HEADER = 10_000  # its dictionary is read by Python's parser
_REMEDY = "it is cut off or damaged, write it again"


def read_array(path: str | os.PathLike, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """The array of a .npy file; shape, dtype and the file's size are compared before its data are read.

    Raises `UserError` for anything but an array of that shape and dtype, in either order of axes and of bytes.
    """
    path = Path(path)
    there, is_fortran, stored, place = _array_head(path)
    if there != shape or stored.newbyteorder("=") != dtype:
        raise UserError(f"{path} holds {stored} {list(there)}, but its map is {dtype} {list(shape)}; write it anew")
    return _array_data(path, shape, is_fortran, stored, place).astype(dtype, copy=False)


def read_shape(path: str | os.PathLike) -> tuple[int, ...]:
    """The shape of the array of a .npy file, of which the head alone is read. Raises `UserError` for anything else."""
    return _array_head(Path(path))[0]


def read_floats(path: str | os.PathLike, shapes: Sequence[tuple[int, ...]], what: str, kinds: str = "f") -> np.ndarray:
    """The finite numbers of a .npy file as float32, of one of some shapes.

    Args:
        path: of the file.
        shapes: those that it may have, the first of which is ours.
        what: what it holds, for an error: "depth is in metres".
        kinds: of NumPy's dtypes that it may have, "f" for floats, "u", "i" and "b" for whole numbers and booleans.

    Raises `UserError` for anything else.
    """
    path = Path(path)
    shape, is_fortran, stored, place = _array_head(path)
    if shape not in shapes or stored.kind not in kinds:
        raise UserError(
            f"{path} holds {stored} {list(shape)}, but {what}, as float32 {list(shapes[0])}; "
            "write it anew, or take image and map from the same release"
        )
    values = _array_data(path, shape, is_fortran, stored, place).astype(np.float32, copy=False)
    if not np.isfinite(values).all():
        raise UserError(f"{path} holds nan or infinity; write 0 where nothing is known")
    return values


def _array_head(path):
    """(shape, whether axes are in Fortran's order, dtype, place of the first byte of data) of a .npy file."""
    with decoding(path, _REMEDY), open(path, "rb") as file:
        major, _ = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if major == 1 else np.lib.format.read_array_header_2_0
        shape, is_fortran, stored = read(file, max_header_size=_LONGEST_HEADER)
        return shape, is_fortran, stored, file.tell()


def _array_data(path, shape, is_fortran, stored, place):
    """The data of a .npy file, whose head was read."""
    length = os.path.getsize(path) - place
    if length != math.prod(shape) * stored.itemsize:
        raise UserError(f"{path} has {length} bytes of data, not those of its head; {_REMEDY}")
    with decoding(path, _REMEDY), open(path, "rb") as file:
        file.seek(place)
        values = np.fromfile(file, stored, math.prod(shape))
    return values.reshape(shape[::-1]).T.copy() if is_fortran else values.reshape(shape)
