"""Answers from files as the prediction that drawing functions take."""

import numpy as np
import torch
from pycocotools import mask as coco_mask

from maskrcnn_benchmark.prediction_files.encodings import decode_direction, decode_strength
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.dense_map import IGNORE_INDEX
from maskrcnn_benchmark.structures.image_prediction import ImagePrediction, ScoreMap
from maskrcnn_benchmark.structures.keypoint import Keypoints
from maskrcnn_benchmark.structures.resampling import resize_nearest
from maskrcnn_benchmark.tasks.task import OWN_TASKS, PROPOSALS

# Objects of an image that are made into bitmaps: the best so many, more than any picture shows
MOST_OBJECTS = 100


class LabelMap:
    """One label per pixel in the place of a `ScoreMap`: it becomes scores only where somebody looks at them.

    Args:
        labels: uint8 [H, W].
        channels: how many labels there are.
    """

    stride = 1

    def __init__(self, labels, channels):
        self.labels = labels
        self.channels = channels

    @property
    def size(self):
        """(width, height)."""
        return self.labels.shape[1], self.labels.shape[0]

    @property
    def scores(self):
        """uint8 [C, H, W], 1 at each pixel's label."""
        planes = torch.arange(self.channels, dtype=torch.uint8, device=self.labels.device)
        return (self.labels[None] == planes[:, None, None]).to(torch.uint8)

    def resize(self, size):
        """The map at (width, height); each pixel takes the label at its centre."""
        return LabelMap(resize_nearest(self.labels, size), self.channels)

    def to(self, device):
        return LabelMap(self.labels.to(device), self.channels)


def strength_map(answer, size, vocabulary):
    """A map of strengths, uint8 [H, W] as files hold it: `ScoreMap` of one channel, 0..1."""
    return ScoreMap(_float(decode_strength(answer)[None]), size)


# {key of an added task: function (answer, (width, height), Vocabulary) -> its member of `ImagePrediction.outputs`}; the
# answers of one that is not in it are strengths
FURTHER_MEMBERS = {}


def to_prediction(given, size, vocabulary, task=None):
    """The prediction that answers on an image stand for, to be drawn.

    Boxes, masks and joints come from lists that need not speak of the same objects. Objects are those of `task`, or of
    the first of detection, instance and keypoint that is answered; an answer of another of them joins in where it has
    the same objects in the same order (joints: the people among them), and is left out otherwise.

    Args:
        given: {task key: what `Task.encode` returns}.
        size: (width, height) of the image.
        vocabulary: the `Vocabulary` of the data set.
        task: the task that will be drawn, or None to draw all from one prediction.

    Returns:
        `ImagePrediction` of the image's size; objects are the best 100, with masks of the size of the image, and parts
        are a map of the whole image. Maps are `LabelMap` and `ScoreMap`.
    """
    prediction = ImagePrediction(size, _objects(given, size, vocabulary, task))
    if "semantic" in given:
        labels = given["semantic"]
        # 255 stands for no class, which drawings leave blank
        channels = IGNORE_INDEX + 1 if (labels == IGNORE_INDEX).any() else len(vocabulary.semantic_names)
        prediction.semantic = LabelMap(torch.from_numpy(labels), channels)
    if "part" in given:
        prediction.part_map = LabelMap(torch.from_numpy(given["part"].labels), len(vocabulary.parts) + 1)
    if "boundary" in given:
        prediction.boundary = strength_map(given["boundary"], size, vocabulary)
    if "occlusion" in given:
        strength, direction = given["occlusion"].strength, given["occlusion"].direction
        planes = np.concatenate([decode_strength(strength)[None], decode_direction(direction)])
        prediction.occlusion = ScoreMap(_float(planes), size)
    if "classification" in given:
        prediction.classes = _float(given["classification"])
    for key in given.keys() - OWN_TASKS - {PROPOSALS.key}:
        prediction.outputs[key] = FURTHER_MEMBERS.get(key, strength_map)(given[key], size, vocabulary)
    return prediction


def _objects(given, size, vocabulary, task):
    """The objects as `BoxList`, or None where no task with objects is answered."""
    answered = [key for key in ("detection", "instance", "keypoint") if key in given]
    lead = task if task in answered else next(iter(answered), None)
    if lead is None:
        return None
    order = sorted(range(len(given[lead])), key=lambda i: -given[lead][i]["score"])[:MOST_OBJECTS]
    chosen = [given[lead][i] for i in order]
    boxes = BoxList(_float([_box(row) for row in chosen]).reshape(-1, 4), size, mode="xyxy")
    boxes.add_field("labels", torch.tensor([row["category_id"] for row in chosen], dtype=torch.int64))
    boxes.add_field("scores", _float([row["score"] for row in chosen]))
    masks = _rows_of("instance", lead, given, vocabulary)
    if masks is not None:
        boxes.add_field("mask", _bitmaps([masks[i]["segmentation"] for i in order], size))
    people = _rows_of("keypoint", lead, given, vocabulary)
    if people is not None:
        nobody = [0.0] * (3 * len(vocabulary.joints))
        joints = _float([people[i]["keypoints"] if people[i] else nobody for i in order])
        joints = joints.reshape(-1, len(vocabulary.joints), 3)
        boxes.add_field("keypoints", Keypoints(joints, size, joints=vocabulary.joints))
    return boxes


def _rows_of(task, lead, given, vocabulary):
    """The rows of a task for each row of the leading one, None for an object without; None where they do not match."""
    if task not in given:
        return None
    rows = given[task]
    if task == lead:
        return rows
    owners = range(len(given[lead]))
    if task == "keypoint":
        owners = [i for i in owners if vocabulary.thing_names[given[lead][i]["category_id"] - 1] == "person"]
    if [_identity(given[lead][i]) for i in owners] != [_identity(row) for row in rows]:
        return None
    matched = [None] * len(given[lead])
    for owner, row in zip(owners, rows):
        matched[owner] = row
    return matched


def _identity(row):
    return row["category_id"], row["score"]


def _box(row):
    """Corners of a row's box, last pixel included; of a row without a box, those of its mask or its joints."""
    if "bbox" in row:
        x, y, width, height = row["bbox"]
    elif "segmentation" in row:
        x, y, width, height = coco_mask.toBbox(row["segmentation"]).tolist()
    else:
        joints = np.reshape(row["keypoints"], (-1, 3))[:, :2]
        (x, y), (width, height) = joints.min(axis=0), joints.max(axis=0) - joints.min(axis=0)
    return [x, y, x + width - 1, y + height - 1]


def _bitmaps(codes, size):
    """uint8 [N, 1, H, W]."""
    width, height = size
    if not codes:
        return torch.zeros((0, 1, height, width), dtype=torch.uint8)
    return torch.from_numpy(np.ascontiguousarray(coco_mask.decode(codes).transpose(2, 0, 1)[:, None]))


def _float(values):
    return torch.as_tensor(np.asarray(values, dtype=np.float32))
