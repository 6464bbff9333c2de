"""Panoptic quality from counts, by hand, and of an evaluator on annotations."""

import math

import numpy as np
import pytest
import torch

from maskrcnn_benchmark.evaluation.panoptic.quality import PanopticEvaluator, add_counts, qualities
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.dense_map import SemanticMap
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.panoptic_map import PanopticClasses, PanopticMap
from maskrcnn_benchmark.structures.segmentation_mask import SegmentationMask
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.task import TASKS

VOCABULARY = Vocabulary(thing_names=("cat", "dog"), semantic_names=("sky", "cat", "grass", "dog"))
SKY, CAT, GRASS, DOG = range(4)


def target(semantic, cats=(), image_id=1):
    """A thing is a cat where one of the masks has it."""
    labels = torch.tensor(semantic, dtype=torch.uint8)
    size = labels.shape[1], labels.shape[0]
    masks = torch.tensor(np.array(cats, np.uint8).reshape(-1, *labels.shape))
    objects = BoxList(torch.zeros(len(masks), 4), size)
    objects.add_field("labels", torch.ones(len(masks), dtype=torch.int64))
    objects.add_field("masks", SegmentationMask(masks, size, mode="mask"))
    return ImageAnnotations(size, objects, semantic=SemanticMap(labels), image_id=image_id)


def predicted(ids, classes):
    return PanopticMap.of_rows(np.array(ids, np.int32), [(kind, -1, 1.0, False) for kind in classes])


@pytest.fixture
def evaluator():
    return PanopticEvaluator(TASKS["panoptic"], VOCABULARY)


def test_qualities_by_hand():
    values = qualities(np.array([[2, 1, 1, 1.5], [0, 1, 0, 0], [0, 0, 0, 0]]))
    np.testing.assert_allclose(values["RQ"], [2 / 3, 0, np.nan])
    np.testing.assert_allclose(values["SQ"], [0.75, 0, np.nan])
    np.testing.assert_allclose(values["PQ"], [0.5, 0, np.nan])


def test_counts_of_images_are_added_by_class():
    one = np.array([0, 2]), np.array([[1, 0, 0, 0.9], [0, 1, 0, 0]])
    other = np.array([2]), np.array([[1, 1, 0, 0.6]])
    assert add_counts([one, other], 3).tolist() == [[1, 0, 0, 0.9], [0, 0, 0, 0], [1, 2, 0, 0.6]]


def test_means_are_over_the_classes_of_the_whole_set(evaluator):
    first = target([[SKY, SKY, SKY, CAT]], [[[0, 0, 0, 1]]])
    second = target([[SKY, SKY, GRASS, GRASS]], image_id=2)
    evaluator.process(
        [
            {"panoptic": predicted([[1, 1, 1, 2]], [SKY, CAT])},
            {"panoptic": predicted([[1, 1, 1, 2]], [SKY, DOG])},
        ],
        [first, second],
    )
    metrics = evaluator.evaluate()
    # sky: IoU 1 and 2/3; cat: 1; dog: one wrong; grass: one missed
    assert metrics["PQ"] == pytest.approx((5 / 6 + 1 + 0 + 0) / 4)
    assert metrics["SQ"] == pytest.approx((5 / 6 + 1 + 0 + 0) / 4)
    assert metrics["RQ"] == pytest.approx(2 / 4)
    assert metrics["PQ-things"] == pytest.approx(1 / 2) and metrics["PQ-stuff"] == pytest.approx(5 / 12)
    assert evaluator.scores.per_class["PQ"] == pytest.approx({"sky": 5 / 6, "cat": 1, "grass": 0, "dog": 0})
    assert evaluator.image_scores() == pytest.approx({1: 1.0, 2: 2 / 9})


def test_an_image_of_nothing_says_nothing(evaluator):
    evaluator.process([{"panoptic": predicted([[0, 0]], [])}], [target([[255, 255]])])
    assert all(math.isnan(value) for value in evaluator.evaluate().values())
    assert evaluator.scores.reason == "no image has a segment"


def test_perfect_segments_score_one_and_an_object_that_the_map_denies_is_no_truth(evaluator):
    truth = target([[SKY, CAT, CAT, CAT]], [[[0, 1, 1, 0]], [[1, 0, 0, 0]]])
    segments = PanopticMap.of_annotations(truth, PanopticClasses.of(VOCABULARY))
    assert segments.ids.tolist() == [[2, 1, 1, 3]] and segments.is_crowd.tolist() == [False, False, True]
    evaluator.process([{"panoptic": segments}], [truth])
    assert {evaluator.evaluate()[name] for name in ("PQ", "PQ-things", "PQ-stuff", "SQ", "RQ")} == {1.0}


def test_a_prediction_of_another_size_is_refused(evaluator):
    with pytest.raises(ValueError, match=r"image 1 is \(2, 1\) pixels, its prediction \(3, 1\)"):
        evaluator.process([{"panoptic": predicted([[1, 1, 1]], [SKY])}], [target([[SKY, SKY]])])
