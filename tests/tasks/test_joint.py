"""Options under TEST.JOINT: predictions that give way to the segments of their image."""

import numpy as np
import pytest
import torch

from maskrcnn_benchmark.config import cfg as default_cfg
from maskrcnn_benchmark.config.check import check_options
from maskrcnn_benchmark.predict.predicted_image import PredictedImage
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.image_prediction import ImagePrediction, ScoreMap
from maskrcnn_benchmark.structures.part_mask import PartSet
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.completion import complete_outputs, derive_outputs
from maskrcnn_benchmark.tasks.task import TASKS
from maskrcnn_benchmark.utils.errors import UserError

SIZE = 40, 30  # a diagonal of 50 pixels
SKY, PERSON, CAT = range(3)
VOCABULARY = Vocabulary(
    thing_names=("person", "cat"),
    semantic_names=("sky", "person", "cat"),
    image_label_names=("cat", "kite", "person", "sky"),
    parts=PartSet(
        "all",
        ("person/head", "cat/head", "cat/tail"),
        (0, 1, 2, 3),
        (("person",), ("cat",), ("cat",)),
        (("head",),) * 3,
    ),
)
KEYS = ("part", "boundary", "classification", "panoptic")


def columns(first, last):
    mask = torch.zeros(30, 40)
    mask[:, first : last + 1] = 1
    return mask


def prediction(**outputs):
    """A person on columns 0 to 9 whose box and head reach to 14; below it another; and one of low score on 30 to 39."""
    boxes = BoxList([[0.0, 0, 14, 29], [0, 0, 14, 29], [30, 0, 39, 29]], SIZE)
    boxes.add_field("labels", torch.tensor([1, 1, 1]))
    boxes.add_field("scores", torch.tensor([0.9, 0.7, 0.3]))
    boxes.add_field("mask", torch.stack([columns(0, 9), columns(0, 9), columns(30, 39)])[:, None])
    parts = torch.zeros(3, 4, 7, 7)
    parts[:, 1] = 1
    boxes.add_field("parts", parts)
    semantic = torch.zeros(3, 30, 40)
    semantic[SKY] = 1
    boundary = torch.full((1, 30, 40), 0.8)
    classes = torch.tensor([0.6, 0.5, 0.4, 0.3])
    given = {"semantic": semantic, "boundary": boundary}
    maps = {key: ScoreMap(scores, SIZE) for key, scores in {**given, **outputs}.items()}
    return ImagePrediction(SIZE, boxes, classes=classes, outputs=maps)


def config(**joint):
    cfg = default_cfg.clone()
    for key in (*KEYS, "detection", "instance", "semantic"):
        cfg.MODEL[TASKS[key].switch] = True
    for name, value in joint.items():
        cfg.TEST.JOINT[name] = value
    return cfg


def completed(made=None, **joint):
    return complete_outputs(made or prediction(), [TASKS[key] for key in KEYS], VOCABULARY, config(**joint))


def test_by_default_nothing_changes():
    made = prediction()
    assert [task for task in TASKS.values() if task.refiner(config()) or task.refiner(None)] == []
    found = completed(made)
    assert all(found.outputs[key] is made.outputs[key] for key in made.outputs)
    assert list(found.outputs) == [*made.outputs, "panoptic"]


def test_what_was_completed_is_not_weakened_twice():
    once = completed(BOUNDARY=0.5, CLASSIFICATION=0.5)
    twice = completed(once, BOUNDARY=0.5, CLASSIFICATION=0.5)
    assert twice is once


def test_the_given_prediction_stays():
    made = prediction()
    completed(made, PARTS=True, BOUNDARY=0.5, CLASSIFICATION=0.5)
    assert made.classes.tolist() == pytest.approx([0.6, 0.5, 0.4, 0.3]) and "panoptic" not in made.outputs
    assert (made.boundary.scores == 0.8).all() and not made.instances.has_field("part_limits")


def test_boundaries_are_weaker_away_from_the_borders_of_segments():
    found = completed(BOUNDARY=0.5).boundary.scores[0]
    # columns 9 and 10 are beside the border of the person and the sky
    distance = torch.tensor([min(abs(x - 9), abs(x - 10)) for x in range(40)]).float()
    near = torch.exp(-(distance**2) / (2 * (0.0125 * 50) ** 2))
    torch.testing.assert_close(found, (0.8 * (1 - 0.5 * (1 - near))).expand(30, 40))
    assert found[0, 9] == found[0, 10] == pytest.approx(0.8)


def test_without_a_border_all_boundaries_are_weaker():
    made = prediction()
    made.instances = made.instances[[2]]
    torch.testing.assert_close(completed(made, BOUNDARY=0.25).boundary.scores, torch.full((1, 30, 40), 0.6))


def test_image_labels_without_a_segment_are_less_probable():
    # there is no cat, and a kite cannot have a segment
    assert completed(CLASSIFICATION=0.5).classes.tolist() == pytest.approx([0.3, 0.5, 0.4, 0.3])
    assert completed(CLASSIFICATION=0.0).classes[0] == 0


def test_parts_of_an_object_end_with_its_segment():
    part = TASKS["part"]
    whole, limited = (part.encode(completed(**joint), VOCABULARY) for joint in ({}, {"PARTS": True}))
    assert (whole.labels == columns(0, 14).numpy()).all() and (limited.labels == columns(0, 9).numpy()).all()
    # the second is below the first; the third is below the threshold of segments, so that nobody knows
    assert [row["score"] for row in whole.instances] == pytest.approx([0.9, 0.7, 0.3])
    assert [row["score"] for row in limited.instances] == pytest.approx([0.9, 0.3])
    assert part.view(completed(PARTS=True), VOCABULARY, 0.25).tolist() == (columns(0, 9) + columns(30, 39)).tolist()


def test_a_part_map_is_background_where_the_segment_is_of_another_class():
    scores = torch.zeros(4, 30, 40)
    scores[0] = 0.5
    scores[1, :, 5:20], scores[2, :, :3], scores[3, :, :3] = 2, 3, 2.5  # a person's head, a cat's head and tail
    part_map = completed(prediction(part=scores), PARTS=True).part_map
    assert (part_map.labels == columns(5, 9)).all()
    kept = part_map.scores[:, :, 5:10]
    assert torch.equal(kept, scores[:, :, 5:10]) and torch.equal(part_map.scores[0], scores[0])


def test_part_aware_segments_are_made_of_what_the_network_said():
    tasks = [TASKS[key] for key in (*KEYS, "part_panoptic")]
    found = [
        complete_outputs(prediction(), tasks, VOCABULARY, config(PARTS=limited)).outputs["part_panoptic"].value
        for limited in (False, True)
    ]
    assert np.array_equal(found[0].parts, found[1].parts)


def test_a_user_gets_and_sees_the_completed_prediction():
    image = np.zeros((30, 40, 3), np.uint8)

    def shown(**joint):
        return PredictedImage(image, prediction(), VOCABULARY, KEYS, cfg=config(**joint))

    changed = shown(BOUNDARY=1.0, CLASSIFICATION=0.5)
    assert changed.boundary[0, 30] < 1e-6 and changed.classification[0] == pytest.approx(0.3)
    pictures = [np.asarray(each.draw("boundary")) for each in (shown(), changed)]
    ink = [picture.shape[0] * picture.shape[1] - np.count_nonzero((picture > 250).all(-1)) for picture in pictures]
    assert 0 < ink[1] < ink[0] / 2


@pytest.mark.parametrize(("name", "value"), [("PARTS", True), ("BOUNDARY", 0.5), ("CLASSIFICATION", 0.5)])
def test_there_must_be_segments(name, value):
    cfg = config(**{name: value})
    check_options(cfg)
    cfg.MODEL.PANOPTIC_ON = False
    message = f"TEST.JOINT.{name} is {value}, .*set MODEL.PANOPTIC_ON, MODEL.DETECTION_ON, MODEL.MASK_ON, .* True"
    with pytest.raises(UserError, match=message):
        check_options(cfg)
    cfg.MODEL.PANOPTIC_ON, cfg.MODEL.SEMANTIC_ON = True, False  # without a semantic map nobody makes them either
    with pytest.raises(UserError, match=message):
        check_options(cfg)


def test_without_names_labels_and_maps_stay():
    made = prediction()
    tasks = [TASKS[key] for key in KEYS]
    assert complete_outputs(made, tasks, None, config(CLASSIFICATION=0.5)).classes is made.classes
    assert derive_outputs(made, tasks, None) is not made
