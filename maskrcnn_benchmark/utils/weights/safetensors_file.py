"""Read a safetensors file: 8 bytes that say how long the header is, a header in JSON, and the numbers.

There is nothing in such a file to run. What it says about sizes is compared with what lies in it, and no number is read
twice. It takes fewer lines to read than a further package to install.
"""

import math
import os

import torch

from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.small_json import MOST_BYTES, parse_small_json
from maskrcnn_benchmark.utils.text import printable

LENGTH = 8
DTYPES = {
    **{f"F{bits}": getattr(torch, f"float{bits}") for bits in (16, 32, 64)},
    **{f"I{bits}": getattr(torch, f"int{bits}") for bits in (8, 16, 32, 64)},
    "BF16": torch.bfloat16,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


def is_safetensors(head: bytes, name: str) -> bool:
    """Whether a file with these first bytes, nine or more, and this name is to be read as one."""
    length = int.from_bytes(head[:LENGTH], "little")
    return name.endswith(".safetensors") or (length <= MOST_BYTES and head[LENGTH : LENGTH + 1] == b"{")


def load_safetensors(path: str | os.PathLike, remedy: str = "") -> dict[str, torch.Tensor]:
    """{name: tensor} of the file `path`, on the CPU; its metadata is left out.

    Raises `UserError`, ending in `remedy`, for a file that is cut off, damaged, or has numbers of another kind.
    """
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            length = int.from_bytes(file.read(LENGTH), "little")
            if length > MOST_BYTES:
                raise ValueError("it does not begin as a safetensors file does")
            if LENGTH + length > size:
                raise ValueError("it is cut off in its header")
            header = parse_small_json(file.read(length))
            data = bytearray(file.read())
        if not isinstance(header, dict):
            raise ValueError("its header is no table of tensors")
        entries = {name: _entry(name, entry) for name, entry in header.items() if name != "__metadata__"}
        end = max((stop for _, _, _, stop in entries.values()), default=0)
        if end > len(data):
            raise ValueError(f"it is cut off: its tensors end at byte {end} of {len(data)}")
        if sum(stop - start for _, _, start, stop in entries.values()) > len(data):
            raise ValueError("its tensors share their numbers")
    except (ValueError, OSError) as error:
        raise UserError(f"{path} is damaged or no safetensors file ({str(error)[:200]}){remedy}") from None
    return {name: _tensor(data, *entry) for name, entry in entries.items()}


def _entry(name, entry):
    """(dtype, shape, first byte, byte after the last)."""
    called = printable(name, 100)
    if not isinstance(entry, dict):
        raise ValueError(f"its tensor {called} has no description")
    kind, shape, place = (entry.get(key) for key in ("dtype", "shape", "data_offsets"))
    if not isinstance(kind, str) or kind not in DTYPES:
        raise ValueError(f"its tensor {called} has numbers of the type {printable(str(kind), 20)}, which is not taken")
    for sides in (shape, place):
        if not isinstance(sides, list) or not all(type(side) is int and 0 <= side < 2**48 for side in sides):
            raise ValueError(f"the size of its tensor {called} is odd")
    dtype = DTYPES[kind]
    if len(place) != 2 or len(shape) > 32 or math.prod(shape) * dtype.itemsize != place[1] - place[0]:
        raise ValueError(f"its tensor {called} of shape {shape[:8]} is not as long as it says")
    return dtype, shape, *place


def _tensor(data, dtype, shape, start, stop):
    if start == stop:
        return torch.empty(shape, dtype=dtype)
    if start % dtype.itemsize:
        data, start = data[start:stop], 0
    return torch.frombuffer(data, dtype=dtype, count=math.prod(shape), offset=start).view(shape)
