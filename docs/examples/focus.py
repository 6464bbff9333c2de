"""Focus as a ninth task, in one file outside the package; docs/adding_a_task.md goes through it piece by piece.

TORCH_DETECTRON_ENV_MODULE=docs/examples/focus.py python tools/train_net.py \
    --config-file configs/detail/mini_R_18_FPN.yaml MODEL.FOCUS_ON True
"""

from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from maskrcnn_benchmark.data.dataset import LabelReader
from maskrcnn_benchmark.evaluation.evaluator import Evaluator
from maskrcnn_benchmark.evaluation.scores import Curve, Line, Scores
from maskrcnn_benchmark.evaluation.trivial import MeanMap
from maskrcnn_benchmark.modeling.fpn_heads.dense_decoder import DENSE_STRIDE, of_images, stack_padded
from maskrcnn_benchmark.prediction_files.map_file import read_strength
from maskrcnn_benchmark.prediction_files.maps import ArrayMaps
from maskrcnn_benchmark.structures.dense_map import IGNORE_INDEX, SemanticMap
from maskrcnn_benchmark.structures.image_prediction import ScoreMap
from maskrcnn_benchmark.tasks.task import Task, register_task

KEY = "focus"


class Focus(Task):
    """What of an image is in focus."""

    key = KEY
    title = "focus"
    switch = "FOCUS_ON"
    losses = ("loss_focus",)
    headline = "maxF"
    parameter_prefixes = ("fpn_heads.heads.focus.",)

    def label_reader(self, dataset):
        """PNGs in a folder beside that of the images; the embedded data set, without any, has its largest objects."""
        if dataset.root is not None and maps_folder(dataset).is_dir():
            return PngReader(dataset)
        if dataset.layout == "detail" and Path(dataset.file.path).parent.name == "mini_detail":
            return LargestObjectReader(dataset)
        return None

    def build_head(self, cfg, in_channels, vocabulary):
        return FocusHead(in_channels)

    def build_evaluator(self, vocabulary, protocols):
        return FocusEvaluator(self, vocabulary)

    def trivial(self, vocabulary):
        """The mean label at each place."""
        return MeanMap(self.key, mean_label)

    def files(self):
        """What is scored and written, uint8 [H, W]: a folder of grey PNGs of 8 bits."""
        return (ArrayMaps(KEY, encodings={KEY: "PNG of 8 bits: probability of focus times 255"}),)


def maps_folder(dataset):
    return Path(dataset.root).parent / "focus"


# Labels: a `SemanticMap` with 1 where the image is in focus and 0 elsewhere
class PngReader(LabelReader):
    """The map focus/NAME.png of an image, grey and of its size, in focus from 128 on."""

    def read(self, image):
        if not self.has(image):
            return None
        strength = read_strength(self.path(image), image.size)
        return SemanticMap(torch.from_numpy((strength >= 128).astype(np.uint8)))

    def has(self, image):
        return self.path(image).is_file()

    def path(self, image):
        return maps_folder(image.dataset) / f"{Path(image.info['file_name']).stem}.png"


class LargestObjectReader(LabelReader):
    """The pixels of the largest object, whichever other tasks are on."""

    def read(self, image):
        if not self.has(image):
            return None
        width, height = image.size
        single = ~image.objects.get_field("iscrowd")
        if not single.any():
            return SemanticMap(torch.zeros(height, width, dtype=torch.uint8))
        masks = image.masks[single].get_mask_tensor().reshape(-1, height, width)
        return SemanticMap(masks[masks.flatten(1).sum(dim=1).argmax()].to(torch.uint8))

    def has(self, image):
        return image.has_masks


class FocusHead(nn.Module):
    """A 1x1 convolution on the dense features, trained by cross-entropy over the labelled pixels.

    Args:
        in_channels: channels of the dense features.
    """

    def __init__(self, in_channels):
        super().__init__()
        self.predict = nn.Conv2d(in_channels, 1, 1)
        nn.init.normal_(self.predict.weight, std=0.01)
        nn.init.zeros_(self.predict.bias)

    def forward(self, features, proposals=None, targets=None):
        """`DenseFeatures` -> (one `ScoreMap` of probabilities [1, h, w] per image, {}) or (None, {loss_focus})."""
        if targets is None:
            maps = zip(self.scores(features), features.image_sizes)
            return [ScoreMap(scores, (width, height), DENSE_STRIDE) for scores, (height, width) in maps], {}
        labels = {i: target.labels[KEY].labels for i, target in enumerate(targets) if KEY in target.labels}
        if not labels:
            return None, {}  # nobody looked at these images: no loss, which is not a loss of zero
        logits = self.predict(of_images(features.dense, list(labels))).float()
        height, width = (side * DENSE_STRIDE for side in logits.shape[-2:])
        logits = F.interpolate(logits, size=(height, width), mode="bilinear", align_corners=False)[:, 0]
        truth = stack_padded(list(labels.values()), height, width, IGNORE_INDEX)
        known = (truth != IGNORE_INDEX).float()
        loss = F.binary_cross_entropy_with_logits(logits, (truth == 1).float(), known, reduction="sum")
        return None, {"loss_focus": loss / known.sum().clamp(min=1)}

    def scores(self, features):
        """`DenseFeatures` -> probabilities float [N, 1, H/4, W/4] of the padded batch; what an export runs."""
        return self.predict(features.dense).float().sigmoid()


class FocusEvaluator(Evaluator):
    """maxF and MAE, and the mean IoU that multi-task papers give beside them.

    Pixels at least as strong as each threshold 0..255 are compared with those in focus. maxF is the greatest
    F = 1.3 P R / (0.3 P + R) of precision and recall averaged over images (Achanta et al. 2009); mIoU the greatest IoU
    averaged over images (Maninis et al. 2019); MAE the mean difference of strength and label per image, averaged
    (Perazzi et al. 2012; less is better). An image without focus has no recall and counts in MAE alone.
    """

    protocol = "maxF with beta^2 = 0.3 and mIoU of means over images at 256 thresholds, MAE (Achanta et al. 2009)"

    def record(self, stored, target):
        """int64 [2, 256]: other pixels and those in focus of an image, counted by the strength that they are given."""
        ground_truth = target.labels[KEY].labels.cpu().numpy()
        return np.stack([np.bincount(stored[ground_truth == value], minlength=256) for value in (0, 1)])

    def summarize(self, records):
        errors = [mean_error(record) for record in records if record.any()]
        curves = [compare(record) for record in records if record[1].any()]
        metrics = {"maxF": np.nan, "MAE": float(np.mean(errors)) if errors else np.nan, "mIoU": np.nan}
        if not curves:
            return Scores(metrics, reason="no image has a pixel in focus")
        precision, recall, iou = np.mean(curves, axis=0)
        f = f_measure(precision, recall)
        best = f.argmax()
        metrics.update(maxF=float(f[best]), mIoU=float(iou.max()))
        line = Line(f"maxF {f[best]:.3f}", recall, precision, (recall[best], precision[best]))
        return Scores(metrics, curves=[Curve("focus", "Focus", "recall", "precision", [line])])

    def image_score(self, record):
        """maxF of one image."""
        return float(f_measure(*compare(record)[:2]).max()) if record[1].any() else np.nan


def compare(record):
    """Precision, recall and IoU at each threshold, float [3, 256], of a record with pixels in focus."""
    wrong, right = record[:, ::-1].cumsum(axis=1)[:, ::-1]
    focused = record[1].sum()
    return np.stack([right / np.maximum(wrong + right, 1), right / focused, right / (wrong + focused)])


def f_measure(precision, recall, beta_squared=0.3):
    return (1 + beta_squared) * precision * recall / np.maximum(beta_squared * precision + recall, 1e-12)


def mean_error(record):
    strength = np.arange(256) / 255
    return (record[0] @ strength + record[1] @ (1 - strength)) / record.sum()


def mean_label(label):
    """What the trivial predictor averages over the training images: float [1, H, W]."""
    return (label.labels == 1)[None].float()


def setup_environment():
    """Add the task; the tools call this, and a script does after it has imported the file."""
    register_task(Focus())
