"""The scene of an image as one object: values by hand on a rider and a horse, as predicted and as annotated."""

import json

import numpy as np
import pytest
import torch
from pycocotools import mask as coco_mask

from maskrcnn_benchmark.config import cfg as default_cfg
from maskrcnn_benchmark.predict.predicted_image import PredictedImage
from maskrcnn_benchmark.predict.scene import Scene
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.dense_map import OcclusionMap, SemanticMap
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.image_prediction import ImagePrediction, ScoreMap
from maskrcnn_benchmark.structures.keypoint import JointSet, Keypoints
from maskrcnn_benchmark.structures.part_mask import PartMask, PartSet
from maskrcnn_benchmark.structures.segmentation_mask import SegmentationMask
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.scene import ScenePicture, makes_scene
from maskrcnn_benchmark.tasks.task import TASKS
from maskrcnn_benchmark.utils.errors import UserError

PARTS = PartSet.from_names("all", {"person": ("head", "torso"), "horse": ("head", "tail")})
VOCABULARY = Vocabulary(
    thing_names=("person", "horse"),
    semantic_names=("sky", "grass", "person"),
    parts=PARTS,
    joints=JointSet.from_names(("left_hand", "right_hand")),
)
SKY, GRASS, PERSON = range(3)
TAIL, HEAD, TORSO = (PARTS.labels.index(name) + 1 for name in ("horse/tail", "person/head", "person/torso"))
SIZE = WIDTH, HEIGHT = 40, 20
KEYS = ("detection", "instance", "keypoint", "part", "semantic", "occlusion")
IMAGE = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)


def masks():
    """The horse on columns 10..39; the person on columns 0..19 of the upper 15 rows."""
    masks = torch.zeros(2, HEIGHT, WIDTH, dtype=torch.uint8)
    masks[0, :, 10:], masks[1, :15, :20] = 1, 1
    return masks


def prediction(scores=(0.8, 0.9), labels=(2, 1), both_ways=False):
    """A horse of 0.8 behind a person of 0.9, whose right border is an edge with the person in front."""
    objects = BoxList(torch.tensor([[10.0, 0, 39, 19], [0, 0, 19, 19]]), SIZE)
    objects.add_field("labels", torch.tensor(labels))
    objects.add_field("scores", torch.tensor(scores))
    objects.add_field("mask", masks()[:, None].float())
    parts = torch.zeros(2, len(PARTS.labels) + 1, 2, 2)
    parts[0, 0, :, 0] = parts[0, TAIL, :, 1] = 1  # the right half of its box
    parts[1, HEAD, 0] = parts[1, TORSO, 1] = 1  # the upper and the lower half
    objects.add_field("parts", parts)
    found = torch.tensor([[[1.0, 2, 1], [3, 4, 1]], [[5, 6, 1], [7, 8, 1]]])
    objects.add_field("keypoints", Keypoints(found, SIZE, joints=VOCABULARY.joints))
    semantic = torch.zeros(3, HEIGHT, WIDTH)
    semantic[SKY, :10] = semantic[GRASS, 10:] = 1
    edges = torch.zeros(3, HEIGHT, WIDTH)
    edges[0, :15, 19], edges[1, :15, 19] = 0.75, -1.0
    if both_ways:  # the lower 7 rows have the horse in front
        edges[:, 8:15] = 0
        edges[0, 8:15, 20], edges[1, 8:15, 20] = 0.75, 1.0
    return ImagePrediction(SIZE, objects, ScoreMap(semantic, SIZE), occlusion=ScoreMap(edges, SIZE))


def annotations():
    """The same, annotated: the objects in their order, the mask of the horse overlapping the person."""
    boxes = torch.tensor([[10.0, 0, 39, 19], [0, 0, 19, 14]])
    objects = BoxList(boxes, SIZE)
    objects.add_field("labels", torch.tensor([2, 1]))
    objects.add_field("masks", SegmentationMask(masks(), SIZE, mode="mask"))
    labels = torch.zeros(2, HEIGHT, WIDTH, dtype=torch.uint8)
    labels[1, :10, :20], labels[1, 10:15, :20] = HEAD, TORSO
    objects.add_field("parts", PartMask(labels, [False, True], SIZE, PARTS))
    people = BoxList(boxes[1:], SIZE)
    people.add_field("labels", torch.ones(1, dtype=torch.int64))
    records = torch.tensor([[[5.0, 6, 2], [0, 0, 0]]])
    people.add_field("keypoints", Keypoints(records, SIZE, joints=VOCABULARY.joints))
    semantic = torch.full((HEIGHT, WIDTH), GRASS, dtype=torch.uint8)
    semantic[:15, :20] = PERSON
    edges = torch.zeros(HEIGHT, WIDTH, dtype=torch.uint8)
    edges[:15, 19] = 1
    direction = torch.zeros(2, HEIGHT, WIDTH)
    direction[0, :15, 19] = -1
    occlusion = OcclusionMap(edges, direction)
    return ImageAnnotations(SIZE, objects, people, SemanticMap(semantic), occlusion=occlusion, image_id=7)


def test_segments_say_all_that_is_predicted_of_them():
    scene = Scene.of(prediction(), VOCABULARY, 0.5)
    person, horse, grass = scene
    assert [(s.id, s.name, s.is_thing, s.is_crowd, s.object) for s in scene] == [
        (1, "person", True, False, 0),
        (2, "horse", True, False, 1),
        (3, "grass", False, False, None),
    ]
    assert (person.area, horse.area, grass.area) == (300, 450, 50)
    assert person.box == (0, 0, 19, 14) and grass.box == (0, 15, 9, 19)
    assert (person.score, horse.score, grass.score) == pytest.approx((0.9, 0.8, 1.0))
    assert person.parts == {"head": 200, "torso": 100} and horse.parts == {"tail": 300} and grass.parts == {}
    # 15 pixels of edge of a strength of 0.75
    assert person.in_front_of == {2: 11.25} and person.behind == {} and grass.in_front_of == {}
    assert horse.behind == {1: 11.25} and horse.in_front_of == {}
    assert person.joints == {"left_hand": (5, 6, 1), "right_hand": (7, 8, 1)} and horse.joints == grass.joints == {}
    # of the horse's 20 x 30 pixels 15 x 10 are the person's
    assert person.share_hidden == 0 and horse.share_hidden == 0.25 and grass.share_hidden is None
    assert scene.size == SIZE and len(scene) == 3 and scene[1] is horse and list(scene[1:]) == [horse, grass]


def test_masks_are_those_of_the_maps():
    scene = Scene.of(prediction(), VOCABULARY)
    person, horse, _grass = scene
    assert torch.equal(person.mask, masks()[1].bool())
    assert torch.equal(horse.mask, masks()[0].bool() & ~person.mask)
    assert torch.stack([s.mask for s in scene]).sum(0).max() == 1
    head, torso = person.part_mask("head"), person.part_mask("torso")
    assert head[:10, :20].all() and head.sum() == 200 and torso[10:15, :20].all() and torso.sum() == 100
    with pytest.raises(KeyError, match=r"horse 0.80 .* has no part 'head'"):
        horse.part_mask("head")


def test_words():
    scene = Scene.of(prediction(), VOCABULARY)
    assert list(map(str, scene)) == [
        "person 0.90 (head, torso), in front of horse",
        "horse 0.80 (tail), behind person",
        "grass",
    ]
    assert repr(scene).splitlines()[:2] == ["Scene(40x20, 3 segments)", f"  {scene[0]}"]
    twins = Scene.of(prediction(labels=(1, 1)), VOCABULARY)
    assert str(twins[0]) == "person #1 0.90 (head, torso), in front of person #2"


def test_objects_in_front_of_each_other_are_in_both():
    given = prediction(both_ways=True)
    cfg = default_cfg.clone()
    cfg.TEST.OCCLUSION_ORDER.SHARE = 0.3
    person, horse, _ = Scene.of(given, VOCABULARY, cfg=cfg)
    assert person.in_front_of == {2: 6.0} and person.behind == {2: 5.25}
    assert horse.in_front_of == {1: 5.25} and horse.behind == {1: 6.0}
    assert str(person) == "person 0.90 (head, torso), in front of horse, behind horse"


def test_what_is_not_predicted_is_none():
    given = prediction()
    given.occlusion = None
    for field in ("parts", "keypoints"):
        given.instances.extra_fields.pop(field)
    scene = Scene.of(given, VOCABULARY)
    assert scene.parts is None
    for segment in scene:
        assert segment.parts is segment.in_front_of is segment.behind is segment.joints is None
    assert scene[1].share_hidden == 0.25 and str(scene[1]) == "horse 0.80"
    assert scene.to_dict()["segments"][0]["parts"] is None


def test_without_masks_or_semantic_map_there_is_no_scene():
    given = prediction()
    given.instances.extra_fields.pop("mask")
    with pytest.raises(UserError, match=r"does not predict instance segmentation \(MODEL.MASK_ON\); turn it on"):
        Scene.of(given, VOCABULARY)
    given.semantic = None
    with pytest.raises(UserError, match=r"\(MODEL.MASK_ON\) and semantic segmentation \(MODEL.SEMANTIC_ON\)"):
        Scene.of(given, VOCABULARY)
    with pytest.raises(UserError, match="image 7 has no scene: it is not annotated with masks and a semantic map"):
        Scene.of_annotations(ImageAnnotations(SIZE, image_id=7), VOCABULARY)
    assert makes_scene(["panoptic"]) and makes_scene(["instance", "semantic"]) and not makes_scene(["semantic"])


def test_no_object_at_all():
    given = prediction(scores=(0.1, 0.2))
    (sky, grass) = Scene.of(given, VOCABULARY)
    assert (sky.name, sky.area, grass.area, sky.in_front_of) == ("sky", 400, 400, {})


def test_annotations_have_a_scene():
    scene = Scene.of_annotations(annotations(), VOCABULARY)
    horse, person, _grass = scene
    assert [(s.name, s.object, s.area) for s in scene] == [("horse", 0, 450), ("person", 1, 300), ("grass", None, 50)]
    assert horse.parts is None and person.parts == {"head": 200, "torso": 100}  # nobody annotated parts of the horse
    assert person.in_front_of == {1: 15.0} and horse.behind == {2: 15.0}
    assert person.joints == {"left_hand": (5, 6, 2)} and horse.joints == {}
    assert horse.share_hidden == 0.25 and person.share_hidden == 0
    assert str(person) == "person (head, torso), in front of horse"
    bare = annotations()
    bare.occlusion = bare.people = None
    assert {s.in_front_of for s in Scene.of_annotations(bare, VOCABULARY)} == {None}
    assert {s.joints for s in Scene.of_annotations(bare, VOCABULARY)} == {None}


def test_a_person_without_a_keypoint_record_is_not_annotated():
    given = annotations()
    given.people = given.people[[]]
    assert [s.joints for s in Scene.of_annotations(given, VOCABULARY)] == [{}, None, {}]


def test_json():
    scene = Scene.of(prediction(), VOCABULARY)
    tree = json.loads(scene.to_json())
    assert (tree["width"], tree["height"], "map_width" in tree) == (WIDTH, HEIGHT, False)
    person, horse, grass = tree["segments"]
    assert person["bbox"] == [0, 0, 20, 15] and person["area"] == 300 and person["object"] == 0
    for row, segment in zip(tree["segments"], scene):
        assert np.array_equal(coco_mask.decode(row["segmentation"]), segment.mask.numpy())
    assert np.array_equal(coco_mask.decode(person["parts"]["torso"]["segmentation"]), scene[0].part_mask("torso"))
    assert person["parts"]["torso"]["area"] == 100 and grass["parts"] == {} and grass["share_hidden"] is None
    assert person["in_front_of"] == [{"id": 2, "strength": 11.25}] and horse["behind"][0]["id"] == 1
    assert person["joints"]["left_hand"] == [5, 6, 1] and horse["share_hidden"] == 0.25
    light = json.loads(scene.to_json(masks=False))["segments"][0]
    assert "segmentation" not in light and light["parts"]["head"] == {"area": 200}


def test_json_of_a_large_image_has_masks_of_its_shrunk_image():
    tree = Scene.of(prediction(), VOCABULARY).to_dict(largest=20)
    assert (tree["width"], tree["map_width"], tree["map_height"]) == (WIDTH, 20, 10)
    person = tree["segments"][0]
    assert person["area"] == 300 and person["bbox"] == [0, 0, 20, 15]
    small = coco_mask.decode(person["segmentation"])
    assert small.shape == (10, 20) and small[:7, :10].all() and not small[:, 10:].any()


def test_a_predicted_image_has_it_though_the_derived_tasks_are_off():
    predicted = PredictedImage(IMAGE, prediction(), VOCABULARY, KEYS)
    assert [str(s).split()[0] for s in predicted.scene] == ["person", "horse", "grass"]
    assert predicted.scene is predicted.scene and predicted.panoptic is None
    told = predicted.consistency
    assert (told["objects without segment"], told["occlusion cycles"]) == (0, 0)
    assert told["boundary elsewhere"] is told["labels without segment"] is None  # not predicted
    few = predicted.with_thresholds({"panoptic": 0.85}).scene
    assert [s.name for s in few] == ["person", "grass"] and few[0].in_front_of == {}
    assert not few.parts[:, 20:].any()
    assert predicted.to_dict(scene=True)["scene"] == predicted.scene.to_dict()
    assert "scene" not in predicted.to_dict()
    on = PredictedImage(IMAGE, prediction(), VOCABULARY, (*KEYS, "panoptic", "part_panoptic", "occlusion_order"))
    assert on.scene.to_dict() == predicted.scene.to_dict()
    assert [each.area for each in on.panoptic.segments] == [s.area for s in on.scene]


def test_its_picture_shows_colours_parts_and_arrows():
    given = prediction()
    scene = Scene.of(given, VOCABULARY)
    picture = np.asarray(scene.draw(IMAGE, scale=10))
    predicted = PredictedImage(IMAGE, given, VOCABULARY, KEYS)
    assert np.array_equal(np.asarray(predicted.draw(layout="scene", scale=10)), picture)
    assert np.array_equal(ScenePicture().draw(IMAGE, given, VOCABULARY, scale=10), picture)
    assert picture.shape[1] == 400 and picture.shape[0] > 200  # a legend of the arrow below
    person, horse = (picture[y, x].astype(int) for y, x in ((30, 30), (180, 380)))
    assert np.abs(person - horse).max() > 40 and np.ptp(person) > 40  # the image itself is grey
    assert (picture[99:101, 60:140] > 200).all(axis=2).any()  # between head and torso
    given.occlusion = None
    without = np.asarray(Scene.of(given, VOCABULARY).draw(IMAGE, scale=10))
    rows, columns = np.nonzero((picture[:200] != without[:200]).any(axis=2))
    assert len(rows) and 150 < columns.mean() < 250 and rows.max() < 160  # at the contact
    with pytest.raises(UserError, match="a layout is one of 'overlay', 'grid', 'scene', not 'mosaic'"):
        predicted.draw(layout="mosaic")


def test_the_column_of_a_page_says_where_there_is_none():
    column, given = ScenePicture(), prediction()
    assert column.can_draw(annotations(), VOCABULARY) and column.can_draw(given, VOCABULARY)
    given.semantic = None
    assert not column.can_draw(given, VOCABULARY)
    assert column.draw(IMAGE, given, VOCABULARY).shape == (240, 480, 3)
    assert column.legend(VOCABULARY) == TASKS["panoptic"].legend(VOCABULARY)
