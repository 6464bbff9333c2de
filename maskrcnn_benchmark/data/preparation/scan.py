"""The first pass over an annotation file: its tables, and where in the file each record lies."""

import hashlib
import json
import os
from array import array
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from tqdm import tqdm

from maskrcnn_benchmark.data.preparation.check_values import is_id, shown
from maskrcnn_benchmark.data.preparation.other_files import refuse_other_file
from maskrcnn_benchmark.data.preparation.problems import Problem
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.json_stream import JsonStream

REQUIRED = ("images", "categories")


class Scan:
    """What the first pass found: tables, and 16 bytes a record for its place. Each layout has a class of its own.

    Args:
        path: the JSON file.
        progress: show a bar over its bytes.

    Attributes:
        path, size, mtime_ns, sha256: the file as it was read.
        images: {image_id: row of "images"} in file order.
        info: the section of that name, or None.
        found: names of the sections that are there.
        problems: list of `Problem`.

    Raises:
        UserError: the file is missing, damaged or cut off, or lacks images or categories.
    """

    LAYOUT = ""  # a key of `schema.COLUMNS`
    TABLES: tuple[str, ...] = ()  # sections that are kept
    SECTIONS: tuple[str, ...] = ()  # sections of records by image, of which places are kept
    IGNORED: tuple[str, ...] = ()  # sections that are known and say nothing about images
    # section: keys that are known; others are left out and told of. A section without an entry keeps any
    KEYS: Mapping[str, set[str]] = {}
    ID_KEYS: Mapping[str, str] = {}  # section: key of the id that should occur once
    images: dict[Any, Any]  # set by `read_tables`

    def __init__(self, path: str | os.PathLike, progress: bool = False) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise UserError(f"no such annotation file: {self.path}")
        status = self.path.stat()
        self.size, self.mtime_ns = status.st_size, status.st_mtime_ns
        self.info: Any = None
        self.found: list[str] = []
        self.problems: list[Problem] = []
        self._rows: dict[str, list] = {section: [] for section in self.TABLES}
        self._records: dict[str, tuple] = {section: (array("i"), array("q"), array("i")) for section in self.SECTIONS}
        self._number_of: dict[Any, int] = {}  # image_id -> number in order of first mention
        self._image_of_id: dict[str, dict] = {section: {} for section in self.ID_KEYS}
        self._unknown_keys: Counter = Counter()
        self._read(progress)
        self.read_tables(self._rows)
        for (section, key), number in self._unknown_keys.items():
            self.tell("unknown key", f"{key!r} of {number} entries of {section}", "left out")
        self._sort_records()
        del self._rows, self._image_of_id

    def read_tables(self, rows: Mapping[str, list]) -> None:
        """Set `images` and what else a layout's tables hold from {section of `TABLES`: list of its entries}."""
        raise NotImplementedError

    def note(self, section: str, record: dict[str, Any]) -> None:
        """Called with every record as it goes by."""

    def ordered_ids(self) -> list[Any]:
        """The image ids in the order in which the index holds them: numbers ascending, then texts."""
        return sorted(self.images, key=lambda key: (isinstance(key, str), key))

    def records(self, file: BinaryIO, image_id: Any) -> dict[str, list[dict[str, Any]]]:
        """{section: list of records in file order} of one image, from the open file."""
        try:
            return {
                section: [_read(file, *place) for place in self._places(section, image_id)] for section in self.SECTIONS
            }
        except ValueError:
            raise self._changed() from None

    def check_unchanged(self) -> None:
        """Raise `UserError` if the file is another one by now."""
        status = self.path.stat()
        if (status.st_size, status.st_mtime_ns) != (self.size, self.mtime_ns):
            raise self._changed()

    def tell(self, what: str, where: str, action: str, image_id: Any = None) -> None:
        """Note a `Problem`."""
        self.problems.append(Problem(what, where, action, image_id))

    def _places(self, section, image_id):
        images, starts, lengths = self._records[section]
        number = self._number_of.get(image_id, -1)
        low, high = np.searchsorted(images, [number, number + 1])
        return zip(starts[low:high].tolist(), lengths[low:high].tolist())

    def _changed(self):
        return UserError(f"{self.path} was changed while it was read; start again")

    def _read(self, progress):
        digest = hashlib.sha256()
        bar = tqdm(
            total=self.size,
            desc="read",
            unit="B",
            unit_scale=True,
            unit_divisor=1024,
            disable=None if progress else True,
        )

        def on_read(piece):
            digest.update(piece)
            bar.update(len(piece))

        with bar, open(self.path, "rb") as file:
            stream = JsonStream(self.path, file, on_read)
            self._read_sections(stream)
            if stream.character():
                raise UserError(f"{self.path} goes on after its end at byte {stream.place}; it is damaged")
        self.sha256 = digest.hexdigest()

    def _read_sections(self, stream):
        if stream.character() != "{":
            refuse_other_file(self.path, self.LAYOUT)
            raise UserError(
                f"{self.path} must hold an object with sections such as 'images', but begins with "
                f"{stream.character()!r}; is it another kind of file?"
            )
        for section in stream.members("the file"):
            if section in self.found:
                self.tell("section occurs twice", repr(section), "kept: its entries are added")
            self.found.append(section)
            if section == "info":
                self.info = stream.value("'info'")[2]
            elif section not in (*self.TABLES, *self.SECTIONS):
                if section not in self.IGNORED:
                    self.tell("unknown section", repr(section), "left out")
                stream.skip(repr(section))
            elif stream.character() != "[":
                stream.skip(repr(section))
                if section in self.TABLES:
                    raise UserError(f"{self.path}: section {section!r} is not a list; is it another kind of file?")
                self.tell("section is not a list", repr(section), "left out")
            else:
                self._read_section(stream, section)
        missing = [section for section in REQUIRED if section not in self.found]
        if missing:
            refuse_other_file(self.path, self.LAYOUT)
            holds = ", ".join(map(str, self.found[:8]))
            raise UserError(
                f"{self.path} has no section {missing[0]!r} (it holds: {holds}); is it another kind of file?"
            )

    def _read_section(self, stream, section):
        known = self.KEYS.get(section)
        take = self._rows[section].append if section in self.TABLES else None
        for number, (start, length, value) in enumerate(stream.elements(lambda i: f"entry {i} of {section!r}")):
            if known is not None and isinstance(value, dict) and value.keys() - known:
                self._unknown_keys.update((section, key) for key in value.keys() - known)
            if take:
                take(value)
            elif isinstance(value, dict):
                self._place(section, number, start, length, value)
            else:
                self.tell("entry is not an object", f"entry {number} of {section}", "left out")

    def _place(self, section, number, start, length, record):
        image_id = record.get("image_id")
        if not is_id(image_id):
            what = "no image_id" if image_id is None else "image_id is neither number nor text"
            self.tell(what, f"entry {number} of {section}", "left out")
            return
        images, starts, lengths = self._records[section]
        images.append(self._number_of.setdefault(image_id, len(self._number_of)))
        starts.append(start)
        lengths.append(length)
        if section in self.ID_KEYS:
            self._check_unique(section, record)
        self.note(section, record)

    def _check_unique(self, section, record):
        key = record.get(self.ID_KEYS[section])
        if key is None or not is_id(key):
            return
        image_id = record["image_id"]
        # within one image, the checks of its records look more closely
        if self._image_of_id[section].setdefault(key, image_id) != image_id:
            self.tell("id occurs in several images", f"{section} {key} of image {image_id}", "kept", image_id)

    def _sort_records(self):
        """Bring the places of records into the order of images, and leave out those of images that are not listed."""
        listed = np.zeros(len(self._number_of), bool)
        names = np.empty(len(self._number_of), object)
        for image_id, number in self._number_of.items():
            listed[number], names[number] = image_id in self.images, image_id
        for section, columns in self._records.items():
            images, starts, lengths = (np.array(column) for column in columns)
            kept = listed[images] if len(images) else np.zeros(0, bool)
            for number, count in Counter(images[~kept].tolist()).items():
                entries = "entry" if count == 1 else "entries"
                where = f"{count} {entries} of {section} with image_id {shown(names[number])}"
                self.tell("image_id is not in 'images'", where, "left out", names[number])
            order = np.flatnonzero(kept)[np.argsort(images[kept], kind="stable")]
            self._records[section] = images[order], starts[order], lengths[order]


def _read(file, start, length):
    file.seek(start)
    record = json.loads(file.read(length))
    if not isinstance(record, dict):
        raise ValueError
    return record
