"""Reading a JSON file of any size value by value, with only a window of it in memory."""

import json
import os
import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, BinaryIO

from maskrcnn_benchmark.utils.errors import UserError

# Longest text of one value: what a reader may have to hold in memory at once
MAX_BYTES = 16 << 20
_CHUNK = 1 << 20
_SPACE: Any = re.compile(r"[ \t\n\r]*")
_DECODER = json.JSONDecoder()
_BOM = "\xef\xbb\xbf"
_HEAD = 4096  # bytes, of which the first say what a file is

_UTF16 = "is UTF-16 or UTF-32, not UTF-8; save it as UTF-8"
# First bytes of what is no text, of text in another encoding and of what is no JSON
_OTHERS = {
    b"\x1f\x8b": "is compressed with gzip; unpack it",
    b"BZh": "is compressed with bzip2; unpack it",
    b"\xfd7zXZ": "is compressed with xz; unpack it",
    b"PK\x03\x04": "is a zip archive; unpack it",
    b"7z\xbc\xaf": "is a 7z archive; unpack it",
    b"version https://git-lfs": "is a pointer of Git LFS, not the file itself; run git lfs pull",
    b"<": "is HTML or XML, not JSON; fetch the file itself",
    **dict.fromkeys((b"\xff\xfe", b"\xfe\xff", b"{\0", b"[\0", b"\0{", b"\0[", b"\0\0\0"), _UTF16),
}


def refuse_no_json(path: str | os.PathLike, head: bytes) -> None:
    """Raise `UserError` for a file whose first bytes are those of something that is known, and no JSON in UTF-8."""
    if not head.strip():
        raise UserError(f"{path} is empty: it is cut off or damaged, fetch it again")
    words = next((words for begin, words in _OTHERS.items() if head.startswith(begin)), None)
    if words is not None:
        raise UserError(f"{path} {words}")


def not_utf8(path: str | os.PathLike, error: UnicodeDecodeError, start: int = 0) -> UserError:
    """The error of a JSON file that is not UTF-8: what decoding said, of a piece that begins at byte `start`."""
    found = error.object[error.start : error.start + 1].hex()
    return UserError(f"{path} is not UTF-8 (byte {start + error.start} is 0x{found}); save it as UTF-8")


class JsonStream:
    """A JSON file that is stepped through from its first byte to its last.

    Places are byte numbers in the file from 0; every error names the one at fault.

    Args:
        path: the file, for errors.
        file: it, opened for reading bytes.
        on_read: called with each piece of the file (bytes) as it is read, in order, or None.
    """

    def __init__(
        self, path: str | os.PathLike, file: BinaryIO, on_read: Callable[[bytes], object] | None = None
    ) -> None:
        self.path = path
        self._file = file
        self._on_read = on_read
        # Each byte becomes a character, so that places in the text are places in the file
        self._text, self._base, self._at, self._ended = "", 0, 0, False
        self._read(_CHUNK)
        if self._text.startswith(_BOM):
            self._at = len(_BOM)
        refuse_no_json(path, self._text[:_HEAD].encode("latin-1"))

    @property
    def place(self) -> int:
        """Number of the next byte."""
        return self._base + self._at

    def character(self) -> str:
        """The next character that is no space, "" at the end of the file."""
        found = self._text[self._at : self._at + 1]
        if found > " ":  # so it nearly always is, and looking for spaces takes longer than reading a small value
            return found
        while True:
            self._at = _SPACE.match(self._text, self._at).end()
            if self._at < len(self._text) or self._ended:
                return self._text[self._at : self._at + 1]
            self._read(_CHUNK)

    def take(self, expected: str, name: str = "") -> None:
        """Step over a character that has to come next; `name` says in an error what it belongs to."""
        found = self.character()
        if found != expected:
            what = f"{found!r}" if found else "its end"
            raise UserError(
                f"{self.path} is not valid JSON{name and ' in '}{name}: byte {self.place} should be {expected!r}, but "
                f"there is {what}; it is cut off or damaged"
            )
        self._at += 1

    def value(self, name: str) -> tuple[int, int, Any]:
        """Step over a value of any kind: (place of its first byte, number of bytes, value)."""
        return self._value(lambda: name)

    def _value(self, name):
        """As `value`; `name` is a function that is only called for an error's sake."""
        self.character()
        size = _CHUNK
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._at)
                if end == len(self._text) and not self._ended:
                    self._read(size)  # a number may go on
                    continue
                text = self._text[self._at : end]
                if not text.isascii():
                    value = json.loads(text.encode("latin-1").decode())
                break
            except UnicodeDecodeError as error:
                raise not_utf8(self.path, error, self.place) from None
            except RecursionError:
                raise UserError(f"{self.path}: {name()} nests too deeply, at byte {self.place}") from None
            except ValueError as error:
                self._refuse_or_read(name(), error, size)
                size *= 2
        start, length = self.place, end - self._at
        self._at = end
        if length > MAX_BYTES:
            raise UserError(f"{self.path}: {name()}, at byte {start}, takes more than {MAX_BYTES >> 20} MiB")
        return start, length, value

    def elements(self, name: Callable[[int], str]) -> Iterator[tuple[int, int, Any]]:
        """Step over a list: yields (place of the first byte, number of bytes, value) of each of its elements.

        `name` is a function of an element's number to the words by which an error names it.
        """
        self.take("[")
        number = 0
        while self.character() != "]":
            if number and self.character() == ",":
                self._at += 1
            elif number:
                self.take(",", f"the list before {name(number)}")
            yield self._value(partial(name, number))
            number += 1
        self.take("]")

    def members(self, name: str) -> Iterator[str]:
        """Step over an object: yields each of its keys, after which the caller has to step over the value."""
        self.take("{")
        first = True
        while self.character() != "}":
            if not first:
                self.take(",", name)
            if self.character() != '"':
                self.take('"', name)
            key = self.value(f"a key of {name}")[2]
            self.take(":", name)
            yield key
            first = False
        self.take("}")

    def skip(self, name: str) -> None:
        """Step over a value that may be longer than memory, if only its elements are not."""
        opening = self.character()
        if opening == "[":
            for _ in self.elements(lambda number: f"entry {number} of {name}"):
                pass
        elif opening == "{":
            for key in self.members(name):
                self.value(f"{key!r} of {name}")
        else:
            self.value(name)

    def _refuse_or_read(self, name, error, size):
        """Read on where a value may only be cut off by the window, else say what is wrong with it."""
        if len(self._text) - self._at > MAX_BYTES:
            raise UserError(
                f"{self.path}: {name} is not valid JSON, or takes more than {MAX_BYTES >> 20} MiB, at byte {self.place}"
            )
        if self._ended:
            reason, place = getattr(error, "msg", error), self._base + getattr(error, "pos", self._at)
            raise UserError(
                f"{self.path}: {name} is not valid JSON ({reason}, at byte {place}); the file is cut off or damaged"
            )
        self._read(size)

    def _read(self, size):
        chunk = self._file.read(size)
        if self._on_read is not None:
            self._on_read(chunk)
        self._ended = not chunk
        self._text = self._text[self._at :] + chunk.decode("latin-1")
        self._base += self._at
        self._at = 0
