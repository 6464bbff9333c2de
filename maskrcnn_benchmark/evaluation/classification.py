"""Image classification: average precision per label in the definition of VOC 2010, and its means."""

import numpy as np

from maskrcnn_benchmark.evaluation.confusion import mean_or_nan
from maskrcnn_benchmark.evaluation.evaluator import Evaluator
from maskrcnn_benchmark.evaluation.scores import Scores


class ClassificationEvaluator(Evaluator):
    """Mean AP over the labels that occur on any image ("mAP"), and over those that are things ("mAP-things").

    Args:
        label_names: names of the image labels, in the order of `ImageAnnotations.classes`.
        thing_names: names of the things; labels of these names enter "mAP-things".
    """

    task = "classification"

    def __init__(self, label_names, thing_names=()):
        self.num_labels = len(label_names)
        self.is_thing = np.isin(np.array(label_names, dtype=object), list(thing_names))
        super().__init__()

    def answer(self, prediction):
        return self.member(prediction, "classes").cpu().double().numpy()

    def record(self, answer, target):
        truth = target.classes.cpu().numpy() > 0.5
        if len(answer) != self.num_labels or len(truth) != self.num_labels:
            raise ValueError(
                f"classification: {len(answer)} scores and {len(truth)} annotated labels for {self.num_labels} labels"
            )
        return answer, truth

    def summarize(self, records):
        if not records:
            return Scores({"mAP": np.nan, "mAP-things": np.nan})
        scores, truth = (np.stack(column) for column in zip(*records))
        precision = np.array([average_precision(scores[:, k], truth[:, k]) for k in range(self.num_labels)])
        return Scores({"mAP": mean_or_nan(precision), "mAP-things": mean_or_nan(precision[self.is_thing])})


def average_precision(scores, positive):
    """Area under the precision-recall curve made monotone, over all points (VOC 2010, Everingham et al. 2010).

    Items of equal score are one point of the curve, so that their order does not matter.

    Args:
        scores: float [M].
        positive: bool [M].

    Returns:
        float in 0..1; nan where nothing is positive.
    """
    if not positive.any():
        return np.nan
    order = np.argsort(-scores, kind="stable")
    last_of_score = np.append(np.diff(scores[order]) != 0, True)
    hits = np.cumsum(positive[order])[last_of_score]
    precision = hits / (np.flatnonzero(last_of_score) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(hits, prepend=0) * envelope) / positive.sum())
