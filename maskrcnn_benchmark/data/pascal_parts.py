"""PASCAL-Part's objects and their parts (Chen et al., CVPR 2014), from its .mat files or an index made of them."""

import contextlib
import json
import os
import sqlite3
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from maskrcnn_benchmark.data.detail.categories import OFFICIAL_ORDER
from maskrcnn_benchmark.data.mat_file import read_mat, read_mat_bytes
from maskrcnn_benchmark.data.preparation.index_file import SUFFIX, cached_index_path_of
from maskrcnn_benchmark.structures.part_groups import PERSON, PERSON6
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.text import printable

PERSON_LABEL = OFFICIAL_ORDER.index(PERSON) + 1
_CLASSES = 20
_LARGEST_ENTRY = 64 << 20  # bytes of an image's run lengths
_GROUP_OF = {part: label for label, parts in enumerate(PERSON6.values(), 1) for part in parts}

Objects = list[dict[str, Any]]


def read_objects(path: str | os.PathLike, data: bytes | None = None) -> Objects:
    """The objects of a file of PASCAL-Part, in file order.

    Args:
        path: the .mat file, whose variable "anno" holds objects with class, class_ind, mask and parts.
        data: its bytes, where they have been read.

    Returns:
        list of {"label": 1..20, "mask": run lengths, "parts": [[label 1..6 of "person6", run lengths], ...]}, run
        lengths being {"size": [h, w], "counts": str}. Parts of other classes than persons are left out.

    Raises:
        UserError: the file cannot be read, is another kind of file, or names a part that no person has.
    """
    anno = read_mat(path, "anno", data)
    try:
        found = anno["objects"].reshape(-1)[0].reshape(-1)
        return [_object(path, entry) for entry in found]
    except (KeyError, IndexError, ValueError, TypeError, AttributeError):
        raise UserError(
            f"{path}: its 'anno' does not hold PASCAL-Part's objects with class_ind, mask and parts; unpack it again"
        ) from None


def _object(path: str | os.PathLike, entry: Any) -> dict[str, Any]:
    label = int(entry["class_ind"].item())
    if not 1 <= label <= _CLASSES:
        raise UserError(f"{path}: an object has the class {label}, but PASCAL-Part's are 1 to {_CLASSES}")
    parts: list[list[Any]] = []
    mask = _encode(entry["mask"])
    if label == PERSON_LABEL and entry["parts"].dtype.names:  # an object without parts has an empty array of numbers
        for part in entry["parts"].reshape(-1):
            name = str(part["part_name"].item())
            if name not in _GROUP_OF:
                raise UserError(f"{path}: a person has the part {printable(name, 40)!r}, which PASCAL-Part has not")
            parts.append([_GROUP_OF[name], _encode(part["mask"])])
    if any(code["size"] != mask["size"] for _, code in parts):
        raise UserError(f"{path}: masks of a person and of its parts are of different sizes; unpack it again")
    return {"label": label, "mask": mask, "parts": parts}


def _encode(mask: np.ndarray) -> dict[str, Any]:
    if mask.ndim != 2:
        raise ValueError("a mask has two sides")
    code = coco_mask.encode(np.asfortranarray(mask != 0, np.uint8))
    return {"size": [int(side) for side in code["size"]], "counts": code["counts"].decode()}


def has_part_pixels(objects: Objects) -> bool:
    """Whether any of an image's objects with a pixel has a part with a pixel."""
    persons = [record for record in objects if record["parts"] and coco_mask.area(record["mask"])]
    return any(coco_mask.area(code) for record in persons for _, code in record["parts"])


class PartIndex:
    """The objects of many files of PASCAL-Part, in one SQLite file, which spares unpacking their masks.

    An entry counts as long as its .mat file is what it was: number and CRC-32 of its bytes are kept.

    Args:
        path: the index.
    """

    TABLE = "objects (name TEXT PRIMARY KEY, bytes INTEGER, crc INTEGER, has_parts INTEGER, content BLOB)"

    def __init__(self, path: str | os.PathLike) -> None:
        self.path = Path(path)

    @classmethod
    def of_folder(cls, folder: Path) -> "PartIndex | None":
        """That of a folder human_parts, beside it or in the user's cache; None where there is none."""
        places = (cls.place_beside(folder), cached_index_path_of(folder))
        return next((cls(place) for place in places if place.is_file()), None)

    @staticmethod
    def place_beside(folder: Path) -> Path:
        """Where the index of a folder lies."""
        return folder.with_name(folder.name + SUFFIX)

    def entries(self) -> dict[str, tuple[int, int, bool]]:
        """{name of a file without its suffix: (number and CRC-32 of its bytes, whether it has a pixel of a part)}."""
        rows = self._ask("SELECT name, bytes, crc, has_parts FROM objects")
        return {name: (size, crc, bool(flag)) for name, size, crc, flag in rows}

    def find(self, name: str, data: bytes) -> Objects | None:
        """The objects of a file with these bytes; None where the index is not of it."""
        rows = self._ask("SELECT bytes, crc, content FROM objects WHERE name = ?", name)
        if not rows or rows[0][:2] != self.mark_of(data):
            return None
        try:
            return json.loads(zlib.decompressobj().decompress(rows[0][2], _LARGEST_ENTRY))
        except (ValueError, TypeError, zlib.error) as error:
            raise self._damaged(error) from None

    @staticmethod
    def row(name: str, data: bytes, objects: Objects) -> tuple[str, int, int, int, bytes]:
        """The row of a file."""
        content = zlib.compress(json.dumps(objects, separators=(",", ":")).encode())
        return name, *PartIndex.mark_of(data), int(has_part_pixels(objects)), content

    @staticmethod
    def mark_of(data: bytes) -> tuple[int, int]:
        """(number, CRC-32) of a file's bytes."""
        return len(data), zlib.crc32(data)

    def _ask(self, question: str, *values: Any) -> list[tuple]:
        # opened for each question, so that forks and pickles need no care
        try:
            address = f"{self.path.absolute().as_uri()}?mode=ro&immutable=1"
            with contextlib.closing(sqlite3.connect(address, uri=True)) as connection:
                return connection.execute(question, values).fetchall()
        except sqlite3.Error as error:
            raise self._damaged(error) from None

    def _damaged(self, error: Exception) -> UserError:
        return UserError(f"{self.path} cannot be read ({error}); remove it, `make data` makes it again")


class PartFiles:
    """The folder human_parts of an archive.

    Args:
        folder: it holds NAME.mat.
        known: {name: classes of its objects} of the list that other loaders write, see `read_class_lists`.
    """

    def __init__(self, folder: Path, known: Mapping[str, Sequence[int]]) -> None:
        self.folder = folder
        self.index = PartIndex.of_folder(folder)
        self._entries = {} if self.index is None else self.index.entries()
        self._flags = {name: False for name, labels in known.items() if PERSON_LABEL not in labels}

    def objects(self, name: str) -> Objects:
        """The objects of an image."""
        path = self.folder / f"{name}.mat"
        data = read_mat_bytes(path)
        found = None if self.index is None else self.index.find(name, data)
        return read_objects(path, data) if found is None else found

    def has_parts(self, name: str) -> bool:
        """Whether a person on an image has a part with a pixel; the answer is kept."""
        if name not in self._flags:
            size, _, flag = self._entries.get(name, (None, None, False))
            is_current = size == os.path.getsize(self.folder / f"{name}.mat")
            self._flags[name] = flag if is_current else has_part_pixels(self.objects(name))
        return self._flags[name]
