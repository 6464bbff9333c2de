"""Images scored in worker processes give what one process gives."""

import numpy as np
import pytest
import torch
from maskrcnn_benchmark.evaluation.classification import ClassificationEvaluator

from maskrcnn_benchmark.engine.scoring import ScoringPool
from maskrcnn_benchmark.prediction_files.encodings import ImageAnswers
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.utils.errors import UserError

SIZE = (4, 3)


class Labelled:
    """Twenty images, of which every fifth has no labels."""

    def get_annotations(self, index):
        classes = torch.tensor([index % 2, index % 3 == 0]).float()
        return ImageAnnotations(SIZE, classes=None if index % 5 == 4 else classes, image_id=index)


def answers_of(index, tasks=("classification",)):
    assert list(tasks) == ["classification"]
    if index % 5 == 4:
        raise UserError("nobody asked for this image")
    return ImageAnswers(SIZE, {"classification": np.random.default_rng(index).random(2)})


def scored(workers, give):
    evaluators = {"classification": ClassificationEvaluator(("a", "b"))}
    with ScoringPool(evaluators, Labelled(), workers, None if give else answers_of) as pool:
        for index in range(20):
            pool.submit(index, answers_of(index) if give and index % 5 != 4 else None)
    return evaluators["classification"]


@pytest.mark.parametrize("give", [True, False])
def test_workers_score_what_one_process_scores(give):
    alone, together = scored(0, give), scored(2, give)
    assert together.evaluate() == alone.evaluate()
    assert list(together.records()) == [index for index in range(20) if index % 5 != 4]


@pytest.mark.parametrize("workers", [0, 1])
def test_an_error_of_a_worker_reaches_the_user(workers):
    def broken(index, tasks):
        raise UserError(f"file of image {index} is cut off")

    with (
        pytest.raises(UserError, match=r"file of image \d is cut off"),
        ScoringPool({"c": ClassificationEvaluator("ab")}, Labelled(), workers, broken) as pool,
    ):
        for index in range(9):
            pool.submit(index)


def test_a_worker_that_is_killed_is_no_mystery():
    def killed(index, tasks):
        import os
        import signal

        os.kill(os.getpid(), signal.SIGKILL)

    with (
        pytest.raises(UserError, match="use fewer workers"),
        ScoringPool({"c": ClassificationEvaluator("ab")}, Labelled(), 1, killed) as pool,
    ):
        pool.submit(0)
