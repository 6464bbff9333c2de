"""The index of a file in COCO's layout, opened: what `CocoFile` knows, without reading the file."""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from maskrcnn_benchmark.data.coco.keypoints import keypoints_of_index
from maskrcnn_benchmark.data.coco.records import file_name_of, pack, problem_of_annotation, problem_of_image, use_of
from maskrcnn_benchmark.data.coco.repairs import mend_record
from maskrcnn_benchmark.data.preparation.index_file import DamagedIndex, IndexConnection, open_meta
from maskrcnn_benchmark.data.preparation.schema import COLUMN_TYPES
from maskrcnn_benchmark.data.preparation.summary import PROBLEMS, group_problems

_JSON = (str, bytes)  # what a column that holds JSON may be


class CocoIndex:
    """One annotation file in COCO's layout, as its index knows it. Attributes and methods are those of `CocoFile`.

    Opening reads a few numbers of each image; rows are read lazily, from pages that all processes
    share. An instance can be pickled, and used after a fork and by several threads. What the checks of the preparation
    left out is not there, see `problems`.

    Args:
        index: the index.
        source: the annotation file that it stands for, which errors name.

    Raises:
        UserError: the file is no index of this version and layout, or is damaged.
    """

    def __init__(self, index: str | os.PathLike, source: str | os.PathLike | None = None) -> None:
        self.index = Path(index)
        self.path = self.index if source is None else Path(source)
        meta = open_meta(self.index, "coco")
        self._connection = IndexConnection(self.index)
        query = self._connection.query
        self.images = ImageTable(self._connection)
        facts = [meta.get(name) for name in ("annotated", "has_masks", "has_keypoints")]
        if not all(fact in (0, 1) for fact in facts):
            raise DamagedIndex.of(self.index, 'its table "meta" does not say what it holds')
        self.annotated, self.has_masks, has_keypoints = map(bool, facts)
        rows = query("SELECT category_id, row FROM categories ORDER BY position", types=((int, str), _JSON))
        self.category_rows = [_parsed(self.index, row, dict, {"id": key}) for key, row in rows]
        if not all(isinstance(row.get("name"), str) for row in self.category_rows):
            raise DamagedIndex.of(self.index, "a category has no name")
        self.categories = {row["id"]: row["name"] for row in self.category_rows}
        self.keypoints = keypoints_of_index(self.path, self.category_rows, has_keypoints, meta.get("labelled") != 0)
        # An older index knows of images without enough keypoints only that they are of no use
        self._knows_uses = "labelled" in meta or not has_keypoints
        self.category_rows = self.keypoints.rows

    def records(self, image_id: Any) -> list[dict[str, Any]]:
        """The annotations of one image in file order; polygons are arrays of float64."""
        rows = self._connection.query("SELECT records FROM rows WHERE image_id = ?", image_id, types=(_JSON,))
        if not rows:
            if image_id in self.images:
                raise DamagedIndex.of(self.index, f"image {image_id!r} has no row")
            return []
        records = _parsed(self.index, rows[0][0], list)
        for record in records:
            problem: str | None = "it is no object"
            if isinstance(record, dict):
                mend_record(record)  # an index of an earlier version may have it as the file has
                problem = problem_of_annotation(record, (image_id,), self.categories)
                if not problem and (odd := self.keypoints.problem_of(record)):
                    problem = f"has keypoints that {odd}"
            if problem:
                raise DamagedIndex.of(self.index, f"an annotation of image {image_id!r}: it {problem}")
        return records

    def ordered_ids(self) -> list[Any]:
        """The image ids: numbers ascending, then texts."""
        return list(self.images.ids)

    def uses_of(self, image_ids: Iterable[Any]) -> np.ndarray:
        """uint8 [len(image_ids)]: what training can learn from images, see `coco_records.ImageUse.code`."""
        if not self._knows_uses:
            return np.array([use_of(self.records(image_id), self.keypoints) for image_id in image_ids], np.uint8)
        return self.images.valid[self.images.numbers_of(image_ids)]

    def sizes_of(self, image_ids: Iterable[Any]) -> np.ndarray:
        """int64 [len(image_ids), 2]: widths and heights in pixels."""
        return self.images.sizes[self.images.numbers_of(image_ids)]

    def problems(self) -> list[tuple[str, str, int, str]]:
        """What was wrong with the file when it was prepared, by kind: list of (what, what was done, number, first)."""
        return group_problems(self._connection.query(PROBLEMS, types=[(str,)] * 3))

    def name_of(self, row: dict[str, Any]) -> str:
        """The words by which an error names a record: "FILE: annotation 12 of image 30"."""
        return f"{self.path}: annotation {row.get('id')} of image {row.get('image_id')}"


class ImageTable(Mapping):
    """{image id: its row, with file_name, width and height} in file order, each row read lazily.

    Attributes:
        ids: list of the N ids, numbers ascending, then texts.
        sizes: int64 [N, 2], width and height of each of them in pixels; valid: uint8 [N], what training can learn
            from it; positions: int32 [N], its place in the file.
    """

    def __init__(self, connection: IndexConnection) -> None:
        self._connection = connection
        columns = dict(connection.query("SELECT name, data FROM columns", types=((str,), (str, bytes))))
        self.ids = _parsed(connection.path, columns.get("ids"), list)
        if not all(type(image_id) in (int, str) for image_id in self.ids):
            raise DamagedIndex.of(connection.path, "the id of an image is neither a number nor text")
        self._number_of = {image_id: number for number, image_id in enumerate(self.ids)}
        arrays = {name: _column(connection.path, columns, name, len(self._number_of)) for name in COLUMN_TYPES}
        if len(self._number_of) < len(self.ids) or arrays["sizes"].min(initial=1) < 1:
            raise DamagedIndex.of(connection.path, "an image is there twice or has no size")
        self.sizes, self.positions = arrays["sizes"].reshape(-1, 2), arrays["positions"]
        self.valid = arrays["valid"]

    @cached_property
    def _in_file_order(self) -> list[Any]:
        return [self.ids[number] for number in np.argsort(self.positions, kind="stable")]

    def __getitem__(self, image_id: Any) -> dict[str, Any]:
        if image_id not in self._number_of:
            raise KeyError(image_id)
        rows = self._connection.query("SELECT row FROM rows WHERE image_id = ?", image_id, types=(_JSON,))
        if not rows:
            raise DamagedIndex.of(self._connection.path, f"image {image_id!r} has no row")
        row = _parsed(self._connection.path, rows[0][0], dict, {"id": image_id})
        problem = problem_of_image(row)
        if problem or [row["width"], row["height"]] != self.sizes[self._number_of[image_id]].tolist():
            raise DamagedIndex.of(self._connection.path, f"image {image_id!r} {problem or 'has two sizes'}")
        return row if "file_name" in row else {**row, "file_name": file_name_of(row)}

    def __iter__(self) -> Iterator[Any]:
        return iter(self._in_file_order)

    def __len__(self) -> int:
        return len(self.ids)

    def __contains__(self, image_id: Any) -> bool:
        return image_id in self._number_of

    def numbers_of(self, image_ids: Iterable[Any]) -> np.ndarray:
        """Places of images in the attributes: int64 [len(image_ids)]."""
        return np.array([self._number_of[image_id] for image_id in image_ids], np.int64)


def _parsed(index, text, kind, expected=None):
    """What a row of the index holds as JSON, a `kind` that has what is `expected`; polygons are arrays of float64."""
    try:
        value = json.loads(text, object_hook=pack)
    except (TypeError, ValueError, RecursionError) as error:
        raise DamagedIndex.of(index, error) from None
    if not isinstance(value, kind) or any(value.get(key) != found for key, found in (expected or {}).items()):
        raise DamagedIndex.of(index, f"{str(text)[:40]!r} is not what should be there")
    return value


def _column(index, columns, name, count):
    """An array of the table "columns", of `count` images."""
    data, kind = columns.get(name), np.dtype(COLUMN_TYPES[name])
    wanted = count * kind.itemsize * (2 if name == "sizes" else 1)
    if not isinstance(data, bytes) or len(data) != wanted:
        raise DamagedIndex.of(index, f"column {name!r} is not of {count} images")
    return np.frombuffer(data, kind)
