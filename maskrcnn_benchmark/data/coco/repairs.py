"""What is mended in a file in COCO's layout, and what is only told of: each kind at one place, for whoever reads it."""

import contextlib
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from maskrcnn_benchmark.data.coco.records import is_size, pack, problem_of_segmentation
from maskrcnn_benchmark.data.image_file import is_elsewhere
from maskrcnn_benchmark.data.preparation.check_kinds import IMAGE_BACKSLASH, KEPT, REPAIRED, Kind
from maskrcnn_benchmark.data.preparation.check_values import is_text, shown
from maskrcnn_benchmark.data.preparation.problems import Problem
from maskrcnn_benchmark.structures.empty_masks import encloses_nothing
from maskrcnn_benchmark.structures.run_length import RunLengths
from maskrcnn_benchmark.utils.errors import UserError

ID = Kind("id is written as a decimal fraction", REPAIRED)
CROWD = Kind("iscrowd is not 0 or 1", REPAIRED)
AREA = Kind("area is no number of pixels", REPAIRED)
NO_BOX = Kind("bbox is missing, so that of the mask is taken", REPAIRED)
NO_SHAPE = Kind("segmentation is empty, and neither a list nor a run-length code", REPAIRED)
MASK_SIZE = Kind("size of a run-length code is not written in whole numbers", REPAIRED)
IMAGE_SIZE = Kind("width or height is not written as a whole number", REPAIRED)
WITHOUT_MASK = Kind("segmentation encloses nothing, so its object has a box and no mask", KEPT)
SOME_WITHOUT = Kind("annotations have no segmentation, while others of the file have, so they have no mask", KEPT)
ELSEWHERE = Kind("file name is an address or a path on Windows, of which what the images' folder has is read", KEPT)
SAME_NAME = Kind("categories have the same name, and are two classes", KEPT)
ROOT = Kind("category without annotations is only the supercategory of others, and yet a class", KEPT)
FEDERATED = Kind("LVIS: categories that nobody looked for on an image are background there", KEPT)

# What was found: kinds, each with the value at fault in words
Found = list[tuple[Kind, str]]

_LARGEST_ID = 2.0**53  # up to which a decimal fraction holds every whole number
_PLAIN, _SHAPES = {int}, (list, type(None))
_CROWDS = {"0": 0, "1": 1, "false": 0, "true": 1}


def mend_record(row: dict[str, Any]) -> Found:
    """Mend an annotation in place, as far as it is plain what is meant."""
    crowd, segmentation = row.get("iscrowd", 0), row.get("segmentation")
    types = {type(row.get("id")), type(row.get("image_id")), type(row.get("category_id")), type(crowd)}
    is_plain = types == _PLAIN and 0 <= crowd <= 1 and type(segmentation) in _SHAPES and is_size(row.get("area", 0))
    if is_plain and row.get("bbox") is not None:
        return []  # so it nearly always is, and a file has a million of them
    found = _mend_ids(row, ("id", "image_id", "category_id"))
    if type(crowd) is not int or not 0 <= crowd <= 1:
        row["iscrowd"] = _crowd_of(crowd)
        found.append((CROWD, f"{shown(crowd)}, now {row['iscrowd']}"))
    if not is_size(row.get("area", 0)):
        area = row.pop("area")
        if isinstance(area, str) and is_size(_number_of(area)):
            row["area"] = _number_of(area)
        found.append((AREA, f"{shown(area)}, now {row.get('area', 'that of its box')}"))
    if segmentation is not None and _is_nothing(segmentation):
        row["segmentation"] = []
        found.append((NO_SHAPE, shown(segmentation)))
    elif type(segmentation) is dict and isinstance(segmentation.get("size"), list):
        size = list(map(_whole, segmentation["size"]))
        if list(map(type, size)) != list(map(type, segmentation["size"])):
            found.append((MASK_SIZE, f"{shown(segmentation['size'])}, now {shown(size)}"))
            row["segmentation"] = {**segmentation, "size": size}
    if row.get("bbox") is None and (box := _box_of(row.get("segmentation"))):
        row["bbox"] = box
        found.append((NO_BOX, f"now {shown(box)}"))
    return found


def mend_image(row: dict[str, Any]) -> Found:
    """Mend an image's row in place, and tell of its file name."""
    found = _mend_ids(row, ("id",))
    for side in ("width", "height"):
        if type(row.get(side)) is not int:
            _replace(row, side, _whole(row.get(side)), IMAGE_SIZE, found)
    name = row.get("file_name")
    if isinstance(name, str) and is_elsewhere(name):
        found.append((ELSEWHERE, shown(name)))
    elif isinstance(name, str) and "\\" in name:
        found.append((IMAGE_BACKSLASH, shown(name)))
    return found


def mend_category(row: dict[str, Any]) -> Found:
    """Mend a category's row in place."""
    return _mend_ids(row, ("id",))


MENDERS = {"annotations": mend_record, "images": mend_image, "categories": mend_category}


def is_changed(found: Found) -> bool:
    """Whether a row is another one than the file has."""
    return any(kind.action == REPAIRED for kind, _ in found)


def has_no_mask(row: Mapping[str, Any], size: tuple[int, int] | None) -> bool:
    """Whether the segmentation of a record that has one encloses nothing of its image of `size` (width, height)."""
    return row.get("segmentation") is not None and encloses_nothing(row["segmentation"], size)


def problems_of(found: Found, where: str, image_id: Any = None) -> list[Problem]:
    """What was found of a row, for the list of problems."""
    return [
        Problem(kind.what, f"{where} ({value})" if value else where, kind.action, image_id) for kind, value in found
    ]


def some_without_mask(number: int, first: str) -> Problem:
    """The `Problem` of annotations without a segmentation in a file that has some: how many, and which is the first."""
    more = f" and {number - 1} more" if number > 1 else ""
    return Problem(SOME_WITHOUT.what, f"{first}{more}", SOME_WITHOUT.action)


def problems_of_tables(first: Mapping[str, Any], categories: Iterable[dict[str, Any]], used: Collection) -> Iterable:
    """Yields the `Problem`s that only show once a file's tables are read.

    Args:
        first: the first image's row, {} without any.
        categories: all rows of categories.
        used: ids of the categories that occur in the annotations.
    """
    rows = list(categories)
    by_name: dict[str, list[Any]] = {}
    for row in rows:
        by_name.setdefault(row["name"].strip(), []).append(row["id"])
    for name, ids in by_name.items():
        if len(ids) > 1:
            unused = ", ".join(f"{shown(key)} has no annotation" for key in ids if key not in used)
            ids_text = " and ".join(map(shown, ids))
            text = f"categories {ids_text}, both {shown(name)}" if len(ids) == 2 else f"{ids_text}, all {shown(name)}"
            yield Problem(SAME_NAME.what, f"{text}{unused and f'; {unused}: remove it'}", SAME_NAME.action)
    above = {row["supercategory"] for row in rows if is_text(row.get("supercategory")) and not _is_its_own(row)}
    for row in rows:
        if row["name"] in above and row["id"] not in used:
            where = (
                f"category {shown(row['id'])}, {shown(row['name'])}, as Roboflow writes its root: one class more and "
                'the labels of the others shifted by one; to drop it, remove it from "categories"'
            )
            yield Problem(ROOT.what, where, ROOT.action)
    if "neg_category_ids" in first:
        where = f"neg_category_ids of image {shown(first.get('id'))}; AP here is COCO's, not LVIS's"
        yield Problem(FEDERATED.what, where, FEDERATED.action)


def _is_nothing(segmentation):
    """Whether it is what stands for no segmentation in some files: {}, "" or a run-length code without runs."""
    if isinstance(segmentation, dict) and "counts" in segmentation:
        return not segmentation["counts"]
    return not segmentation and not isinstance(segmentation, list)


def _is_its_own(row):
    return row["supercategory"] == row["name"]


def _mend_ids(row, keys):
    found: Found = []
    for key in keys:
        value = row.get(key)
        if type(value) is float and abs(value) <= _LARGEST_ID and value.is_integer():
            _replace(row, key, int(value), ID, found)
    return found


def _replace(row, key, value, kind, found):
    """Put a value into a row if it is of another type than what is there."""
    if type(value) is not type(row.get(key)):
        found.append((kind, f"{key} {shown(row[key])}, now {shown(value)}"))
        row[key] = value


def _box_of(segmentation):
    """[x, y, width, height] of a sound segmentation that encloses something, else None."""
    shape = pack({"segmentation": segmentation})["segmentation"]
    if not shape or problem_of_segmentation(shape):
        return None
    if isinstance(shape, dict):
        with contextlib.suppress(UserError):
            height, width = shape["size"]
            x1, y1, x2, y2 = RunLengths([shape], (width, height), str).bounding_boxes()[0].tolist()
            return [x1, y1, x2 - x1 + 1, y2 - y1 + 1] if x1 >= 0 else None
        return None
    xs, ys = ([number for polygon in shape for number in polygon[axis::2]] for axis in (0, 1))
    return [min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)] if xs else None


def _crowd_of(value):
    if isinstance(value, str):
        return _CROWDS.get(value.strip().lower(), 0)
    return int(type(value) in (bool, float) and value == 1)


def _whole(value):
    """The whole number that 96.0 and "96" stand for; the value itself where it stands for none."""
    number = _number_of(value) if isinstance(value, str) else value
    if type(number) is float and abs(number) <= _LARGEST_ID and number.is_integer():
        return int(number)
    return value


def _number_of(text):
    """The float that a short text of plain digits stands for, else the text."""
    try:
        return float(text) if len(text) <= 20 and set(text) <= set(" +-.0123456789") else text
    except ValueError:
        return text
