"""What a file in COCO's layout holds, on its way into an index."""

import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from maskrcnn_benchmark.data.coco.keypoints import OUTSIDE, UNUSABLE, KeypointLists, read_keypoints
from maskrcnn_benchmark.data.coco.records import file_name_of, pack, problem_of_annotation, problem_of_image, use_of
from maskrcnn_benchmark.data.preparation import check_kinds as kinds
from maskrcnn_benchmark.data.preparation.check_images import check_file, is_safe_name
from maskrcnn_benchmark.data.preparation.check_masks import mask_code, mask_size
from maskrcnn_benchmark.data.preparation.check_values import is_id, is_text, shown
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
        has_masks: whether an annotation has a segmentation.
        annotated: whether the file has the section of annotations at all.
    """

    TABLES = ("images", "categories")
    SECTIONS = ("annotations",)
    IGNORED = ("licenses", "type")
    ID_KEYS = {"annotations": "id"}

    def __init__(self, path: str | os.PathLike, progress: bool = False) -> None:
        self.has_masks, self._lists = False, KeypointLists()
        super().__init__(path, progress)

    def read_tables(self, rows: Mapping[str, list]) -> None:
        self.images = self._table("images", rows["images"], problem_of_image)
        self.categories = self._table("categories", rows["categories"], _problem_of_category)
        findings = kinds.Findings()
        self.keypoints = read_keypoints(self.path, self.categories.values(), self._lists, findings)
        self.categories = {row["id"]: row for row in self.keypoints.rows}
        self.problems += findings.problems
        self.annotated = "annotations" in self.found

    def note(self, section: str, record: dict[str, Any]) -> None:
        self.has_masks |= record.get("segmentation") is not None
        if is_id(record.get("category_id")):
            self._lists.add(record)

    def _table(self, section, rows, problem_of):
        table = {}
        for i, row in enumerate(rows):
            where = f"{section} entry {i}"
            if not isinstance(row, dict):
                self.tell(kinds.ROW_NO_OBJECT.what, where, f"left out: {shown(row)}")
            elif not is_id(row.get("id")):
                self.tell(kinds.ROW_ID.what, where, f"left out: id {shown(row.get('id'))}")
            elif row["id"] in table:
                self.tell(kinds.ROW_AGAIN.what, where, f"left out: id {row['id']}")
            elif problem_of(row):
                self.tell("table entry cannot be used", f"{section} {row['id']}", f"left out: it {problem_of(row)}")
            else:
                table[row["id"]] = row
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

    def rows_of(self, ids: list[Any]) -> tuple[dict[str, list], list[Problem]]:
        rows: dict[str, list] = {"rows": [], "summaries": [], "classes": []}
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
                rows["classes"].append(Counter((row["category_id"], bool(row.get("iscrowd", 0))) for row in records))
        return rows, problems

    def completed(self, rows: dict[str, list]) -> dict[str, list]:
        self._summaries += rows.pop("summaries")
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

    def meta(self) -> dict[str, Any]:
        return {
            "annotated": int(self.scan.annotated),
            "has_masks": int(self.scan.has_masks),
            "has_keypoints": int(self.scan.keypoints.joints is not None),
            "labelled": int(self.scan.keypoints.are_labelled),
        }

    def _checked(self, records, image, findings):
        """The records that can be used, None for an image that cannot."""
        if not is_safe_name(image["file_name"]):
            findings.add(kinds.IMAGE_NAME, f"image {findings.image_id}", shown(image["file_name"]))
            return None
        if self._images is not None and not check_file(image, self._images, findings):
            return None
        size, seen, kept = (image["width"], image["height"]), set(), []
        for i, record in enumerate(records):
            number = record.get("id")
            where = f"annotation {number if is_id(number) else f'entry {i}'} of image {findings.image_id}"
            problem = problem_of_annotation(pack(dict(record)), self.scan.images, self.scan.categories)
            if problem:
                findings.add(ANNOTATION, where, f"it {problem}")
            elif number in seen:
                findings.add(kinds.REPEATED, where, "its id is there once already")
            elif (damage := _damage(record.get("segmentation"), size)) is not None:
                findings.add(MASK, where, damage)
            else:
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


def _problem_of_category(row):
    return None if is_text(row.get("name")) else f"has the name {shown(row.get('name'))}"


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
