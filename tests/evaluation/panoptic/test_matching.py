"""Matches of segments, pixel by pixel as the paper defines them."""

from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from maskrcnn_benchmark.evaluation.panoptic.matching import match_segments, overlaps
from maskrcnn_benchmark.evaluation.panoptic.quality import FN, FP, IOU, TP, class_counts
from maskrcnn_benchmark.structures.panoptic_map import VOID, PanopticMap

SHAPE = 4, 6
CLASSES = 3


def segments(ids, classes, crowds=(False,) * 9):
    rows = [(kind, k, 1.0, crowd) for k, (kind, crowd) in enumerate(zip(classes, crowds))]
    return PanopticMap.of_rows(np.asarray(ids, np.int32), rows).without_empty()


@st.composite
def two_maps(draw):
    """An annotated and a predicted map, which agree on many pixels."""
    ids = arrays(np.int32, SHAPE, elements=st.integers(0, 4))
    annotated, other = draw(ids), draw(ids)
    predicted = np.where(draw(arrays(bool, SHAPE)), annotated, other)
    kinds = st.lists(st.integers(0, CLASSES - 1), min_size=4, max_size=4)
    of_annotated = draw(kinds)
    of_predicted = draw(st.one_of(st.just(of_annotated), kinds))
    crowds = draw(st.lists(st.booleans(), min_size=4, max_size=4))
    return segments(annotated, of_annotated, crowds), segments(predicted, of_predicted)


def counts_by_definition(annotated, predicted):
    """{class: [TP, FP, FN, sum of IoU]}, from sets of pixels."""

    def sets(segments):
        pixels = [{(y, x) for y, x in np.ndindex(SHAPE) if segments.ids[y, x] == k + 1} for k in range(len(segments))]
        return list(zip(segments.classes.tolist(), segments.is_crowd.tolist(), pixels))

    counts = {kind: [0, 0, 0, Fraction(0)] for kind in range(CLASSES)}
    void = {(y, x) for y, x in np.ndindex(SHAPE) if annotated.ids[y, x] == VOID}
    truth, found = sets(annotated), sets(predicted)
    matched = set()
    for kind, is_crowd, pixels in truth:
        if is_crowd:
            continue
        partners = []
        for j, (other_kind, _, others) in enumerate(found):
            iou = Fraction(len(pixels & others), len(pixels | (others - void)))
            if kind == other_kind and iou > Fraction(1, 2):
                partners.append((j, iou))
        assert len(partners) < 2
        counts[kind][TP if partners else FN] += 1
        counts[kind][IOU] += sum(iou for _, iou in partners)
        matched |= {j for j, _ in partners}
    for j, (kind, _, pixels) in enumerate(found):
        crowd = set().union(*(others for other, is_crowd, others in truth if is_crowd and other == kind))
        if j not in matched and Fraction(len(pixels & (void | crowd)), len(pixels)) <= Fraction(1, 2):
            counts[kind][FP] += 1
    return counts


@given(two_maps())
def test_counts_are_those_of_the_definition(maps):
    annotated, predicted = maps
    classes, counts = class_counts(match_segments(annotated, predicted), annotated, predicted)
    expected = {kind: row for kind, row in counts_by_definition(annotated, predicted).items() if any(row)}
    assert classes.tolist() == sorted(expected)
    for kind, row in zip(classes.tolist(), counts):
        assert row[:IOU].tolist() == expected[kind][:IOU]
        np.testing.assert_allclose(row[IOU], float(expected[kind][IOU]), rtol=1e-12)


@given(two_maps())
def test_overlaps_are_counted_pair_by_pair(maps):
    annotated, predicted = maps
    pixels = overlaps(annotated, predicted)
    assert pixels.shape == (len(annotated) + 1, len(predicted) + 1)
    for (t, p), number in np.ndenumerate(pixels):
        assert number == np.sum((annotated.ids == t) & (predicted.ids == p))


def test_half_of_the_union_is_no_match():
    annotated = segments([[1, 1, 1, 2]], [0, 1])
    match = match_segments(annotated, segments([[1, 1, 2, 2]], [0, 1]))
    assert match.annotated.tolist() == [0] and match.iou.tolist() == [2 / 3]
    assert match.missed.tolist() == [False, True] and match.wrong.tolist() == [False, True]


def test_void_is_no_part_of_the_union():
    match = match_segments(segments([[1, 1, 0, 0, 0]], [0]), segments([[1, 1, 1, 1, 1]], [0]))
    assert match.iou.tolist() == [1.0]
    match = match_segments(segments([[1, 1, 0, 0, 2]], [0, 1]), segments([[0, 1, 1, 1, 1]], [0]))
    assert match.missed.tolist() == [True, True] and match.wrong.tolist() == [True]  # 1 of 3, half of it on void


def test_what_lies_on_void_or_a_crowd_of_its_class_is_not_wrong():
    def wrong(annotated, classes, crowds, predicted=((1, 1, 1, 1, 2),)):
        return match_segments(segments(annotated, classes, crowds), segments(predicted, [0, 1])).wrong[0]

    assert wrong([[0, 0, 1, 1, 2]], [1, 1], [False, False])
    assert not wrong([[0, 0, 0, 1, 2]], [1, 1], [False, False])
    assert not wrong([[0, 1, 1, 2, 2]], [0, 1], [True, False])
    assert wrong([[0, 1, 1, 2, 2]], [2, 1], [True, False])
