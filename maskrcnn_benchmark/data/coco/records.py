"""The rows of a file in COCO's layout: what they mean, and what makes one useless."""

import contextlib
import math
import struct
from array import array
from collections.abc import Container, Iterable
from typing import Any

from PIL import Image

from maskrcnn_benchmark.data.coco.keypoints import FileKeypoints, number_labelled
from maskrcnn_benchmark.data.preparation.check_values import is_text, shown
from maskrcnn_benchmark.structures.keypoint import COCO_JOINTS, JointSet

# Coordinates of polygons in pixels: filling one takes memory in proportion to its outline, also outside of the image
FARTHEST = 1e6
# Coordinates of boxes in pixels: beyond any image that can be decoded, and its surroundings
FARTHEST_BOX = 2**18
_LARGEST_AREA = 1e12
# An image with fewer labelled of COCO's 17 in all is no use for training keypoints (Detectron's rule)
MIN_VISIBLE_KEYPOINTS = 10


# What training can learn from an image, as the column "valid" of an index has it
NOTHING, ANYTHING, NO_KEYPOINTS = 0, 1, 2
_NOT_YET = object()


class ImageUse:
    """Whether training can learn from an image, found out record by record: the original library's rule.

    One of them has a box that is wider and higher than a pixel and, if the first has keypoints, all together have at
    least 10 that are labelled of COCO's 17, or as great a share of another number. Only learning keypoints asks for
    the latter.
    """

    __slots__ = ("_first", "_visible", "_wide")

    def __init__(self) -> None:
        self._wide, self._visible = False, 0
        self._first: Any = _NOT_YET  # category of the first record if it has keypoints, else None

    def add(self, record: dict[str, Any]) -> None:
        """Take a record of the image into account, in file order; its keypoints are sound."""
        self._wide = self._wide or min(record["bbox"][2:]) > 1
        if self._first is _NOT_YET:
            self._first = record["category_id"] if record.get("keypoints") else None
        if self._first is not None:
            self._visible += number_labelled(record)

    def code(self, keypoints: FileKeypoints) -> int:
        """`NOTHING`, `ANYTHING`, or `NO_KEYPOINTS` for an image that only the limit of keypoints keeps from use."""
        if not self._wide:
            return NOTHING
        limited = self._first in keypoints.categories and self._visible < least_keypoints(keypoints.joints)
        return NO_KEYPOINTS if limited else ANYTHING


def least_keypoints(joints: JointSet | None) -> int:
    """How many labelled keypoints an image needs for training to learn keypoints from it: a share of the skeleton."""
    return math.ceil(MIN_VISIBLE_KEYPOINTS * len(joints or ()) / len(COCO_JOINTS))


def use_of(records: Iterable[dict[str, Any]], keypoints: FileKeypoints) -> int:
    """What training can learn from an image with these records, see `ImageUse.code`."""
    use = ImageUse()
    for record in records:
        use.add(record)
    return use.code(keypoints)


def problem_of_image(row: dict[str, Any]) -> str | None:
    """What is wrong with an image's row, in words that follow "it": str, or None."""
    for key in ("width", "height"):
        if type(row.get(key)) is not int or row[key] < 1:
            return f"has the {key} {shown(row.get(key))}"
    if Image.MAX_IMAGE_PIXELS is not None and row["width"] * row["height"] > Image.MAX_IMAGE_PIXELS:
        return f"has more pixels than PIL's limit of {Image.MAX_IMAGE_PIXELS} against decompression bombs"
    return None if file_name_of(row) else "has no file_name"


def is_name(value: Any) -> bool:
    """Whether it is text that can name a category: some that is not only spaces."""
    return is_text(value) and not value.isspace()


def file_name_of(row: dict[str, Any]) -> str | None:
    """The file name of an image: of its own, or the last part of the address where it can be fetched; or None."""
    if "file_name" in row:
        return row["file_name"] if is_text(row["file_name"]) and "\0" not in row["file_name"] else None
    return row["coco_url"].rsplit("/", 1)[-1] if isinstance(row.get("coco_url"), str) else None


def other_type(key: Any, table: Container) -> str:
    """Words for an id that is not in a table of ids, but is there as a text or as a number; else ""."""
    other: int | str | None = None
    if isinstance(key, str) and key.isascii() and key.isdigit() and len(key) < 20:
        other = int(key)
    elif type(key) is int:
        other = str(key)
    if other is None or other not in table:
        return ""
    return f" (it is {shown(key)} here and {shown(other)} there: make both numbers or both texts)"


def problem_of_annotation(row: dict, images: Container, categories: Container) -> str | None:
    """What makes a record useless, in words that follow "it": str, or None. Its keypoints are another matter.

    Args:
        row: the record, after `pack`.
        images, categories: tables by id.
    """
    missing = next((key for key in ("id", "image_id", "category_id", "bbox") if row.get(key) is None), None)
    if missing:
        return f"has no {missing!r}"
    if row["image_id"] not in images:
        return "is of an image that is not listed"
    label = row["category_id"]
    if type(label) not in (int, str) or label not in categories:
        return f"has category {shown(label)}, which is not listed{other_type(label, categories)}"
    if type(row["id"]) not in (int, str):
        return f"has the id {shown(row['id'])}"
    if not is_box(row["bbox"]):
        return f"has the bbox {shown(row['bbox'])}"
    if row.get("segmentation") is not None and (problem := problem_of_segmentation(row["segmentation"])):
        return f"has a segmentation that {problem}"
    return None


def plain_record(row: dict[str, Any]) -> dict[str, Any]:
    """A record as the file has it, polygons as lists of numbers."""
    if not isinstance(row.get("segmentation"), list):
        return dict(row)
    return {**row, "segmentation": [list(polygon) for polygon in row["segmentation"]]}


def pack(row: dict[str, Any]) -> dict[str, Any]:
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


def problem_of_segmentation(segmentation: Any) -> str | None:
    """What is wrong with a segmentation as far as it shows without decoding: str, or None."""
    if isinstance(segmentation, dict):
        return _problem_of_code(segmentation)
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


def _problem_of_code(code):
    """What is wrong with a run-length code, whatever its image is."""
    if not {"size", "counts"} <= set(code):
        return "is a run-length code without 'size' or 'counts'"
    size, counts = code["size"], code["counts"]
    if not isinstance(size, list) or len(size) != 2 or any(type(side) is not int or side < 1 for side in size):
        return f"is a run-length code of the size {shown(size)}, not [height, width]"
    pixels = size[0] * size[1]
    if Image.MAX_IMAGE_PIXELS is not None and pixels > Image.MAX_IMAGE_PIXELS:
        return f"is a run-length code of {size[1]}x{size[0]} pixels, more than PIL's limit of {Image.MAX_IMAGE_PIXELS}"
    if isinstance(counts, list):
        sound = all(type(count) is int and 0 <= count <= pixels for count in counts)
        return None if sound else f"is a run-length code whose counts are not lengths of up to {pixels} pixels"
    if not isinstance(counts, str) or not counts.isascii():
        return f"is a run-length code with the counts {shown(counts)}, neither a list nor COCO's text"
    return None


def is_box(box: Any) -> bool:
    """Whether it is [x, y, width, height] of numbers that a box on or about an image can have."""
    if not isinstance(box, list) or len(box) != 4 or not {int, float}.issuperset(map(type, box)):
        return False
    return all(-FARTHEST_BOX <= number <= FARTHEST_BOX for number in box) and min(box[2:]) >= 0


def is_size(number: Any) -> bool:
    """Whether it is a number that an area can be."""
    return type(number) in (int, float) and 0 <= number <= _LARGEST_AREA
