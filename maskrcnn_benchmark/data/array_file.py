"""Reading one array of numbers from NumPy's .npy, with errors that name the file."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.text import printable


def read_array(path: str | os.PathLike, size: Sequence[int]) -> np.ndarray:
    """The numbers of a .npy file about an image: its own dtype, [H, W] or [H, W, C]. Nothing in it is ever run.

    Args:
        path: the file.
        size: (width, height) that the image has.

    Raises `UserError` for a file that is missing, damaged, of objects in place of numbers, or for another size.
    """
    path = Path(path)
    try:
        # mapped, so that a header that claims more than the file holds is an error and no request for memory
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from None
    except Exception as error:  # damaged headers raise nearly anything
        words = printable(" ".join(str(error).split()) or type(error).__name__)
        raise UserError(f"{path} cannot be read as a .npy file ({words}); unpack it again") from None
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "uifb" or array.ndim not in (2, 3):
        raise UserError(f"{path} holds no map of numbers; unpack it again")
    if array.shape[:2] != (size[1], size[0]):
        raise UserError(
            f"{path} is {array.shape[1]}x{array.shape[0]} pixels, but its image has {size[0]}x{size[1]}; take image "
            "and annotations from the same release"
        )
    return np.array(array)
