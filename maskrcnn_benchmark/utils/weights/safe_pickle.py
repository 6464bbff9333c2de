"""Read the arrays of a pickle from a stranger.

Detectron and detectron2 publish weights as pickled dictionaries of numpy arrays, written by Python 2 and 3. Such a file
is data here: only dictionaries, lists, tuples, text, numbers and arrays of plain numbers come out of it, and anything
else that it asks for is refused before it happens.

Limits: the arrays together have at most `BYTES_PER_BYTE` times the bytes of the file; values are nested at most
`MAX_DEPTH` deep and number at most `MAX_VALUES`, counted once for every place where they appear.
"""

import math
import os
import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.weights.pickle_machine import BoundedFile, PickleMachine, PickleRefused, check_key

MAX_DEPTH = 32
MAX_VALUES = 200_000
MAX_DIMENSIONS = 32
MAX_SIDE = 2**31
# An array's bytes may be counted twice: once as text, as protocol 2 writes them, and once as numbers
BYTES_PER_BYTE = 4
# Booleans, integers and floats of at most eight bytes
PLAIN_DTYPE = re.compile(r"[<>=|]?(b1|[iu][1248]|f[248])")


def load_arrays(path: str | os.PathLike, remedy: str = "") -> Any:
    """The value pickled in the file `path`: dictionaries, lists, tuples, text, numbers and read-only numpy arrays.

    Raises `UserError`, ending in `remedy`, for a file that is damaged or holds anything else.
    """
    try:
        size = os.path.getsize(path)
        with open(path, "rb") as file:
            return _ArrayMachine(size * BYTES_PER_BYTE).load(BoundedFile(file, size))
    except PickleRefused as error:
        raise UserError(
            f"{path} was refused: {error}, but only arrays of numbers are taken{error.remedy or remedy}"
        ) from None
    except (ValueError, OSError) as error:
        reason = str(error).split("\n")[0][:200]
        raise UserError(f"{path} is damaged or no pickle ({reason}){remedy}") from None


@dataclass(frozen=True)
class _Name:
    """A global that may be called or passed on."""

    name: str


@dataclass
class _Dtype:
    """A plain dtype; its byte order comes later, as its state."""

    code: str
    order: Any = "="

    def resolve(self) -> np.dtype:
        return np.dtype(self.code).newbyteorder(self.order)


@dataclass
class _Array:
    """An array whose shape and numbers come later, as its state."""

    value: np.ndarray | None = None


class _ArrayMachine(PickleMachine):
    """Makes arrays, and nothing else, out of the calls that numpy's pickles are made of."""

    def __init__(self, bytes_left: int) -> None:
        super().__init__()
        self.bytes_left = bytes_left
        self.values_left = self.copies_left = MAX_VALUES

    def load(self, file: BoundedFile) -> Any:
        return self._finish(self.run(file), MAX_DEPTH)

    def find_name(self, module: str, name: str) -> Any:
        # numpy 2 calls numpy.core numpy._core, Python 2 calls builtins __builtin__
        full = f"{module}.{name}".replace("numpy._core.", "numpy.core.").replace("__builtin__.", "builtins.")
        return _Name(full) if full in self.CALLS or full == "numpy.ndarray" else super().find_name(module, name)

    def call(self, function: Any, arguments: tuple) -> Any:
        if not isinstance(function, _Name) or function.name not in self.CALLS:
            return super().call(function, arguments)
        try:
            return self.CALLS[function.name](self, *arguments)
        except TypeError:
            raise ValueError(f"{function.name} is called with {len(arguments)} odd arguments") from None

    def build(self, target: Any, state: Any) -> None:
        if isinstance(target, _Dtype):
            self._build_dtype(target, state)
        elif isinstance(target, _Array) and isinstance(state, tuple) and len(state) in (4, 5):
            shape, dtype, fortran, data = state[-4:]
            target.value = self._array(data, dtype, shape, bool(fortran))
        else:
            super().build(target, state)

    def _build_dtype(self, target, state):
        if not isinstance(state, tuple) or len(state) < 5 or state[1] not in ("<", ">", "=", "|"):
            raise ValueError("a dtype's state is odd")
        if any(part is not None for part in state[2:5]):
            raise PickleRefused("it asks for an array of records")
        target.order = state[1]

    def _make_empty_array(self, kind, shape, typecode):
        return _Array()

    def _make_dtype(self, code, align=False, copy=False):
        if not isinstance(code, str) or not PLAIN_DTYPE.fullmatch(code):
            kind = "objects" if isinstance(code, str) and code.startswith("O") else "something else than numbers"
            raise PickleRefused(f"it asks for an array of {kind}")
        return _Dtype(code)

    def _make_scalar(self, dtype, data):
        return self._array(data, dtype, (1,), False)[0]

    def _from_buffer(self, data, dtype, shape, order):
        return _Array(self._array(data, dtype, shape, order == "F"))

    def _make_bytes(self, text="", encoding="latin1"):
        if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
            raise PickleRefused("it asks for bytes of another encoding")
        return self._raw(text)

    def _make_dict(self, items=()):
        if not isinstance(items, list | tuple) or not all(isinstance(i, list | tuple) and len(i) == 2 for i in items):
            raise ValueError("an ordered dictionary is no list of pairs")
        self.copies_left -= len(items)
        if self.copies_left < 0:
            raise PickleRefused(f"its calls make more than {MAX_VALUES} copies")
        return {check_key(key): value for key, value in items}

    CALLS: dict[str, Any] = {
        "numpy.core.multiarray._reconstruct": _make_empty_array,
        "numpy.core.multiarray.scalar": _make_scalar,
        "numpy.core.numeric._frombuffer": _from_buffer,
        "numpy.dtype": _make_dtype,
        "collections.OrderedDict": _make_dict,
        "_codecs.encode": _make_bytes,
        "builtins.bytes": _make_bytes,
    }

    def _array(self, data, dtype, shape, fortran):
        if not isinstance(dtype, _Dtype):
            raise ValueError("an array has no dtype")
        if not isinstance(shape, tuple) or len(shape) > MAX_DIMENSIONS:
            raise ValueError("an array's shape is odd")
        if any(type(side) is not int or not 0 <= side < MAX_SIDE for side in shape):
            raise ValueError("a side of an array is odd")
        dtype, data = dtype.resolve(), self._raw(data)
        if math.prod(shape) * dtype.itemsize != len(data):
            raise ValueError(f"an array of shape {shape[:8]} has {len(data)} bytes"[:200])
        if not data:
            return np.empty(shape, dtype)
        return np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")

    def _raw(self, data):
        """Bytes from bytes or, as Python 2 wrote them, from text; what is used again counts again."""
        if isinstance(data, list):
            raise PickleRefused("it asks for an array of objects")
        if not isinstance(data, str | bytes | bytearray):
            raise ValueError("an array's numbers are no bytes")
        self.bytes_left -= len(data)
        if self.bytes_left < 0:
            raise PickleRefused("its arrays ask for more memory than the file has")
        return data.encode("latin-1") if isinstance(data, str) else data

    def _finish(self, value, depth):
        """`value` with finished arrays in place of those to be filled."""
        self.values_left -= 1
        if depth == 0 or self.values_left < 0:
            raise PickleRefused(f"it nests values deeper than {MAX_DEPTH} or has more than {MAX_VALUES}")
        if isinstance(value, dict):
            return {key: self._finish(each, depth - 1) for key, each in value.items()}
        if isinstance(value, list | tuple):
            return type(value)(self._finish(each, depth - 1) for each in value)
        if isinstance(value, _Array):
            value = value.value
            if value is None:
                raise ValueError("an array was never filled")
        if isinstance(value, _Name | _Dtype):
            raise PickleRefused(f"it holds {value.name if isinstance(value, _Name) else 'a dtype'}")
        return value
