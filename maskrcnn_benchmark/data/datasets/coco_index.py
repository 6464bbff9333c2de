"""The index of a file in COCO's layout, opened: what `CocoFile` knows, without reading the file."""

import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import numpy as np

from maskrcnn_benchmark.data.datasets.coco_records import file_name_of, pack, read_joints
from maskrcnn_benchmark.data.preparation.index_file import IndexConnection, open_meta
from maskrcnn_benchmark.data.preparation.schema import COLUMN_TYPES
from maskrcnn_benchmark.data.preparation.summary import group_problems
from maskrcnn_benchmark.utils.errors import UserError


class CocoIndex:
    """One annotation file in COCO's layout, as its index knows it. Attributes and methods are those of `CocoFile`.

    Opening reads a few numbers of each image; rows are read when they are asked for, from pages that all processes
    share. An instance can be pickled, and used after a fork and by several threads. What the checks of the preparation
    left out is not there, see `problems`.

    Args:
        index: the index.
        source: the annotation file that it stands for, which errors name.

    Raises:
        UserError: the file is no index of this version and layout, or is damaged.
    """

    def __init__(self, index, source=None):
        self.index = Path(index)
        self.path = self.index if source is None else Path(source)
        meta = open_meta(self.index, "coco")
        self._connection = IndexConnection(self.index)
        query = self._connection.query
        self.images = ImageTable(self._connection)
        rows = query("SELECT row FROM categories ORDER BY position")
        self.category_rows = [_parsed(self.index, row) for (row,) in rows]
        self.categories = {row["id"]: row["name"] for row in self.category_rows}
        self.annotated, self.has_masks = bool(meta["annotated"]), bool(meta["has_masks"])
        self.joints = read_joints(self.path, self.category_rows, bool(meta["has_keypoints"]))

    def records(self, image_id):
        """The annotations of one image in file order; polygons are arrays of float64."""
        rows = self._connection.query("SELECT records FROM rows WHERE image_id = ?", image_id)
        return _parsed(self.index, rows[0][0]) if rows else []

    def ordered_ids(self):
        """The image ids: numbers ascending, then texts."""
        return list(self.images.ids)

    def are_valid(self, image_ids):
        """bool [len(image_ids)]: whether training can learn from images, see `coco_records.ImageUse`."""
        return self.images.valid[self.images.numbers_of(image_ids)]

    def sizes_of(self, image_ids):
        """int64 [len(image_ids), 2]: widths and heights in pixels."""
        return self.images.sizes[self.images.numbers_of(image_ids)]

    def problems(self):
        """What was wrong with the file when it was prepared, by kind: list of (what, what was done, number, first)."""
        return group_problems(self._connection.connection())

    def name_of(self, row):
        """The words by which an error names a record: "FILE: annotation 12 of image 30"."""
        return f"{self.path}: annotation {row.get('id')} of image {row.get('image_id')}"


class ImageTable(Mapping):
    """{image id: its row, with file_name, width and height} in file order, each row read when it is asked for.

    Attributes:
        ids: list of the N ids, numbers ascending, then texts.
        sizes: int64 [N, 2], width and height of each of them in pixels; valid: bool [N], whether training can learn
            from it; positions: int32 [N], its place in the file.
    """

    def __init__(self, connection):
        self._connection = connection
        columns = dict(connection.query("SELECT name, data FROM columns"))
        try:
            self.ids = json.loads(columns["ids"])
            arrays = {name: np.frombuffer(columns[name], dtype) for name, dtype in COLUMN_TYPES.items()}
            self.sizes = arrays["sizes"].reshape(len(self.ids), 2)
        except (KeyError, TypeError, ValueError) as error:
            raise _damage(connection.path, error) from None
        self.valid, self.positions = arrays["valid"].astype(bool), arrays["positions"]
        self._number_of = {image_id: number for number, image_id in enumerate(self.ids)}

    @cached_property
    def _in_file_order(self):
        return [self.ids[number] for number in np.argsort(self.positions, kind="stable")]

    def __getitem__(self, image_id):
        if image_id not in self._number_of:
            raise KeyError(image_id)
        row = self._connection.query("SELECT row FROM rows WHERE image_id = ?", image_id)[0][0]
        row = _parsed(self._connection.path, row)
        return row if "file_name" in row else {**row, "file_name": file_name_of(row)}

    def __iter__(self):
        return iter(self._in_file_order)

    def __len__(self):
        return len(self.ids)

    def __contains__(self, image_id):
        return image_id in self._number_of

    def numbers_of(self, image_ids):
        """Places of images in the attributes: int64 [len(image_ids)]."""
        return np.array([self._number_of[image_id] for image_id in image_ids], np.int64)


def _parsed(index, text):
    """What a row of the index holds as JSON; polygons are arrays of float64."""
    try:
        return json.loads(text, object_hook=pack)
    except (TypeError, ValueError) as error:
        raise _damage(index, error) from None


def _damage(index, error):
    return UserError(f"{index} is damaged ({error}); delete it, and it is made again")
