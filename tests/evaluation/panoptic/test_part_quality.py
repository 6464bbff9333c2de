"""Part-aware panoptic quality: figures of the reference evaluator, and counts by definition, mask by mask."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from maskrcnn_benchmark.evaluation.panoptic.matching import match_segments
from maskrcnn_benchmark.evaluation.panoptic.part_quality import PartPanopticEvaluator, judged_scene, part_ious
from maskrcnn_benchmark.evaluation.panoptic.quality import FN, FP, IOU, TP, class_counts, qualities
from maskrcnn_benchmark.prediction_files.part_panoptic_maps import PartPanopticPrediction
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.dense_map import SemanticMap
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.panoptic_map import VOID, PanopticClasses, PanopticMap
from maskrcnn_benchmark.structures.part_mask import PartMask, PartSet
from maskrcnn_benchmark.structures.part_panoptic_map import NO_PART, UNKNOWN, PartClasses, PartPanopticMap
from maskrcnn_benchmark.structures.segmentation_mask import SegmentationMask
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.part_panoptic import PART_PANOPTIC

SHAPE = 6, 8
# Two classes with two parts each, and one without
THING, ANIMAL, STUFF = range(3)
_OF_CLASSES = PanopticClasses(("thing", "animal", "stuff"), np.array([True, True, False]), 3, np.array([-1, 0, 1]))
CLASSES = PartClasses(_OF_CLASSES, ((1, 2), (3, 4), ()))


def scene(ids, classes, parts, crowds=(False,) * 9):
    rows = [(kind, k, 1.0, crowd) for k, (kind, crowd) in enumerate(zip(classes, crowds))]
    segments = PanopticMap.of_rows(np.asarray(ids, np.int32), rows).without_empty()
    return PartPanopticMap(segments, np.asarray(parts, np.uint8))


def counts(annotated, predicted, classes=CLASSES):
    """{class: [TP, FP, FN, sum of IoU]} of the classes that have any."""
    annotated = judged_scene(annotated, classes)
    matches = match_segments(annotated.segments, predicted.segments)
    iou = part_ious(matches, annotated, predicted, classes)
    found = class_counts(matches, annotated.segments, predicted.segments, iou)
    return {kind: row.tolist() for kind, row in zip(found[0].tolist(), found[1])}


def square(kind=THING, columns=slice(2, 6), upper=1, lower=2):
    """A segment of 4 rows, the upper two of one part and the others of another, before one of another class."""
    ids, parts = np.full(SHAPE, 2, np.int32), np.zeros(SHAPE, np.uint8)
    ids[1:5, columns] = 1
    parts[1:3, columns], parts[3:5, columns] = upper, lower
    return scene(ids, [kind, ANIMAL if kind == STUFF else STUFF], parts)


def changed(made, rows, label):
    parts = made.parts.copy()
    parts[rows, 2:6] = label
    return PartPanopticMap(made.segments, parts)


def stuff(columns):
    return square(STUFF, columns, NO_PART, NO_PART)


def on_void(columns):
    """Stuff that leaves columns void, where a prediction of the columns 2 to 5 has no partner."""
    ids = np.ones(SHAPE, np.int32)
    ids[:, columns] = VOID
    return scene(ids, [ANIMAL], np.where(ids, 3, 0))


# Of the reference evaluator of panoptic-parts 2.0rc6: (annotated, predicted, class, TP, FP, FN, PartPQ)
GOLDEN = {
    "perfect": (square(), square(), THING, 1, 0, 0, 1.0),
    "parts swapped": (square(), square(upper=2, lower=1), THING, 1, 0, 0, 0.333333),
    "all of one part": (square(), square(lower=1), THING, 1, 0, 0, 0.5),
    "top row unknown": (square(), changed(square(), 1, UNKNOWN), THING, 1, 0, 0, 0.833333),
    "bottom row without a part": (changed(square(), 4, NO_PART), square(), THING, 1, 0, 0, 1.0),
    "mask IoU 0.75": (square(), square(columns=slice(2, 5)), THING, 1, 0, 0, 0.796296),
    "mask IoU 0.5": (square(), square(columns=slice(2, 4)), THING, 0, 1, 1, 0.0),
    "no parts, mask IoU 0.75": (stuff(slice(2, 6)), stuff(slice(2, 5)), STUFF, 1, 0, 0, 0.75),
    "half on void": (on_void(slice(4, 8)), stuff(slice(2, 6)), STUFF, 0, 1, 0, 0.0),
    "three quarters on void": (on_void(slice(3, 8)), stuff(slice(2, 6)), STUFF, 0, 0, 0, None),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_counts_and_quality_are_those_of_the_reference_evaluator(name):
    annotated, predicted, kind, *expected, quality = GOLDEN[name]
    found = counts(annotated, predicted).get(kind)
    if quality is None:
        assert found is None
        return
    assert found[:IOU] == expected
    assert qualities(np.array([found]))["PQ"][0] == pytest.approx(quality, abs=1e-6)


@st.composite
def two_scenes(draw):
    """An annotated and a predicted map, which agree on many pixels."""
    ids = arrays(np.int32, SHAPE, elements=st.integers(0, 4))
    rows = np.arange(SHAPE[0])[:, None] // 3 * 2 + np.arange(SHAPE[1]) // 4 + 1  # four blocks
    annotated, other = np.where(draw(arrays(bool, SHAPE)), rows, draw(ids)), draw(ids)
    predicted = np.where(draw(arrays(bool, SHAPE)) | draw(arrays(bool, SHAPE)), annotated, other)
    kinds = st.lists(st.integers(0, 2), min_size=4, max_size=4)
    of_annotated = draw(kinds)
    of_predicted = draw(st.one_of(st.just(of_annotated), kinds))
    crowds = draw(st.lists(st.booleans(), min_size=4, max_size=4))
    upper = draw(arrays(bool, SHAPE))
    known = draw(arrays(bool, SHAPE))
    bare = draw(st.lists(st.booleans(), min_size=4, max_size=4))

    def parts(ids, kinds, upper, where_not):
        first = np.array([0, *((1, 3, 0)[kind] for kind in kinds)])[ids]
        return np.where(first == 0, 0, np.where(where_not, where_not, first + upper))

    lacking = ~known | np.array([False, *bare])[annotated]
    of_truth = np.where(lacking, NO_PART, parts(annotated, of_annotated, upper, np.zeros(SHAPE, int)))
    flipped = upper ^ draw(arrays(bool, SHAPE))
    unknown = draw(arrays(bool, SHAPE)) & draw(arrays(bool, SHAPE))
    of_found = parts(predicted, of_predicted, flipped, np.where(unknown, UNKNOWN, 0))
    return scene(annotated, of_annotated, of_truth, crowds), scene(predicted, of_predicted, of_found)


def counts_by_definition(annotated, predicted):
    """The same as `counts`, one segment, one mask and one label after the other."""

    def segments_of(made, kind):
        rows = zip(made.segments.classes.tolist(), made.segments.is_crowd.tolist())
        return [(made.segments.ids == k, crowd) for k, (own, crowd) in enumerate(rows, 1) if own == kind]

    void, result = annotated.segments.ids == VOID, {}
    for kind in range(3):
        truth, crowd = [], np.zeros(SHAPE, bool)
        for mask, is_crowd in segments_of(annotated, kind):
            if is_crowd or (kind != STUFF and not annotated.parts[mask].any()):
                crowd |= mask
            else:
                truth.append(mask)
        found = [mask for mask, _ in segments_of(predicted, kind)]
        left, row = list(range(len(found))), [0, 0, 0, 0.0]
        for mask in truth:
            for j in left:
                union = (mask | found[j]).sum() - (void & found[j]).sum()
                iou = (mask & found[j]).sum() / union
                if iou > 0.5:
                    left.remove(j)
                    row[TP] += 1
                    row[IOU] += iou if kind == STUFF else mean_of_labels(annotated, predicted, mask, found[j], crowd)
                    break
        row[FP] = sum(((void | crowd) & found[j]).sum() / found[j].sum() <= 0.5 for j in left)
        row[FN] = len(truth) - row[TP]
        if any(row):
            result[kind] = [float(value) for value in row]
    return result


def mean_of_labels(annotated, predicted, mask, other, crowd):
    own, theirs = np.where(mask, annotated.parts, 0), np.where(other, predicted.parts, 0)
    judged = ~((annotated.segments.ids == VOID) | crowd | (mask & (own == 0)))
    own, theirs = own[judged], theirs[judged]
    labels = sorted({*own.tolist(), *theirs.tolist()} - {UNKNOWN})
    shares = [
        ((own == label) & (theirs == label)).sum() / ((own == label) | (theirs == label)).sum() for label in labels
    ]
    return np.mean(shares)


@given(two_scenes())
def test_counts_are_those_of_the_definition(scenes):
    found, expected = counts(*scenes), counts_by_definition(*scenes)
    assert found.keys() == expected.keys()
    for kind, row in found.items():
        assert row[:IOU] == expected[kind][:IOU]
        assert row[IOU] == pytest.approx(expected[kind][IOU], rel=1e-12)


def image(image_id, parts_annotated=True):
    """A person, head above torso, beside a bottle in front of sky; the bottle has one part only."""
    masks = torch.zeros(2, 4, 6, dtype=torch.uint8)
    masks[0, :, :3], masks[1, 2:, 3:] = 1, 1
    parts = torch.zeros(2, 4, 6, dtype=torch.uint8)
    parts[0, :2, :3], parts[0, 2:, :3] = 1, 2
    objects = BoxList(torch.tensor([[0.0, 0, 2, 3], [3, 2, 5, 3]]), (6, 4))
    objects.add_field("labels", torch.tensor([1, 2]))
    objects.add_field("masks", SegmentationMask(masks, (6, 4), mode="mask"))
    objects.add_field("parts", PartMask(parts, [parts_annotated, False], (6, 4), VOCABULARY.parts))
    semantic = torch.full((4, 6), 2, dtype=torch.uint8)
    semantic[:, :3], semantic[2:, 3:] = 0, 1
    labels = {"detection": objects, "semantic": SemanticMap(semantic)}
    return ImageAnnotations((6, 4), image_id=image_id, labels=labels)


VOCABULARY = Vocabulary(
    thing_names=("person", "bottle"),
    semantic_names=("person", "bottle", "sky"),
    parts=PartSet(
        "all", ("person/head", "person/torso", "bottle/cap"), (0, 1, 2, 3), (("person",), ("person",), ("bottle",)),
        (("head",), ("torso",), ("cap",)),
    ),
)  # fmt: skip


def test_figures_are_over_all_classes_those_with_parts_and_those_without():
    evaluator, classes = PartPanopticEvaluator(PART_PANOPTIC, VOCABULARY), PartClasses.of(VOCABULARY)
    for key, is_swapped in enumerate((False, True)):
        target = image(key)
        made = PartPanopticMap.of_annotations(target, classes)
        parts = np.array([0, 2, 1], np.uint8)[made.parts] if is_swapped else made.parts
        predicted = PartPanopticPrediction.of(PartPanopticMap(made.segments, parts), VOCABULARY)
        evaluator.process([{"part_panoptic": predicted}], [target])
    metrics = evaluator.evaluate()
    assert metrics["PartPQ"] == pytest.approx((2 / 3 + 2) / 3)
    assert metrics["PartPQ-Pt"] == metrics["PartSQ-Pt"] == pytest.approx(2 / 3)
    assert metrics["PartPQ-NoPt"] == metrics["PartRQ"] == 1
    assert evaluator.scores.per_class["PartPQ"] == pytest.approx({"person": 2 / 3, "bottle": 1, "sky": 1})
    assert list(evaluator.image_scores().values()) == pytest.approx([1, (1 / 3 + 2) / 3])
    assert "0.333" in evaluator.scores.note


def test_an_object_whose_parts_nobody_annotated_is_neither_found_nor_missed():
    evaluator, target = PartPanopticEvaluator(PART_PANOPTIC, VOCABULARY), image(1, parts_annotated=False)
    made = PartPanopticMap.of_annotations(target, PartClasses.of(VOCABULARY))
    evaluator.process([{"part_panoptic": PartPanopticPrediction.of(made, VOCABULARY)}], [target])
    metrics = evaluator.evaluate()
    assert np.isnan(metrics["PartPQ-Pt"]) and metrics["PartPQ"] == metrics["PartPQ-NoPt"] == 1
