"""Scoring images in worker processes, so that neither the network nor the reader of files waits for the evaluators."""

from functools import partial

from maskrcnn_benchmark.utils.workers import Workers


class ScoringPool:
    """Evaluators that score images elsewhere. Used as a context; at its end the evaluators know every image.

    Args:
        evaluators: {task key: Evaluator}; records are merged into them.
        dataset: has `get_annotations(index)`, which the workers call.
        workers: number of processes; 0 scores in this one.
        answers_of: function from an index and task keys to the answers, called in a worker for images that are
            submitted without them, such as one that reads files.
    """

    def __init__(self, evaluators, dataset, workers=0, answers_of=None):
        self.evaluators = evaluators
        self._workers = Workers(partial(_score, evaluators, dataset, answers_of), workers)

    def submit(self, index, answers=None):
        """Score one image; returns once it is on its way.

        Args:
            index: the image's index in the data set.
            answers: `ImageAnswers`, or `ImagePrediction` in the image's own pixels; None: ask `answers_of`.
        """
        self._merge(self._workers.call(index, answers))

    def __enter__(self):
        return self

    def __exit__(self, kind, *error):
        with self._workers:
            if kind is None:
                self._merge(self._workers.rest())

    def _merge(self, scored):
        for index, records in scored:
            for task, record in records.items():
                self.evaluators[task].merge([{index: record}])


def _score(evaluators, dataset, answers_of, index, answers):
    """(index, {task key: record}) of one image, without the tasks that nobody annotated on it."""
    target = dataset.get_annotations(index)
    asked = [evaluator for evaluator in evaluators.values() if evaluator.is_annotated(target)]
    if asked and answers is None:
        answers = answers_of(index, [evaluator.task for evaluator in asked])
    return index, {evaluator.task: evaluator.score(answers, target) for evaluator in asked}
