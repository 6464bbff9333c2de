"""A list of the orders of occlusion of images: objects with masks, and which of them are in front of which."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from maskrcnn_benchmark.prediction_files.layout import FileNames
from maskrcnn_benchmark.prediction_files.lists import (
    ListFile,
    PredictionList,
    Rows,
    check_code,
    is_number,
    member,
    plain_code,
)
from maskrcnn_benchmark.prediction_files.row_file import shown
from maskrcnn_benchmark.structures.computed import Computed
from maskrcnn_benchmark.structures.occlusion_order import OcclusionOrder
from maskrcnn_benchmark.structures.vocabulary import Vocabulary


class OrderFile(ListFile):
    """Orders of occlusion, an entry an image: {"image_id", "objects", "order"}.

    "objects" is a list of {"category_id", "score", "segmentation"}, "order" one of [i, j, votes]: of the objects,
    counted from 0, i is in front of j.

    Stored and held is the entry without the image, with labels for category ids and the counts of run lengths as bytes.
    """

    is_one_per_image = True
    has_size = True

    def hold(self, output: Computed[OcclusionOrder]) -> dict[str, Any]:
        order = output.value
        columns = order.labels.tolist(), order.scores.tolist(), _codes(order.masks)
        objects = [{"category_id": label, "score": score, "segmentation": code} for label, score, code in zip(*columns)]
        pairs = np.argwhere(order.in_front).tolist()
        return {"objects": objects, "order": [[i, j, float(order.votes[i, j])] for i, j in pairs]}

    def rows(self, image: int | str, held: Any, names: FileNames) -> list[dict]:
        objects = [
            {
                "category_id": names.category_ids.get(row["category_id"], row["category_id"]),
                "score": row["score"],
                "segmentation": plain_code(row["segmentation"]),
            }
            for row in held["objects"]
        ]
        return [{"image_id": image, "objects": objects, "order": held["order"]}]

    def check(self, row: Mapping, index: int, opened: PredictionList) -> None:
        objects, order = member(row, "objects"), member(row, "order")
        for name, value in (("objects", objects), ("order", order)):
            if not isinstance(value, list):
                raise ValueError(f"has the {name} {shown(value)}; it must be a list")
        for number, each in enumerate(objects):
            try:
                if not isinstance(each, dict):
                    raise ValueError(f"is {shown(each)}; it must be an object")
                opened.label(each)
                if not is_number(member(each, "score")):
                    raise ValueError(f"has the score {shown(each['score'])}; it must be a finite number")
                check_code(member(each, "segmentation"), opened.names.sizes[index], "segmentation")
            except ValueError as error:
                raise ValueError(f"is wrong: its object {number} {error}") from None
        seen = set()
        for pair in order:
            if not _is_pair(pair, len(objects)):
                raise ValueError(
                    f"has {shown(pair)} in its order; it must be [i, j, votes]: two of its {len(objects)} objects, "
                    "counted from 0, of which i is in front of j, and a number above 0"
                )
            if (pair[0], pair[1]) in seen:
                raise ValueError(f"has {pair[:2]} in its order twice; keep one")
            seen.add((pair[0], pair[1]))

    def read(self, rows: Rows, index: int, opened: PredictionList) -> dict[str, Any] | None:
        """None for an image without an entry, which is one that is not annotated for the task."""
        if not rows:
            return None
        number, row = rows[0]
        codes = [each["segmentation"] for each in row["objects"]]
        _, codes = opened.codes(index, codes, [number] * len(codes))
        objects = [
            {"category_id": opened.label(each), "score": float(each["score"]), "segmentation": code}
            for each, code in zip(row["objects"], codes)
        ]
        return {"objects": objects, "order": [[i, j, float(votes)] for i, j, votes in row["order"]]}

    def decode(self, held: Any, size: tuple[int, int], vocabulary: Vocabulary) -> Computed[OcclusionOrder]:
        """The order of the entry's own objects; votes that did not suffice are not in it."""
        return Computed(lambda: _order_of(held, size), size)


def _codes(masks):
    return coco_mask.encode(np.asfortranarray(masks.transpose(1, 2, 0), np.uint8)) if len(masks) else []


def _is_pair(pair, count):
    if not isinstance(pair, list) or len(pair) != 3 or not is_number(pair[2]) or pair[2] <= 0:
        return False
    i, j = pair[:2]
    return type(i) is int and type(j) is int and 0 <= i < count and 0 <= j < count and i != j


def _order_of(held, size):
    objects = held["objects"]
    count = len(objects)
    votes = np.zeros((count, count))
    for i, j, number in held["order"]:
        votes[i, j] = number
    masks = np.zeros((count, size[1], size[0]), bool)
    if count:
        masks[:] = coco_mask.decode([row["segmentation"] for row in objects]).transpose(2, 0, 1)
    return OcclusionOrder(
        np.arange(count),
        np.array([row["category_id"] for row in objects], np.int64),
        np.array([row["score"] for row in objects], np.float64),
        masks,
        votes,
        votes > 0,
    )
