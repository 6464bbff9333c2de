"""Scoring images in worker processes, so that neither the network nor the reader of files waits for the evaluators."""

import contextlib
import gc
import multiprocessing
from collections import deque
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

import cv2
import torch

from maskrcnn_benchmark.engine.interruption import leave_signals_to_parent
from maskrcnn_benchmark.utils.errors import UserError

# Images per worker that may wait to be scored: enough to keep it busy, little enough to hold in memory
_BACKLOG = 4


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
        self._job = (evaluators, dataset, answers_of)
        self._waiting = deque()
        self._limit = _BACKLOG * workers
        self._pool = None
        self._threads = cv2.getNumThreads()
        if workers:
            # A garbage collection in a fork would touch, and so copy, all pages of the annotations; and a fork would
            # wait for OpenCV's threads, which do not live on in it
            gc.collect()
            gc.freeze()
            cv2.setNumThreads(1)
            # forked workers share the annotations with this process; elsewhere they are sent to them
            method = "fork" if "fork" in multiprocessing.get_all_start_methods() else "spawn"
            self._pool = ProcessPoolExecutor(workers, multiprocessing.get_context(method), _start, (self._job,))

    def submit(self, index, answers=None):
        """Score one image; returns once it is on its way.

        Args:
            index: the image's index in the data set.
            answers: `ImageAnswers`, or `ImagePrediction` in the image's own pixels; None: ask `answers_of`.
        """
        if self._pool is None:
            self._merge(index, _score(self._job, index, answers))
            return
        with _told_of_lost_workers():
            self._waiting.append((index, self._pool.submit(_score_here, index, answers)))
        while len(self._waiting) > self._limit:
            self._take()

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        try:
            while kind is None and self._waiting:
                self._take()
        finally:
            if self._pool is not None:
                self._pool.shutdown(wait=True, cancel_futures=True)
                gc.unfreeze()
                cv2.setNumThreads(self._threads)

    def _take(self):
        index, future = self._waiting.popleft()
        with _told_of_lost_workers():
            self._merge(index, future.result())

    def _merge(self, index, records):
        for task, record in records.items():
            self.evaluators[task].merge([{index: record}])


@contextlib.contextmanager
def _told_of_lost_workers():
    try:
        yield
    except BrokenProcessPool:
        raise UserError(
            "a worker of the evaluation was ended from outside, most likely for lack of memory: use fewer workers"
        ) from None


_job = None


def _start(job):
    """Make this process a worker: it keeps what it scores with, and one processor core is enough."""
    global _job
    _job = job
    torch.set_num_threads(1)
    leave_signals_to_parent(None)


def _score_here(index, answers):
    return _score(_job, index, answers)


def _score(job, index, answers):
    """{task key: record} of one image, without the tasks that nobody annotated on it."""
    evaluators, dataset, answers_of = job
    target = dataset.get_annotations(index)
    asked = [evaluator for evaluator in evaluators.values() if evaluator.is_annotated(target)]
    if asked and answers is None:
        answers = answers_of(index, [evaluator.task for evaluator in asked])
    return {evaluator.task: evaluator.score(answers, target) for evaluator in asked}
