"""The predictor that never looks at the image: what each task scores by knowing only how annotations usually lie."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from torch.nn.functional import adaptive_avg_pool2d, interpolate, one_hot

from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.image_prediction import ImagePrediction, ScoreMap
from maskrcnn_benchmark.structures.keypoint import Keypoints
from maskrcnn_benchmark.structures.vocabulary import Vocabulary

# Cells across the image, per side, of mean maps; cells across a box of mean masks and part layouts
_MAP_GRID = 32
_BOX_GRID = 28
# Boxes of one class belong together when their centres share a cell of this many per side and sizes a power of two
_POSITION_GRID = 4
_MAX_BOXES = 100


class TrivialModel:
    """How the annotations of a task, or of several that share an output, usually lie. `Task.trivial` returns one.

    Attributes:
        output: key in `ImagePrediction.outputs` of what it predicts. Of several tasks' models with the same output, one
            is made and used for all.
        seen: whether an image was added that is annotated for it. Only then it is asked to predict.
    """

    output: str
    seen: bool = False

    def add(self, target: ImageAnnotations) -> None:
        """Take in the annotations of a training image, of any size, if it has those that are asked for."""
        raise NotImplementedError

    def finish(self) -> None:
        """Called once, after the last image was added."""

    def predict(self, size: tuple[int, int]) -> Any:
        """The output for an image of (width, height)."""
        raise NotImplementedError


class MeanMap(TrivialModel):
    """The mean over training images of a map that is made of the label, on a coarse grid.

    Args:
        output: key of the task, of its label and of its output.
        planes: function from the label to float [C, H, W].
        grid: cells across the image, per side.
        finish: function (sums over images float [C, grid, grid], number of images) -> float [C, grid, grid], what is
            predicted; by default the mean.
    """

    def __init__(
        self,
        output: str,
        planes: Callable[[Any], torch.Tensor],
        grid: int = _MAP_GRID,
        finish: Callable[[torch.Tensor, int], torch.Tensor] = torch.div,
    ) -> None:
        self.output = output
        self._planes, self._grid, self._finish = planes, grid, finish
        self._sums: Any = None
        self._count = 0

    def add(self, target: ImageAnnotations) -> None:
        if self.output in target.labels:
            cells = adaptive_avg_pool2d(self._planes(target.labels[self.output]), self._grid)
            self._sums = cells.clone() if self._sums is None else self._sums + cells
            self._count += 1
            self.seen = True

    def predict(self, size: tuple[int, int]) -> ScoreMap:
        width, height = size
        cells = self._finish(self._sums, self._count)[None]
        return ScoreMap(interpolate(cells, size=(height, width), mode="bilinear", align_corners=False)[0], size)


class MeanVector(TrivialModel):
    """The mean of labels that are tensors of the image as a whole: how often each entry of them is 1.

    Args:
        output: key of the task, of its label and of its output.
    """

    def __init__(self, output: str) -> None:
        self.output = output
        self._sums: Any = 0.0
        self._count = 0

    def add(self, target: ImageAnnotations) -> None:
        if self.output in target.labels:
            self._sums = self._sums + target.labels[self.output].float()
            self._count += 1
            self.seen = True

    def predict(self, size: tuple[int, int]) -> torch.Tensor:
        return self._sums / self._count


def relative_frequency(sums: torch.Tensor, count: int) -> torch.Tensor:
    """For `MeanMap`: how often edges pass a cell, relative to the greatest; of further channels the sign is enough."""
    return torch.cat([sums[:1] / sums[0].max().clamp(min=np.finfo(np.float32).tiny), sums[1:]])


def mean_where_known(sums: torch.Tensor, count: int) -> torch.Tensor:
    """For `MeanMap`: the mean of the first of two planes where the second, which is 0 or 1, says that it is known.

    A cell that is known nowhere has the mean of all.
    """
    values, known = sums
    everywhere = values.sum() / known.sum().clamp(min=1)
    return torch.where(known > 0, values / known.clamp(min=np.finfo(np.float32).tiny), everywhere)[None]


class TrivialPredictor:
    """Predicts the same for every image of a size, from means of the training annotations.

    Args:
        tasks: `tasks.task.Task` objects; those whose `trivial` is None are passed over.
        vocabulary: the data set's names.
    """

    def __init__(self, tasks: Iterable[Any], vocabulary: Vocabulary) -> None:
        self._models: dict[str, TrivialModel] = {}
        self._output_of: dict[str, str] = {}
        for task in tasks:
            model = task.trivial(vocabulary)
            if model is not None:
                self._models.setdefault(model.output, model)
                self._output_of[task.key] = model.output

    @property
    def tasks(self) -> tuple[str, ...]:
        """Keys of the tasks that are predicted: those that some training image was annotated for."""
        return tuple(key for key, output in self._output_of.items() if self._models[output].seen)

    def fit(self, annotations: Iterable[ImageAnnotations]) -> "TrivialPredictor":
        """Take the means of training annotations, of any sizes; what is not annotated in one is left out of its means.

        Returns:
            self.
        """
        for target in annotations:
            for model in self._models.values():
                model.add(target)
        for model in self._models.values():
            model.finish()
        return self

    def predict(self, size: tuple[int, int]) -> ImagePrediction:
        """The prediction for an image of (width, height); it has no output that no training image had annotated."""
        seen = (model for model in self._models.values() if model.seen)
        return ImagePrediction(size, outputs={model.output: model.predict(size) for model in seen})


class ObjectMeans(TrivialModel):
    """Boxes of training objects relative to the image, and what lies in them relative to the box.

    The most frequent combinations of class, position and size, scored by frequency relative to the most frequent one,
    each with the mean mask of its members, its class's mean part layout and the mean pose of persons.

    Args:
        vocabulary: the data set's names.
    """

    output = "detection"

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self.labels: list[torch.Tensor] = []
        self.boxes: list[torch.Tensor] = []
        self.masks: list[torch.Tensor] = []
        no_boxes = torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), torch.zeros(0)
        self.clusters = (*no_boxes, torch.zeros(0, _BOX_GRID, _BOX_GRID))
        num_labels = len(vocabulary.thing_names) + 1
        num_parts = len(vocabulary.parts.labels) + 1 if vocabulary.parts is not None else 0
        # Sums over objects per class of each part label's share of every cell
        self.layouts = torch.zeros(num_labels, num_parts, _BOX_GRID, _BOX_GRID)
        num_keypoints = len(vocabulary.joints.names) if vocabulary.joints is not None else 0
        # Per keypoint: sums of x and y relative to the box, and the number of persons that show it
        self.pose = torch.zeros(num_keypoints, 3)

    def add(self, target: ImageAnnotations) -> None:
        if target.instances is not None:
            self.seen = True
            instances = target.instances
            if instances.has_field("iscrowd"):
                instances = instances[~instances.get_field("iscrowd").bool()]
            if len(instances):
                self._add_instances(instances)
        if target.people is not None and len(target.people) and len(self.pose):
            self._add_persons(target.people)

    def _add_instances(self, instances):
        boxes, labels = instances.convert("xyxy").bbox, instances.get_field("labels")
        self.labels.append(labels)
        self.boxes.append(_relative_boxes(boxes, instances.size))
        masks = torch.ones(len(boxes), _BOX_GRID, _BOX_GRID)
        if instances.has_field("masks"):
            masks = instances.get_field("masks").crop_and_resize(boxes, _BOX_GRID)
        if instances.has_field("has_mask"):
            masks[~instances.get_field("has_mask")] = 1.0
        # Kept as bytes: a large training set has tens of thousands of them
        self.masks.append((masks > 0.5).to(torch.uint8))
        if instances.has_field("parts") and self.layouts.shape[1]:
            parts = instances.get_field("parts")
            annotated = parts.annotated.bool()
            if annotated.any():
                layout = parts.crop_and_resize(boxes, _BOX_GRID)[annotated]
                shares = one_hot(layout.long(), self.layouts.shape[1]).permute(0, 3, 1, 2).float()
                self.layouts.index_add_(0, labels[annotated], shares)

    def _add_persons(self, persons):
        boxes = persons.convert("xyxy").bbox
        keypoints = persons.get_field("keypoints").keypoints
        extent = (boxes[:, 2:] - boxes[:, :2] + 1).clamp(min=1)
        place = (keypoints[:, :, :2] - boxes[:, None, :2]) / extent[:, None]
        visible = (keypoints[:, :, 2:] > 0).float()
        self.pose += torch.cat([place * visible, visible], dim=2).sum(dim=0)

    def predict(self, size: tuple[int, int]) -> BoxList:
        """The most frequent boxes in an image of a size, with all fields."""
        boxes, labels, scores, masks = self.clusters
        width, height = size
        boxes = boxes * torch.tensor([width, height, width, height], dtype=torch.float32)
        boxes[:, 2:] -= 1
        instances = BoxList(boxes, size, mode="xyxy")
        instances.add_field("labels", labels)
        instances.add_field("scores", scores)
        instances.add_field("mask", masks[:, None])
        if len(self.pose):
            mean = self.pose[:, :2] / self.pose[:, 2:].clamp(min=1)
            place = boxes[:, None, :2] + mean * (boxes[:, None, 2:] - boxes[:, None, :2] + 1)
            shown = torch.ones(*place.shape[:2], 1)
            instances.add_field(
                "keypoints", Keypoints(torch.cat([place, shown], 2), size, joints=self.vocabulary.joints)
            )
        if self.layouts.shape[1]:
            shares = self.layouts / self.layouts.sum(dim=1, keepdim=True).clamp(min=1)
            instances.add_field("parts", shares[labels])
        return instances

    def finish(self) -> None:
        """Find the most frequent clusters: mean boxes [M, 4], labels [M], scores [M] and mean masks [M, G, G]."""
        if not self.boxes:
            return
        boxes, labels, masks = torch.cat(self.boxes), torch.cat(self.labels), torch.cat(self.masks)
        cell = ((boxes[:, :2] + boxes[:, 2:]) / 2 * _POSITION_GRID).floor()
        scale = (boxes[:, 2:] - boxes[:, :2]).clamp(min=1e-3).log2().round()
        key = torch.cat([labels[:, None].float(), cell, scale], dim=1)
        cluster, member_of, count = torch.unique(key, dim=0, return_inverse=True, return_counts=True)
        top = torch.argsort(count, descending=True, stable=True)[:_MAX_BOXES]
        box = torch.zeros(len(cluster), 4).index_add_(0, member_of, boxes)[top] / count[top, None]
        mask = torch.zeros(len(cluster), *masks.shape[1:]).index_add_(0, member_of, masks.float())[top]
        self.clusters = (box, cluster[top, 0].long(), count[top] / count.max(), mask / count[top, None, None])


def _relative_boxes(boxes, size):
    """Boxes xyxy, last pixel included, as shares of the image: float [N, 4] in 0..1."""
    width, height = size
    edges = boxes + boxes.new_tensor([0, 0, 1, 1])
    return edges / edges.new_tensor([width, height, width, height])
