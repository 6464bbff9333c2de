"""A task with a signed map per image, in one file outside the package: where in its object does a pixel lie?

TORCH_DETECTRON_ENV_MODULE=docs/examples/flow.py python tools/train_net.py \
    --config-file configs/detail/mini_R_18_FPN.yaml MODEL.FLOW_ON True
"""

import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from maskrcnn_benchmark.data.dataset import LabelReader
from maskrcnn_benchmark.evaluation.evaluator import Evaluator
from maskrcnn_benchmark.evaluation.scores import Scores
from maskrcnn_benchmark.evaluation.trivial import MeanMap
from maskrcnn_benchmark.modeling.fpn_heads.dense_decoder import DENSE_STRIDE, of_images, stack_padded
from maskrcnn_benchmark.prediction_files.maps import ArrayMaps
from maskrcnn_benchmark.structures.image_prediction import ScoreMap
from maskrcnn_benchmark.structures.tensors import FLIP_LEFT_RIGHT, TensorHolder
from maskrcnn_benchmark.tasks.task import Task, register_task

KEY = "flow"


class Flow(Task):
    """How far right of and below its object's centre a pixel lies, in halves of the box, and whether it is on one."""

    key = KEY
    title = "flow from the centre"
    switch = "FLOW_ON"
    losses = ("loss_flow",)
    headline = "EPE"
    higher_is_better = False
    parameter_prefixes = ("fpn_heads.heads.flow.",)

    def label_reader(self, dataset):
        return FlowReader(dataset) if dataset.layout else None  # any layout of the package has masks

    def build_head(self, cfg, in_channels, vocabulary):
        return FlowHead(in_channels)

    def build_evaluator(self, vocabulary, protocols):
        return FlowEvaluator(self, vocabulary)

    def trivial(self, vocabulary):
        return MeanMap(KEY, mean_values)

    def files(self):
        return (ArrayMaps(KEY, dtype="float32", channels=3),)

    def value_names(self, vocabulary):
        return ("to the right", "down", "on an object")


class FlowMap(TensorHolder):
    """The label of an image.

    Args:
        values: float32 [3, H, W]: x and y from the object's centre, -1..1 within its box, and 1 on an object; all 0
            elsewhere, nan where it is not known.
    """

    def __init__(self, values):
        self.values = values

    @property
    def size(self):
        """(width, height)."""
        height, width = self.values.shape[-2:]
        return width, height

    def resize(self, size):
        """The map of the image resized to (width, height): each pixel takes the values at its centre."""
        if tuple(size) == self.size:
            return self
        return FlowMap(F.interpolate(self.values[None], size=tuple(size)[::-1], mode="nearest-exact")[0])

    def transpose(self, method):
        """The map of the mirrored image, in which what was to the right is to the left, or what was below above."""
        mirrored, along = (0, -1) if method == FLIP_LEFT_RIGHT else (1, -2)
        values = self.values.flip(along)
        values[mirrored].neg_()
        return FlowMap(values)

    def crop(self, box):
        """The map within the window (x1, y1, x2, y2), x2 and y2 excluded."""
        left, top, right, bottom = box
        return FlowMap(self.values[:, top:bottom, left:right])

    def pad(self, size):
        """The map enlarged to (width, height) to the right and below, where nothing is known."""
        right, below = (new - old for new, old in zip(size, self.size))
        return FlowMap(F.pad(self.values, (0, right, 0, below), value=math.nan))


class FlowReader(LabelReader):
    """The labels that masks and boxes of objects give."""

    def read(self, image):
        if not self.has(image):
            return None
        width, height = image.size
        values = torch.zeros(3, height, width)
        masks = image.masks.get_mask_tensor().reshape(-1, height, width).bool()
        crowds = image.objects.get_field("iscrowd")
        for mask, (x1, y1, x2, y2), is_crowd in zip(masks, image.objects.bbox, crowds):
            y, x = mask.nonzero(as_tuple=True)
            right, down = (2 * x - x1 - x2) / (x2 - x1 + 1), (2 * y - y1 - y2) / (y2 - y1 + 1)
            values[:, y, x] = math.nan if is_crowd else torch.stack((right, down, torch.ones_like(right)))
        return FlowMap(values)

    def has(self, image):
        return image.has_masks


class FlowHead(nn.Module):
    """A 1x1 convolution on the dense features, trained by the mean absolute difference where the label is known.

    Args:
        in_channels: channels of the dense features.
    """

    def __init__(self, in_channels):
        super().__init__()
        self.predict = nn.Conv2d(in_channels, 3, 1)
        nn.init.normal_(self.predict.weight, std=0.01)
        nn.init.zeros_(self.predict.bias)

    def forward(self, features, proposals=None, targets=None):
        """`DenseFeatures` -> (a `ScoreMap` of three channels per image, {}) or (None, {loss_flow})."""
        if targets is None:
            maps = zip(self.scores(features), features.image_sizes)
            return [ScoreMap(values, (width, height), DENSE_STRIDE) for values, (height, width) in maps], {}
        labels = {i: target.labels[KEY].values for i, target in enumerate(targets) if KEY in target.labels}
        if not labels:
            return None, {}  # nobody looked at these images: no loss, which is not a loss of zero
        values = self.predict(of_images(features.dense, list(labels))).float()
        height, width = (side * DENSE_STRIDE for side in values.shape[-2:])
        values = F.interpolate(values, size=(height, width), mode="bilinear", align_corners=False)
        ground_truth = stack_padded(list(labels.values()), height, width, math.nan)
        known = ~ground_truth.isnan()
        # what is not known is compared with itself, not left out: the device need not say how much that is
        total = F.l1_loss(values, torch.where(known, ground_truth, values.detach()), reduction="sum")
        return None, {"loss_flow": total / known.sum().clamp(min=1)}

    def scores(self, features):
        """`DenseFeatures` -> float [N, 3, H/4, W/4] of the padded batch; what an export runs."""
        return self.predict(features.dense).float()


class FlowEvaluator(Evaluator):
    """The mean end-point error: how far predicted places in an object are from the true ones, in halves of its box."""

    protocol = "mean end-point error over all pixels of objects, in halves of their boxes"

    def record(self, stored, target):
        """(sum of the errors, pixels of objects) of an image."""
        ground_truth = target.labels[KEY].values.cpu().numpy()
        on_object = ground_truth[2] == 1
        apart = (stored[:2] - ground_truth[:2])[:, on_object].astype(np.float64)
        return float(np.hypot(*apart).sum()), int(on_object.sum())

    def summarize(self, records):
        total, count = np.sum(records, axis=0) if records else (0.0, 0)
        if not count:
            return Scores({"EPE": np.nan}, reason="no image has a pixel of an object")
        return Scores({"EPE": float(total / count)})

    def image_score(self, record):
        """1 for no error, towards 0 for large ones."""
        total, count = record
        return 1 / (1 + total / count) if count else np.nan


def mean_values(label):
    """What the trivial predictor averages over the training images: float [3, H, W]."""
    return label.values.nan_to_num()


def setup_environment():
    """Add the task; the tools call this, and a script does after it has imported the file."""
    register_task(Flow())
