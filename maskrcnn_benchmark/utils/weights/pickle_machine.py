"""Follow the instructions of a pickle without obeying them: no name is imported, nothing is called.

Python's own unpickler runs what a file asks for, may take gigabytes for a file of some bytes, and leaves tuples nested
so deeply that hashing one ends the interpreter. This one keeps a stack of plain values; what a name, a call or a state
means is decided by a subclass.
"""

import pickletools
import re
from itertools import pairwise
from typing import Any, BinaryIO

from maskrcnn_benchmark.utils.text import printable

# A checkpoint of a thousand tensors and their momenta takes some hundred thousand
MAX_OPERATIONS = 2_000_000

KEY_TYPES = (str, int, float, bytes, bool, type(None))
_PLAIN = (*KEY_TYPES, list, tuple, dict)
# What has no place in a checkpoint and is there to run something
_CODE = re.compile(
    r"(posix|nt|os|sys|subprocess|commands|shutil|socket|pty|runpy|code|ctypes|marshal|importlib|_?pickle|webbrowser)\..*"
    r"|(builtins|__builtin__)\.(eval|exec|execfile|compile|open|__import__|getattr|apply|input)"
)


class PickleRefused(ValueError):
    """The pickle asks for something that is not allowed; the message says for what.

    Attributes:
        remedy: "; ..." with what else can be done than to take another file, or "".
    """

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.remedy = remedy


class BoundedFile:
    """The next `size` bytes of a binary file; asking for more never makes room for more than there is."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self.file = file
        self.left = size

    def read(self, count: int) -> bytes:
        return self._take(self.file.read(min(count, self.left)))

    def readline(self) -> bytes:
        return self._take(self.file.readline(self.left))

    def _take(self, data):
        self.left -= len(data)
        return data


class PickleMachine:
    """A stack machine for pickles of every protocol.

    Subclasses decide on `find_name`, `call`, `build` and `persistent`; the default refuses each of them.
    """

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.marked: list[list[Any]] = []
        self.memo: dict[Any, Any] = {}
        self.operations = 0

    def run(self, file: Any) -> Any:
        """The value that the pickle at the position of `file` (with `read` and `readline`) describes.

        The file is left after the pickle's last instruction. Raises `PickleRefused` for what is not allowed and
        `ValueError` for a pickle that is cut off or damaged.
        """
        self.stack, self.marked, self.memo = [], [], {}
        for opcode, argument, _ in pickletools.genops(file):
            self.operations += 1
            if self.operations > MAX_OPERATIONS:
                raise PickleRefused(f"it has more than {MAX_OPERATIONS} instructions")
            if opcode.name == "STOP":
                return self._pop()
            self._step(opcode.name, argument)
        raise ValueError("it has no end")

    def find_name(self, module: str, name: str) -> Any:
        """What stands on the stack for the global `module.name`."""
        is_inside = self.stack or self.marked
        alone = f"{self._weights_key()} alone, a dictionary of tensors" if is_inside else "state_dict()"
        remedy = f"; where it was made, save its {alone}"
        if _CODE.fullmatch(f"{module}.{name}"):
            remedy = "; opened elsewhere it would run that: delete it, and take weights from another source"
        raise PickleRefused(f"it asks for {printable(module, 100)}.{printable(name, 100)}", remedy)

    def call(self, function: Any, arguments: tuple) -> Any:
        """The result of calling what `find_name` returned with a tuple of arguments."""
        raise PickleRefused("it asks for a call of something that is no function")

    def build(self, target: Any, state: Any) -> None:
        """Give `target`, a value on the stack, its state."""
        raise PickleRefused("it sets the attributes of something that has none")

    def persistent(self, identifier: Any) -> Any:
        """What a persistent identifier stands for."""
        raise PickleRefused("it refers to something outside of it")

    def _weights_key(self):
        """The quoted names of the dictionaries so far that hold the most tensors, "model" without one."""
        counts = {}
        for values in (*self.marked, self.stack):
            for key, value in pairwise(values):
                held = value.values() if isinstance(key, str) and isinstance(value, dict) else ()
                counts[key if held else ""] = sum(type(each) not in _PLAIN for each in held)
        most = max(counts.values(), default=0)
        names = [key for key, count in counts.items() if count == most] if most else ["model"]
        return " or ".join(f'"{printable(name, 60)}"' for name in names[:4])

    def _step(self, name, argument):
        if name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name])
        elif name in _LITERALS:
            self.stack.append(argument)
        elif name in _EMPTY:
            self.stack.append(_EMPTY[name]())
        elif name in _HANDLERS:
            _HANDLERS[name](self, argument)
        elif name not in ("PROTO", "FRAME"):
            raise PickleRefused(f"it has the instruction {name}")

    def _pop(self):
        if not self.stack:
            raise ValueError("an instruction finds nothing on the stack")
        return self.stack.pop()

    def _top(self, kind):
        if not self.stack or not isinstance(self.stack[-1], kind):
            raise ValueError(f"an instruction does not find its {kind.__name__} on the stack")
        return self.stack[-1]

    def _mark(self, _):
        self.marked.append(self.stack)
        self.stack = []

    def _pop_mark(self):
        if not self.marked:
            raise ValueError("an instruction does not find its mark")
        values, self.stack = self.stack, self.marked.pop()
        return values

    def _tuple_of(self, count):
        if len(self.stack) < count:
            raise ValueError("a tuple does not find its values")
        values = tuple(self.stack[-count:])
        del self.stack[-count:]
        self.stack.append(values)

    def _append(self, values):
        self._top(list).extend(values)

    def _set_items(self, values):
        if len(values) % 2:
            raise ValueError("a key has no value")
        target = self._top(dict)
        for key, value in zip(values[::2], values[1::2]):
            target[check_key(key)] = value

    def _pair(self):
        value = self._pop()
        return [self._pop(), value]

    def _list(self, _):
        values = self._pop_mark()
        self.stack.append(values)

    def _tuple(self, _):
        values = self._pop_mark()
        self.stack.append(tuple(values))

    def _dict(self, _):
        values = self._pop_mark()
        self.stack.append({})
        self._set_items(values)

    def _memoize(self, index):
        if not self.stack:
            raise ValueError("there is nothing to remember")
        self.memo[len(self.memo) if index is None else index] = self.stack[-1]

    def _recall(self, index):
        if index not in self.memo:
            raise ValueError("it recalls what it has not remembered")
        self.stack.append(self.memo[index])

    def _global(self, argument):
        module, _, name = argument.partition(" ")
        self.stack.append(self.find_name(module, name))

    def _stack_global(self, _):
        module, name = self._pair()
        if not isinstance(module, str) or not isinstance(name, str):
            raise ValueError("a name is no text")
        self.stack.append(self.find_name(module, name))

    def _call(self, _):
        function, arguments = self._pair()
        if not isinstance(arguments, tuple):
            raise ValueError("a call's arguments are no tuple")
        self.stack.append(self.call(function, arguments))

    def _build(self, _):
        state = self._pop()
        if not self.stack:
            raise ValueError("a state has no owner")
        self.build(self.stack[-1], state)

    def _persistent(self, _):
        self.stack.append(self.persistent(self._pop()))

    def _duplicate(self, _):
        value = self._pop()
        self.stack += [value, value]


def check_key(key: Any) -> Any:
    """`key`, if hashing it is harmless: text, a number, or a flat tuple of these."""
    flat = key if type(key) is tuple else (key,)
    if not all(isinstance(part, KEY_TYPES) for part in flat):
        raise PickleRefused("a key of a dictionary is neither text nor a number")
    return key


_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_LITERALS = frozenset(
    [
        *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
        *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
        *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
    ]
)
_EMPTY = {"EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_TUPLE": tuple}
_HANDLERS = {
    "MARK": PickleMachine._mark,
    "POP": lambda self, _: self._pop() if self.stack else self._pop_mark(),
    "POP_MARK": lambda self, _: self._pop_mark(),
    "DUP": PickleMachine._duplicate,
    "LIST": PickleMachine._list,
    "TUPLE": PickleMachine._tuple,
    "DICT": PickleMachine._dict,
    "TUPLE1": lambda self, _: self._tuple_of(1),
    "TUPLE2": lambda self, _: self._tuple_of(2),
    "TUPLE3": lambda self, _: self._tuple_of(3),
    "APPEND": lambda self, _: self._append([self._pop()]),
    "APPENDS": lambda self, _: self._append(self._pop_mark()),
    "SETITEM": lambda self, _: self._set_items(self._pair()),
    "SETITEMS": lambda self, _: self._set_items(self._pop_mark()),
    "PUT": PickleMachine._memoize,
    "BINPUT": PickleMachine._memoize,
    "LONG_BINPUT": PickleMachine._memoize,
    "MEMOIZE": PickleMachine._memoize,
    "GET": PickleMachine._recall,
    "BINGET": PickleMachine._recall,
    "LONG_BINGET": PickleMachine._recall,
    "GLOBAL": PickleMachine._global,
    "STACK_GLOBAL": PickleMachine._stack_global,
    "REDUCE": PickleMachine._call,
    "BUILD": PickleMachine._build,
    "BINPERSID": PickleMachine._persistent,
}
