"""All that a network says about one image. What it was not asked is not there."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import torch

from maskrcnn_benchmark.layers.largest_channel import Places, interpolate_at, largest_channel
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.dense_map import scale_of
from maskrcnn_benchmark.structures.members import member_of
from maskrcnn_benchmark.utils.text import an


class ScoreMap:
    """Scores of a dense head for one image, as coarse as the head left them.

    Args:
        scores: float [C, h, w]. Cell k of a row spans input pixels k * stride .. (k + 1) * stride.
        size: (width, height) of the image in input pixels; cells beyond it are padding of the batch.
        stride: input pixels per cell.
    """

    def __init__(self, scores: torch.Tensor, size: Sequence[int], stride: int = 1) -> None:
        if scores.ndim != 3:
            raise ValueError(f"scores of one image are [C, h, w], not {list(scores.shape)}")
        height, width = scores.shape[1:]
        if width * stride < size[0] or height * stride < size[1]:
            raise ValueError(f"{height} x {width} cells of stride {stride} do not cover {tuple(size)} (width, height)")
        self.scores = scores
        self.size = size[0], size[1]
        self.stride = stride

    @staticmethod
    def computed(make: Callable[[], torch.Tensor], size: Sequence[int]) -> "ScoreMap":
        """A map of one cell per pixel whose scores, [C, height, width], `make` computes when they are first read."""
        return _ComputedScores(make, size)

    @property
    def labels(self) -> torch.Tensor:
        """uint8 [h, w], the channel with the largest score of each cell, the first of equal ones."""
        return self.scores.max(dim=0).indices.to(torch.uint8)

    def resize(self, size: Sequence[int]) -> "ScoreMap":
        """The scores for the image resized to (width, height), one cell per pixel, without the padding: bilinear.

        They are computed lazily, and never where only `labels` are read.
        """
        size = size[0], size[1]
        cells = self.scores[:, : math.ceil(self.size[1] / self.stride), : math.ceil(self.size[0] / self.stride)]
        if size == self.size and self.stride == 1:
            return ScoreMap(cells, size)
        return _ResizedScores(cells, [side / self.stride for side in self.size], size)

    def with_scores(self, scores: torch.Tensor) -> "ScoreMap":
        """Other scores [C, height, width] of the same image and meaning, one cell per pixel."""
        return ScoreMap(scores, self.size)

    def to(self, device: torch.device | str) -> "ScoreMap":
        return type(self)(self.scores.to(device), self.size, self.stride)


class DepthScores(ScoreMap):
    """A `ScoreMap` of one channel in metres: a resize by s divides by s, as in `dense_map.DepthMap`.

    A network says how far away things would be if the image had been taken at the size that it is given.
    """

    def resize(self, size: Sequence[int]) -> "DepthScores":
        """The depth for the image resized to (width, height), one cell per pixel, without the padding: bilinear."""
        scores, scale = super().resize(size).scores, scale_of(self.size, size)
        return DepthScores(scores if scale == 1 else scores / scale, size)

    def with_scores(self, scores: torch.Tensor) -> "DepthScores":
        return DepthScores(scores, self.size)


class _ResizedScores(ScoreMap):
    """A `ScoreMap` of one cell per pixel that is interpolated lazily.

    Args:
        cells: float [C, h, w], coarse scores.
        extent: how many cells the image spans, (x, y).
        size: (width, height) of the map.
    """

    stride = 1

    def __init__(self, cells: torch.Tensor, extent: Sequence[float], size: tuple[int, int]) -> None:
        self.size = size
        self._cells = cells
        self._extent = extent

    @cached_property
    def scores(self) -> torch.Tensor:  # type: ignore[override]
        """float [C, height, width]."""
        rows, columns = self._places()
        return interpolate_at(interpolate_at(self._cells, 1, rows), 2, columns)

    @cached_property
    def labels(self) -> torch.Tensor:
        """uint8 [height, width], the channel with the largest score, the first of equal ones."""
        return largest_channel(self._cells, *self._places())

    def resize(self, size: Sequence[int]) -> ScoreMap:
        return self if tuple(size) == self.size else super().resize(size)

    def to(self, device: torch.device | str) -> ScoreMap:
        return _ResizedScores(self._cells.to(device), self._extent, self.size)

    def _places(self) -> list[Places]:
        """`Places` of rows and columns: centres of pixels, in cells."""
        axes = zip(self.size[::-1], self._extent[::-1], self._cells.shape[1:])
        return [Places.of_pixels(*axis, self._cells.device) for axis in axes]


class _ComputedScores(ScoreMap):
    """See `ScoreMap.computed`."""

    stride = 1

    def __init__(self, make: Callable[[], torch.Tensor], size: Sequence[int]) -> None:
        self.size = size[0], size[1]
        self._make = make

    @cached_property
    def scores(self) -> torch.Tensor:  # type: ignore[override]
        """[C, height, width]."""
        scores = self._make()
        if scores.ndim != 3 or tuple(scores.shape[:0:-1]) != self.size:
            shape = ["C", *self.size[::-1]]
            raise ValueError(f"computed scores must be {shape}, one per pixel, but are {list(scores.shape)}")
        return scores

    def resize(self, size: Sequence[int]) -> ScoreMap:
        size = size[0], size[1]
        if size == self.size:
            return self
        return _ComputedScores(lambda: ScoreMap(self.scores, self.size).resize(size).scores, size)

    def to(self, device: torch.device | str) -> ScoreMap:
        return _ComputedScores(lambda: self.scores.to(device), self.size)


def label_probability(logits: ScoreMap) -> torch.Tensor:
    """Softmax of the largest of a `ScoreMap`'s logits at each cell: float [h, w]."""
    scores = logits.scores.float()
    return (scores.amax(dim=0) - scores.logsumexp(dim=0)).exp()


def logits_of(probabilities: torch.Tensor) -> torch.Tensor:
    """Logits [C, ...] whose softmax over the first axis these probabilities are."""
    return probabilities.clamp(min=torch.finfo(probabilities.dtype).tiny).log()


class ImagePrediction:
    """What a network says about one image: the outputs of all its tasks.

    Args:
        size: (width, height) of the image.
        instances: `BoxList` with scores, labels and, by task, mask float [N, 1, M, M] probabilities, keypoints, parts
            float [N, P + 1, R, R] probabilities (0 is background), and the fields of added tasks per region.
        semantic: `ScoreMap` of C logits.
        boundary: `ScoreMap` of 1 probability.
        occlusion: `ScoreMap` of edge probability, sin theta, cos theta.
        classes: float [C] probabilities.
        part_map: `ScoreMap` of P + 1 logits, from the part head for the whole image.
        image_id: what the data set calls the image.
        outputs: {task key: output} of other tasks: a tensor that says something of the image as a whole, or what can
            `resize` and move `to` a device, such as `ScoreMap`. One that is None is left out.

    Attributes:
        outputs: {task key: output}, also of the tasks that have an attribute of their own, which reads and sets it
            here: instances is the output of "detection", classes that of "classification", part_map that of "part".
    """

    instances = member_of("outputs", "detection")
    semantic = member_of("outputs", "semantic")
    boundary = member_of("outputs", "boundary")
    occlusion = member_of("outputs", "occlusion")
    classes = member_of("outputs", "classification")
    part_map = member_of("outputs", "part")

    def __init__(
        self,
        size: Sequence[int],
        instances: BoxList | None = None,
        semantic: Any = None,
        boundary: Any = None,
        occlusion: Any = None,
        classes: torch.Tensor | None = None,
        part_map: Any = None,
        image_id: Any = None,
        outputs: Mapping[str, Any] | None = None,
    ) -> None:
        self.size = size[0], size[1]
        self.outputs: dict[str, Any] = {}
        self.image_id = image_id
        self.instances, self.semantic, self.boundary = instances, semantic, boundary
        self.occlusion, self.classes, self.part_map = occlusion, classes, part_map
        self.outputs.update((key, output) for key, output in (outputs or {}).items() if output is not None)

    @classmethod
    def of(cls, prediction: "ImagePrediction | BoxList") -> "ImagePrediction":
        """`prediction` itself if it is an `ImagePrediction`; else its `BoxList` as the instances."""
        if isinstance(prediction, cls):
            return prediction
        if not isinstance(prediction, BoxList):
            raise TypeError(f"a prediction is an ImagePrediction or a BoxList, not {an(type(prediction).__name__)}")
        return cls(prediction.size, instances=prediction)

    def resize(self, size: Sequence[int]) -> "ImagePrediction":
        """The prediction for the image at (width, height): maps get one cell per pixel."""
        outputs = {key: x if isinstance(x, torch.Tensor) else x.resize(size) for key, x in self.outputs.items()}
        return ImagePrediction(size, image_id=self.image_id, outputs=outputs)

    def to(self, device: torch.device | str) -> "ImagePrediction":
        """The prediction on another device."""
        outputs = {key: output.to(device) for key, output in self.outputs.items()}
        return ImagePrediction(self.size, image_id=self.image_id, outputs=outputs)

    def __repr__(self) -> str:
        return f"ImagePrediction(size={self.size}, image_id={self.image_id}, outputs={sorted(self.outputs)})"
