"""Objects as a user of a network gets them: boxes, scores and names, best first."""

from dataclasses import dataclass
from typing import Any, TypeVar

import torch

from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.vocabulary import Vocabulary

Kind = TypeVar("Kind", bound="Objects")


@dataclass(frozen=True)
class Objects:
    """Detected objects, best first.

    Attributes:
        boxes: float [N, 4], x1, y1, x2, y2 in pixels of the image, the last pixel included.
        scores: float [N].
        labels: int64 [N], 1..K; `names[i]` is the class of object i.
        names: list of N str.
    """

    boxes: torch.Tensor
    scores: torch.Tensor
    labels: torch.Tensor
    names: list[str]

    def __len__(self) -> int:
        return len(self.names)

    @classmethod
    def of(cls: type[Kind], boxes: BoxList, vocabulary: Vocabulary, **more: Any) -> Kind:
        """The objects of a `BoxList` with scores and labels, in its order; `more` are a subclass's attributes."""
        labels = boxes.get_field("labels")
        names = [vocabulary.thing_names[label - 1] for label in labels.tolist()]
        return cls(boxes.convert("xyxy").bbox, boxes.get_field("scores"), labels, names, **more)


@dataclass(frozen=True)
class ObjectsWithValues(Objects):
    """Objects with `values`, what a further task says of each of them: [N, ...]."""

    values: Any


def best_first(boxes: BoxList, threshold: float, most: int | None = None) -> BoxList:
    """The boxes whose field "scores" reaches a threshold, best first, at most so many."""
    scores = boxes.get_field("scores")
    order = scores.argsort(descending=True, stable=True)[:most]
    return boxes[order[scores[order] >= threshold]]
