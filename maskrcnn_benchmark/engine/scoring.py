"""Scoring images in worker processes, so that neither the network nor the reader of files waits for the evaluators."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from maskrcnn_benchmark.evaluation.evaluator import Evaluator
from maskrcnn_benchmark.structures.image_prediction import ImagePrediction
from maskrcnn_benchmark.utils.workers import Workers

# An `ImagePrediction` in the image's own pixels, or {task key: what `Task.encode` makes of it}
Prediction = ImagePrediction | Mapping[str, Any]


class ScoringPool:
    """Evaluators that score images elsewhere. Used as a context; at its end the evaluators know every image.

    Args:
        evaluators: {task key: Evaluator}; records are merged into them.
        dataset: has `get_annotations(index)` and `get_img_info(index)`, which the workers call.
        workers: number of processes; 0 scores in this one.
        predictions: function from an index and task keys to the prediction, called in a worker for images that are
            submitted without one, such as one that reads files.
    """

    def __init__(
        self,
        evaluators: Mapping[str, Evaluator],
        dataset: Any,
        workers: int = 0,
        predictions: Callable[[int, Sequence[str]], Prediction] | None = None,
    ) -> None:
        self.evaluators = evaluators
        self._workers = Workers(partial(_score, evaluators, dataset, predictions), workers)

    def submit(self, index: int, prediction: Prediction | None = None) -> None:
        """Score one image; returns once it is on its way.

        Args:
            index: the image's index in the data set.
            prediction: None asks `predictions`.
        """
        self._merge(self._workers.call(index, prediction))

    def __enter__(self) -> "ScoringPool":
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        with self._workers:
            if kind is None:
                self._merge(self._workers.rest())

    def _merge(self, scored):
        for index, records in scored:
            for key, record in records.items():
                self.evaluators[key].merge([{index: record}])


def _score(evaluators, dataset, predictions, index, prediction):
    """(index, {task key: record}) of one image, without the tasks that nobody annotated on it."""
    target = dataset.get_annotations(index)
    asked = {key: evaluator for key, evaluator in evaluators.items() if evaluator.is_annotated(target)}
    if asked and prediction is None:
        prediction = predictions(index, list(asked))
    info = dataset.get_img_info(index)
    for evaluator in asked.values():
        evaluator.check_size((info["width"], info["height"]), target)
    return index, {key: evaluator.score(prediction, target) for key, evaluator in asked.items()}
