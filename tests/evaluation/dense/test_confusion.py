"""Sparse confusion matrices, by hand and against counting class by class."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from maskrcnn_benchmark.evaluation.dense.confusion import (
    add_pairs,
    class_accuracy,
    count_pairs,
    intersection_over_union,
    mean_iou,
)
from maskrcnn_benchmark.utils.errors import UserError

MAPS = arrays.arrays(np.uint8, (5, 7), elements=st.sampled_from([0, 1, 2, 3]))


def counted(truth, predicted, classes):
    return count_pairs(np.array(truth, np.uint8), np.array(predicted, np.uint8), classes)


def test_images_add_up_to_the_confusion_matrix():
    one, two = counted([0, 0, 1, 255], [0, 1, 1, 2], 3), counted([1], [2], 3)
    assert add_pairs([one, two], 3).tolist() == [[1, 1, 0], [0, 1, 1], [0, 0, 0]]


@given(MAPS, MAPS, arrays.arrays(bool, (5, 7)))
def test_figures_equal_sets_of_pixels_compared_class_by_class(truth, predicted, counts):
    confusion = add_pairs([count_pairs(np.where(counts, truth, np.uint8(255)), predicted, 4)], 4)
    iou, accuracy = intersection_over_union(confusion), class_accuracy(confusion)
    for k in range(4):
        true, said = (truth == k) & counts, (predicted == k) & counts
        if not true.any():
            assert np.isnan(iou[k]) and np.isnan(accuracy[k])
            continue
        assert iou[k] == pytest.approx((true & said).sum() / (true | said).sum())
        assert accuracy[k] == pytest.approx((true & said).sum() / true.sum())


def test_the_greatest_number_of_classes_fits():
    truth = np.arange(255, dtype=np.uint8)
    confusion = add_pairs([count_pairs(truth, truth[::-1], 255)], 255)
    assert confusion.sum() == 255 and np.array_equal(np.nonzero(confusion)[1], truth[::-1])


def test_mean_iou_leaves_out_classes_that_the_truth_lacks():
    confusion = np.array([[1, 1, 0], [0, 1, 1], [0, 0, 0]])
    iou = intersection_over_union(confusion)
    assert iou[:2] == pytest.approx([1 / 2, 1 / 3])
    assert np.isnan(iou[2])
    assert mean_iou(confusion) == pytest.approx(5 / 12)


def test_mean_iou_of_nothing_is_nan():
    assert np.isnan(mean_iou(np.zeros((3, 3), int)))


@pytest.mark.parametrize(
    ("truth", "predicted", "message"),
    [
        ([0, 1], [0, 3], "the predicted map holds the value 3, but there are only the 3 classes"),
        ([0, 255], [0, 200], "the predicted map holds the value 200"),
        ([0, 254], [0, 1], "the annotated map holds the value 254"),
        ([0, 1], [0], r"the predicted map is \(1,\) pixels"),
    ],
)
def test_values_that_are_no_class_and_other_sizes_are_refused(truth, predicted, message):
    with pytest.raises(UserError, match=message):
        counted(truth, predicted, 3)


def test_maps_that_are_no_bytes_are_refused():
    with pytest.raises(TypeError, match="the predicted map is int64"):
        count_pairs(np.zeros(2, np.uint8), np.array([0, -1]), 3)
