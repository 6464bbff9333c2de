"""A file in COCO's layout: its tables, checked, and its records by image."""

import os
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from maskrcnn_benchmark.data.coco.keypoints import UNUSABLE, FileKeypoints, KeypointLists, read_keypoints
from maskrcnn_benchmark.data.coco.records import (
    file_name_of,
    is_box,
    is_name,
    other_type,
    pack,
    problem_of_segmentation,
    use_of,
)
from maskrcnn_benchmark.data.coco.repairs import (
    MENDERS,
    WITHOUT_MASK,
    has_no_mask,
    problems_of,
    problems_of_tables,
    some_without_mask,
)
from maskrcnn_benchmark.data.json_file import read_json
from maskrcnn_benchmark.data.preparation.check_kinds import Findings
from maskrcnn_benchmark.data.preparation.check_values import shown
from maskrcnn_benchmark.data.preparation.other_files import refuse_other_file
from maskrcnn_benchmark.data.preparation.problems import Problem
from maskrcnn_benchmark.data.preparation.summary import group_problems
from maskrcnn_benchmark.structures.run_length import damaged_codes
from maskrcnn_benchmark.utils.errors import UserError


class CocoFile:
    """One annotation file, opened and checked. Everything that reads the file goes through this class.

    Attributes:
        path: Path of the file.
        images: {image id: its row, with file_name, width and height} in file order.
        categories: {category id: name} in file order; category_rows: their rows.
        annotated: whether the file has a section of annotations at all; COCO's lists of test images have none.
        has_masks: whether a record has a segmentation that encloses something.
        keypoints: `FileKeypoints`, whose `joints` are None if the file has none.
    """

    def __init__(self, path: str | os.PathLike) -> None:
        self.path = Path(path)
        try:
            content = read_json(self.path, required=("images", "categories"), object_hook=pack)
        except UserError:
            refuse_other_file(self.path, "coco")
            raise
        self._problems: list[Problem] = []
        self.annotated = "annotations" in content
        rows = self._rows(content, "annotations")
        categories = self._table(content, "categories", ("name",))
        self.category_rows = list(categories.values())
        self.categories = {key: row["name"] for key, row in categories.items()}
        self.images = {key: self._image(row) for key, row in self._table(content, "images", ()).items()}
        self._check_records(rows)
        self.has_masks = self._find_masks(rows)
        first: dict[str, Any] = next(iter(self.images.values()), {})
        self._problems += problems_of_tables(first, self.category_rows, {row["category_id"] for row in rows})
        self._by_image: defaultdict[Any, list[dict[str, Any]]] = defaultdict(list)
        for row in rows:
            self._by_image[row["image_id"]].append(row)
        self._by_image.default_factory = None
        self.keypoints = self._read_keypoints(rows)
        self.category_rows = self.keypoints.rows

    def records(self, image_id: Any) -> list[dict[str, Any]]:
        """The annotations of one image in file order; a list of rows, which must not be changed.

        Polygons are arrays of float64, not lists: millions of Python numbers would take four times the memory.
        """
        return self._by_image.get(image_id, [])

    def ordered_ids(self) -> list[Any]:
        """The image ids: numbers ascending, then texts."""
        return sorted(self.images, key=lambda image_id: (isinstance(image_id, str), image_id))

    def uses_of(self, image_ids: Iterable[Any]) -> np.ndarray:
        """uint8 [len(image_ids)]: what training can learn from images, see `coco_records.ImageUse.code`."""
        return np.array([use_of(self.records(image_id), self.keypoints) for image_id in image_ids], np.uint8)

    def sizes_of(self, image_ids: Iterable[Any]) -> np.ndarray:
        """int64 [len(image_ids), 2]: widths and heights in pixels."""
        rows = map(self.images.__getitem__, image_ids)
        return np.array([(row["width"], row["height"]) for row in rows], np.int64).reshape(-1, 2)

    def problems(self) -> list[tuple[str, str, int, str]]:
        """What was mended or is to be known, by kind: list of (what, what was done, number, first)."""
        return group_problems((problem.what, problem.where, problem.action) for problem in self._problems)

    def name_of(self, row: dict[str, Any]) -> str:
        """The words by which an error names a record: "FILE: annotation 12 of image 30"."""
        return f"{self.path}: annotation {row.get('id')} of image {row.get('image_id')}"

    def _rows(self, content, section):
        """The rows of a section. Raises `UserError` for one that is no object or whose id is no number or text."""
        rows = content.get(section, [])
        if not isinstance(rows, list):
            raise UserError(f"{self.path}: {section!r} must be a list, not a {type(rows).__name__}")
        for i, row in enumerate(rows):
            if not isinstance(row, dict):
                raise UserError(f"{self.path}: entry {i} of {section!r} must be an object, not a {type(row).__name__}")
            if found := MENDERS[section](row):
                self._problems += problems_of(found, _place(section, row), row.get("image_id"))
            for key in ("id", "image_id", "category_id"):
                if type(row.get(key, 0)) not in (int, str):
                    raise UserError(
                        f"{self.path}: entry {i} of {section!r} has the {key} {shown(row[key])}; give a whole number"
                    )
        return rows

    def _table(self, content, section, required):
        """The rows of a section by their id. Raises `UserError` for one that lacks a key or has another's id."""
        rows = self._rows(content, section)
        for i, row in enumerate(rows):
            missing = next((key for key in ("id", *required) if key not in row), None)
            if missing:
                refuse_other_file(self.path, "coco")
                raise UserError(f"{self.path}: entry {i} of {section!r} has no {missing!r}; add it")
            if "name" in required and not is_name(row["name"]):
                raise UserError(f"{self.path}: category {row['id']} has the name {shown(row['name'])}; give it a text")
        table = {row["id"]: row for row in rows}
        if len(table) < len(rows):
            raise UserError(f"{self.path}: id {_first_twice(rows)!r} occurs twice in {section!r}; make ids unique")
        return table

    def _image(self, row):
        """An image's row, with a file name: of its own, or the last part of the address where it can be fetched."""
        for key in ("width", "height"):
            if type(row.get(key)) is not int or row[key] < 1:
                raise UserError(
                    f"{self.path}: image {row['id']} has the {key} {shown(row.get(key))}; write its size in pixels "
                    "into the file, which is needed before the image is opened"
                )
        if Image.MAX_IMAGE_PIXELS is not None and row["width"] * row["height"] > Image.MAX_IMAGE_PIXELS:
            raise UserError(
                f"{self.path}: image {row['id']} has {row['width']}x{row['height']} pixels, more than PIL's limit of "
                f"{Image.MAX_IMAGE_PIXELS} against decompression bombs; make it smaller"
            )
        name = file_name_of(row)
        if name:
            return row if "file_name" in row else {**row, "file_name": name}
        if "file_name" in row:
            raise UserError(
                f"{self.path}: image {row['id']} has the file_name {shown(row['file_name'])}; give a file's name"
            )
        raise UserError(f"{self.path}: image {row['id']} has no 'file_name'; add it")

    def _check_records(self, rows):
        """Raise `UserError` for the first record that cannot be used as it is."""
        for i, row in enumerate(rows):
            missing = next((key for key in ("id", "image_id", "category_id", "bbox") if key not in row), None)
            if missing:
                refuse_other_file(self.path, "coco")
                name = self.name_of(row) if "id" in row else f"{self.path}: entry {i} of 'annotations'"
                raise UserError(f"{name} has no {missing!r}; add it or remove the entry")
            if row["image_id"] not in self.images:
                raise UserError(
                    f"{self.name_of(row)}: 'images' does not list that image"
                    f"{other_type(row['image_id'], self.images)}; remove one or add the other"
                )
            if row["category_id"] not in self.categories:
                raise UserError(
                    f"{self.name_of(row)} has category {shown(row['category_id'])}, which 'categories' does not list"
                    f"{other_type(row['category_id'], self.categories)}; add it"
                )
            segmentation = row.get("segmentation")
            problem = None if segmentation is None else problem_of_segmentation(segmentation)
            if problem:
                raise UserError(f"{self.name_of(row)}: its segmentation {problem}; mend or remove it")
        if len({row["id"] for row in rows}) < len(rows):
            raise UserError(f"{self.path}: id {_first_twice(rows)!r} occurs twice in 'annotations'; make ids unique")
        row = next((row for row in rows if not is_box(row["bbox"])), None)
        if row is not None:
            raise UserError(
                f"{self.name_of(row)} has the bbox {shown(row['bbox'])}; it must be [x, y, width, height], all finite "
                "numbers, near the image and no size negative: mend or remove the entry"
            )

    def _find_masks(self, rows):
        """Whether there are masks; those that are none are told of. Raises `UserError` for one that does not decode."""
        drawn = [row for row in rows if row.get("segmentation") is not None]
        size_of = {key: (row["width"], row["height"]) for key, row in self.images.items()}
        coded = [row for row in drawn if isinstance(row["segmentation"], dict)]
        damages = damaged_codes([row["segmentation"] for row in coded])
        for i, row in enumerate(coded):
            size, found = size_of[row["image_id"]], tuple(row["segmentation"]["size"][::-1])
            if size != found:
                sizes = f"{found} pixels (w, h), but its image is {size}"
                raise UserError(f"{self.name_of(row)}: its mask is {sizes}; mend or remove it")
            if i in damages:
                raise UserError(f"{self.name_of(row)}: its run-length code {damages[i]}")
        empty = [row for row in drawn if has_no_mask(row, size_of[row["image_id"]])]
        for row in empty:
            self._problems += problems_of([(WITHOUT_MASK, "")], _place("annotations", row), row["image_id"])
        if drawn and len(drawn) < len(rows):
            first = next(row for row in rows if row.get("segmentation") is None)
            self._problems.append(some_without_mask(len(rows) - len(drawn), _place("annotations", first)))
        return len(drawn) > len(empty)

    def _read_keypoints(self, rows) -> FileKeypoints:
        """Whose and which the keypoints are; those of every record are mended or, if they cannot be, taken away."""
        lists, findings = KeypointLists(), Findings()
        for row in rows:
            lists.add(row)
        keypoints = read_keypoints(self.path, self.category_rows, lists, findings)
        for row in rows:
            if row.get("keypoints") and (problem := keypoints.mend(row, _place("annotations", row), findings)):
                findings.add(UNUSABLE, f"{_place('annotations', row)} (they {problem})")
                del row["keypoints"]
        self._problems += findings.problems
        return keypoints


def _place(section, row):
    """The words for a row in the list of problems."""
    if section != "annotations":
        return f"{section} {shown(row.get('id'))}"
    return f"annotation {shown(row.get('id'))} of image {shown(row.get('image_id'))}"


def _first_twice(rows):
    return next(key for key, number in Counter(row["id"] for row in rows).items() if number > 1)
