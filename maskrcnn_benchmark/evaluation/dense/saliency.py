"""Saliency against the three measures that the field gives one name or another, and the mean absolute error."""

import numpy as np

from maskrcnn_benchmark.evaluation.evaluator import Evaluator
from maskrcnn_benchmark.evaluation.scores import Curve, Line, Scores
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations

BETA_SQUARED = 0.3  # Achanta et al. 2009
LEVELS = np.arange(256) / 255  # the strengths that files of 8 bits hold
F_THRESHOLDS = np.arange(1, 20) / 20
IOU_THRESHOLDS = np.linspace(0.2, 0.9, 15)
# bool [T, 256]: which strengths reach each threshold. The third is what becomes of the first where a sigmoid is applied
# to what is a probability already: all strengths reach thresholds up to 0.5, and none those from 0.75 on
_F_REACHED = F_THRESHOLDS[:, None] <= LEVELS
_IOU_REACHED = IOU_THRESHOLDS[:, None] < LEVELS
_INVPT_REACHED = 1 / (1 + np.exp(-LEVELS)) >= F_THRESHOLDS[:, None]
METRICS = ("maxF", "maxF-invpt", "max-mIoU", "MAE")


class SaliencyEvaluator(Evaluator):
    """maxF, maxF-invpt, max-mIoU and MAE of maps of 8 bits.

    - maxF: the greatest F = (1 + b) P R / (b P + R), b = 0.3, of 19 thresholds 0.05 ... 0.95 that a strength reaches
      (>=), of the pixels of all images counted together (ATRC, Bruggemann et al. 2021).
    - maxF-invpt: the same after a sigmoid of the strength, which is a probability already: what InvPT (Ye and Xu 2022),
      TaskPrompter, MLoRE and MTMamba publish. Four thresholds are left, 0.2007, 0.4055, 0.6190 and 0.8473, beside those
      that all pixels or none reach.
    - max-mIoU: the Jaccard index of each image, 1 where nothing is salient in either map, averaged over images; of the
      best of 15 thresholds 0.20 ... 0.90 that a strength exceeds (>) (ASTMT, Maninis et al. 2019, MTI-Net, MTLoRA).
    - MAE: the mean difference of strength and label of each image, averaged (Perazzi et al. 2012); less is better.

    Pixels that are not labelled do not count.
    """

    protocol = (
        "maxF: beta^2 = 0.3, pixels of all images at 19 thresholds; maxF-invpt: the same with InvPT's second sigmoid; "
        "max-mIoU: Jaccard per image, mean over images, best of 15 thresholds (ASTMT); MAE: mean over images"
    )

    def record(self, stored: np.ndarray, target: ImageAnnotations) -> np.ndarray:
        """uint32 [2, 256]: other and salient pixels, counted by the strength uint8 [H, W] that they are given."""
        labels = target.labels[self.task.key].labels.cpu().numpy()
        # a label beside each strength in 16 bits: one pass over the pixels
        codes = labels.astype(np.uint16)
        codes <<= 8
        codes |= stored
        counts = np.bincount(codes.reshape(-1), minlength=2 * 256)[: 2 * 256]
        return counts.reshape(2, 256).astype(np.uint32)

    def summarize(self, records: list[np.ndarray]) -> Scores:
        metrics = dict.fromkeys(METRICS, np.nan)
        records = [record.astype(np.int64) for record in records if record.any()]
        if not records:
            return Scores(metrics, reason="no image has a pixel with a saliency label")
        metrics["max-mIoU"] = float(np.mean([jaccard(record) for record in records], axis=0).max())
        metrics["MAE"] = float(np.mean([_mean_error(record) for record in records]))
        total = np.sum(records, axis=0)
        if not total[1].any():
            return Scores(metrics, reason="no image has a salient pixel")
        precision, recall = precision_recall(total, _F_REACHED)
        measure = f_measure(precision, recall)
        best = int(measure.argmax())
        metrics["maxF"] = float(measure[best])
        metrics["maxF-invpt"] = float(f_measure(*precision_recall(total, _INVPT_REACHED)).max())
        line = Line(f"maxF {measure[best]:.3f}", recall, precision, (recall[best], precision[best]))
        curve = Curve("saliency_precision_recall", "Saliency", "recall", "precision", [line])
        return Scores({name: metrics[name] for name in METRICS}, curves=[curve])

    def image_score(self, record: np.ndarray) -> float:
        """The image's own best Jaccard index."""
        return float(jaccard(record.astype(np.int64)).max()) if record.any() else np.nan


def precision_recall(counts: np.ndarray, reached: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Precision, 0 where nothing is predicted, and recall at each threshold: float [T] each.

    Args:
        counts: int64 [2, 256], other and salient pixels of each strength; some are salient.
        reached: bool [T, 256].
    """
    wrong, right = counts @ reached.T
    return right / np.maximum(wrong + right, 1), right / counts[1].sum()


def f_measure(precision: np.ndarray, recall: np.ndarray) -> np.ndarray:
    """F of beta^2 = 0.3, 0 where both are 0."""
    below = BETA_SQUARED * precision + recall
    return (1 + BETA_SQUARED) * precision * recall / np.where(below > 0, below, 1)


def jaccard(counts: np.ndarray) -> np.ndarray:
    """Intersection over union of one image's salient pixels and those above each of 15 thresholds: float [15]."""
    wrong, right = counts @ _IOU_REACHED.T
    union = wrong + counts[1].sum()
    return np.where(union > 0, right / np.maximum(union, 1), 1.0)


def _mean_error(counts):
    return (counts[0] @ LEVELS + counts[1] @ (1 - LEVELS)) / counts.sum()
