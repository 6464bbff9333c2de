"""A JSON file with a list of answers, of any size and from anybody: checked once, then read image by image."""

import json
import re
from array import array
from pathlib import Path

import numpy as np

from maskrcnn_benchmark.utils.errors import UserError

# Longest text of one entry, and of all entries of one image: what a reader may have to hold in memory at once
MAX_BYTES = 16 << 20
_CHUNK = 1 << 20
_SPACE = re.compile(r"[ \t\n\r]*")
_DECODER = json.JSONDecoder()
_BOM = "\xef\xbb\xbf"


class RowFile:
    """The entries of a list of answers, by image.

    Only where each entry lies in the file is kept, 16 bytes an entry, so that a list of any length can be read in
    little memory, and processes that read images side by side share it.

    Args:
        path: a JSON file that holds a list, or an object with the list under "pred" (PASCAL in Detail's way).
        check: function of an entry (dict) to the index of its image. It raises `ValueError` with the words that follow
            "entry 7" in an error.

    Raises:
        UserError: the file is missing or no such list, or `check` refuses an entry.
    """

    def __init__(self, path, check):
        self.path = Path(path)
        images, starts, lengths = array("i"), array("q"), array("i")
        for number, (start, length, entry) in enumerate(_entries(self.path)):
            images.append(self._image_of(number, entry, check))
            starts.append(start)
            lengths.append(length)
        images = np.array(images, np.int32)
        self._numbers = np.argsort(images, kind="stable").astype(np.int32)
        self._images = images[self._numbers]
        self._starts = np.array(starts, np.int64)
        self._lengths = np.array(lengths, np.int32)

    def __len__(self):
        return len(self._images)

    def images(self):
        """Indices of the images that have entries: set of int."""
        return set(np.unique(self._images).tolist())

    def rows(self, index):
        """The entries of the image at an index in the order of the file: list of (number in the file, dict)."""
        low, high = np.searchsorted(self._images, [index, index + 1])
        numbers = self._numbers[low:high]
        if self._lengths[numbers].sum(dtype=np.int64) > MAX_BYTES:
            raise UserError(
                f"{self.path}: the {len(numbers)} answers on one image take more than {MAX_BYTES >> 20} MiB"
            )
        rows = []
        with open(self.path, "rb") as file:
            for number in numbers.tolist():
                file.seek(self._starts[number])
                try:
                    rows.append((number, json.loads(file.read(self._lengths[number]))))
                except ValueError:
                    raise UserError(f"{self.path} was changed while it was read; start again") from None
        return rows

    def error(self, number, problem):
        """The `UserError` that an entry deserves."""
        return UserError(f"{self.path}: entry {number} {problem}")

    def _image_of(self, number, entry, check):
        if not isinstance(entry, dict):
            raise self.error(number, f"is {shown(entry)}; each must be an object")
        try:
            return check(entry)
        except ValueError as error:
            raise self.error(number, error) from None


def shown(value):
    """A value as an error shows it, cut short."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _entries(path):
    """Yield (place of the first byte, number of bytes, value) of each entry of a list, keeping only one in memory."""
    if not path.is_file():
        raise UserError(f"no such file: {path}")
    with open(path, "rb") as file:
        text = _Text(path, file)
        opening = text.character()
        if opening == "{":
            _skip_to_list(text)
        elif opening != "[":
            raise UserError(
                f'{path} must hold a JSON list of answers, or {{"pred": [...]}}, but begins with {opening!r}'
            )
        text.take("[")
        number = 0
        while text.character() != "]":
            if number:
                text.take(",")
            yield text.value(f"entry {number}")
            number += 1
        text.take("]")
        after = text.character()
        if after and (opening == "[" or after not in "},"):
            raise UserError(f"{path} goes on after its list of {number} answers; it is damaged")


def _skip_to_list(text):
    """Go to the list under "pred" in an object; what stands before it is passed over."""
    text.take("{")
    keys = []
    while text.character() == '"':
        keys.append(text.value("a key")[2])
        text.take(":")
        if keys[-1] == "pred":
            return
        text.value(f"{keys[-1]!r}")
        if text.character() == ",":
            text.take(",")
    raise UserError(f'{text.path} must hold a JSON list of answers, or {{"pred": [...]}}; it holds {shown(keys)}')


class _Text:
    """A JSON file as text of which only a window is in memory, one character a byte."""

    def __init__(self, path, file):
        self.path = path
        self._file = file
        # Each byte becomes a character, so that places in the text are places in the file
        self._text, self._base, self._place, self._ended = "", 0, 0, False
        self._read(_CHUNK)
        if self._text.startswith(_BOM):
            self._place = len(_BOM)

    def character(self):
        """The next character that is no space, "" at the end of the file."""
        while True:
            self._place = _SPACE.match(self._text, self._place).end()
            if self._place < len(self._text) or self._ended:
                return self._text[self._place : self._place + 1]
            self._read(_CHUNK)

    def take(self, expected):
        """Step over a character that has to come next."""
        found = self.character()
        if found != expected:
            what = f"{found!r}" if found else "its end"
            raise UserError(
                f"{self.path} is not valid JSON: byte {self._base + self._place} should be {expected!r}, but there is "
                f"{what}; it is cut off or damaged"
            )
        self._place += 1

    def value(self, name):
        """Step over a value: (place of its first byte, number of bytes, value)."""
        self.character()
        size = _CHUNK
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._place)
                if end == len(self._text) and not self._ended:
                    self._read(size)  # a number may go on
                    continue
                text = self._text[self._place : end]
                if not text.isascii():
                    value = json.loads(text.encode("latin-1"))
                break
            except RecursionError:
                raise UserError(f"{self.path}: {name} nests too deeply") from None
            except ValueError as error:
                self._refuse_or_read(name, error, size)
                size *= 2
        start, length = self._base + self._place, end - self._place
        self._place = end
        if length > MAX_BYTES:
            raise UserError(f"{self.path}: {name} takes more than {MAX_BYTES >> 20} MiB")
        return start, length, value

    def _refuse_or_read(self, name, error, size):
        """Read on where a value may only be cut off by the window, else say what is wrong with it."""
        if len(self._text) - self._place > MAX_BYTES:
            raise UserError(f"{self.path}: {name} is not valid JSON, or takes more than {MAX_BYTES >> 20} MiB")
        if self._ended:
            reason = getattr(error, "msg", error)
            raise UserError(f"{self.path}: {name} is not valid JSON ({reason}); the file is cut off or damaged")
        self._read(size)

    def _read(self, size):
        chunk = self._file.read(size)
        self._ended = not chunk
        self._text = self._text[self._place :] + chunk.decode("latin-1")
        self._base += self._place
        self._place = 0
