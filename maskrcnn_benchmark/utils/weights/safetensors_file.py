"""Read a safetensors file: 8 bytes that say how long the header is, a header in JSON, and the numbers."""

import os

import torch
from safetensors import SafetensorError, safe_open

from maskrcnn_benchmark.utils.errors import UserError

LENGTH = 8
MOST_BYTES = 10**8  # that the library takes as a header


def is_safetensors(head: bytes, name: str) -> bool:
    """Whether a file with these first bytes, nine or more, and this name is to be read as one."""
    length = int.from_bytes(head[:LENGTH], "little")
    return name.endswith(".safetensors") or (length <= MOST_BYTES and head[LENGTH : LENGTH + 1] == b"{")


def load_safetensors(path: str | os.PathLike, remedy: str = "") -> dict[str, torch.Tensor]:
    """{name: tensor} of the file `path`, on the CPU; its metadata is left out.

    Raises `UserError`, ending in `remedy`, for a file that is cut off, damaged, or has numbers of another kind.
    """
    try:
        with safe_open(path, "pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, it is no dict
    except (SafetensorError, OSError, AttributeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path} is damaged or no safetensors file ({reason}){remedy}") from None
