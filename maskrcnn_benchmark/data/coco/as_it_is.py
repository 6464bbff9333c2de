"""A file in COCO's layout in which nothing is wrong that cannot be mended, on its way into an index: parsed once."""

import json
import os
from array import array
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from maskrcnn_benchmark.data.coco.content import category_rows, column_rows
from maskrcnn_benchmark.data.coco.keypoints import (
    NUMBER,
    KeypointLists,
    has_other_number,
    number_words,
    problem_of_keypoints,
    read_keypoints,
)
from maskrcnn_benchmark.data.coco.records import (
    ImageUse,
    is_box,
    is_name,
    pack,
    problem_of_image,
    problem_of_segmentation,
)
from maskrcnn_benchmark.data.coco.repairs import (
    ID,
    WITHOUT_MASK,
    Found,
    has_no_mask,
    is_changed,
    mend_category,
    mend_image,
    mend_record,
    problems_of,
    problems_of_tables,
    some_without_mask,
)
from maskrcnn_benchmark.data.preparation.check_kinds import Findings
from maskrcnn_benchmark.data.preparation.check_values import is_integer, is_text, shown
from maskrcnn_benchmark.data.preparation.index_file import NotIndexable
from maskrcnn_benchmark.data.preparation.problems import Problem
from maskrcnn_benchmark.data.preparation.scan import Scan
from maskrcnn_benchmark.structures.run_length import damaged_codes

_CODES = 1024  # run-length codes that are decoded at once


class SoundScan(Scan):
    """The one pass over a file in COCO's layout: checks every entry, and keeps some 50 bytes of each.

    What is refused here is at least what `CocoFile` refuses, which says it in its own words. A row that is mended, see
    `repairs`, is mended again when it is written; of others the bytes of the file are.

    Args and attributes are those of `Scan`, but that `images` has no rows: {image id: number}.

    Raises:
        NotIndexable: at the first entry that is not as an index needs it.
        UserError: the file is damaged.
    """

    LAYOUT = "coco"
    TABLES = ("images", "categories")
    SECTIONS = ("annotations",)
    IGNORED = ("licenses", "type")

    def __init__(self, path: str | os.PathLike, progress: bool = False) -> None:
        self.has_masks = False
        self.rows: list[dict[str, Any]] = []  # of "categories"
        # of the images in file order: number, width and height, place of the row
        self._listed, self._sizes = array("i"), array("q")
        self._row_starts, self._row_lengths = array("q"), array("i")
        self._uses: list[ImageUse] = []  # by image number
        # of the annotations: number of the image, place, number of the category, whether it is a crowd
        self._owners, self._starts, self._lengths = array("i"), array("q"), array("i")
        self._labels, self._crowds = array("i"), array("b")
        self._number_of_label: dict[Any, int] = {}
        self._ids: set[Any] = set()
        self._first: dict[str, Any] = {}  # row of an image
        self._mended: set[int] = set()  # places of the rows that are not written as they are
        self._found: dict[int, list[tuple[Found, str]]] = {}  # by image number: what was found, and where
        self._lists, self._findings = KeypointLists(), Findings()
        self._codes: list[dict[str, Any]] = []  # run-length codes that are yet to be checked
        self._code_sizes = array("q")  # of all codes: number of the image, height, width
        self._without_mask, self._first_without = 0, ""
        super().__init__(path, progress)

    def read_tables(self, rows: Mapping[str, list]) -> None:
        """Check what only shows once the whole file is read."""
        for problem in self.problems:
            _require(problem.what in ("unknown section", ID.what), f"{problem.what}: {problem.where}")
        self.images = self._number_of
        _require(len(set(self._listed)) == len(self._listed), "an id occurs twice in 'images'")
        _require(len(self.images) == len(self._listed), "an annotation is of an image that is not listed")
        self.categories = {row["id"]: row for row in self.rows}
        _require(len(self.categories) == len(self.rows), "an id occurs twice in 'categories'")
        _require(self._number_of_label.keys() <= self.categories.keys(), "a category is not listed")
        _require(len(self._ids) == len(self._owners), "an id occurs twice in 'annotations'")
        self.keypoints = read_keypoints(self.path, self.rows, self._lists, self._findings)
        lengths = {length for key in self.keypoints.categories for length in self._lists.lengths[key]}
        _require(lengths <= {3 * len(self.keypoints.joints or ())}, "keypoints are not those that the file names")
        self.categories = {row["id"]: row for row in self.keypoints.rows}
        self.problems += self._findings.problems
        self.annotated = "annotations" in self.found
        self._check_codes()
        owners, *sides = np.array(self._code_sizes).reshape(-1, 3).T
        own = np.array(self._sizes).reshape(-1, 2)[np.argsort(self._listed)][owners]
        _require(np.array_equal(sides[::-1], own.T), "a run-length code is not of its image's size")
        if 0 < self._without_mask < len(self._owners):
            self.problems.append(some_without_mask(self._without_mask, self._first_without))
        self.problems += problems_of_tables(self._first, self.rows, self._number_of_label)
        self._sort()

    def problems_of_image(self, image_id: Any) -> list[Problem]:
        """What was mended or is to be known of an image and its annotations."""
        found = self._found.get(self.images[image_id], ())
        return [problem for of_row, where in found for problem in problems_of(of_row, where, image_id)]

    def raw(self, descriptor: int, image_id: Any) -> tuple[bytes, bytes]:
        """The image's row and the list of its annotations, both JSON as bytes, from the file, opened."""
        number = self.images[image_id]
        low, high = self._bounds[number : number + 2]
        places = zip(self._lengths[low:high].tolist(), self._starts[low:high].tolist())
        records = [self._text(descriptor, place, mend_record) for place in places]
        return self._text(descriptor, self._row_places[number].tolist(), mend_image), b"[%b]" % b", ".join(records)

    def _text(self, descriptor, place, mend):
        length, start = place
        text = os.pread(descriptor, length, start)
        if start not in self._mended:
            return text
        row = json.loads(text)
        mend(row)
        return json.dumps(row).encode()

    def columns(self) -> dict[str, np.ndarray]:
        """{name: array [N]} of the table "columns", for the images in the order of the index, but for "ids"."""
        order = np.array([self.images[key] for key in self.ordered_ids()], np.int64)
        return {
            "positions": self._positions[order],
            "sizes": np.array(self._sizes).reshape(-1, 2)[self._positions[order]],
            "annotations": np.diff(self._bounds)[order],
            "valid": np.array([use.code(self.keypoints) for use in self._uses], np.uint8)[order],
        }

    def class_counts(self) -> dict[Any, tuple[int, int, int]]:
        """{category id: (images, objects, crowds)} of the categories that occur."""
        labels, crowds = np.array(self._labels), np.array(self._crowds, bool)
        count = len(self._number_of_label)
        pairs = np.unique(np.array(self._owners, np.int64) * count + labels)  # of image and category
        images = np.bincount(pairs % max(count, 1), minlength=count)
        objects, merged = (np.bincount(labels[chosen], minlength=count) for chosen in (~crowds, crowds))
        numbers = zip(images.tolist(), objects.tolist(), merged.tolist())
        return dict(zip(self._number_of_label, numbers))

    def _read_section(self, stream, section):
        take = {"images": self._take_image, "categories": self._take_category, "annotations": self._take_annotation}
        take = take[section]
        for start, length, value in stream.elements(lambda i: f"entry {i} of {section!r}"):
            _require(isinstance(value, dict), "an entry of a section is no object")
            take(start, length, value)

    def _take_image(self, start, length, row):
        found = mend_image(row)
        number = self._number(row.get("id"))
        _require(problem_of_image(row) is None, "an image has no sound size or file name")
        self._first = self._first or row
        if found:
            self._note(found, f"images {row['id']}", number, start)
        self._listed.append(number)
        self._sizes.extend((row["width"], row["height"]))
        self._row_starts.append(start)
        self._row_lengths.append(length)

    def _take_category(self, start, length, row):
        self.problems += problems_of(mend_category(row), f"categories {shown(row.get('id'))}")
        _require(_is_key(row.get("id")) and is_name(row.get("name")), "a category has an odd id or name")
        self.rows.append(pack(row))

    def _take_annotation(self, start, length, row):
        found = mend_record(pack(row))
        number, label, key = self._number(row.get("image_id")), row.get("category_id"), row.get("id")
        _require(_is_key(label) and _is_key(key), "an annotation has an odd id or category")
        _require(is_box(row.get("bbox")), "an annotation has an odd box")
        segmentation = row.get("segmentation")
        if segmentation is None:
            self._first_without = self._first_without or f"annotation {shown(key)} of image {shown(row['image_id'])}"
            self._without_mask += 1
        else:
            _require(not problem_of_segmentation(segmentation), "an annotation has an odd segmentation")
            if has_no_mask(row, self._size_of(number)):
                found.append((WITHOUT_MASK, ""))
            else:
                self.has_masks = True
            if isinstance(segmentation, dict):
                self._code_sizes.extend((number, *segmentation["size"]))
                self._codes.append(segmentation)
                if len(self._codes) >= _CODES:
                    self._check_codes()
        if found:
            self._note(found, f"annotation {shown(key)} of image {shown(row['image_id'])}", number, start)
        keypoints = row.get("keypoints")
        if keypoints is not None:
            _require(isinstance(keypoints, list), "keypoints are no list")
            _require(not problem_of_keypoints(keypoints, len(keypoints)), "keypoints have to be mended")
            self._lists.add(row)
            if has_other_number(row):
                self._findings.add(NUMBER, number_words(row, f"annotation {key} of image {row['image_id']}"))
        self._uses[number].add(row)
        self._owners.append(number)
        self._starts.append(start)
        self._lengths.append(length)
        self._labels.append(self._number_of_label.setdefault(label, len(self._number_of_label)))
        self._crowds.append(bool(row.get("iscrowd", 0)))
        self._ids.add(key)

    def _check_codes(self):
        _require(not damaged_codes(self._codes), "a run-length code does not decode")
        self._codes.clear()

    def _note(self, found, where, number, start):
        self._found.setdefault(number, []).append((found, where))
        if is_changed(found):
            self._mended.add(start)

    def _size_of(self, number):
        """(width, height) of an image, or None where the file lists it later."""
        if number >= len(self._listed) or self._listed[number] != number:
            return None
        return self._sizes[2 * number], self._sizes[2 * number + 1]

    def _number(self, image_id):
        """The number of an image, which is that of its first mention in the file."""
        _require(_is_key(image_id), "an image has an odd id")
        number = self._number_of.setdefault(image_id, len(self._uses))
        if number == len(self._uses):
            self._uses.append(ImageUse())
        return number

    def _sort(self):
        """Bring places into the order of image numbers, those of annotations within an image into that of the file."""
        owners = np.array(self._owners)
        order = np.argsort(owners, kind="stable")
        self._bounds = np.searchsorted(owners[order], np.arange(len(self.images) + 1))
        self._starts, self._lengths = np.array(self._starts)[order], np.array(self._lengths)[order]
        self._positions = np.argsort(np.array(self._listed))
        self._row_places = np.stack([self._row_lengths, self._row_starts], axis=1)[self._positions]

    def _sort_records(self):
        """Nothing: `read_tables` has done it."""


class SoundContent:
    """The rows of an index of a file in which nothing is wrong that cannot be mended, see `build_index.Content`.

    Every entry is checked as reading the file does it; what boxes reach over is not checked.
    """

    layout = "coco"

    def __init__(self, source: Path, images: Path | None, progress: bool) -> None:
        self.scan = SoundScan(source, progress)

    def rows_of(self, ids: list[Any]) -> tuple[dict[str, list], list[Problem]]:
        with open(self.scan.path, "rb", buffering=0) as file:
            rows = [(image_id, *self.scan.raw(file.fileno(), image_id)) for image_id in ids]
        return {"rows": rows}, [problem for image_id in ids for problem in self.scan.problems_of_image(image_id)]

    def completed(self, rows: dict[str, list]) -> dict[str, list]:
        return rows

    def tables(self) -> dict[str, list]:
        columns = column_rows(self.scan.ordered_ids(), **self.scan.columns())
        return {"columns": columns, "categories": category_rows(self.scan.categories, self.scan.class_counts())}

    def nothing_left(self) -> None:
        return None  # what cannot be used is refused, see `SoundScan`

    def meta(self) -> dict[str, Any]:
        return {
            "annotated": int(self.scan.annotated),
            "has_masks": int(self.scan.has_masks),
            "has_keypoints": int(self.scan.keypoints.joints is not None),
            "labelled": int(self.scan.keypoints.are_labelled),
            "checked": 0,
        }


def _is_key(value):
    """Whether it is an id that means the same in an index as in the file: neither 1.0 nor true."""
    return is_integer(value) if type(value) is int else is_text(value)


def _require(holds, problem):
    if not holds:
        raise NotIndexable(problem)
