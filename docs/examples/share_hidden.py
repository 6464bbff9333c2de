"""A task that is derived from others, in one file outside the package: how much of an object may others hide?

TORCH_DETECTRON_ENV_MODULE=docs/examples/share_hidden.py python tools/train_net.py \
    --config-file configs/detail/mini_R_18_FPN.yaml MODEL.SHARE_HIDDEN_ON True
"""

import numpy as np
import torch

from maskrcnn_benchmark.evaluation.evaluator import Evaluator
from maskrcnn_benchmark.evaluation.found_objects import found_objects
from maskrcnn_benchmark.evaluation.scores import Scores
from maskrcnn_benchmark.layers.mask_paste import paste_masks
from maskrcnn_benchmark.modeling.utils import without_crowds
from maskrcnn_benchmark.prediction_files.lists import ObjectFile
from maskrcnn_benchmark.structures.image_prediction import ImagePrediction
from maskrcnn_benchmark.tasks.task import Task, register_task
from maskrcnn_benchmark.visualization.objects import paint_boxes, shown_objects

KEY = "share_hidden"


class ShareHidden(Task):
    """The share of an object's box that masks of other objects take up: the most of it that they can hide."""

    key = KEY
    title = "hidden share"
    switch = "SHARE_HIDDEN_ON"
    headline = "MAE"
    higher_is_better = False
    per = "derived"
    requires = ("detection", "instance")

    def is_annotated(self, annotations):
        return annotations.instances is not None and annotations.instances.has_field("masks")

    def derive(self, outputs, vocabulary):
        """The detections with the share as a field."""
        objects = outputs["detection"].convert("xyxy")
        masks = objects.get_field("mask")
        if masks.shape[-2:] != objects.size[::-1]:  # of the boxes, not of the image
            masks = paste_masks(masks, objects.bbox, objects.size)
        return with_shares(objects, masks)

    def content(self, known):
        """Objects with the share as a field: of a prediction its output, of annotations what their masks say."""
        if isinstance(known, ImagePrediction):
            return known.outputs.get(KEY)
        if not self.is_annotated(known):
            return None
        objects = without_crowds(known.instances).convert("xyxy")
        return with_shares(objects, objects.get_field("masks").get_mask_tensor())

    def build_evaluator(self, vocabulary, protocols):
        return ShareHiddenEvaluator(self, vocabulary)

    def files(self):
        """A list with class, box, score and share of each object."""
        return (ObjectFile(KEY),)

    def paint(self, canvas, known, vocabulary, threshold):
        objects = shown_objects(self.content(known), threshold)
        return paint_boxes(canvas, objects, [f"{share:.0%}" for share in objects.get_field(KEY).tolist()], vocabulary)

    def view(self, prediction, vocabulary, threshold):
        return self.content(prediction)


def with_shares(objects, masks):
    """Objects with labels and scores, if any, and the share as field `KEY`.

    Args:
        objects: `BoxList` (xyxy) of N objects.
        masks: bool or uint8 [N, H, W] or [N, 1, H, W], the pixels of each in the image.
    """
    width, height = objects.size
    masks = masks.reshape(-1, height, width) > 0
    holders = masks.sum(dim=0)
    last = torch.tensor([width, height, width, height], device=masks.device) - 1
    corners = torch.minimum(objects.bbox.round().long().clamp(min=0), last)
    shares = torch.zeros(len(objects), device=masks.device)
    for k, (x1, y1, x2, y2) in enumerate(corners.tolist()):
        window = slice(y1, y2 + 1), slice(x1, x2 + 1)
        shares[k] = (holders[window] > masks[k][window]).float().mean()
    objects = objects.copy_with_fields(["labels", "scores"], skip_missing=True)
    objects.add_field(KEY, shares)
    return objects


class ShareHiddenEvaluator(Evaluator):
    """The mean difference from the shares that annotated masks give."""

    protocol = "mean absolute error over the objects that a detection of their class finds with IoU 0.5 or more"

    def record(self, stored, target):
        """float [M]: how far off each found object is."""
        objects = self.task.content(target)
        shares = objects.get_field(KEY).tolist()
        return np.array([abs(row[KEY] - shares[index]) for row, index in found_objects(stored, objects)])

    def summarize(self, records):
        errors = np.concatenate([np.zeros(0), *records])
        if not len(errors):
            return Scores({"MAE": np.nan}, reason="no object was found")
        return Scores({"MAE": float(errors.mean())})

    def image_score(self, record):
        """1 for no error."""
        return 1 - float(record.mean()) if len(record) else np.nan


def setup_environment():
    """Add the task; the tools call this, and a script does after it has imported the file."""
    register_task(ShareHidden())
