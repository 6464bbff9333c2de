"""A task that says something of each object, in one file outside the package: does the image's border cut it off?

TORCH_DETECTRON_ENV_MODULE=docs/examples/truncated.py python tools/train_net.py \
    --config-file configs/detail/mini_R_18_FPN.yaml MODEL.TRUNCATED_ON True
"""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from maskrcnn_benchmark.data.dataset import LabelReader
from maskrcnn_benchmark.evaluation.average_precision import average_precision
from maskrcnn_benchmark.evaluation.coco.rows import predicted_rows, xywh
from maskrcnn_benchmark.evaluation.evaluator import Evaluator
from maskrcnn_benchmark.evaluation.found_objects import found_objects
from maskrcnn_benchmark.evaluation.scores import Scores
from maskrcnn_benchmark.modeling.roi_heads.regions import ROI_FEATURES
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
        return TruncatedHead(in_channels, self.label_of)

    def build_evaluator(self, vocabulary, protocols):
        return TruncatedEvaluator(self, vocabulary)

    def encode(self, prediction, vocabulary):
        """What is scored and written, of each object: its class, box, score, and the probability that it is cut off."""
        objects = self.output(prediction, "detection")
        boxes, values = xywh(objects).tolist(), objects.get_field(KEY).tolist()
        return [{**row, KEY: value} for row, value in zip(predicted_rows(objects, "bbox", boxes), values)]

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


class TruncatedHead(nn.Module):
    """A linear layer on the box head's region features, trained by cross-entropy on the regions of objects.

    Args:
        in_channels: channels of the region features.
        label_of: function from `ImageAnnotations` to the label of its objects, float [G], or to None.
    """

    def __init__(self, in_channels, label_of):
        super().__init__()
        self.label_of = label_of
        self.predict = nn.Linear(in_channels, 1)
        nn.init.normal_(self.predict.weight, std=0.01)
        nn.init.zeros_(self.predict.bias)

    def forward(self, features, boxes, targets=None):
        """Boxes with region features, one `BoxList` per image -> (those with the field, {}) or (boxes, losses)."""
        x = torch.cat([of_image.get_field(ROI_FEATURES) for of_image in boxes])
        if targets is None:
            for of_image, values in zip(boxes, self.scores(x).split([len(of_image) for of_image in boxes])):
                of_image.add_field(KEY, values)
            return boxes, {}
        labels = [self.label_of(target) for target in targets]
        if all(label is None for label in labels):
            return boxes, {}
        # -1: a region of background (whose index is negative), or of an image at whose objects nobody looked
        label = torch.cat(
            [
                torch.full((len(of_image),), -1.0, device=x.device)
                if label is None
                else F.pad(label, (0, 1), value=-1)[of_image.get_field("matched_idxs").clamp(min=-1)]
                for of_image, label in zip(boxes, labels)
            ]
        )
        known = (label >= 0).float()
        total = F.binary_cross_entropy_with_logits(self.logits(x), label.clamp(min=0), known, reduction="sum")
        return boxes, {"loss_truncated": total / known.sum().clamp(min=1)}

    def scores(self, x):
        """Region features [R, C] or [R, C, h, w] -> probabilities float [R]; what an export runs."""
        return self.logits(x).sigmoid()

    def logits(self, x):
        return self.predict(x.reshape(*x.shape[:2], -1).mean(dim=2)).float().squeeze(1)


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
