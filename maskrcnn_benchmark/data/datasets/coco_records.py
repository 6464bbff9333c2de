"""The rows of a file in COCO's layout: what they mean, and what makes one useless."""

import contextlib
import math
import struct
from array import array

from PIL import Image

from maskrcnn_benchmark.structures.keypoint import COCO_JOINTS, JointSet
from maskrcnn_benchmark.utils.errors import UserError

# Coordinates of polygons in pixels: filling one takes memory in proportion to its outline, also outside of the image
FARTHEST = 1e6
MIN_VISIBLE_KEYPOINTS = 10  # an image with fewer in all is no use for training keypoints (Detectron's rule)


def read_joints(path, categories, has_keypoints):
    """The `JointSet` that a category's row names; without names, COCO's if records have keypoints, else None.

    Raises `UserError`, which names the file at `path`, if categories have different joints or damaged ones.
    """
    named = {_joints_of_category(path, row) for row in categories if row.get("keypoints")}
    if len({joints.names for joints in named}) > 1:
        raise UserError(f"{path}: its categories have different keypoints; keep one category's in the file")
    return next(iter(named), COCO_JOINTS if has_keypoints else None)


def _joints_of_category(path, row):
    """The `JointSet` that a category's "keypoints" (names) and "skeleton" (pairs, from 1) describe."""
    names = row["keypoints"]
    try:
        if not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
            raise ValueError
        pairs = [(int(a) - 1, int(b) - 1) for a, b in row.get("skeleton") or ()]
    except (TypeError, ValueError):
        raise UserError(
            f"{path}: the keypoints or skeleton of category {row['name']!r} are not a list of different names "
            "and a list of pairs of their numbers; mend them"
        ) from None
    pairs = [pair for pair in pairs if min(pair) >= 0 and max(pair) < len(names)]
    return JointSet.from_names(names, pairs, f"coco style: {row['name']}")


class ImageUse:
    """Whether training can learn from an image, found out record by record: the original library's rule.

    One of them has a box that is wider and higher than a pixel and, if the first has keypoints, all together have at
    least 10 that are labelled.
    """

    __slots__ = ("_first", "_visible", "_wide")

    def __init__(self):
        self._wide, self._visible = False, 0
        self._first = None  # whether the first record has keypoints

    def add(self, record):
        """Take a record of the image into account, in file order."""
        self._wide = self._wide or min(record["bbox"][2:]) > 1
        if self._first is None:
            self._first = "keypoints" in record
        if self._first:
            self._visible += sum(code > 0 for code in (record.get("keypoints") or ())[2::3])

    @property
    def is_valid(self):
        return self._wide and (not self._first or self._visible >= MIN_VISIBLE_KEYPOINTS)


def has_valid_annotation(records):
    """Whether training can learn from an image with these records, see `ImageUse`."""
    use = ImageUse()
    for record in records:
        use.add(record)
    return use.is_valid


def problem_of_image(row):
    """What is wrong with an image's row, in words that follow "it": str, or None."""
    for key in ("width", "height"):
        if not isinstance(row.get(key), int) or row[key] < 1:
            return f"has the {key} {row.get(key)!r}"
    if Image.MAX_IMAGE_PIXELS is not None and row["width"] * row["height"] > Image.MAX_IMAGE_PIXELS:
        return f"has more pixels than PIL's limit of {Image.MAX_IMAGE_PIXELS} against decompression bombs"
    return None if file_name_of(row) else "has no file_name"


def file_name_of(row):
    """The file name of an image: of its own, or the last part of the address where it can be fetched; or None."""
    if "file_name" in row:
        return row["file_name"] if isinstance(row["file_name"], str) else None
    return row["coco_url"].rsplit("/", 1)[-1] if isinstance(row.get("coco_url"), str) else None


def problem_of_annotation(row, images, categories, joints):
    """What makes a record useless, in words that follow "it": str, or None.

    Args:
        row: the record, after `pack`.
        images, categories: tables by id.
        joints: the `JointSet` of the file, or None.
    """
    missing = next((key for key in ("id", "image_id", "category_id", "bbox") if row.get(key) is None), None)
    if missing:
        return f"has no {missing!r}"
    if row["image_id"] not in images:
        return "is of an image that is not listed"
    if not isinstance(row["category_id"], int | str) or row["category_id"] not in categories:
        return f"has category {repr(row['category_id'])[:40]}, which is not listed"
    if not isinstance(row["id"], int | str):
        return f"has the id {repr(row['id'])[:40]}"
    if not is_box(row["bbox"]) or not is_size(row.get("area", 0)):
        return f"has the bbox {repr(row['bbox'])[:40]} and the area {repr(row.get('area'))[:40]}"
    if row.get("segmentation") is not None and (problem := problem_of_segmentation(row["segmentation"])):
        return f"has a segmentation that {problem}"
    if row.get("keypoints") is not None and (problem := problem_of_keypoints(row["keypoints"], 3 * len(joints or ()))):
        return f"has keypoints that {problem}"
    return None


def plain_record(row):
    """A record as the file has it, polygons as lists of numbers."""
    if not isinstance(row.get("segmentation"), list):
        return dict(row)
    return {**row, "segmentation": [list(polygon) for polygon in row["segmentation"]]}


def pack(row):
    """Called on every object while the file is parsed: polygons become arrays of float64 before the next is read."""
    segmentation = row.get("segmentation")
    if isinstance(segmentation, list):
        # what is no polygon stays: the check of the records says so, and of which
        with contextlib.suppress(TypeError, OverflowError, struct.error):
            row["segmentation"] = [_numbers(polygon) for polygon in segmentation]
    return row


def _numbers(polygon):
    if not isinstance(polygon, list):
        return array("d", polygon)
    return array("d", struct.pack(f"{len(polygon)}d", *polygon))  # a fifth of the time that array takes by itself


def problem_of_segmentation(segmentation):
    """What is wrong with a segmentation as far as it shows without decoding: str, or None."""
    if isinstance(segmentation, dict):
        return None if {"size", "counts"} <= set(segmentation) else "is a run-length code without 'size' or 'counts'"
    if not isinstance(segmentation, list):
        return f"is a {type(segmentation).__name__}, neither a list of polygons nor a run-length code"
    for polygon in segmentation:
        if not isinstance(polygon, array):
            return "is not a list of polygons [x, y, x, y, ...]"
        if len(polygon) % 2:
            return f"has a polygon with an odd number of coordinates, {len(polygon)}"
        if not math.isfinite(sum(polygon)):
            return "has a coordinate that is not finite"
        if polygon and not -FARTHEST <= min(polygon) <= max(polygon) <= FARTHEST:
            return f"has the coordinate {max(polygon, key=abs):g}, beyond any image"
    return None


def problem_of_keypoints(keypoints, length):
    if not isinstance(keypoints, list) or len(keypoints) != length:
        found = len(keypoints) if isinstance(keypoints, list) else type(keypoints).__name__
        return f"are not {length} numbers x, y, visibility of {length // 3} joints, but {found}"
    try:
        return None if math.isfinite(sum(keypoints)) else "have a coordinate that is not finite"
    except TypeError:
        return "are not all numbers"


def is_box(box):
    try:
        x, y, width, height = box
        return math.isfinite(x + y) and is_size(width) and is_size(height)
    except (TypeError, ValueError):
        return False


def is_size(number):
    return isinstance(number, int | float) and 0 <= number < math.inf
