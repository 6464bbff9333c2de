"""Sparse confusion matrices, by hand."""

import numpy as np
import pytest

from maskrcnn_benchmark.evaluation.confusion import add_pairs, count_pairs, intersection_over_union, mean_iou


def test_images_add_up_to_the_confusion_matrix():
    one = count_pairs(np.array([0, 0, 1]), np.array([0, 1, 1]), 3)
    two = count_pairs(np.array([1]), np.array([2]), 3)
    assert add_pairs([one, two], 3).tolist() == [[1, 1, 0], [0, 1, 1], [0, 0, 0]]


def test_mean_iou_leaves_out_classes_that_the_truth_lacks():
    confusion = np.array([[1, 1, 0], [0, 1, 1], [0, 0, 0]])
    iou = intersection_over_union(confusion)
    assert iou[:2] == pytest.approx([1 / 2, 1 / 3])
    assert np.isnan(iou[2])
    assert mean_iou(confusion) == pytest.approx(5 / 12)


def test_mean_iou_of_nothing_is_nan():
    assert np.isnan(mean_iou(np.zeros((3, 3), int)))


def test_a_class_beyond_the_count_is_refused():
    with pytest.raises(ValueError, match=r"predicted classes reach 0\.\.3, there are 3"):
        count_pairs(np.array([0, 1]), np.array([0, 3]), 3)
