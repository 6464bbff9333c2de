"""Image classification: average precision per label in the definition of VOC 2010, and its means."""

import numpy as np

from maskrcnn_benchmark.evaluation.dense.confusion import mean_or_nan
from maskrcnn_benchmark.evaluation.evaluator import Evaluator
from maskrcnn_benchmark.evaluation.scores import Curve, Line, Scores
from maskrcnn_benchmark.utils.errors import UserError

# Where precision is read off for the curve; the AP itself takes every recall
_RECALLS = np.linspace(0, 1, 101)


class ClassificationEvaluator(Evaluator):
    """Mean AP over the labels that occur on any image ("mAP"), and over those that are things ("mAP-things").

    Args:
        label_names: names of the image labels, in the order of `ImageAnnotations.classes`.
        thing_names: names of the things; labels of these names enter "mAP-things".
    """

    task = "classification"

    def __init__(self, label_names, thing_names=()):
        self.label_names = tuple(label_names)
        self.is_thing = np.isin(np.array(self.label_names, dtype=object), list(thing_names))
        super().__init__()

    @property
    def protocol(self):
        return (
            f"AP of {len(self.label_names)} labels ({self.is_thing.sum()} of them things) over all images, area under "
            f"the whole curve (VOC 2010), mean over the labels that occur"
        )

    def answer(self, prediction):
        return self.member(prediction, "classes").cpu().double().numpy()

    def record(self, answer, target):
        """(scores float64 [L], occurs bool [L])."""
        truth = target.classes.cpu().numpy() > 0.5
        where = f"classification: image {target.image_id}"
        if len(answer) != len(self.label_names) or len(truth) != len(self.label_names):
            raise UserError(
                f"{where} has {len(answer)} scores and {len(truth)} annotated labels, but there are "
                f"{len(self.label_names)} labels"
            )
        if np.isnan(answer).any():
            raise UserError(
                f"{where} has a score that is not a number (nan): {self.label_names[np.isnan(answer).argmax()]}"
            )
        return answer, truth

    def summarize(self, records):
        shape = len(records), len(self.label_names)
        scores, truth = (
            (np.array(column).reshape(shape) for column in zip(*records)) if records else np.zeros((2, *shape))
        )
        truth = truth > 0
        precision = np.array([average_precision(scores[:, k], truth[:, k]) for k in range(shape[1])])
        occurs = truth.any(axis=0)
        return Scores(
            {"mAP": mean_or_nan(precision), "mAP-things": mean_or_nan(precision[self.is_thing])},
            {"AP": dict(zip(self.label_names, precision.tolist()))},
            [self._curve(scores, truth)] if occurs.any() else [],
            self._reason(occurs),
        )

    def image_score(self, record):
        """AP of the image's own ranking of all labels; nan where none of them occurs."""
        return average_precision(*record)

    def _reason(self, occurs):
        if not occurs.any():
            return "no image has an annotated label"
        return "" if occurs[self.is_thing].any() else "no image has a thing among its labels"

    def _curve(self, scores, truth):
        """Mean over labels of the precision at each recall."""
        lines = []
        for name, chosen in (("all labels", np.ones_like(self.is_thing)), ("things", self.is_thing)):
            labels = np.flatnonzero(chosen & truth.any(axis=0))
            if len(labels):
                levels = [precision_at_recalls(scores[:, k], truth[:, k], _RECALLS) for k in labels]
                lines.append(Line(f"{name} ({len(labels)})", _RECALLS, np.mean(levels, axis=0)))
        return Curve("classification_pr", "Image labels: mean precision", "recall", "precision", lines)


def average_precision(scores, positive, count=None):
    """Area under the precision-recall curve made monotone, over all points (VOC 2010, Everingham et al. 2010).

    Items of equal score are one point of the curve, so that their order does not matter.

    Args:
        scores: float [M].
        positive: bool [M].
        count: how many positives there are, if some are not among the items; by default those among them.

    Returns:
        float in 0..1; nan where nothing is positive.
    """
    hits, envelope, count = _curve_points(scores, positive, count)
    return float(np.sum(np.diff(hits, prepend=0) * envelope) / count) if count else np.nan


def precision_at_recalls(scores, positive, recalls):
    """The largest precision at a recall of at least each of `recalls` [R]: float64 [R], 0 where it is never reached."""
    hits, envelope, count = _curve_points(scores, positive, None)
    # A hair less, because recalls are rounded fractions
    places = np.searchsorted(hits / max(count, 1), recalls - 1e-9)
    return np.append(envelope, 0.0)[places]


def _curve_points(scores, positive, count):
    """(hits int64 [Q] down to each distinct score, best precision float64 [Q] there or further down, positives)."""
    count = int(positive.sum()) if count is None else count
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    last_of_score = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True)[: len(ranked)])
    hits = np.cumsum(positive[order])[last_of_score]
    precision = hits / (last_of_score + 1)
    return hits, np.maximum.accumulate(precision[::-1])[::-1], count
