"""Stored predictions as the prediction that drawing functions take."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from pycocotools import mask as coco_mask

from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.image_prediction import ImagePrediction
from maskrcnn_benchmark.structures.resampling import resize_nearest
from maskrcnn_benchmark.structures.vocabulary import Vocabulary

# Objects of an image that are made into bitmaps: the best so many, more than any picture shows
MOST_OBJECTS = 100


class LabelMap:
    """One label per pixel in the place of a `ScoreMap`: it becomes scores only where somebody looks at them.

    Args:
        labels: uint8 [H, W].
        channels: how many labels there are.
    """

    stride = 1

    def __init__(self, labels: torch.Tensor, channels: int) -> None:
        self.labels = labels
        self.channels = channels

    @property
    def size(self) -> tuple[int, int]:
        """(width, height)."""
        return self.labels.shape[1], self.labels.shape[0]

    @property
    def scores(self) -> torch.Tensor:
        """uint8 [C, H, W], 1 at each pixel's label."""
        planes = torch.arange(self.channels, dtype=torch.uint8, device=self.labels.device)
        return (self.labels[None] == planes[:, None, None]).to(torch.uint8)

    def resize(self, size: tuple[int, int]) -> "LabelMap":
        """The map at (width, height); each pixel takes the label at its centre."""
        return LabelMap(resize_nearest(self.labels, size), self.channels)

    def to(self, device: torch.device | str) -> "LabelMap":
        """The map on another device."""
        return LabelMap(self.labels.to(device), self.channels)


def to_prediction(
    stored: Mapping[str, Any],
    size: tuple[int, int],
    vocabulary: Vocabulary,
    tasks: Iterable,
) -> ImagePrediction:
    """The prediction that stored predictions of an image stand for, to be drawn.

    Lists of objects of several tasks need not speak of the same objects. Objects are those of the first task that has
    a list; those of another join in where they are among them in the same order, and are left out otherwise.

    Args:
        stored: {task key: stored}.
        size: (width, height) of the image.
        vocabulary: the `Vocabulary` of the data set.
        tasks: the tasks (`tasks.task.Task`) that are wanted of these.

    Returns:
        `ImagePrediction` of the image's size; objects are the best 100, with the fields of all tasks that joined.
    """
    given = {task.key: task for task in tasks if task.key in stored}
    lists = {key: stored[key] for key, task in given.items() if task.per == "region" and isinstance(stored[key], list)}
    rows, joined = _join(lists) if lists else ([], ())
    prediction = ImagePrediction(size)
    for key in joined:
        boxes = given[key].decode(rows, size, vocabulary)
        if prediction.instances is None:
            prediction.instances = boxes
        for field in boxes.fields():
            prediction.instances.add_field(field, boxes.get_field(field))
    for key, task in given.items():
        if key not in lists:
            prediction.outputs[key] = task.decode(stored[key], size, vocabulary)
    return prediction


def decode_objects(
    rows: Sequence[Mapping],
    size: tuple[int, int],
    box: Callable[[Mapping], Sequence[float]] | None = None,
    **fields: Callable[[Sequence[Mapping], tuple[int, int]], Any],
) -> BoxList:
    """Stored rows as objects: the best 100, best first, with labels and scores.

    Args:
        rows: list of {"category_id": label, "score", "bbox": [x, y, width, height], ...}.
        size: (width, height) of the image.
        box: function of a row without "bbox" to [x, y, width, height].
        fields: for each further field of the `BoxList` a function of (the chosen rows, size) that makes it. A row of
            an object that another task found lacks what this one's rows have.
    """
    order = sorted(range(len(rows)), key=lambda i: -rows[i]["score"])[:MOST_OBJECTS]
    chosen = [rows[i] for i in order]
    extents = [row["bbox"] if "bbox" in row or box is None else box(row) for row in chosen]
    corners = [[x, y, x + width - 1, y + height - 1] for x, y, width, height in extents]
    boxes = BoxList(torch.tensor(corners, dtype=torch.float32).reshape(-1, 4), size, mode="xyxy")
    boxes.add_field("labels", torch.tensor([row["category_id"] for row in chosen], dtype=torch.int64))
    boxes.add_field("scores", torch.tensor([row["score"] for row in chosen], dtype=torch.float32))
    for name, make in fields.items():
        boxes.add_field(name, make(chosen, size))
    return boxes


def bitmaps(codes: Sequence[Mapping | None], size: tuple[int, int]) -> torch.Tensor:
    """Run lengths with their counts as bytes, or None for no pixel: uint8 [N, 1, H, W]."""
    width, height = size
    masks = torch.zeros((len(codes), 1, height, width), dtype=torch.uint8)
    there = [place for place, code in enumerate(codes) if code is not None]
    if there:
        decoded = coco_mask.decode([codes[place] for place in there])
        masks[there, 0] = torch.from_numpy(np.ascontiguousarray(decoded.transpose(2, 0, 1)))
    return masks


def _join(lists):
    """(rows of the first list with what the same objects have in the others, keys of the lists that joined)."""
    (first, lead), *others = lists.items()
    rows, joined = [dict(row) for row in lead], [first]
    for key, more in others:
        places = _places(lead, more)
        if places is not None:
            joined.append(key)
            for place, row in zip(places, more):
                rows[place] = {**row, **rows[place]}
    return rows, joined


def _places(lead, rows):
    """Where each row's object is in a list, in the same order; None where one is not."""
    places, place = [], 0
    for row in rows:
        while place < len(lead) and _identity(lead[place]) != _identity(row):
            place += 1
        if place == len(lead):
            return None
        places.append(place)
        place += 1
    return places


def _identity(row):
    return row["category_id"], row["score"]
