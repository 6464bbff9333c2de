"""A JSON file with a list of predictions, of any size and from anybody: checked once, then read image by image."""

import json
import os
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.json_stream import MAX_BYTES, JsonStream


class RowFile:
    """The entries of a list of predictions, by image.

    Only where each entry lies in the file is kept, 16 bytes an entry, so that a list of any length can be read in
    little memory, and processes that read images side by side share it.

    Args:
        path: a JSON file that holds a list, or an object with the list in a section.
        check: function of an entry (dict) to the index of its image. It raises `ValueError` with the words that follow
            "entry 7" in an error.
        section: that of the list, "pred" in PASCAL in Detail's way.

    Raises:
        UserError: the file is missing or no such list, or `check` refuses an entry.
    """

    def __init__(self, path: str | os.PathLike, check: Callable[[dict], int], section: str = "pred") -> None:
        self.path = Path(path)
        images, starts, lengths = array("i"), array("q"), array("i")
        for number, (start, length, entry) in enumerate(_entries(self.path, section)):
            images.append(self._image_of(number, entry, check))
            starts.append(start)
            lengths.append(length)
        self._numbers = np.argsort(np.array(images, np.int32), kind="stable").astype(np.int32)
        self._images = np.array(images, np.int32)[self._numbers]
        self._starts = np.array(starts, np.int64)
        self._lengths = np.array(lengths, np.int32)

    def __len__(self) -> int:
        return len(self._images)

    def images(self) -> set[int]:
        """Indices of the images that have entries: set of int."""
        return set(np.unique(self._images).tolist())

    def rows(self, index: int) -> list[tuple[int, dict]]:
        """The entries of the image at an index in the order of the file: list of (number in the file, dict)."""
        low, high = np.searchsorted(self._images, [index, index + 1])
        numbers = self._numbers[low:high]
        # What a reader may have to hold in memory at once, of one entry and of all entries of one image
        if self._lengths[numbers].sum(dtype=np.int64) > MAX_BYTES:
            raise UserError(
                f"{self.path}: the {len(numbers)} predictions on one image take more than {MAX_BYTES >> 20} MiB"
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

    def error(self, number: int, problem: object) -> UserError:
        """The `UserError` that an entry deserves."""
        return UserError(f"{self.path}: entry {number} {problem}")

    def _image_of(self, number: int, entry: Any, check: Callable[[dict], int]) -> int:
        if not isinstance(entry, dict):
            raise self.error(number, f"is {shown(entry)}; each must be an object")
        try:
            return check(entry)
        except ValueError as error:
            raise self.error(number, error) from None


def shown(value: object) -> str:
    """A value as an error shows it, cut short."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _entries(path: Path, section: str) -> Iterator[tuple[int, int, Any]]:
    """Yield (place of the first byte, number of bytes, value) of each entry of a list, keeping only one in memory."""
    if not path.is_file():
        raise UserError(f"no such file: {path}")
    with open(path, "rb") as file:
        stream = JsonStream(path, file)
        opening = stream.character()
        if opening == "{":
            _skip_to_list(stream, section)
        elif opening != "[":
            raise UserError(
                f'{path} must hold a JSON list of predictions, or {{"{section}": [...]}}, but begins with {opening!r}'
            )
        number = 0
        for entry in stream.elements(lambda number: f"entry {number}"):
            yield entry
            number += 1
        after = stream.character()
        if after and (opening == "[" or after not in "},"):
            raise UserError(f"{path} goes on after its list of {number} predictions; it is damaged, write it again")


def _skip_to_list(stream: JsonStream, section: str) -> None:
    """Go to the list in a section of an object; what stands before it is passed over."""
    keys = []
    for key in stream.members("the file"):
        keys.append(key)
        if key == section:
            return
        stream.skip(f"{key!r}")
    raise UserError(
        f'{stream.path} must hold a JSON list of predictions, or {{"{section}": [...]}}; it holds {shown(keys)}'
    )
