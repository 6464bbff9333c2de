"""Annotated and predicted objects of one image: from rows of COCO's files to arrays."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from pycocotools import mask as rle

from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.utils.errors import UserError

# Field with the rows of a file in COCO's layout that the boxes were read from: list of dict
FILE_ROWS = "coco_records"


@dataclass(frozen=True, slots=True)
class Objects:
    """The annotated objects of one image.

    Attributes:
        labels: int32 [G].
        boxes: float64 [G, 4], x, y, width, height in pixels.
        areas: float64 [G], square pixels.
        crowd: bool [G], a region of many objects.
        ignored: bool [G], need not be found: crowds and, where keypoints are asked for, persons without any.
        unnamed: bool [G], the file gives the object the id 0, which pycocotools takes for "no object": what finds it
            counts as wrong there, so also here.
        values: what is compared beside boxes, or None: list of G run lengths, or keypoints float64 [G, J, 3].
        without_area: how many the file gives no area, so that theirs are those of their boxes.
    """

    labels: np.ndarray
    boxes: np.ndarray
    areas: np.ndarray
    crowd: np.ndarray
    ignored: np.ndarray
    unnamed: np.ndarray
    values: object = None
    without_area: int = 0


def objects_of_rows(rows: Sequence[dict], labels: Sequence[int] | np.ndarray) -> Objects:
    """The `Objects` of a file's rows, as pycocotools reads them.

    Args:
        rows: list of dictionaries with "bbox" and, where known, "area", "iscrowd", "id".
        labels: [G], our labels of their categories.
    """
    crowd = np.array([bool(row.get("iscrowd", 0)) for row in rows], bool)
    return Objects(
        np.asarray(labels, np.int32),
        np.array([row["bbox"] for row in rows], np.float64).reshape(-1, 4),
        np.array([row_area(row) for row in rows], np.float64),
        crowd,
        crowd,
        np.array([row.get("id") == 0 for row in rows], bool),
        without_area=sum("area" not in row for row in rows),
    )


def objects_of_boxes(boxlist: BoxList, areas: Sequence[float] | np.ndarray) -> Objects:
    """The `Objects` of an annotated BoxList with labels and, where known, iscrowd; areas are given, [G]."""
    count = len(boxlist)
    crowd = np.zeros(count, bool)
    if boxlist.has_field("iscrowd"):
        crowd = boxlist.get_field("iscrowd").cpu().numpy().astype(bool)
    labels = boxlist.get_field("labels").cpu().numpy().astype(np.int32) if count else np.zeros(0, np.int32)
    return Objects(labels, xywh(boxlist), np.asarray(areas, np.float64), crowd, crowd, np.zeros(count, bool))


def predicted_rows(boxlist: BoxList, key: str, values: Iterable) -> list[dict]:
    """Rows of predicted objects with labels and scores: list of {"category_id", key: value, "score"}."""
    labels, scores = boxlist.get_field("labels").tolist(), boxlist.get_field("scores").tolist()
    return [{"category_id": label, key: value, "score": score} for label, value, score in zip(labels, values, scores)]


def row_area(row: dict) -> float:
    """A row's area in square pixels, its box's where the row has none."""
    return row["area"] if "area" in row else row["bbox"][2] * row["bbox"][3]


def annotated_areas(instances: BoxList) -> list[float]:
    """Sizes of annotated objects: the file's own where it is known, else the masks', else the boxes': list of float."""
    if instances.has_field(FILE_ROWS):
        return [float(row_area(row)) for row in instances.get_field(FILE_ROWS)]
    masks = bitmaps(instances)
    return (instances.area().cpu().numpy() if masks is None else masks.sum(axis=(1, 2))).astype(float).tolist()


def xywh(boxlist: BoxList) -> np.ndarray:
    """Boxes as COCO has them: float64 [N, 4] x, y, width, height, where inclusive corners make x2 - x1 + 1 wide."""
    boxes = boxlist.convert("xyxy").bbox.detach().cpu().double().numpy()
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2] + 1], axis=1)


def bitmaps(instances: BoxList) -> np.ndarray | None:
    """The instances' masks as uint8 [N, H, W], or None where they have no masks."""
    if not instances.has_field("masks"):
        return None
    width, height = instances.size
    return instances.get_field("masks").get_mask_tensor().cpu().numpy().reshape(len(instances), height, width)


def encode(masks: np.ndarray) -> list[dict]:
    """Run lengths of masks [N, H, W]: list of N dictionaries."""
    if len(masks) == 0:
        return []
    return rle.encode(np.asfortranarray(masks.transpose(1, 2, 0), dtype=np.uint8))


def run_lengths(segmentation: list | dict, size: Sequence[int]) -> dict:
    """The run length of a file's polygons, or of its run length in either form.

    Args:
        segmentation: list of polygons, or {"size", "counts": list, str or bytes}.
        size: (width, height) of the image.
    """
    width, height = size
    if isinstance(segmentation, list):
        return rle.merge(rle.frPyObjects(segmentation, height, width))
    if isinstance(segmentation["counts"], list):
        return rle.frPyObjects(segmentation, height, width)
    return segmentation


def labels_and_scores(rows: Sequence[dict], where: str) -> tuple[np.ndarray, np.ndarray]:
    """(int32 [N], float64 [N]) of predicted rows; raises `UserError`, `where` says of which image."""
    return numbers(rows, "category_id", (), where).astype(np.int32), numbers(rows, "score", (), where)


def numbers(rows: Sequence[dict], key: str, shape: tuple[int, ...], where: str) -> np.ndarray:
    """What predicted rows have under a key, as float64 [N, *shape].

    Raises:
        UserError: a row lacks the key or has not that many finite numbers there.
    """
    try:
        values = np.array([row[key] for row in rows], np.float64).reshape(len(rows), *shape)
        if np.isfinite(values).all():
            return values
    except (KeyError, TypeError, ValueError):
        pass
    wrong = next(place for place, row in enumerate(rows) if not _is_numbers(row, key, shape))
    want = f"{int(np.prod(shape))} finite numbers" if shape else "a finite number"
    raise UserError(f"{where}: prediction {wrong} needs {want} as {key!r}, not {rows[wrong].get(key)!r}")


def predicted_masks(rows: Sequence[dict], size: Sequence[int], where: str) -> list[dict]:
    """The run lengths of predicted rows, codes as bytes: list of N.

    Raises:
        UserError: a row has none, or one that is not of the image's size (width, height).
    """
    codes = []
    for place, row in enumerate(rows):
        code = row.get("segmentation")
        if not isinstance(code, dict) or not isinstance(code.get("counts"), (str, bytes)):
            raise UserError(f"{where}: prediction {place} needs a compressed run length as 'segmentation'")
        if list(code["size"]) != [size[1], size[0]]:
            raise UserError(
                f"{where}: the mask of prediction {place} is of {list(code['size'])} (height, width), the image of "
                f"{[size[1], size[0]]}"
            )
        counts = code["counts"]
        codes.append({"size": code["size"], "counts": counts.encode() if isinstance(counts, str) else counts})
    return codes


def _is_numbers(row, key, shape):
    try:
        values = np.array(row[key], np.float64)
    except (KeyError, TypeError, ValueError):
        return False
    return values.shape == tuple(shape) and bool(np.isfinite(values).all())
