"""A task that says something of each object, in one file outside the package: does the image's border cut it off?

TORCH_DETECTRON_ENV_MODULE=docs/examples/truncated.py python tools/train_net.py \
    --config-file configs/detail/mini_R_18_FPN.yaml MODEL.TRUNCATED_ON True
"""

import numpy as np
import torch
from torch.nn import functional as F

from maskrcnn_benchmark.data.dataset import LabelReader
from maskrcnn_benchmark.evaluation.average_precision import average_precision
from maskrcnn_benchmark.evaluation.evaluator import Evaluator
from maskrcnn_benchmark.evaluation.found_objects import found_objects
from maskrcnn_benchmark.evaluation.scores import Scores
from maskrcnn_benchmark.modeling.roi_heads.region_vectors import RegionVectorHead
from maskrcnn_benchmark.modeling.utils import without_crowds
from maskrcnn_benchmark.tasks.task import Task, register_task

KEY = "truncated"
MARGIN = 1.0  # pixels from the border within which a box is cut off


class Truncated(Task):
    """Whether the image's border cuts an object off."""

    key = KEY
    title = "truncation"
    switch = "TRUNCATED_ON"
    losses = ("loss_truncated",)
    headline = "AP"
    parameter_prefixes = ("roi_heads.truncated.",)
    per = "region"
    requires = ("detection",)

    def label_reader(self, dataset):
        return TruncatedReader(dataset) if dataset.layout else None  # any layout of the package has boxes

    def reads(self, cfg):
        return "box"

    def build_head(self, cfg, in_channels, vocabulary):
        return RegionVectorHead(in_channels, 1, KEY, self.label_of, cross_entropy, probability)

    def build_evaluator(self, vocabulary, protocols):
        return TruncatedEvaluator(self, vocabulary)

    def value_names(self, vocabulary):
        return ("whole", "cut off")


class TruncatedReader(LabelReader):
    """float [G], 1 for the objects whose box touches the border of the image, else 0."""

    def read(self, image):
        if not self.has(image):
            return None
        width, height = image.size
        x1, y1, x2, y2 = image.objects.bbox.unbind(1)
        gap = torch.stack((x1, y1, width - 1 - x2, height - 1 - y2)).amin(dim=0)
        return (gap < MARGIN).float()

    def has(self, image):
        return image.has_objects


def probability(logits):
    """float [R, 1] -> what the detections' field holds, float [R]."""
    return logits.sigmoid().squeeze(1)


def cross_entropy(logits, labels):
    """float [R, 1] and the labels of the objects there, float [R] -> the loss of each region."""
    return F.binary_cross_entropy_with_logits(logits.squeeze(1), labels, reduction="none")


class TruncatedEvaluator(Evaluator):
    """AP of the found objects ranked by probability, and the share of them for which more or less than 0.5 is right."""

    protocol = "AP and accuracy (at 0.5) over the objects that a detection of their class finds with IoU 0.5 or more"

    def record(self, stored, target):
        """float [M, 2]: probability and label of each found object."""
        objects = without_crowds(target.instances)
        labels = objects.get_field(KEY).tolist()
        pairs = [(row[KEY], labels[index]) for row, index in found_objects(stored, objects)]
        return np.array(pairs).reshape(-1, 2)

    def summarize(self, records):
        scores, labels = np.concatenate([np.zeros((0, 2)), *records]).T
        if not len(scores):
            return Scores({"AP": np.nan, "accuracy": np.nan}, reason="no object was found")
        accuracy = float(np.mean((scores >= 0.5) == (labels > 0)))
        reason = "" if labels.any() else "no object that was found is cut off"
        return Scores({"AP": average_precision(scores, labels > 0), "accuracy": accuracy}, reason=reason)

    def image_score(self, record):
        """The accuracy on one image."""
        return float(np.mean((record[:, 0] >= 0.5) == (record[:, 1] > 0))) if len(record) else np.nan


def setup_environment():
    """Add the task; the tools call this, and a script does after it has imported the file."""
    register_task(Truncated())
