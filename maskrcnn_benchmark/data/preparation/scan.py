"""The first pass over an annotation file of PASCAL in Detail: its tables, and where in the file each record lies."""

import hashlib
import json
from array import array
from collections import Counter
from pathlib import Path

import numpy as np
from tqdm import tqdm

from maskrcnn_benchmark.data.preparation.check_values import is_id
from maskrcnn_benchmark.data.preparation.checks import check_tables
from maskrcnn_benchmark.data.preparation.problems import Problem
from maskrcnn_benchmark.data.preparation.schema import SECTION_TABLES
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.json_stream import JsonStream

TABLES = ("images", "categories", "parts")
REQUIRED = ("images", "categories")
_KNOWN_KEYS = {
    "images": {"image_id", "file_name", "width", "height", "phase", "date_captured"},
    "categories": {"category_id", "name", "supercategory", "onlysemantic", "parts"},
    "parts": {"part_id", "name", "superpart"},
    "annos_segmentation": {"id", "image_id", "category_id", "segmentation", "area", "bbox", "iscrowd", "parts"},
    "annos_boundary": {"image_id", "boundary_mask"},
    "annos_occlusion": {"image_id", "ne", "imsize", "edges"},
    "annos_joints": {"image_id", "person_id", "category_id", "bbox", "num_keypoints", "keypoints"},
}
# Ids that should occur once in their section
_UNIQUE = {"annos_segmentation": "id", "annos_joints": "person_id"}


class Scan:
    """What the first pass found. Only tables and places are kept, 16 bytes a record.

    Args:
        path: the JSON file.
        progress: show a bar over its bytes.

    Attributes:
        path, size, mtime_ns, sha256: the file as it was read.
        images: {image_id: row of "images"} in file order; `checks.check_image` checks the rest of it.
        categories: {category_id: {"name", "supercategory", "onlysemantic", "parts": [part_id, ...]}} in file order.
        parts: {part_id: {"name", "superpart"}} in file order.
        info: the section of that name, or None.
        occlusion_base: 0 or 1, the number of the first pixel in the occlusion chains.
        problems: list of `Problem`.

    Raises:
        UserError: the file is missing, damaged or cut off, or lacks images or categories.
    """

    def __init__(self, path, progress=False):
        self.path = Path(path)
        if not self.path.is_file():
            raise UserError(f"no such annotation file: {self.path}")
        status = self.path.stat()
        self.size, self.mtime_ns = status.st_size, status.st_mtime_ns
        self.info = None
        self.problems = []
        self._rows = {section: [] for section in TABLES}
        self._records = {section: (array("i"), array("q"), array("i")) for section in SECTION_TABLES}
        self._number_of = {}  # image_id -> number in order of first mention
        self._chains = []  # (image_id, smallest, largest, imsize) of each occlusion record
        self._image_of_id = {section: {} for section in _UNIQUE}
        self._unknown_keys = Counter()
        self._read(progress)
        tables, problems = check_tables(*(self._rows[section] for section in TABLES))
        self.images, self.categories, self.parts = tables
        self.problems += problems
        self.problems += [
            Problem("unknown key", f"{key!r} of {number} entries of {section}", "left out")
            for (section, key), number in self._unknown_keys.items()
        ]
        self.occlusion_base = self._find_occlusion_base()
        self._sort_records()
        del self._rows, self._chains, self._image_of_id

    def ordered_ids(self):
        """The image ids in the order in which the index holds them: numbers ascending, then texts."""
        return sorted(self.images, key=lambda key: (isinstance(key, str), key))

    def places(self, section, image_id):
        """Where the records of an image lie in the file, in file order: list of (first byte, number of bytes)."""
        images, starts, lengths = self._records[section]
        number = self._number_of.get(image_id, -1)
        low, high = np.searchsorted(images, [number, number + 1])
        return list(zip(starts[low:high].tolist(), lengths[low:high].tolist()))

    def count(self, section):
        """Number of records of listed images in a section."""
        return len(self._records[section][0])

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
        found = []
        if stream.character() != "{":
            raise UserError(
                f"{self.path} must hold an object with sections such as 'images', but begins with "
                f"{stream.character()!r}; is it another kind of file?"
            )
        for section in stream.members("the file"):
            if section in found:
                self._tell("section occurs twice", repr(section), "kept: its entries are added")
            found.append(section)
            if section == "info":
                self.info = stream.value("'info'")[2]
            elif section not in _KNOWN_KEYS:
                self._tell("unknown section", repr(section), "left out")
                stream.skip(repr(section))
            elif stream.character() != "[":
                stream.skip(repr(section))
                if section in TABLES:
                    raise UserError(f"{self.path}: section {section!r} is not a list; is it another kind of file?")
                self._tell("section is not a list", repr(section), "left out")
            else:
                self._read_section(stream, section)
        missing = [section for section in REQUIRED if section not in found]
        if missing:
            holds = ", ".join(map(str, found[:8]))
            raise UserError(
                f"{self.path} has no section {missing[0]!r} (it holds: {holds}); is it another kind of file?"
            )

    def _read_section(self, stream, section):
        known = _KNOWN_KEYS[section]
        take = self._rows[section].append if section in TABLES else None
        for number, (start, length, value) in enumerate(stream.elements(lambda i: f"entry {i} of {section!r}")):
            if isinstance(value, dict) and value.keys() - known:
                self._unknown_keys.update((section, key) for key in value.keys() - known)
            if take:
                take(value)
            elif isinstance(value, dict):
                self._place(section, number, start, length, value)
            else:
                self._tell("entry is not an object", f"entry {number} of {section}", "left out")

    def _place(self, section, number, start, length, record):
        image_id = record.get("image_id")
        if not is_id(image_id):
            what = "no image_id" if image_id is None else "image_id is neither number nor text"
            self._tell(what, f"entry {number} of {section}", "left out")
            return
        images, starts, lengths = self._records[section]
        images.append(self._number_of.setdefault(image_id, len(self._number_of)))
        starts.append(start)
        lengths.append(length)
        if section in _UNIQUE:
            self._check_unique(section, record)
        if section == "annos_occlusion":
            self._chains.append((image_id, *_range_of(record), record.get("imsize")))

    def _check_unique(self, section, record):
        key = record.get(_UNIQUE[section])
        if key is None or not is_id(key):
            return
        image_id = record["image_id"]
        # within one image, `check_image` looks more closely
        if self._image_of_id[section].setdefault(key, image_id) != image_id:
            self._tell("id occurs in several images", f"{section} {key} of image {image_id}", "kept", image_id)

    def _find_occlusion_base(self):
        """0 or 1: the number of the first pixel in the chains.

        The format does not say. An index of 0 proves the one, an index of height * width the other; without proof it
        is 0, as the official API reads it.
        """
        proofs = set()
        for image_id, smallest, largest, size in self._chains:
            image = self.images.get(image_id)
            if image is None or smallest is None:
                continue
            try:
                height, width = size or (image["height"], image["width"])
                pixels = height * width
            except (KeyError, TypeError, ValueError):
                continue  # the checks of image and record say what is wrong with them
            if smallest == 0:
                proofs.add(0)
            if largest == pixels:
                proofs.add(1)
        if len(proofs) == 2:
            self._tell(
                "occlusion chains are numbered from 0 and from 1", "annos_occlusion", "kept: all are read as from 0"
            )
        return 1 if proofs == {1} else 0

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
                self._tell(
                    "image_id is not in 'images'",
                    f"{count} entries of {section} with image_id {names[number]}",
                    "left out",
                    names[number],
                )
            order = np.flatnonzero(kept)[np.argsort(images[kept], kind="stable")]
            self._records[section] = images[order], starts[order], lengths[order]

    def _tell(self, what, where, action, image_id=None):
        self.problems.append(Problem(what, where, action, image_id))


def read_records(file, places):
    """The records at places of the open file: list of dict. Raises `ValueError` if there are none any more."""
    records = []
    for start, length in places:
        file.seek(start)
        record = json.loads(file.read(length))
        if not isinstance(record, dict):
            raise ValueError
        records.append(record)
    return records


def _range_of(record):
    """(smallest, largest) pixel number of an occlusion record's chains, None for one that has none or is damaged."""
    try:
        chains = [chain for chain in record["edges"]["indices"] if chain]
        return (min(map(min, chains)), max(map(max, chains))) if chains else (None, None)
    except (TypeError, KeyError):
        return None, None
