"""The index of a file in COCO's layout, opened: what `CocoFile` knows, without reading the file."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from maskrcnn_benchmark.data.datasets.coco_records import file_name_of, pack, read_joints
from maskrcnn_benchmark.data.preparation.index_file import IndexConnection, open_meta


class CocoIndex:
    """One annotation file in COCO's layout, as its index knows it. Attributes and methods are those of `CocoFile`.

    Opening reads the ids of the images; rows are read when they are asked for, from pages that all processes share. An
    instance can be pickled, and used after a fork and by several threads. What the checks of the preparation left out
    is not there: see the index's table "problems".

    Args:
        index: the index.
        source: the annotation file that it stands for, which errors name.

    Raises:
        UserError: the file is no index of this version and layout.
    """

    def __init__(self, index, source=None):
        self.index = Path(index)
        self.path = self.index if source is None else Path(source)
        meta = open_meta(self.index, "coco")
        self._connection = IndexConnection(self.index)
        query = self._connection.query
        self.images = _Images(self._connection)
        self.category_rows = [json.loads(row) for (row,) in query("SELECT row FROM categories ORDER BY position")]
        self.categories = {row["id"]: row["name"] for row in self.category_rows}
        self.annotated, self.has_masks = bool(meta["annotated"]), bool(meta["has_masks"])
        self.joints = read_joints(self.path, self.category_rows, bool(meta["has_keypoints"]))

    def records(self, image_id):
        """The annotations of one image in file order; polygons are arrays of float64."""
        rows = self._connection.query("SELECT row FROM annotations WHERE image_id = ? ORDER BY position", image_id)
        return [json.loads(row, object_hook=pack) for (row,) in rows]

    def is_valid(self, image_id):
        """Whether training can learn from an image, see `has_valid_annotation`."""
        return self.images.is_valid(image_id)

    def name_of(self, row):
        """The words by which an error names a record: "FILE: annotation 12 of image 30"."""
        return f"{self.path}: annotation {row.get('id')} of image {row.get('image_id')}"


class _Images(Mapping):
    """{image id: its row, with file_name, width and height} in file order, each row read when it is asked for."""

    def __init__(self, connection):
        self._connection = connection
        rows = connection.query("SELECT image_id, valid FROM images ORDER BY position")
        self._number_of = {image_id: number for number, (image_id, _) in enumerate(rows)}
        self._valid = np.array([valid for _, valid in rows], bool)

    def __getitem__(self, image_id):
        if image_id not in self._number_of:
            raise KeyError(image_id)
        row = json.loads(self._connection.query("SELECT row FROM image_rows WHERE image_id = ?", image_id)[0][0])
        return {**row, "file_name": file_name_of(row)}

    def __iter__(self):
        return iter(self._number_of)

    def __len__(self):
        return len(self._number_of)

    def __contains__(self, image_id):
        return image_id in self._number_of

    def is_valid(self, image_id):
        return bool(self._valid[self._number_of[image_id]])
