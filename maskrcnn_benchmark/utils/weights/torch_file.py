"""Read a torch file from a stranger: tensors and plain values, within the memory that its size accounts for.

`torch.load(weights_only=True)` runs no code of the file, but it believes what the file says about sizes. So the pickle
inside is first followed without obeying it, and refused if it names anything but tensors and plain containers, hashes
nested values, declares a storage larger than what lies in the file, or makes copy after copy of what it holds. A file
may unpack to `UNPACKED_PER_BYTE` times its size at most.
"""

import io
import os
import pickle
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.weights.pickle_machine import BoundedFile, PickleMachine, PickleRefused, check_key

UNPACKED_PER_BYTE = 4
ZIP_START = b"PK\x03\x04"
# A torch file that is no zip archive: magic number, protocol, system, content and names of storages, one pickle each
LEGACY_PICKLES = 5
LEGACY_MAGIC = pickle.dumps(0x1950A86A20F9469CFC6C, 2)[2:-1]

# The names in a checkpoint of dense tensors, plain containers and the dtypes and storages of torch
NAMES = re.compile(
    r"collections\.(OrderedDict|Counter)"
    r"|torch\._utils\._rebuild_(tensor|tensor_v2|parameter)"
    r"|torch\.nn\.parameter\.Parameter"
    r"|torch\.(Size|device)"
    r"|torch\.(bool|u?int\d+|b?float\d+|complex\d+|double|float|half|long|short|int)"
    r"|torch\.(storage\.)?(Bool|Byte|Char|Short|Int|Long|Half|BFloat16|Float|Double|ComplexFloat|ComplexDouble|Untyped)"
    r"Storage"
    r"|_codecs\.encode"
    r"|builtins\.(set|complex)"
)
STORAGE_BYTES = {
    **dict.fromkeys(("Bool", "Byte", "Char", "Untyped"), 1),
    **dict.fromkeys(("Short", "Half", "BFloat16"), 2),
    **dict.fromkeys(("Int", "Float"), 4),
    **dict.fromkeys(("Long", "Double", "ComplexFloat"), 8),
    "ComplexDouble": 16,
}


def is_torch_file(head: bytes) -> bool:
    """Whether a file with these first bytes, 14 or more, is one that torch has written."""
    return head.startswith(ZIP_START) or head.startswith(LEGACY_MAGIC, 2)


def load_tensors(path: str | os.PathLike, remedy: str = "", mapped: bool = False) -> Any:
    """The value in the torch file `path`, on the CPU. Raises `UserError`, ending in a remedy, if it was refused.

    With `mapped`, numbers of tensors are read where they are looked at: for values that are dropped soon after.
    """
    try:
        can_map = _inspect(Path(path))
        # torch maps by a path alone, and takes one for safetensors by its name
        if mapped and can_map and Path(path).suffix != ".safetensors":
            value = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        else:
            with open(path, "rb") as file:
                value = torch.load(file, map_location="cpu", weights_only=True)
        _check_tensors(value)
    except PickleRefused as error:
        raise UserError(
            f"{path} was refused: {error}, but only dense tensors and plain values are taken{error.remedy or remedy}"
        ) from None
    except pickle.UnpicklingError as error:
        raise UserError(
            f"{path} was refused: it is damaged or holds more than tensors ({_line(error)}){remedy}"
        ) from None
    except Exception as error:  # there is no list of what torch raises for a damaged file
        raise UserError(f"{path} is damaged or no PyTorch file ({_line(error)}){remedy}") from None
    return value


def _line(error):
    text = str(error).split("WeightsUnpickler error: ")[-1].strip().split("\n")[0]
    return text[:200] or type(error).__name__


def _inspect(path):
    """Refuse what is no file of tensors; returns whether its tensors can be mapped into memory."""
    with open(path, "rb") as file:
        is_zip = file.read(len(ZIP_START)) == ZIP_START
    if is_zip:
        return _inspect_zip(path)
    _inspect_legacy(path)
    return False


def _inspect_zip(path):
    with zipfile.ZipFile(path) as archive:
        sizes = {info.filename: info.file_size for info in archive.infolist()}
        # PyTorch looks entries up without regard to capitals: it must not find others than were looked at
        if len({name.lower() for name in sizes}) != len(archive.infolist()):
            raise PickleRefused("it holds two entries of the same name")
        if sum(sizes.values()) > UNPACKED_PER_BYTE * path.stat().st_size:
            raise PickleRefused(f"it unpacks to more than {UNPACKED_PER_BYTE} times its size")
        pickles = [name for name in sizes if name.count("/") == 1 and name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise ValueError("it holds no entry data.pkl")
        folder = pickles[0].removesuffix("data.pkl") + "data/"
        storages = {name.removeprefix(folder): size for name, size in sizes.items() if name.startswith(folder)}
        copies = UNPACKED_PER_BYTE * path.stat().st_size
        _TensorMachine(lambda key: storages.get(key, 0), copies).run(io.BytesIO(archive.read(pickles[0])))
        return all(info.compress_type == zipfile.ZIP_STORED for info in archive.infolist())


def _inspect_legacy(path):
    size = path.stat().st_size
    machine = _TensorMachine(lambda key: size, UNPACKED_PER_BYTE * size)
    with open(path, "rb") as file:
        rest = BoundedFile(file, size)
        for _ in range(LEGACY_PICKLES):
            machine.run(rest)
    if machine.declared > UNPACKED_PER_BYTE * size:
        raise ValueError("its storages are larger than the file")


# Bytes of what a call may copy, for each character or element
_SIZES: dict[type, int] = {str: 1, bytes: 1, bytearray: 1, list: 16, tuple: 16, dict: 16}


class _Opaque:
    """Stands for a tensor, a storage or whatever else torch will make."""


class _Name(str):
    """The full name of a global."""


class _TensorMachine(PickleMachine):
    """Accepts the pickles that torch writes; what it returns is of no use.

    Args:
        bytes_of: function key of a storage -> bytes that lie in the file for it.
        copies_left: bytes that calls may copy: the same text, list or dictionary may be handed to call after call.
    """

    def __init__(self, bytes_of: Callable[[str], int], copies_left: int) -> None:
        super().__init__()
        self.bytes_of = bytes_of
        self.copies_left = copies_left
        self.declared = 0
        self.seen: set[str] = set()

    def find_name(self, module: str, name: str) -> Any:
        full = f"{module}.{name}".replace("__builtin__.", "builtins.")
        return _Name(full) if NAMES.fullmatch(full) else super().find_name(module, name)

    def call(self, function: Any, arguments: tuple) -> Any:
        if not isinstance(function, _Name) or function.endswith("Storage"):
            return super().call(function, arguments)
        if function == "collections.OrderedDict" and not arguments:
            return {}
        self.copies_left -= sum(len(part) * _SIZES[type(part)] for part in arguments if type(part) in _SIZES)
        if self.copies_left < 0:
            raise PickleRefused("its calls make more copies than the file has bytes")
        # what a set or a counter is made of is hashed, and the first of each pair that makes a dictionary
        for values in arguments if function.startswith(("builtins.set", "collections.")) else ():
            for value in values if isinstance(values, list | tuple) else ():
                is_pair = function.endswith("Dict") and isinstance(value, list | tuple) and len(value) == 2
                check_key(value[0] if is_pair else value)
        return _Opaque()

    def build(self, target: Any, state: Any) -> None:
        if not isinstance(target, dict | _Opaque) or not isinstance(state, dict):
            super().build(target, state)

    def persistent(self, identifier: Any) -> Any:
        """A storage: ("storage", its class, its key, its device, its number of elements, ...)."""
        if not isinstance(identifier, tuple) or len(identifier) < 5 or not isinstance(identifier[1], _Name):
            raise ValueError("a reference is none to a storage")
        kind, key, count = identifier[1].split(".")[-1].removesuffix("Storage"), identifier[2], identifier[4]
        if kind not in STORAGE_BYTES or not isinstance(key, str) or type(count) is not int or count < 0:
            raise ValueError("a reference to a storage is odd")
        declared = count * STORAGE_BYTES[kind]
        if declared > self.bytes_of(key):
            raise ValueError(f"it declares a storage of {declared} bytes, where {self.bytes_of(key)} lie in the file")
        if key not in self.seen:
            self.seen.add(key)
            self.declared += declared
        return _Opaque()


def _check_tensors(value):
    """Refuse tensors that claim more elements than their memory holds, as a repeated one of a single element does."""
    pending, seen = [value], set()
    while pending:
        value = pending.pop()
        if isinstance(value, dict | list | tuple):
            # a container may hold itself, or another a thousand times
            if id(value) not in seen:
                seen.add(id(value))
                pending.extend(value.values() if isinstance(value, dict) else value)
        elif isinstance(value, torch.Tensor) and (
            value.layout != torch.strided
            or value.device.type != "cpu"
            or value.is_quantized
            or value.numel() * value.element_size() > value.untyped_storage().nbytes()
        ):
            raise PickleRefused(f"it holds a tensor of shape {tuple(value.shape)} that is not dense")
