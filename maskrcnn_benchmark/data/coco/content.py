"""What a file in COCO's layout holds, on its way into an index."""

import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from maskrcnn_benchmark.data.coco.keypoints import OUTSIDE, UNUSABLE, KeypointLists, read_keypoints
from maskrcnn_benchmark.data.coco.records import (
    file_name_of,
    is_name,
    pack,
    problem_of_annotation,
    problem_of_image,
    use_of,
)
from maskrcnn_benchmark.data.coco.repairs import (
    MENDERS,
    WITHOUT_MASK,
    has_no_mask,
    mend_record,
    problems_of,
    problems_of_tables,
    some_without_mask,
)
from maskrcnn_benchmark.data.image_file import find_image
from maskrcnn_benchmark.data.preparation import check_kinds as kinds
from maskrcnn_benchmark.data.preparation.check_images import check_file
from maskrcnn_benchmark.data.preparation.check_masks import mask_code, mask_size
from maskrcnn_benchmark.data.preparation.check_values import is_id, shown
from maskrcnn_benchmark.data.preparation.problems import Problem
from maskrcnn_benchmark.data.preparation.scan import Scan
from maskrcnn_benchmark.data.preparation.schema import COLUMN_TYPES
from maskrcnn_benchmark.structures.run_length import RunLengths

ANNOTATION = kinds.Kind("annotation cannot be used", kinds.LEFT_OUT)
MASK = kinds.Kind("mask does not decode", kinds.LEFT_OUT)
BOX = kinds.Kind("bbox reaches outside the image", kinds.KEPT)
_ROUNDING = 1.0  # pixels by which COCO's own boxes may pass the border


class CocoScan(Scan):
    """The first pass over a file in COCO's layout, see `Scan`.

    Attributes:
        categories: {category id: its row} in file order.
        keypoints: `FileKeypoints`.
        number_of_records: how many annotations name an image.
        annotated: whether the file has the section of annotations at all.
    """

    LAYOUT = "coco"
    TABLES = ("images", "categories")
    SECTIONS = ("annotations",)
    IGNORED = ("licenses", "type")
    ID_KEYS = {"annotations": "id"}

    def __init__(self, path: str | os.PathLike, progress: bool = False) -> None:
        self._lists = KeypointLists()
        self.number_of_records = self._without_mask = 0
        self._first_without: dict[str, Any] = {}
        self._used: set[Any] = set()  # ids of categories
        super().__init__(path, progress)

    def read_tables(self, rows: Mapping[str, list]) -> None:
        self.images = self._table("images", rows["images"], problem_of_image)
        self.categories = self._table("categories", rows["categories"], _problem_of_category)
        findings = kinds.Findings()
        self.keypoints = read_keypoints(self.path, self.categories.values(), self._lists, findings)
        self.categories = {row["id"]: row for row in self.keypoints.rows}
        self.problems += findings.problems
        self.annotated = "annotations" in self.found
        first: dict[str, Any] = next(iter(self.images.values()), {})
        if 0 < self._without_mask < self.number_of_records:
            number, image_id = self._first_without.get("id"), self._first_without["image_id"]
            place = f"annotation {shown(number)} of image {shown(image_id)}"
            self.problems.append(some_without_mask(self._without_mask, place))
        self.problems += problems_of_tables(first, self.categories.values(), self._used)

    def note(self, section: str, record: dict[str, Any]) -> None:
        self.number_of_records += 1
        if record.get("segmentation") is None:
            self._first_without = self._first_without or record
            self._without_mask += 1
        if is_id(record.get("category_id")):
            self._used.add(record["category_id"])
            self._lists.add(record)

    def _table(self, section, rows, problem_of):
        table = {}
        for i, row in enumerate(rows):
            where = f"{section} entry {i}"
            found = MENDERS[section](row) if isinstance(row, dict) else []
            if not isinstance(row, dict):
                self.tell(kinds.ROW_NO_OBJECT.what, where, f"left out: {shown(row)}")
            elif not is_id(row.get("id")):
                self.tell(kinds.ROW_ID.what, where, f"left out: id {shown(row.get('id'))}")
            elif row["id"] in table:
                self.tell(kinds.ROW_AGAIN.what, where, f"left out: id {row['id']}")
            elif problem_of(row):
                where = f"{section} {shown(row['id'])} (it {problem_of(row)})"
                self.tell("table entry cannot be used", where, "left out")
            else:
                table[row["id"]] = row
                image_id = row["id"] if section == "images" else None
                self.problems += problems_of(found, f"{section} {row['id']}", image_id)
        return table


class CocoContent:
    """The rows of an index of a file in COCO's layout, see `build_index.Content`."""

    layout = "coco"

    def __init__(self, source: Path, images: Path | None, progress: bool) -> None:
        self.scan = CocoScan(source, progress)
        self._images = images
        self._positions = {image_id: position for position, image_id in enumerate(self.scan.images)}
        self._summaries: list[tuple] = []
        self._classes: dict[Any, tuple[int, ...]] = {}
        self._has_masks = False

    def rows_of(self, ids: list[Any]) -> tuple[dict[str, list], list[Problem]]:
        rows: dict[str, list] = {"rows": [], "summaries": [], "classes": [], "masks": []}
        problems: list[Problem] = []
        with open(self.scan.path, "rb") as file:
            for image_id in ids:
                findings = kinds.Findings(image_id)
                image = {**self.scan.images[image_id], "image_id": image_id}
                image["file_name"] = file_name_of(image)
                records = self._checked(self.scan.records(file, image_id)["annotations"], image, findings)
                problems += findings.problems
                if records is None:
                    continue
                content = (json.dumps(value).encode() for value in (self.scan.images[image_id], records))
                rows["rows"].append((image_id, *content))
                size, valid = (image["width"], image["height"]), use_of(records, self.scan.keypoints)
                rows["summaries"].append((image_id, self._positions[image_id], size, len(records), valid))
                rows["masks"].append(any(_has_mask(row, size) for row in records))
                rows["classes"].append(Counter((row["category_id"], bool(row.get("iscrowd", 0))) for row in records))
        return rows, problems

    def completed(self, rows: dict[str, list]) -> dict[str, list]:
        self._summaries += rows.pop("summaries")
        self._has_masks |= any(rows.pop("masks"))
        for counts in rows.pop("classes"):
            for key in {key for key, _ in counts}:
                found = (1, counts[key, False], counts[key, True])
                self._classes[key] = tuple(map(sum, zip(self._classes.get(key, (0, 0, 0)), found)))
        return rows

    def tables(self) -> dict[str, list]:
        ids, *columns = zip(*self._summaries) if self._summaries else ((),) * 5
        names = ("positions", "sizes", "annotations", "valid")
        return {
            "columns": column_rows(ids, **dict(zip(names, columns))),
            "categories": category_rows(self.scan.categories, self._classes),
        }

    def nothing_left(self) -> str | None:
        if not self._summaries:
            return "no image of it can be used"
        if self.scan.number_of_records and not any(number for _, _, _, number, _ in self._summaries):
            return f"none of its {self.scan.number_of_records} annotations can be used"
        return None

    def meta(self) -> dict[str, Any]:
        return {
            "annotated": int(self.scan.annotated),
            "has_masks": int(self._has_masks),
            "has_keypoints": int(self.scan.keypoints.joints is not None),
            "labelled": int(self.scan.keypoints.are_labelled),
        }

    def _checked(self, records, image, findings):
        """The records that can be used, None for an image that cannot."""
        if self._images is not None:
            path = find_image(self._images, image["file_name"])
            if not check_file(image, path, findings):
                return None
        size, seen, kept = (image["width"], image["height"]), set(), []
        for i, record in enumerate(records):
            found = mend_record(record)
            number = record.get("id")
            where = f"annotation {number if is_id(number) else f'entry {i}'} of image {findings.image_id}"
            problem = problem_of_annotation(pack(dict(record)), self.scan.images, self.scan.categories)
            if problem:
                findings.add(ANNOTATION, f"{where} (it {problem})")
            elif number in seen:
                findings.add(kinds.REPEATED, where, "its id is there once already")
            elif (damage := _damage(record.get("segmentation"), size)) is not None:
                findings.add(MASK, where, damage)
            else:
                if has_no_mask(record, size):
                    found.append((WITHOUT_MASK, ""))
                findings.problems += problems_of(found, where, findings.image_id)
                if _is_outside(record["bbox"], size):
                    findings.add(BOX, where, f"bbox {record['bbox']} of {size[0]}x{size[1]}")
                self._check_keypoints(record, size, where, findings)
                seen.add(number)
                kept.append(record)
        return kept

    def _check_keypoints(self, record, size, where, findings):
        """Mend a record's keypoints in place; those that cannot be used are taken away."""
        if not record.get("keypoints"):
            return
        problem = self.scan.keypoints.mend(record, where, findings)
        if problem:
            findings.add(UNUSABLE, f"{where} (they {problem})")
            del record["keypoints"]
        elif outside := self.scan.keypoints.outside(record, size):
            findings.add(OUTSIDE, f"{where} ({', '.join(self.scan.keypoints.joints.names[k] for k in outside)})")


def column_rows(ids: Iterable[Any], **columns: Any) -> list[tuple]:
    """The rows of the table "columns": of N images in ascending order their ids, and {name: N values} beside them."""
    arrays = [(name, np.array(values, COLUMN_TYPES[name]).tobytes()) for name, values in columns.items()]
    return [("ids", json.dumps(list(ids))), *arrays]


def category_rows(categories: Mapping[Any, dict[str, Any]], counts: Mapping[Any, tuple[int, ...]]) -> list[tuple]:
    """The rows of the table "categories".

    Args:
        categories: {category id: its row} in file order.
        counts: {category id: (images, objects, crowds)} of those that occur.
    """
    rows = enumerate(categories.items())
    return [(key, i, json.dumps(row), *counts.get(key, (0, 0, 0))) for i, (key, row) in rows]


def _has_mask(record, size):
    return record.get("segmentation") is not None and not has_no_mask(record, size)


def _problem_of_category(row):
    return None if is_name(row.get("name")) else f"has the name {shown(row.get('name'))}"


def _damage(segmentation, size):
    """What is wrong with a run-length code, in words; None for a sound one, and for polygons."""
    if not isinstance(segmentation, dict):
        return None
    if mask_size(segmentation) != size:
        return f"its size is {shown(segmentation.get('size'))}, that of the image {[size[1], size[0]]}"
    code = mask_code(segmentation)
    damages = {0: "its counts are no run-length code"} if code is None else RunLengths.of_readable([code], size)[1]
    return damages.get(0)


def _is_outside(box, size):
    x, y, width, height = box
    return min(x, y) < -_ROUNDING or x + width > size[0] + _ROUNDING or y + height > size[1] + _ROUNDING
