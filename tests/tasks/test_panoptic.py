"""The panoptic task: derived from objects and a semantic map by the config's rules, scored, written, drawn, viewed."""

import numpy as np
import pytest
import torch

from maskrcnn_benchmark.config import cfg as default_cfg
from maskrcnn_benchmark.engine.inference import Evaluation
from maskrcnn_benchmark.engine.trivial_baseline import trivial_metrics
from maskrcnn_benchmark.layers.panoptic_merge import MergeRules
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.dense_map import SemanticMap
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.image_prediction import ImagePrediction, ScoreMap
from maskrcnn_benchmark.structures.panoptic_map import NO_OBJECT
from maskrcnn_benchmark.structures.segmentation_mask import SegmentationMask
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.completion import derive_outputs
from maskrcnn_benchmark.tasks.panoptic import merge_rules
from maskrcnn_benchmark.tasks.task import TASKS, check_tasks, enabled_tasks
from maskrcnn_benchmark.visualization.segments import shade_of

PANOPTIC = TASKS["panoptic"]
VOCABULARY = Vocabulary(thing_names=("cat", "dog"), semantic_names=("sky", "cat", "grass"))
SKY, CAT, GRASS, DOG = range(4)
SIZE = 40, 20


def objects():
    """A dog of 0.6 on the left, a cat of 0.9 in the middle, another of 0.4 on the right, whole boxes each."""
    boxes = BoxList(torch.tensor([[0.0, 0, 9, 19], [10, 5, 19, 14], [30, 0, 39, 19]]), SIZE)
    boxes.add_field("labels", torch.tensor([2, 1, 1]))
    boxes.add_field("scores", torch.tensor([0.6, 0.9, 0.4]))
    boxes.add_field("mask", torch.ones(3, 1, 28, 28))
    return boxes


def prediction():
    scores = torch.zeros(3, 20, 40)
    scores[SKY, :10] = scores[GRASS, 10:] = 1
    return ImagePrediction(SIZE, objects(), semantic=ScoreMap(scores, SIZE))


def annotations(image_id=1):
    boxes, semantic = objects(), torch.full((20, 40), SKY, dtype=torch.uint8)
    semantic[10:], semantic[5:15, 10:20], semantic[:, 30:] = GRASS, CAT, CAT
    masks = torch.zeros(3, 20, 40, dtype=torch.uint8)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes.bbox.int().tolist()):
        mask[y1 : y2 + 1, x1 : x2 + 1] = 1
    made = BoxList(boxes.bbox, SIZE)
    made.add_field("labels", boxes.get_field("labels"))
    made.add_field("masks", SegmentationMask(masks, SIZE, mode="mask"))
    return ImageAnnotations(SIZE, made, semantic=SemanticMap(semantic), image_id=image_id)


def derived(cfg=None):
    return derive_outputs(prediction(), [PANOPTIC], VOCABULARY, cfg)


def test_it_needs_the_tasks_that_it_is_made_from():
    assert PANOPTIC.requires == ("detection", "instance", "semantic") and PANOPTIC.losses == ()
    cfg = default_cfg.clone()
    assert PANOPTIC not in enabled_tasks(cfg)
    check_tasks([PANOPTIC], VOCABULARY)


def test_segments_name_the_rows_of_their_objects():
    found = derived().outputs["panoptic"].value
    assert list(zip(found.classes.tolist(), found.objects.tolist())) == [
        (CAT, 1),
        (DOG, 0),
        (SKY, NO_OBJECT),
        (GRASS, NO_OBJECT),
    ]
    assert (found.ids[5:15, 10:20] == 1).all() and (found.ids[1:19, 1:9] == 2).all()
    np.testing.assert_allclose(found.scores[:2], [0.9, 0.6])


def test_the_configs_rules_hold():
    cfg = default_cfg.clone()
    cfg.TEST.PANOPTIC.SCORE_THRESH, cfg.TEST.PANOPTIC.STUFF_SHARE = 0.3, 0.3
    # beside the objects sky and grass have less than 3 of 10 pixels each
    assert derived(cfg).outputs["panoptic"].value.objects.tolist() == [1, 0, 2]
    cfg.TEST.PANOPTIC.OVERLAP_THRESH = 0.25
    assert merge_rules(cfg) == MergeRules(0.3, 0.25, 0.3)


def test_masks_that_the_network_pasted_itself_are_taken_as_they_are():
    whole = torch.zeros(3, 1, 20, 40)
    whole[1, 0, :, 15:] = 1
    given = prediction()
    given.instances.add_field("mask", whole)
    found = derive_outputs(given, [PANOPTIC], VOCABULARY).outputs["panoptic"].value
    assert found.objects[0] == 1 and found.areas[0] == 500


def test_without_masks_or_names_there_are_no_segments():
    assert "panoptic" not in derive_outputs(prediction(), [PANOPTIC], None).outputs
    bare = prediction()
    bare.instances = BoxList(torch.zeros(0, 4), SIZE)
    assert "panoptic" not in derive_outputs(bare, [PANOPTIC], VOCABULARY).outputs


def test_what_is_stored_says_nothing_of_objects():
    stored = PANOPTIC.encode(derived(), VOCABULARY)
    assert (stored.objects == NO_OBJECT).all() and stored.areas.all() and not stored.is_crowd.any()
    assert PANOPTIC.decode(stored, SIZE, VOCABULARY).value is stored


def test_annotations_need_masks_and_a_semantic_map():
    assert PANOPTIC.is_annotated(annotations())
    assert not PANOPTIC.is_annotated(ImageAnnotations(SIZE, objects(), semantic=annotations().semantic))
    assert not PANOPTIC.is_annotated(ImageAnnotations(SIZE, annotations().instances))


def test_segments_are_counted_for_the_page_of_a_data_set():
    found = PANOPTIC.count(annotations(), VOCABULARY)
    # the right half of the cats' pixels has an object of its own, and all sky and grass are segments
    assert found == {"segments": 5, "crowds": 0, "share of void pixels": 0.0}


def test_a_users_view_is_of_those_that_reach_the_threshold():
    found = PANOPTIC.view(derived(), VOCABULARY, 0.5)
    assert found.ids.dtype == torch.int32 and tuple(found.ids.shape) == (20, 40) and len(found) == 4
    assert [(each.id, each.name, each.is_thing, each.object) for each in found.segments] == [
        (1, "cat", True, 0),
        (2, "dog", True, 1),
        (3, "sky", False, None),
        (4, "grass", False, None),
    ]
    cat = found.segments[0]
    rows, columns = np.nonzero(found.ids.numpy() == 1)
    assert cat.box == (columns.min(), rows.min(), columns.max(), rows.max()) and cat.area == len(rows)
    assert cat.score == pytest.approx(0.9)
    better = PANOPTIC.view(derived(), VOCABULARY, 0.8)
    assert [each.name for each in better.segments] == ["cat", "sky", "grass"] and not better.ids[1:19, 1:9].any()
    stored = PANOPTIC.encode(derived(), VOCABULARY)
    alone = ImagePrediction(SIZE, outputs={"panoptic": PANOPTIC.decode(stored, SIZE, VOCABULARY)})
    assert [each.object for each in PANOPTIC.view(alone, VOCABULARY, 0.5).segments] == [None] * 4
    assert PANOPTIC.view(prediction(), VOCABULARY, 0.5) is None


@pytest.mark.parametrize("known", [derived(), annotations()])
def test_pictures_tint_segments_and_leave_void_alone(known):
    image = np.full((20, 40, 3), 128, np.uint8)
    assert PANOPTIC.can_draw(known, VOCABULARY)
    picture = PANOPTIC.draw(image, known, VOCABULARY, scale=10)
    assert picture.shape == (200, 400, 3)
    muted = 0.7 * 128 + 0.3 * 255
    grey = np.abs(picture.astype(int) - muted).max(axis=2) < 2
    assert not grey[20:60, 20:80].any() and not grey[70:80, 110:120].any()
    empty = ImagePrediction(SIZE)
    assert not PANOPTIC.can_draw(empty, VOCABULARY)


def test_objects_of_a_class_have_shades_of_their_own():
    shades = [shade_of((200, 60, 60), number) for number in range(7)]
    assert shades[0] == (200, 60, 60) and len(set(shades)) == 7 and shade_of((200, 60, 60), 7) == shades[0]


class Set:
    """Two images that are alike."""

    vocabulary = VOCABULARY
    members = property(lambda self: [self])
    tasks = frozenset({"detection", "instance", "semantic", "panoptic"})
    root = None

    def __len__(self):
        return 2

    def get_img_info(self, index):
        return {"width": 40, "height": 20, "image_id": index}

    def get_annotations(self, index):
        return annotations(index)


def test_trivial_scores_are_made_from_what_is_predicted_of_others(tmp_path):
    tasks = [TASKS[key] for key in ("detection", "instance", "semantic", "panoptic")]
    path = tmp_path / "trivial.json"
    found = trivial_metrics(Evaluation(tasks), Set, Set(), path, {})
    # every image is alike, so that means are perfect but for the coarse grid
    assert list(found) == ["detection", "instance", "semantic", "panoptic"] and found["panoptic"]["PQ"] > 0.8
    cfg = default_cfg.clone()
    cfg.TEST.PANOPTIC.STUFF_SHARE = 0.9
    without_stuff = trivial_metrics(Evaluation(tasks, cfg=cfg), Set, Set(), path, {})
    assert without_stuff["panoptic"]["PQ-stuff"] == 0 and without_stuff["semantic"] == found["semantic"]
    alone = trivial_metrics(Evaluation([PANOPTIC]), Set, Set(), tmp_path / "other.json", {})
    assert alone == {}
