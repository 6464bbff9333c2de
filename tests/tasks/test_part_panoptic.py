"""The part-aware panoptic task: derived by the config's rules, read, scored, written, drawn and viewed."""

import numpy as np
import pytest
import torch

from maskrcnn_benchmark.config import cfg as default_cfg
from maskrcnn_benchmark.engine.inference import Evaluation
from maskrcnn_benchmark.engine.score_files import score_files
from maskrcnn_benchmark.engine.trivial_baseline import trivial_metrics
from maskrcnn_benchmark.prediction_files.reader import PredictionReader, find_predictions
from maskrcnn_benchmark.prediction_files.writer import PredictionWriter
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.dense_map import SemanticMap
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.image_prediction import ImagePrediction, ScoreMap
from maskrcnn_benchmark.structures.part_mask import PartMask, PartSet
from maskrcnn_benchmark.structures.part_panoptic_map import UNKNOWN
from maskrcnn_benchmark.structures.segmentation_mask import SegmentationMask
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.completion import derive_outputs
from maskrcnn_benchmark.tasks.task import TASKS, check_tasks, enabled_tasks

PART_PANOPTIC = TASKS["part_panoptic"]
DERIVED = [TASKS["panoptic"], PART_PANOPTIC]
PARTS = PartSet.from_names("all", {"cat": ["head", "tail"], "dog": ["head"]})
VOCABULARY = Vocabulary(("cat", "dog"), ("sky", "cat", "grass"), parts=PARTS)
HEAD, TAIL, DOG_HEAD = 1, 2, 3
SIZE = 40, 20


def objects():
    """A dog on the left, a cat in the middle and another on the right, whole boxes each."""
    boxes = BoxList(torch.tensor([[0.0, 0, 9, 19], [10, 5, 19, 14], [30, 0, 39, 19]]), SIZE)
    boxes.add_field("labels", torch.tensor([2, 1, 1]))
    return boxes


def prediction(part_map=False):
    """The left half of each box is head, the right half tail, but the second cat is a dog's head on the right."""
    scores = torch.zeros(3, 20, 40)
    scores[0, :10] = scores[2, 10:] = 1
    boxes = objects()
    boxes.add_field("scores", torch.tensor([0.8, 0.9, 0.7]))
    boxes.add_field("mask", torch.ones(3, 1, 28, 28))
    parts = torch.zeros(3, 4, 8, 8)
    parts[1:, HEAD, :, :4] = parts[1, TAIL, :, 4:] = parts[2, DOG_HEAD, :, 4:] = 1
    parts[0, DOG_HEAD] = 1
    whole = torch.zeros(4, 20, 40)
    whole[HEAD] = 1
    whole[TAIL, :, 15:] = 2
    whole[0, :, 35:] = 3
    if not part_map:
        boxes.add_field("parts", parts)
    return ImagePrediction(
        SIZE, boxes, semantic=ScoreMap(scores, SIZE), part_map=ScoreMap(whole, SIZE) if part_map else None
    )


def annotations(image_id=1):
    boxes, semantic = objects(), torch.full((20, 40), 0, dtype=torch.uint8)
    semantic[10:], semantic[5:15, 10:20], semantic[:, 30:], semantic[:, :10] = 2, 1, 1, 255
    masks = torch.zeros(3, 20, 40, dtype=torch.uint8)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes.bbox.int().tolist()):
        mask[y1 : y2 + 1, x1 : x2 + 1] = 1
    parts = torch.zeros_like(masks)
    parts[1, 5:15, 10:15], parts[1, 5:15, 15:20], parts[2, :, 30:] = HEAD, TAIL, HEAD
    boxes.add_field("masks", SegmentationMask(masks, SIZE, mode="mask"))
    boxes.add_field("parts", PartMask(parts, [False, True, True], SIZE, PARTS))
    return ImageAnnotations(SIZE, boxes, semantic=SemanticMap(semantic), image_id=image_id)


def derived(given=None, cfg=None):
    return derive_outputs(given or prediction(), DERIVED, VOCABULARY, cfg)


class Images(list):
    """Annotated images as a data set."""

    vocabulary, layout = VOCABULARY, ""

    def get_annotations(self, index):
        return self[index]

    def get_img_info(self, index):
        return {"file_name": f"{index}.jpg", "width": SIZE[0], "height": SIZE[1]}

    def image_id(self, index):
        return index

    def category_ids(self):
        return {1: 1, 2: 2}

    def class_ids(self):
        return {"cat": 1, "dog": 2}

    def part_ids(self):
        return {}

    def tasks_of(self, index):
        return {"panoptic", "part_panoptic"}


def test_it_needs_the_tasks_that_it_is_made_from():
    assert PART_PANOPTIC.requires == ("panoptic", "part") and PART_PANOPTIC.losses == ()
    assert PART_PANOPTIC not in enabled_tasks(default_cfg)
    check_tasks([PART_PANOPTIC], VOCABULARY)
    assert not PART_PANOPTIC.has_names(Vocabulary(("cat",), ("cat",)))


def test_parts_per_region_come_from_the_object_of_the_segment():
    outputs = derived().outputs
    found = outputs["part_panoptic"].value
    assert found.segments is outputs["panoptic"].value
    assert (found.parts[6:14, 10:15] == HEAD).all() and (found.parts[6:14, 15:20] == TAIL).all()
    assert (found.parts[1:19, 30:35] == HEAD).all() and (found.parts[1:19, 35:40] == UNKNOWN).all()
    assert not found.parts[:, :9].any()  # a dog has one part, and so none


def test_a_part_map_of_the_image_counts_within_segments():
    found = derived(prediction(part_map=True)).outputs["part_panoptic"].value
    assert (found.parts[6:14, 10:15] == HEAD).all() and (found.parts[6:14, 15:20] == TAIL).all()
    assert (found.parts[1:19, 30:35] == TAIL).all() and (found.parts[1:19, 35:39] == UNKNOWN).all()


@pytest.mark.parametrize("part_map", [False, True])
def test_the_config_may_fill_what_is_unknown(part_map):
    cfg = default_cfg.clone()
    cfg.TEST.PART_PANOPTIC.FILL = True
    found = derived(prediction(part_map), cfg).outputs["part_panoptic"].value
    assert set(np.unique(found.parts).tolist()) == {0, HEAD, TAIL}
    assert (found.parts[1:19, 35:39] == (TAIL if part_map else HEAD)).all()


def test_without_parts_or_names_there_are_none():
    bare = prediction()
    bare.instances = bare.instances.copy_with_fields(["labels", "scores", "mask"])
    assert "part_panoptic" not in derived(bare).outputs
    assert "part_panoptic" not in derive_outputs(prediction(), DERIVED, None).outputs


def test_a_resized_output_is_that_of_the_resized_image():
    made = derived()
    larger = made.resize((80, 40)).outputs["part_panoptic"].value
    assert larger.size == (80, 40)
    assert (larger.parts[::2, ::2] == made.outputs["part_panoptic"].value.parts).all()


def test_a_prediction_scores_the_same_in_memory_and_from_files(tmp_path):
    images = Images([annotations(k) for k in range(2)])
    evaluator = PART_PANOPTIC.build_evaluator(VOCABULARY, None)
    with PredictionWriter(tmp_path, images, [PART_PANOPTIC]) as writer:
        for k in range(2):
            evaluator.process([derived()], [images[k]], [k])
            writer.write(k, {"part_panoptic": PART_PANOPTIC.encode(derived(), VOCABULARY)})
        writer.finish()
    sources = find_predictions(tmp_path, [PART_PANOPTIC])
    evaluation = Evaluation([PART_PANOPTIC], workers=1)
    scored = score_files(evaluation, images, PredictionReader(images, sources, [PART_PANOPTIC]))
    metrics = evaluator.evaluate()
    assert scored["part_panoptic"].scores.metrics == metrics and scored["part_panoptic"].protocol
    # background is right, head and tail of the first cat as well, of the second the left half
    assert metrics["PartSQ-Pt"] == pytest.approx((1 + (1 + 0.5) / 2) / 2, abs=0.05)
    assert metrics["PartRQ"] == 1 and list(metrics)[:3] == ["PartPQ", "PartPQ-Pt", "PartPQ-NoPt"]


def test_the_trivial_predictor_merges_what_it_says_of_others(tmp_path):
    images = Images([annotations(k) for k in range(2)])
    evaluation = Evaluation(
        [TASKS[key] for key in ("detection", "instance", "part", "semantic", "panoptic")] + DERIVED[1:]
    )
    metrics = trivial_metrics(evaluation, lambda: images, images, tmp_path / "trivial.json", {})
    assert 0 < metrics["part_panoptic"]["PartPQ"] <= 1


def test_an_image_is_annotated_where_it_has_segments():
    assert PART_PANOPTIC.is_annotated(annotations())
    assert not PART_PANOPTIC.is_annotated(ImageAnnotations(SIZE, annotations().instances))
    assert PART_PANOPTIC.count(annotations(), VOCABULARY) == {"segments with parts": 2}


def test_a_users_view_has_the_parts_of_each_segment():
    found = PART_PANOPTIC.view(derived(), VOCABULARY, 0.75)
    assert [segment.name for segment in found.segments] == ["cat", "dog", "sky", "grass"]
    assert found.part_areas[0].keys() == {"head", "tail"} and found.part_areas[1:] == [{}, {}, {}]
    assert found.part_areas[0]["head"] == int((found.parts == HEAD).sum()) > 0
    assert not found.parts[:, 30:].any()  # a cat below the threshold
    assert len(PART_PANOPTIC.view(derived(), VOCABULARY, 0.5)) == 5
    assert PART_PANOPTIC.view(prediction(), VOCABULARY, 0.5) is None


@pytest.mark.parametrize("known", [annotations, derived])
def test_a_picture_shows_parts_in_their_own_colours(known):
    image = np.full((20, 40, 3), 128, np.uint8)
    drawn = PART_PANOPTIC.draw(image, known(), VOCABULARY, scale=10)
    assert drawn.shape[1] == 400 and drawn.shape[0] > 200  # with a legend
    colours = dict(PART_PANOPTIC.legend(VOCABULARY)[1][1])
    assert (drawn[200:] == colours["cat/head"]).all(-1).any() and not (drawn[200:] == colours["dog/head"]).all(-1).any()
    head, tail, sky = (drawn[y, x].astype(int) for y, x in ((70, 115), (70, 185), (20, 250)))
    assert np.abs(head - colours["cat/head"]).sum() < np.abs(tail - colours["cat/head"]).sum()
    assert np.abs(sky - 128).sum() > 0
