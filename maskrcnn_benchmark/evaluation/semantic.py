"""Semantic segmentation: mean IoU and accuracies over labelled pixels."""

import numpy as np
import torch

from maskrcnn_benchmark.evaluation.confusion import add_pairs, count_pairs, intersection_over_union, mean_or_nan
from maskrcnn_benchmark.evaluation.evaluator import Evaluator
from maskrcnn_benchmark.evaluation.scores import Scores
from maskrcnn_benchmark.structures.dense_map import IGNORE_INDEX


class SemanticEvaluator(Evaluator):
    """mIoU, pixel accuracy, mean class accuracy and frequency-weighted IoU (Long et al. 2015) over all images at once.

    Unlabelled pixels do not count, and means are over the classes that occur in the annotations.

    Args:
        class_names: name of each value of the semantic map.
    """

    task = "semantic"

    def __init__(self, class_names):
        self.class_names = tuple(class_names)
        self.num_classes = len(self.class_names)
        super().__init__()

    def answer(self, prediction):
        return self.member(prediction, "semantic").scores.argmax(dim=0).to(torch.uint8).cpu().numpy()

    def record(self, answer, target):
        truth = target.semantic.labels.cpu().numpy()
        labelled = truth != IGNORE_INDEX
        return count_pairs(truth[labelled], answer[labelled], self.num_classes)

    def summarize(self, records):
        confusion = add_pairs(records, self.num_classes)
        pixels = confusion.sum()
        if pixels == 0:
            return Scores(dict.fromkeys(("mIoU", "pixel-accuracy", "mean-accuracy", "fwIoU"), np.nan))
        true = confusion.sum(axis=1)
        iou = intersection_over_union(confusion)
        return Scores(
            {
                "mIoU": mean_or_nan(iou),
                "pixel-accuracy": float(np.trace(confusion) / pixels),
                "mean-accuracy": mean_or_nan(np.where(true > 0, np.diag(confusion) / np.maximum(true, 1), np.nan)),
                "fwIoU": float(np.nansum(iou * true) / pixels),
            }
        )
