"""All that a network says about one image. None means that it was not asked."""

import math

import torch

from maskrcnn_benchmark.structures.bounding_box import BoxList


class ScoreMap:
    """Scores of a dense head for one image, as coarse as the head left them.

    Args:
        scores: float [C, h, w]. Cell k of a row spans input pixels k * stride .. (k + 1) * stride.
        size: (width, height) of the image in input pixels; cells beyond it are padding of the batch.
        stride: input pixels per cell.
    """

    def __init__(self, scores, size, stride=1):
        if scores.ndim != 3:
            raise ValueError(f"scores of one image are [C, h, w], not {list(scores.shape)}")
        height, width = scores.shape[1:]
        if width * stride < size[0] or height * stride < size[1]:
            raise ValueError(f"{height} x {width} cells of stride {stride} do not cover {tuple(size)} (width, height)")
        self.scores = scores
        self.size = tuple(size)
        self.stride = stride

    def resize(self, size):
        """The scores for the image resized to (width, height), one cell per pixel, without the padding: bilinear."""
        size = tuple(size)
        cells = self.scores[:, : math.ceil(self.size[1] / self.stride), : math.ceil(self.size[0] / self.stride)]
        if size == self.size and self.stride == 1:
            return ScoreMap(cells, size)
        rows = interpolate_along(cells, 1, size[1], self.size[1] / self.stride)
        return ScoreMap(interpolate_along(rows, 2, size[0], self.size[0] / self.stride), size)

    def to(self, device):
        return ScoreMap(self.scores.to(device), self.size, self.stride)


def interpolate_along(scores, dim, count, extent):
    """Linear interpolation along `dim` at the centres of `count` pixels that cover the first `extent` cells."""
    place = (torch.arange(count, device=scores.device, dtype=torch.float32) + 0.5) * (extent / count) - 0.5
    place = place.clamp(0, scores.shape[dim] - 1)
    low = place.long()
    high = (low + 1).clamp(max=scores.shape[dim] - 1)
    weight = (place - low).to(scores.dtype).reshape([-1 if d == dim else 1 for d in range(scores.ndim)])
    return scores.index_select(dim, low).lerp(scores.index_select(dim, high), weight)


class ImagePrediction:
    """The answers of all tasks for one image.

    Args:
        size: (width, height) of the image.
        instances: `BoxList` with scores, labels and, by task, mask float [N, 1, M, M] probabilities, keypoints, parts
            float [N, P + 1, R, R] probabilities (0 is background).
        semantic: `ScoreMap` of C logits.
        boundary: `ScoreMap` of 1 probability.
        occlusion: `ScoreMap` of edge probability, sin theta, cos theta.
        classes: float [C] probabilities.
        part_map: `ScoreMap` of P + 1 logits, from the part head that answers for the whole image.
        image_id: what the data set calls the image.
        further: {task key: answer} of tasks that are not of this package: a tensor that says something of the image as
            a whole, or what can `resize` and move `to` a device, such as `ScoreMap`. One that is None is left out.
    """

    MEMBERS = ("instances", "semantic", "boundary", "occlusion", "part_map")
    ANSWERS = (*MEMBERS, "classes")

    def __init__(
        self,
        size,
        instances=None,
        semantic=None,
        boundary=None,
        occlusion=None,
        classes=None,
        part_map=None,
        image_id=None,
        further=None,
    ):
        self.size = tuple(size)
        self.instances = instances
        self.semantic = semantic
        self.boundary = boundary
        self.occlusion = occlusion
        self.classes = classes
        self.part_map = part_map
        self.image_id = image_id
        self.further = {name: answer for name, answer in (further or {}).items() if answer is not None}

    @classmethod
    def of(cls, prediction):
        """`prediction` itself if it is an `ImagePrediction`; else its `BoxList` as the instances."""
        if isinstance(prediction, cls):
            return prediction
        if not isinstance(prediction, BoxList):
            raise TypeError(f"a prediction is an ImagePrediction or a BoxList, not a {type(prediction).__name__}")
        return cls(prediction.size, instances=prediction)

    def resize(self, size):
        """The answers for the image at (width, height): maps get one cell per pixel."""
        return self._transformed(size, lambda member: member.resize(size))

    def to(self, device):
        moved = self._transformed(self.size, lambda member: member.to(device))
        moved.classes = None if self.classes is None else self.classes.to(device)
        moved.further = {name: answer.to(device) for name, answer in self.further.items()}
        return moved

    def __repr__(self):
        present = [*(name for name in self.ANSWERS if getattr(self, name) is not None), *self.further]
        return f"ImagePrediction(size={self.size}, image_id={self.image_id}, answers={present})"

    def _transformed(self, size, transform):
        present = {name: getattr(self, name) for name in self.MEMBERS if getattr(self, name) is not None}
        members = {name: transform(member) for name, member in present.items()}
        further = {
            name: answer if isinstance(answer, torch.Tensor) else transform(answer)
            for name, answer in self.further.items()
        }
        return ImagePrediction(size, **members, classes=self.classes, image_id=self.image_id, further=further)
