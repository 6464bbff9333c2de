"""TEST.CLASS_MEAN: the mean IoU over the classes that occur, and over all of them, by definition."""

import numpy as np
import pytest
import torch

from maskrcnn_benchmark.config import cfg as default_cfg
from maskrcnn_benchmark.evaluation.dense.confusion import mean_over_classes
from maskrcnn_benchmark.evaluation.protocols import Protocols, build_protocols
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.dense_map import SemanticMap
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.part_mask import PartMask, PartSet
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.part import PART, PartPrediction
from maskrcnn_benchmark.tasks.semantic import SEMANTIC

NAMES = tuple(f"class {k}" for k in range(21))


def by_definition(true, predicted, count):
    """Mean over all classes of intersection by union, 0 for what never occurs in the ground truth."""
    known = true != 255
    values = []
    for k in range(count):
        union = ((true == k) | (predicted == k)) & known
        both = ((true == k) & (predicted == k)) & known
        values.append(both.sum() / union.sum() if (true == k).any() else 0)
    return np.mean(values)


@pytest.fixture
def maps():
    draw = np.random.default_rng(0)
    true = draw.integers(0, 12, (30, 40)).astype(np.uint8)  # 12 to 20 never occur
    predicted = np.where(draw.random((30, 40)) < 0.6, true, draw.integers(0, 14, (30, 40))).astype(np.uint8)
    true[:3] = 255
    return true, predicted


def semantic_scores(maps, protocols):
    true, predicted = maps
    evaluator = SEMANTIC.build_evaluator(Vocabulary(semantic_names=NAMES), protocols)
    labels = {"semantic": SemanticMap(torch.from_numpy(true))}
    evaluator.process([{"semantic": predicted}], [ImageAnnotations((40, 30), labels=labels)], [0])
    return evaluator.evaluate(), evaluator.protocol


def test_over_all_classes_those_that_never_occur_are_zero(maps):
    scores, words = semantic_scores(maps, Protocols(class_mean="all"))
    assert scores["mIoU"] == pytest.approx(by_definition(*maps, 21), abs=1e-12)
    assert "all classes, those that never occur as 0" in words
    annotated, words = semantic_scores(maps, Protocols())
    assert annotated["mIoU"] == pytest.approx(by_definition(*maps, 12), abs=1e-12)
    assert "annotated anywhere" in words


def test_of_parts_the_seven_labels_count():
    true = np.zeros((8, 10), np.uint8)
    true[:4, :4], true[4:, :4] = 1, 2
    predicted = np.roll(true, 1, axis=1)
    vocabulary = Vocabulary(("person",), parts=PartSet.from_names("person6", {}))
    objects = BoxList(torch.tensor([[0.0, 0, 3, 7]]), (10, 8))
    objects.add_field("labels", torch.ones(1, dtype=torch.int64))
    objects.add_field("parts", PartMask(torch.from_numpy(true)[None], [True], (10, 8), vocabulary.parts))
    scores = {}
    for kind in ("annotated", "all"):
        evaluator = PART.build_evaluator(vocabulary, Protocols(class_mean=kind))
        evaluator.process([{"part": PartPrediction(predicted)}], [ImageAnnotations((10, 8), objects)], [0])
        scores[kind] = evaluator.evaluate()["mIoU"]
    assert scores["all"] == pytest.approx(by_definition(true, predicted, 7), abs=1e-12)
    assert scores["annotated"] == pytest.approx(by_definition(true, predicted, 3), abs=1e-12)


def test_where_nothing_occurs_there_is_no_mean():
    nothing = np.full(3, np.nan)
    assert np.isnan(mean_over_classes(nothing, "all")) and np.isnan(mean_over_classes(nothing, "annotated"))


def test_the_option_reaches_the_protocol():
    cfg = default_cfg.clone()
    assert build_protocols(cfg).class_mean == "annotated"
    cfg.merge_from_list(["TEST.CLASS_MEAN", "all"])
    assert build_protocols(cfg).class_mean == "all"
    with pytest.raises(ValueError, match="means are over annotated or all classes, not 'some'"):
        Protocols(class_mean="some")
