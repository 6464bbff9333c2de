"""The predictor that never looks at the image: what each task scores by knowing only how annotations usually lie."""

from collections import Counter

import numpy as np
import torch
from torch.nn.functional import adaptive_avg_pool2d, interpolate, one_hot

from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.dense_map import IGNORE_INDEX
from maskrcnn_benchmark.structures.image_prediction import ImagePrediction, ScoreMap
from maskrcnn_benchmark.structures.keypoint import Keypoints
from maskrcnn_benchmark.tasks.task import OWN_TASKS, PER_REGION, PROPOSALS

# Cells across the image, per side, of mean dense maps; cells across a box of mean masks and part layouts
_SEMANTIC_GRID = 16
_EDGE_GRID = 32
_BOX_GRID = 28
# Boxes of one class belong together when their centres share a cell of this many per side and sizes a power of two
_POSITION_GRID = 4
_MAX_BOXES = 100

# {key of an added task: function from a label to float [C, H, W]}; their mean at each place, as a `ScoreMap`, is what
# the trivial predictor answers. A task that is not in it has no trivial figures
TRIVIAL_MAPS = {}


def is_offered(task):
    """Whether the trivial predictor answers a task."""
    return task in OWN_TASKS or task == PROPOSALS.key or task in TRIVIAL_MAPS


class TrivialPredictor:
    """Answers every image of a size alike, from means of the training annotations.

    Boxes: the most frequent combinations of class, position and size, scored by frequency relative to the most
    frequent one, each with the mean mask of its members, its class's mean part layout and people's mean pose. Semantic:
    the majority class at each place. Boundary and occlusion: how often an edge passes each place, relative to the
    most frequented one, with the mean direction. Classification: how often each label occurs. Added tasks: the mean of
    their labels at each place, where `TRIVIAL_MAPS` says what that is.

    Args:
        vocabulary: the data set's Vocabulary.
    """

    def __init__(self, vocabulary):
        self.vocabulary = vocabulary
        self._objects = _ObjectMeans(vocabulary)
        self._semantic = self._boundary = self._occlusion = self._classes = None
        self._num_classified = 0
        self._further, self._num_further = {}, Counter()

    def fit(self, annotations):
        """Take the means of training annotations.

        Args:
            annotations: iterable of ImageAnnotations of any sizes; what is None in one is left out of its means.

        Returns:
            self.
        """
        for target in annotations:
            self._objects.add(target)
            if target.semantic is not None:
                self._semantic = _sum(self._semantic, self._semantic_counts(target.semantic))
            if target.boundary is not None:
                self._boundary = _sum(self._boundary, _pooled(target.boundary.edges[None].float()))
            if target.occlusion is not None:
                edges = target.occlusion.edges[None].float()
                self._occlusion = _sum(self._occlusion, _pooled(torch.cat([edges, target.occlusion.direction * edges])))
            if target.classes is not None:
                self._classes = _sum(self._classes, target.classes.float())
                self._num_classified += 1
            for key in target.labels.keys() & TRIVIAL_MAPS.keys():
                planes = _pooled(TRIVIAL_MAPS[key](target.labels[key]))
                self._further[key] = _sum(self._further.get(key), planes)
                self._num_further[key] += 1
        self._objects.cluster()
        return self

    def predict(self, size):
        """The answer for an image.

        Args:
            size: (width, height) in pixels.

        Returns:
            ImagePrediction of that size; a task that no training image had annotated is None.
        """
        semantic, boundary, occlusion = (
            None if sums is None else _score_map(sums, size)
            for sums in (self._semantic, _relative(self._boundary), _relative(self._occlusion))
        )
        return ImagePrediction(
            size=size,
            instances=self._objects.predict(size),
            semantic=semantic,
            boundary=boundary,
            occlusion=occlusion,
            classes=None if self._classes is None else self._classes / self._num_classified,
            outputs={key: _score_map(sums / self._num_further[key], size) for key, sums in self._further.items()},
        )

    def can_answer(self, task):
        """Whether some training image was annotated for a task."""
        means = {
            "semantic": self._semantic,
            "boundary": self._boundary,
            "occlusion": self._occlusion,
            "classification": self._classes,
            **self._further,
        }
        if task in PER_REGION or task == PROPOSALS.key:
            return self._objects.seen
        return means.get(task) is not None

    def _semantic_counts(self, semantic):
        """How much of each cell of the coarse grid each class covers: float [C, G, G]."""
        fine = 4 * _SEMANTIC_GRID
        labels = interpolate(semantic.labels[None, None].float(), size=(fine, fine), mode="nearest")[0, 0].long()
        num_classes = len(self.vocabulary.semantic_names)
        labels[labels == IGNORE_INDEX] = num_classes
        return adaptive_avg_pool2d(one_hot(labels, num_classes + 1).permute(2, 0, 1)[:-1].float(), _SEMANTIC_GRID)


class _ObjectMeans:
    """Boxes of training objects relative to the image, and what lies in them relative to the box."""

    def __init__(self, vocabulary):
        self.vocabulary = vocabulary
        self.seen = False
        self.labels, self.boxes, self.masks = [], [], []
        no_boxes = torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), torch.zeros(0)
        self.clusters = (*no_boxes, torch.zeros(0, _BOX_GRID, _BOX_GRID))
        num_labels = len(vocabulary.thing_names) + 1
        num_parts = len(vocabulary.parts.labels) + 1 if vocabulary.parts is not None else 0
        # Sums over objects per class of each part label's share of every cell
        self.layouts = torch.zeros(num_labels, num_parts, _BOX_GRID, _BOX_GRID)
        num_joints = len(vocabulary.joints.names) if vocabulary.joints is not None else 0
        # Per joint: sums of x and y relative to the box, and the number of people that show it
        self.pose = torch.zeros(num_joints, 3)

    def add(self, target):
        if target.instances is not None:
            self.seen = True
            instances = target.instances
            if instances.has_field("iscrowd"):
                instances = instances[~instances.get_field("iscrowd").bool()]
            if len(instances):
                self._add_instances(instances)
        if target.people is not None and len(target.people) and len(self.pose):
            self._add_people(target.people)

    def _add_instances(self, instances):
        boxes, labels = instances.convert("xyxy").bbox, instances.get_field("labels")
        self.labels.append(labels)
        self.boxes.append(_relative_boxes(boxes, instances.size))
        masks = torch.ones(len(boxes), _BOX_GRID, _BOX_GRID)
        if instances.has_field("masks"):
            masks = instances.get_field("masks").crop_and_resize(boxes, _BOX_GRID)
        # Kept as bytes: a large training set has tens of thousands of them
        self.masks.append((masks > 0.5).to(torch.uint8))
        if instances.has_field("parts") and self.layouts.shape[1]:
            parts = instances.get_field("parts")
            annotated = parts.annotated.bool()
            if annotated.any():
                layout = parts.crop_and_resize(boxes, _BOX_GRID)[annotated]
                shares = one_hot(layout.long(), self.layouts.shape[1]).permute(0, 3, 1, 2).float()
                self.layouts.index_add_(0, labels[annotated], shares)

    def _add_people(self, people):
        boxes = people.convert("xyxy").bbox
        joints = people.get_field("keypoints").keypoints
        extent = (boxes[:, 2:] - boxes[:, :2] + 1).clamp(min=1)
        place = (joints[:, :, :2] - boxes[:, None, :2]) / extent[:, None]
        visible = (joints[:, :, 2:] > 0).float()
        self.pose += torch.cat([place * visible, visible], dim=2).sum(dim=0)

    def predict(self, size):
        """The most frequent boxes in an image of a size with all fields, or None where no image had boxes annotated."""
        if not self.seen:
            return None
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

    def cluster(self):
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


def _sum(total, value):
    return value.clone() if total is None else total + value


def _pooled(maps):
    return adaptive_avg_pool2d(maps, _EDGE_GRID)


def _relative(sums):
    """Edge frequencies relative to the greatest; further channels are the directions' sums, their sign is enough."""
    if sums is None:
        return None
    return torch.cat([sums[:1] / sums[0].max().clamp(min=np.finfo(np.float32).tiny), sums[1:]])


def _score_map(sums, size):
    width, height = size
    scores = interpolate(sums[None], size=(height, width), mode="bilinear", align_corners=False)[0]
    return ScoreMap(scores, size, stride=1)
