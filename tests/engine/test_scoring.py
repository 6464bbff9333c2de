"""Images scored in worker processes give what one process gives."""

import numpy as np
import pytest
import torch

from maskrcnn_benchmark.engine.scoring import ScoringPool
from maskrcnn_benchmark.evaluation.evaluator import build_evaluators
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.classification import CLASSIFICATION
from maskrcnn_benchmark.utils.errors import UserError

SIZE = (4, 3)


class Labelled:
    """Twenty images, of which every fifth has no labels."""

    def get_img_info(self, index):
        return {"width": SIZE[0], "height": SIZE[1]}

    def get_annotations(self, index):
        classes = torch.tensor([index % 2, index % 3 == 0]).float()
        return ImageAnnotations(SIZE, classes=None if index % 5 == 4 else classes, image_id=index)


def stored_of(index, tasks=("classification",)):
    assert list(tasks) == ["classification"]
    if index % 5 == 4:
        raise UserError("nobody asked for this image")
    return {"classification": np.random.default_rng(index).random(2)}


def evaluators_of_two_labels():
    return build_evaluators([CLASSIFICATION], Vocabulary(image_label_names=("a", "b")))


def scored(workers, give):
    evaluators = evaluators_of_two_labels()
    with ScoringPool(evaluators, Labelled(), workers, None if give else stored_of) as pool:
        for index in range(20):
            pool.submit(index, stored_of(index) if give and index % 5 != 4 else None)
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
        ScoringPool(evaluators_of_two_labels(), Labelled(), workers, broken) as pool,
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
        ScoringPool(evaluators_of_two_labels(), Labelled(), 1, killed) as pool,
    ):
        pool.submit(0)


def test_a_prediction_for_an_image_of_another_size_is_refused(monkeypatch):
    monkeypatch.setattr(Labelled, "get_img_info", lambda self, index: {"width": 8, "height": 6})
    with (
        pytest.raises(ValueError, match=r"classification: image 0 is \(4, 3\) pixels, its prediction \(8, 6\)"),
        ScoringPool(evaluators_of_two_labels(), Labelled()) as pool,
    ):
        pool.submit(0, stored_of(0))
