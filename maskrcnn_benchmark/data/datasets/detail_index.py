"""The index of an annotation file of PASCAL in Detail, opened: its tables, and its records by image."""

import json
import sys
from collections import defaultdict
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import numpy as np

from maskrcnn_benchmark.data.preparation.index_file import IndexConnection, open_meta
from maskrcnn_benchmark.data.preparation.schema import SECTION_TABLES
from maskrcnn_benchmark.data.preparation.summary import group_problems
from maskrcnn_benchmark.utils.errors import UserError

SECTIONS = tuple(SECTION_TABLES)
COUNTS = ("regions", "people", "joints", "boundaries", "resized_boundaries", "occlusions")


class DetailIndex:
    """One annotation file, as its index knows it. Everything that reads annotations of Detail goes through this class.

    Opening reads tables of one row per image; records are read when they are asked for, from pages of the file that all
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

    def __init__(self, index, source=None):
        self.index = Path(index)
        self.path = self.index if source is None else Path(source)
        self.occlusion_base = open_meta(self.index, "detail")["occlusion_base"]
        self._connection = IndexConnection(self.index)
        query = self._connection.query
        self.images = ImageTable(query)
        self.categories = {
            key: {"name": name, "supercategory": above, "onlysemantic": bool(only), "parts": json.loads(parts)}
            for key, name, above, only, parts in query(
                "SELECT category_id, name, supercategory, onlysemantic, parts FROM categories ORDER BY position"
            )
        }
        rows = query("SELECT part_id, name, superpart FROM parts ORDER BY position")
        self.parts = {key: name for key, name, _ in rows}
        self.superparts = {key: superpart for key, _, superpart in rows}
        self.category_parts = query("SELECT category_id, part_id FROM category_parts ORDER BY number")

    def records(self, section, image_id):
        """The records of one image in a section of `SECTIONS`, in file order: a list, empty if nobody annotated it.

        They are dictionaries as in the file, but chains of occlusion records are int32 arrays.
        """
        return _READERS[section](self._connection.query, image_id)

    def links(self, image_id):
        """The region of each joint record of an image: list of (position among its segmentation records or None,
        whether another one fits nearly as well)."""
        rows = self._connection.query(
            "SELECT segmentation_position, ambiguous FROM joints WHERE image_id = ?", image_id
        )
        return [(position, bool(ambiguous)) for position, ambiguous in rows]

    def problems(self):
        """What was wrong with the file when it was prepared, by kind: list of (what, what was done, number, first)."""
        return group_problems(self._connection.connection())

    def field(self, record, key, kind):
        """`record[key]`. Raises `UserError` that names the record, a `kind` of annotation, if it has no such key."""
        if key not in record:
            raise UserError(f"{self.name_of(record, kind)} has no {key!r}")
        return record[key]

    def name_of(self, record, kind):
        """The words by which an error names a record: "FILE: KIND annotation 12 of image 2008000002"."""
        number = record.get("id", record.get("person_id"))
        return f"{self.path}: {kind} annotation {'' if number is None else f'{number} '}of image {record['image_id']}"

    def occlusion_size(self, record):
        """(width, height) of the image that an occlusion record's pixel numbers refer to."""
        image = self.images[record["image_id"]]
        height, width = record.get("imsize") or (image["height"], image["width"])
        return int(width), int(height)

    @cached_property
    def parts_of_things(self):
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

    Columns are kept, and a dictionary made when it is asked for: a worker then copies next to nothing.

    Attributes:
        counts: int32 [N, 6] for the N images, numbers of records by the names in `COUNTS`: regions, those of people,
            joint records, boundary masks, those of another size than the image, occlusion records.
    """

    def __init__(self, query):
        rows = query(
            f"SELECT image_id, file_name, phase, category_parts, width, height, {', '.join(COUNTS)} FROM images "
            "ORDER BY position"
        )
        self._ids, self._names, phases, pairs = map(list, list(zip(*rows))[:4]) if rows else ([], [], [], [])
        self._phases = [None if phase is None else sys.intern(phase) for phase in phases]
        numbers = np.array([row[4:] for row in rows], np.int32).reshape(len(rows), 2 + len(COUNTS))
        self._sizes, self.counts = numbers[:, :2], np.ascontiguousarray(numbers[:, 2:])
        self._row_of = {image_id: row for row, image_id in enumerate(self._ids)}
        self._pairs = np.frombuffer(b"".join(pairs), "<u4")
        self._image_of_pair = np.repeat(np.arange(len(rows)), [len(numbers) // 4 for numbers in pairs])

    def __getitem__(self, image_id):
        row = self._row_of[image_id]
        width, height = self._sizes[row].tolist()
        image = {"image_id": image_id, "file_name": self._names[row], "width": width, "height": height}
        return image if self._phases[row] is None else {**image, "phase": self._phases[row]}

    def __iter__(self):
        return iter(self._ids)

    def __len__(self):
        return len(self._ids)

    def counts_of(self, image_id):
        """{name of `COUNTS`: number} of one image."""
        return dict(zip(COUNTS, self.counts[self._row_of[image_id]].tolist()))

    def row_of(self, image_id):
        """The image's row of `counts`."""
        return self._row_of[image_id]

    def rows_of(self, image_ids):
        """Rows of `counts` of images: int64 [len(image_ids)]."""
        return np.array([self._row_of[image_id] for image_id in image_ids], np.int64)

    def sizes_of(self, image_ids):
        """int64 [len(image_ids), 2]: widths and heights in pixels."""
        return self._sizes[self.rows_of(image_ids)].astype(np.int64)

    def with_pairs(self, wanted):
        """Which images have a part of one of the wanted pairs of category and part.

        Args:
            wanted: bool array, whether each of `DetailIndex.category_parts` is wanted.

        Returns:
            bool [N].
        """
        found = np.zeros(len(self), bool)
        found[self._image_of_pair[np.asarray(wanted, bool)[self._pairs]]] = True
        return found


def is_silhouette(part_id, name):
    """Whether a part is `silh`, the whole silhouette: it says nothing about parts and is skipped everywhere."""
    return part_id == 255 or name == "silh"


def _regions(query, image_id):
    parts = defaultdict(list)
    for position, part_id, height, width, counts in query(
        "SELECT segmentation_position, part_id, height, width, counts FROM part_masks WHERE image_id = ? "
        "ORDER BY segmentation_position, position",
        image_id,
    ):
        parts[position].append({"part_id": part_id, "segmentation": {"size": [height, width], "counts": counts}})
    records = []
    for position, number, category_id, crowd, area, *box, has_parts, height, width, counts in query(
        "SELECT position, id, category_id, iscrowd, area, x, y, w, h, has_parts, height, width, counts "
        "FROM segmentation WHERE image_id = ? ORDER BY position",
        image_id,
    ):
        record = {
            "id": number,
            "image_id": image_id,
            "category_id": category_id,
            "segmentation": {"size": [height, width], "counts": counts},
            "area": area,
            "bbox": None if box[0] is None else box,
            "iscrowd": crowd,
            "parts": parts[position] if has_parts else None,
        }
        records.append(_present(record))
    return records


def _boundaries(query, image_id):
    rows = query("SELECT height, width, counts FROM boundary WHERE image_id = ? ORDER BY position", image_id)
    return [{"image_id": image_id, "boundary_mask": {"size": [h, w], "counts": counts}} for h, w, counts in rows]


def _occlusions(query, image_id):
    rows = query(
        "SELECT ne, height, width, chains, lengths, labels FROM occlusion WHERE image_id = ? ORDER BY position",
        image_id,
    )
    records = []
    for ne, height, width, chains, lengths, labels in rows:
        ends = np.cumsum(np.frombuffer(lengths, "<i4"))
        indices = np.split(np.frombuffer(chains, "<i4"), ends[:-1]) if len(ends) else []
        edges = {"indices": indices, "edgelabel": np.frombuffer(labels, "<i4").tolist()}
        size = None if height is None else [height, width]
        records.append(_present({"image_id": image_id, "ne": ne, "imsize": size, "edges": edges}))
    return records


def _people(query, image_id):
    rows = query(
        "SELECT person_id, category_id, x, y, w, h, num_keypoints, keypoints FROM joints WHERE image_id = ? "
        "ORDER BY position",
        image_id,
    )
    return [
        _present(
            {
                "image_id": image_id,
                "person_id": person_id,
                "category_id": category_id,
                "bbox": box,
                "num_keypoints": number,
                "keypoints": np.frombuffer(keypoints, "<f8").tolist(),
            }
        )
        for person_id, category_id, *box, number, keypoints in rows
    ]


def _present(record):
    """A record without the keys that the file did not have."""
    return {key: value for key, value in record.items() if value is not None}


_READERS = {
    "annos_segmentation": _regions,
    "annos_boundary": _boundaries,
    "annos_occlusion": _occlusions,
    "annos_joints": _people,
}
