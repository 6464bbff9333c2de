"""Semantic segmentation: mean IoU and accuracies over labelled pixels."""

import numpy as np

from maskrcnn_benchmark.evaluation.dense.confusion import (
    add_pairs,
    class_accuracy,
    count_pairs,
    intersection_over_union,
    mean_iou,
    mean_or_nan,
)
from maskrcnn_benchmark.evaluation.evaluator import Evaluator
from maskrcnn_benchmark.evaluation.scores import Scores


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

    @property
    def protocol(self):
        return (
            f"IoU and accuracy of {self.num_classes} classes from one confusion matrix of all images' labelled pixels, "
            f"means over the classes that are annotated anywhere (Long et al. 2015)"
        )

    def answer(self, prediction):
        return self.member(prediction, "semantic").labels.cpu().numpy()

    def record(self, answer, target):
        """(cells, counts) of `count_pairs`."""
        truth = target.semantic.labels.cpu().numpy()
        return count_pairs(truth, answer, self.num_classes, f"semantic: image {target.image_id}")

    def summarize(self, records):
        confusion = add_pairs(records, self.num_classes)
        pixels = confusion.sum()
        iou, accuracy = intersection_over_union(confusion), class_accuracy(confusion)
        metrics = {
            "mIoU": mean_or_nan(iou),
            "pixel-accuracy": float(np.trace(confusion) / pixels) if pixels else np.nan,
            "mean-accuracy": mean_or_nan(accuracy),
            "fwIoU": float(np.nansum(iou * confusion.sum(axis=1)) / pixels) if pixels else np.nan,
        }
        per_class = {
            "IoU": dict(zip(self.class_names, iou.tolist())),
            "accuracy": dict(zip(self.class_names, accuracy.tolist())),
        }
        return Scores(metrics, per_class, reason="" if pixels else "no image has a pixel with a semantic label")

    def image_score(self, record):
        """mIoU of the image over the classes that occur in it; nan where no pixel is labelled."""
        return mean_iou(add_pairs([record], self.num_classes))
