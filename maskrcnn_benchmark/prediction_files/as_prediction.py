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
    """One label per pixel in the place of a `ScoreMap`: its scores are computed lazily.

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
    a list; the fields of another join in where it has the same labels and scores in the same order.

    Args:
        stored: {task key: stored}.
        size: (width, height) of the image.
        vocabulary: the `Vocabulary` of the data set.
        tasks: the tasks (`tasks.task.Task`) that are wanted of these.

    Returns:
        `ImagePrediction` of the image's size.
    """
    prediction = ImagePrediction(size)
    for task in tasks:
        output = task.decode(stored[task.key], size, vocabulary) if task.key in stored else None
        objects = prediction.instances
        if not isinstance(output, BoxList):
            if output is not None:
                prediction.outputs[task.key] = output
            continue
        named = output.get_field("labels") <= len(vocabulary.thing_names)
        output = output if named.all() else output[named]  # regions of other classes have no name as objects
        if objects is None:
            prediction.instances = output
        elif all(torch.equal(output.get_field(name), objects.get_field(name)) for name in ("labels", "scores")):
            for field in output.fields():
                objects.add_field(field, output.get_field(field))
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
        fields: for each further field of the `BoxList` a function of (the chosen rows, size) that makes it.
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


def bitmaps(codes: Sequence[Mapping], size: tuple[int, int]) -> torch.Tensor:
    """Run lengths with their counts as bytes: uint8 [N, 1, H, W]."""
    if not codes:
        return torch.zeros((0, 1, size[1], size[0]), dtype=torch.uint8)
    return torch.from_numpy(np.ascontiguousarray(coco_mask.decode(list(codes)).transpose(2, 0, 1)[:, None]))
