"""From verdicts on predictions to precision over recall, and to pycocotools' own metrics and lines."""

import contextlib
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from pycocotools.cocoeval import COCOeval, Params

from maskrcnn_benchmark.evaluation.coco.matching import ImageMatches
from maskrcnn_benchmark.evaluation.scores import Curve, Line
from maskrcnn_benchmark.utils.compiled import compiled


@dataclass(frozen=True)
class PrecisionTables:
    """What pycocotools calls `eval`; -1 where a class has no object that counts.

    Attributes:
        params: pycocotools' parameters: T overlaps `iouThrs`, R recalls `recThrs`, A areas `areaRng`, M `maxDets`.
        labels: int [K], the classes.
        precision: float64 [T, R, K, A, M], at each recall the best precision at a recall as high.
        recall: float64 [T, K, A, M], the highest.
        scores: float64 [T, R, K, A, M], the score at which a recall is reached.
    """

    params: Params
    labels: np.ndarray
    precision: np.ndarray
    recall: np.ndarray
    scores: np.ndarray

    def average_precision(self, overlap: float | None = None) -> float:
        """AP of any area at the largest number of detections, at one overlap or the mean over all: float or nan."""
        return _mean(self._at(self.precision, overlap)[..., 0, -1])

    def average_recall(self, detections: int) -> float:
        """AR of any area at a number of detections that `maxDets` has: float or nan."""
        return _mean(self.recall[..., 0, self.params.maxDets.index(detections)])

    def of_classes(self, names: Iterable[str], overlap: float | None = None) -> dict[str, float]:
        """{class: AP as in `average_precision`} for the names of labels 1, 2, ..., which the tables begin with."""
        tables = self._at(self.precision, overlap)
        return {name: _mean(tables[:, :, k, 0, -1]) for k, name in enumerate(names)}

    def curve(self, name: str, title: str, measure: str) -> Curve:
        """Precision over recall, mean over the classes that have objects, as a `Curve`."""
        lines = []
        for overlap, words in ((0.5, "0.50"), (0.75, "0.75"), (None, "0.50:0.95, mean")):
            tables = self._at(self.precision, overlap)[..., 0, -1]
            counting = tables[0, 0] > -1
            label = f"{measure} {words}: AP {100 * self.average_precision(overlap):.1f}"
            lines.append(Line(label, self.params.recThrs, tables[:, :, counting].mean(axis=(0, 2))))
        return Curve(name, title, "recall", "precision", lines)

    def summary(self) -> tuple[np.ndarray, str]:
        """(`stats`, printed lines) of pycocotools' own `summarize`, for its own areas and numbers of detections."""
        evaluation = COCOeval(iouType=self.params.iouType)
        evaluation.params = self.params
        evaluation.eval = {"precision": self.precision, "recall": self.recall, "scores": self.scores}
        with contextlib.redirect_stdout(io.StringIO()) as text:
            evaluation.summarize()
        return evaluation.stats, text.getvalue().rstrip()

    def _at(self, tables, overlap):
        return tables if overlap is None else tables[np.isclose(self.params.iouThrs, overlap)]


def accumulate(images: Sequence[ImageMatches], params: Params, labels: Sequence[int] | np.ndarray) -> PrecisionTables:
    """Precision over recall of images, as pycocotools' `accumulate` finds it, to the last bit.

    Args:
        images: list of `ImageMatches`, in the order in which predictions of equal score come.
        params: pycocotools' parameters that they were made with.
        labels: classes to evaluate, ascending; others are passed over.

    Returns:
        `PrecisionTables`.
    """
    labels = np.asarray(labels, np.int32)
    sizes = len(params.iouThrs), len(params.recThrs), len(labels), len(params.areaRng), len(params.maxDets)
    precision, scores, recall = -np.ones(sizes), -np.ones(sizes), -np.ones(sizes[:1] + sizes[2:])
    tables = PrecisionTables(params, labels, precision, recall, scores)
    if not images:
        return tables
    classes = np.concatenate([image.labels for image in images])
    all_scores = np.concatenate([image.scores for image in images])
    right = np.concatenate([image.right for image in images], axis=1)
    passed = np.concatenate([image.passed for image in images], axis=1)
    ranks = _ranks_in_images(classes, np.array([len(image.labels) for image in images]))
    order = np.lexsort((-all_scores, classes))
    classes = classes[order]
    bounds = [np.searchsorted(classes, labels, side=side) for side in ("left", "right")]
    _fill(
        precision,
        recall,
        scores,
        np.stack(bounds, axis=1),
        all_scores[order],
        ranks[order],
        right[:, order],
        passed[:, order],
        required_objects(images, labels),
        np.asarray(params.maxDets, np.int64),
        params.recThrs,
    )
    return tables


def required_objects(images: Sequence[ImageMatches], labels: np.ndarray) -> np.ndarray:
    """int64 [A, K], how many objects of each class are to be found on all images together."""
    classes = np.concatenate([image.classes for image in images])
    required = np.concatenate([image.required for image in images], axis=1)
    known = np.isin(classes, labels)
    totals = np.zeros((len(required), len(labels)), np.int64)
    np.add.at(totals.T, np.searchsorted(labels, classes[known]), required[:, known].T)
    return totals


def image_average_precision(matches: ImageMatches, params: Params, confident: float) -> float:
    """AP of one image alone, mean over the classes of its objects.

    Args:
        matches: of the image.
        params: pycocotools' parameters that they were made with.
        confident: the least score of a prediction that says something is there.

    Returns:
        float in 0..1; without objects 0 if something is predicted with confidence, nan if nothing is.
    """
    labels = matches.classes[matches.required[0] > 0]
    if not len(labels):
        # bit 0 is the lowest overlap: what lies on a crowd or beside the range is no mistake
        wrong = (matches.passed[0] & 1 == 0) & (matches.scores >= confident)
        return 0.0 if wrong.any() else np.nan
    alone = Params(iouType=params.iouType)
    alone.areaRng, alone.areaRngLbl, alone.maxDets = params.areaRng[:1], params.areaRngLbl[:1], params.maxDets[-1:]
    first = ImageMatches(
        matches.labels, matches.scores, matches.right[:1], matches.passed[:1], matches.classes, matches.required[:1]
    )
    return accumulate([first], alone, labels).average_precision()


def _ranks_in_images(classes, counts):
    """Place of each prediction among those of its image and class: int64 [N]; both come in order."""
    places = np.arange(len(classes))
    images = np.repeat(np.arange(len(counts)), counts)
    first = np.ones(len(classes), bool)
    first[1:] = (classes[1:] != classes[:-1]) | (images[1:] != images[:-1])
    return places - np.maximum.accumulate(np.where(first, places, 0))


@compiled
def _fill(precision, recall, score_table, bounds, scores, ranks, right, passed, required, limits, recalls):
    """Write the tables class by class; predictions come class by class in order of their scores."""
    members = np.empty(len(scores), np.int64)
    for k in range(len(bounds)):
        for m, limit in enumerate(limits):
            count = 0
            for d in range(bounds[k, 0], bounds[k, 1]):
                if ranks[d] < limit:
                    members[count] = d
                    count += 1
            for a in range(len(required)):
                if required[a, k] == 0:
                    continue
                for t in range(len(precision)):
                    bit = np.uint16(1 << t)
                    reached = _follow(members[:count], right[a], passed[a], bit, required[a, k])
                    recall[t, k, a, m] = reached[0, -1] if count else 0
                    d = 0
                    for r, wanted in enumerate(recalls):
                        while d < count and reached[0, d] < wanted:
                            d += 1
                        precision[t, r, k, a, m] = reached[1, d] if d < count else 0
                        score_table[t, r, k, a, m] = scores[members[d]] if d < count else 0


@compiled
def _follow(members, right, passed, bit, required):
    """float64 [2, N]: recall after each prediction, and the best precision after it or after a later one."""
    reached = np.empty((2, len(members)))
    found = wrong = 0
    for place, d in enumerate(members):
        if right[d] & bit:
            found += 1
        elif not passed[d] & bit:
            wrong += 1
        reached[0, place] = found / required
        # pycocotools' own guard against 0 / 0, which shows in the last bit
        reached[1, place] = found / (wrong + found + 2.0**-52)
    for place in range(len(members) - 1, 0, -1):
        reached[1, place - 1] = max(reached[1, place - 1], reached[1, place])
    return reached


def _mean(values):
    counting = values[values > -1]
    return float(np.mean(counting)) if counting.size else np.nan
