"""The index of an annotation file of PASCAL in Detail, opened: its tables, and its records by image."""

import json
import os
import sys
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from maskrcnn_benchmark.data.preparation.check_images import is_safe_name
from maskrcnn_benchmark.data.preparation.check_values import is_size
from maskrcnn_benchmark.data.preparation.index_file import DamagedIndex, IndexConnection, open_meta
from maskrcnn_benchmark.data.preparation.schema import SECTION_TABLES
from maskrcnn_benchmark.data.preparation.summary import PROBLEMS, group_problems
from maskrcnn_benchmark.utils.errors import UserError

SECTIONS = tuple(SECTION_TABLES)
COUNTS = ("regions", "people", "joints", "boundaries", "resized_boundaries", "occlusions")
# Types that columns may have
_INTEGER, _TEXT, _BYTES, _ID = (int,), (str,), (bytes,), (int, float, str)  # an id may be 3.0
_NO_NUMBER, _NO_ID = (int, float, type(None)), (int, float, str, type(None))
_FARTHEST = 1e9  # pixels; beyond every coordinate of an image


class DetailIndex:
    """One annotation file, as its index knows it. Everything that reads annotations of Detail goes through this class.

    Opening reads tables of one row per image; records are read lazily, from pages of the file that all
    processes share. An instance can be pickled, and used after a fork and by several threads.

    Args:
        index: the index.
        source: the annotation file that it stands for, which errors name; by default the index itself.

    Attributes:
        path: Path of the annotation file.
        index: Path of the index.
        images: `ImageTable`, {image_id: {"image_id", "file_name", "width", "height", "phase"}} in file order.
        categories: {category_id: {"name": str, "supercategory": str, "onlysemantic": bool, "parts": [part_id, ...]}} in
            file order.
        parts: {part_id: name} in file order.
        superparts: {part_id: name of the part that it belongs to, "none" without one}.
        occlusion_base: 0 or 1, the number of the first pixel in the occlusion chains.

    Raises:
        UserError: the file is no index of this version.
    """

    def __init__(self, index: str | os.PathLike, source: str | os.PathLike | None = None) -> None:
        self.index = Path(index)
        self.path = self.index if source is None else Path(source)
        self.occlusion_base = open_meta(self.index, "detail").get("occlusion_base")
        self._connection = IndexConnection(self.index)
        query = self._connection.query
        rows = query(
            "SELECT category_id, name, supercategory, onlysemantic, parts FROM categories ORDER BY position",
            types=(_ID, _TEXT, _TEXT, _INTEGER, _TEXT),
        )
        self.categories = {
            key: {"name": name, "supercategory": above, "onlysemantic": bool(only), "parts": self._part_ids(parts)}
            for key, name, above, only, parts in rows
        }
        rows = query("SELECT part_id, name, superpart FROM parts ORDER BY position", types=(_ID, _TEXT, _TEXT))
        self.parts = {key: name for key, name, _ in rows}
        self.superparts = {key: superpart for key, _, superpart in rows}
        self.category_parts = query("SELECT category_id, part_id FROM category_parts ORDER BY number", types=(_ID, _ID))
        self.images = ImageTable(self._connection, len(self.category_parts))
        if self.occlusion_base not in (0, 1):
            raise DamagedIndex.of(self.index, f"its occlusion_base is {self.occlusion_base!r}")

    def records(self, section: str, image_id: Any) -> list[dict[str, Any]]:
        """The records of one image in a section of `SECTIONS`, in file order: a list, empty if nobody annotated it.

        They are dictionaries as in the file, but chains of occlusion records are int32 arrays.
        """
        return _READERS[section](self._connection, image_id)

    def images_with(self, categories: Collection[Any]) -> np.ndarray:
        """Which images have a region of one of some categories: bool [N], by the row of `images`."""
        found = np.zeros(len(self.images), bool)
        for image_id, category_id in self._connection.query(
            "SELECT DISTINCT image_id, category_id FROM segmentation", types=(_ID, _ID)
        ):
            if category_id in categories and image_id in self.images:
                found[self.images.row_of(image_id)] = True
        return found

    def problems(self) -> list[tuple[str, str, int, str]]:
        """What was wrong with the file when it was prepared, by kind: list of (what, what was done, number, first)."""
        return group_problems(self._connection.query(PROBLEMS, types=[_TEXT] * 3))

    def field(self, record: dict[str, Any], key: str, kind: str) -> Any:
        """`record[key]`. Raises `UserError` that names the record, a `kind` of annotation, if it has no such key."""
        if key not in record:
            raise UserError(f"{self.name_of(record, kind)} has no {key!r}")
        return record[key]

    def name_of(self, record: dict[str, Any], kind: str) -> str:
        """The words by which an error names a record: "FILE: KIND annotation 12 of image 2008000002"."""
        number = record.get("id", record.get("person_id"))
        return f"{self.path}: {kind} annotation {'' if number is None else f'{number} '}of image {record['image_id']}"

    def occlusion_size(self, record: dict[str, Any]) -> tuple[int, int]:
        """(width, height) of the image that an occlusion record's pixel numbers refer to."""
        image = self.images[record["image_id"]]
        height, width = record.get("imsize") or (image["height"], image["width"])
        return int(width), int(height)

    def _part_ids(self, text):
        """The part ids of a category, which are kept as JSON."""
        try:
            parts = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise DamagedIndex.of(self.index, error) from None
        if not isinstance(parts, list) or not all(type(part) in _ID for part in parts):
            raise DamagedIndex.of(self.index, f"parts of a category are {text[:40]!r}")
        return parts

    @cached_property
    def parts_of_things(self) -> dict[str, list[str]]:
        """{category name: [part names]} that the category table lists or that occur on a region, in table order."""
        found = defaultdict(set)
        for category in self.categories.values():
            found[category["name"]].update(category["parts"])
        for category_id, part_id in self.category_parts:
            if category_id in self.categories:
                found[self.categories[category_id]["name"]].add(part_id)
        return {
            name: [part for key, part in self.parts.items() if key in keys and not is_silhouette(key, part)]
            for name, keys in found.items()
        }


class ImageTable(Mapping):
    """{image_id: {"image_id", "file_name", "width", "height", "phase"}} of all images, in file order.

    Columns are kept, and dictionaries made on access: a worker then copies next to nothing.

    Attributes:
        counts: int32 [N, 6] for the N images, numbers of records by the names in `COUNTS`: regions, those of persons,
            joint records, boundary masks, those of another size than the image, occlusion records.
    """

    def __init__(self, connection: IndexConnection, number_of_pairs: int) -> None:
        rows = connection.query(
            f"SELECT image_id, file_name, phase, category_parts, width, height, {', '.join(COUNTS)} FROM images "
            "ORDER BY position",
            types=(_ID, _TEXT, (str, type(None)), _BYTES, *[_INTEGER] * (2 + len(COUNTS))),
        )
        self._ids, self._names, phases, pairs = map(list, list(zip(*rows))[:4]) if rows else ([], [], [], [])
        self._phases = [None if phase is None else sys.intern(phase) for phase in phases]
        numbers = np.array([row[4:] for row in rows], np.int64).reshape(len(rows), 2 + len(COUNTS))
        if numbers.size and (numbers.min() < 0 or numbers.max() >= 2**31 or not numbers[:, :2].all()):
            raise DamagedIndex.of(connection.path, "an image has no size, or numbers that cannot be")
        numbers = numbers.astype(np.int32)
        self._sizes, self.counts = numbers[:, :2], np.ascontiguousarray(numbers[:, 2:])
        self._row_of = {image_id: row for row, image_id in enumerate(self._ids)}
        if len(self._row_of) < len(rows) or any(map(_leads_out, self._names)):
            raise DamagedIndex.of(connection.path, "an image is there twice, or its file name leads out of the folder")
        self._pairs = _array(connection.path, b"".join(pairs), "<u4")
        if self._pairs.size and self._pairs.max() >= number_of_pairs:
            raise DamagedIndex.of(connection.path, "an image has a pair of category and part that is not listed")
        self._image_of_pair = np.repeat(np.arange(len(rows)), [len(numbers) // 4 for numbers in pairs])

    def __getitem__(self, image_id: Any) -> dict[str, Any]:
        row = self._row_of[image_id]
        width, height = self._sizes[row].tolist()
        image = {"image_id": image_id, "file_name": self._names[row], "width": width, "height": height}
        return image if self._phases[row] is None else {**image, "phase": self._phases[row]}

    def __iter__(self) -> Iterator[Any]:
        return iter(self._ids)

    def __len__(self) -> int:
        return len(self._ids)

    def counts_of(self, image_id: Any) -> dict[str, int]:
        """{name of `COUNTS`: number} of one image."""
        return dict(zip(COUNTS, self.counts[self._row_of[image_id]].tolist()))

    def row_of(self, image_id: Any) -> int:
        """The image's row of `counts`."""
        return self._row_of[image_id]

    def rows_of(self, image_ids: Iterable[Any]) -> np.ndarray:
        """Rows of `counts` of images: int64 [len(image_ids)]."""
        return np.array([self._row_of[image_id] for image_id in image_ids], np.int64)

    def sizes_of(self, image_ids: Iterable[Any]) -> np.ndarray:
        """int64 [len(image_ids), 2]: widths and heights in pixels."""
        return self._sizes[self.rows_of(image_ids)].astype(np.int64)

    def with_pairs(self, wanted: Iterable[bool]) -> np.ndarray:
        """Which images have a part of one of the wanted pairs of category and part.

        Args:
            wanted: bool array, whether each of `DetailIndex.category_parts` is wanted.

        Returns:
            bool [N].
        """
        found = np.zeros(len(self), bool)
        found[self._image_of_pair[np.asarray(wanted, bool)[self._pairs]]] = True
        return found


def is_silhouette(part_id: Any, name: str | None) -> bool:
    """Whether a part is `silh`, the whole silhouette: it says nothing about parts and is skipped everywhere."""
    return part_id == 255 or name == "silh"


def _leads_out(name):
    """Whether a file name may lead out of the folder of images; nearly all are told to be harmless at a glance."""
    return ("\0" in name or ".." in name or ":" in name or name[:1] in "/\\") and not is_safe_name(name)


def _array(path, data, dtype):
    """An array of bytes of the index, whose number has to fit."""
    if len(data) % np.dtype(dtype).itemsize:
        raise DamagedIndex.of(path, f"{len(data)} bytes are no whole numbers of {np.dtype(dtype).itemsize}")
    return np.frombuffer(data, dtype)


def _mask(path, height, width, counts):
    if not is_size([height, width]):
        raise DamagedIndex.of(path, f"a mask of {width}x{height} pixels")
    return {"size": [height, width], "counts": counts}


def _box(path, box):
    """The box of a record, None where the file had none."""
    if box == [None] * 4:
        return None
    if None in box or not all(-_FARTHEST <= value <= _FARTHEST for value in box):
        raise DamagedIndex.of(path, f"the box {box}")
    return box


def _regions(connection, image_id):
    parts = defaultdict(list)
    for position, part_id, height, width, counts in connection.query(
        "SELECT segmentation_position, part_id, height, width, counts FROM part_masks WHERE image_id = ? "
        "ORDER BY segmentation_position, position",
        image_id,
        types=(_INTEGER, _ID, _INTEGER, _INTEGER, _TEXT),
    ):
        parts[position].append({"part_id": part_id, "segmentation": _mask(connection.path, height, width, counts)})
    records = []
    for position, number, category_id, crowd, area, *box, has_parts, height, width, counts in connection.query(
        "SELECT position, id, category_id, iscrowd, area, x, y, w, h, has_parts, height, width, counts "
        "FROM segmentation WHERE image_id = ? ORDER BY position",
        image_id,
        types=(_INTEGER, _NO_ID, _ID, *[_NO_NUMBER] * 6, _INTEGER, _INTEGER, _INTEGER, _TEXT),
    ):
        record = {
            "id": number,
            "image_id": image_id,
            "category_id": category_id,
            "segmentation": _mask(connection.path, height, width, counts),
            "area": area,
            "bbox": _box(connection.path, box),
            "iscrowd": crowd,
            "parts": parts[position] if has_parts else None,
        }
        records.append(_present(record))
    return records


def _boundaries(connection, image_id):
    rows = connection.query(
        "SELECT height, width, counts FROM boundary WHERE image_id = ? ORDER BY position",
        image_id,
        types=(_INTEGER, _INTEGER, _TEXT),
    )
    return [{"image_id": image_id, "boundary_mask": _mask(connection.path, *row)} for row in rows]


def _occlusions(connection, image_id):
    rows = connection.query(
        "SELECT ne, height, width, chains, lengths, labels FROM occlusion WHERE image_id = ? ORDER BY position",
        image_id,
        types=((int, float, type(None)), *[(int, type(None))] * 2, _BYTES, _BYTES, _BYTES),
    )
    path, records = connection.path, []
    for ne, height, width, *columns in rows:
        chains, lengths, labels = (_array(path, data, "<i4") for data in columns)
        if lengths.sum() != len(chains) or (lengths < 0).any():
            raise DamagedIndex.of(path, f"{len(lengths)} chains of {lengths.sum()} pixels in {len(chains)}")
        size = None if height is None else _mask(path, height, width, "")["size"]
        indices = np.split(chains, np.cumsum(lengths)[:-1]) if len(lengths) else []
        edges = {"indices": indices, "edgelabel": labels.tolist()}
        records.append(_present({"image_id": image_id, "ne": ne, "imsize": size, "edges": edges}))
    return records


def _persons(connection, image_id):
    rows = connection.query(
        "SELECT person_id, category_id, x, y, w, h, num_keypoints, keypoints FROM joints WHERE image_id = ? "
        "ORDER BY position",
        image_id,
        types=(_NO_ID, _NO_ID, *[_NO_NUMBER] * 5, _BYTES),
    )
    records = []
    for person_id, category_id, *box, number, data in rows:
        keypoints = _array(connection.path, data, "<f8")
        if not (np.abs(keypoints) <= _FARTHEST).all():
            raise DamagedIndex.of(connection.path, f"keypoints of image {image_id} are beyond any image")
        record = {
            "image_id": image_id,
            "person_id": person_id,
            "category_id": category_id,
            "bbox": _box(connection.path, box),
            "num_keypoints": number,
            "keypoints": keypoints.tolist(),
        }
        records.append(_present(record))
    return records


def _present(record):
    """A record without the keys that the file did not have."""
    return {key: value for key, value in record.items() if value is not None}


_READERS = {
    "annos_segmentation": _regions,
    "annos_boundary": _boundaries,
    "annos_occlusion": _occlusions,
    "annos_joints": _persons,
}
