"""What the trivial predictor learns from annotations alone."""

import pytest
import torch

from maskrcnn_benchmark.evaluation.protocols import Protocols
from maskrcnn_benchmark.evaluation.trivial import MeanMap, TrivialPredictor
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.dense_map import BoundaryMap, OcclusionMap, SemanticMap
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.keypoint import DETAIL_JOINTS, Keypoints
from maskrcnn_benchmark.tasks.part import PART
from maskrcnn_benchmark.tasks.task import PROPOSALS, TASKS, Task


def predict(vocabulary, annotations, size):
    return TrivialPredictor(TASKS.values(), vocabulary).fit(annotations).predict(size)


def boxes(corners, labels, size):
    instances = BoxList(torch.tensor(corners, dtype=torch.float32), size)
    instances.add_field("labels", torch.tensor(labels))
    return instances


def test_boxes_are_the_frequent_ones_scored_by_frequency_and_scaled_to_the_image(vocabulary):
    train = [
        ImageAnnotations((100, 80), boxes([[10, 8, 29, 31]], [2], (100, 80))),
        ImageAnnotations((200, 160), boxes([[20, 16, 59, 63], [120, 80, 179, 119]], [2, 1], (200, 160))),
    ]
    answer = predict(vocabulary, train, (50, 40)).instances
    assert answer.get_field("labels").tolist() == [2, 1]
    assert answer.get_field("scores").tolist() == [1.0, 0.5]
    assert torch.allclose(answer.bbox, torch.tensor([[5, 4, 14, 15], [30, 20, 44, 29]]).float(), atol=1e-4)
    assert answer.get_field("mask").shape == (2, 1, 28, 28)


def test_crowd_regions_are_no_example(vocabulary):
    instances = boxes([[0, 0, 9, 9], [10, 10, 29, 29]], [1, 2], (40, 40))
    instances.add_field("iscrowd", torch.tensor([True, False]))
    answer = predict(vocabulary, [ImageAnnotations((40, 40), instances)], (40, 40))
    assert answer.instances.get_field("labels").tolist() == [2]


def test_the_mean_pose_of_shown_joints_is_laid_into_each_box(vocabulary):
    joints = torch.zeros(2, 14, 3)
    joints[0, 0], joints[1, 0] = torch.tensor([10.0, 5, 1]), torch.tensor([14.0, 5, 2])
    joints[0, 1] = torch.tensor([20.0, 10, 1])
    people = boxes([[0, 0, 19, 19]] * 2, [1, 1], (40, 40))
    people.add_field("keypoints", Keypoints(joints, (40, 40), joints=DETAIL_JOINTS))
    target = ImageAnnotations((40, 40), boxes([[20, 20, 39, 39]], [2], (40, 40)), people)
    pose = predict(vocabulary, [target], (40, 40)).instances.get_field("keypoints").keypoints
    assert pose[0, 0].tolist() == pytest.approx([32, 25, 1])
    assert pose[0, 1].tolist() == pytest.approx([40, 30, 1])


def test_dense_answers_follow_the_place(vocabulary):
    semantic = torch.full((64, 64), 4, dtype=torch.uint8)
    semantic[32:] = 3
    edges = torch.zeros(64, 64, dtype=torch.uint8)
    edges[32] = 1
    direction = torch.zeros(2, 64, 64)
    direction[1, 32] = -1.0
    target = ImageAnnotations(
        (64, 64), semantic=SemanticMap(semantic), boundary=BoundaryMap(edges), occlusion=OcclusionMap(edges, direction)
    )
    answer = predict(vocabulary, [target], (80, 40))
    assert answer.instances is None
    labels = answer.semantic.scores.argmax(dim=0)
    assert labels.shape == (40, 80)
    assert (labels[:18] == 4).all() and (labels[22:] == 3).all()
    boundary = answer.boundary.scores[0]
    assert boundary.max() <= 1 and boundary[20, 40] > 0.5
    assert boundary[:15].max() == 0 and boundary[25:].max() == 0
    probability, sine, cosine = answer.occlusion.scores[:, 20, 40]
    assert probability > 0.5 and sine == 0 and cosine < 0


class Depth(Task):
    """A task without a trivial model of its own, unless a test gives it one."""

    key = "depth"


class ScaledDepth(Depth):
    def trivial(self, vocabulary):
        return MeanMap(self.key, lambda label: 10 * label.labels[None].float())


def test_an_added_task_has_the_mean_of_what_it_makes_of_its_labels(vocabulary):
    near, far = (
        ImageAnnotations((64, 64), labels={"depth": SemanticMap(torch.full((64, 64), k).byte())}) for k in (1, 4)
    )
    predictor = TrivialPredictor([ScaledDepth()], vocabulary).fit([near, far, ImageAnnotations((64, 64))])
    assert predictor.tasks == ("depth",)
    assert predictor.predict((20, 10)).outputs["depth"].scores.numpy() == pytest.approx(25)
    assert TrivialPredictor([Depth()], vocabulary).fit([near]).tasks == ()


def test_label_scores_are_frequencies(vocabulary):
    labels = torch.tensor([[1.0, 0, 0, 1, 0], [1.0, 1, 0, 0, 0]])
    train = [ImageAnnotations((8, 8), classes=row) for row in labels]
    answer = predict(vocabulary, [*train, ImageAnnotations((8, 8))], (8, 8))
    assert answer.classes.tolist() == [1, 0.5, 0, 0.5, 0]
    assert answer.semantic is None and answer.boundary is None and answer.occlusion is None


def test_images_looked_at_and_found_empty_make_an_empty_answer(vocabulary):
    empty = ImageAnnotations((8, 8), boxes([], [], (8, 8)))
    answer = predict(vocabulary, [empty], (8, 8))
    assert len(answer.instances) == 0
    assert answer.instances.has_field("scores")


def test_what_no_training_image_is_annotated_for_is_not_answered(vocabulary):
    predictor = TrivialPredictor([*TASKS.values(), PROPOSALS], vocabulary).fit([])
    assert predictor.tasks == () and predictor.predict((8, 8)).outputs == {}
    labels = torch.zeros(len(vocabulary.image_label_names))
    predictor = TrivialPredictor(TASKS.values(), vocabulary).fit([ImageAnnotations((8, 8), classes=labels)])
    assert predictor.tasks == ("classification",)


def test_every_frequent_box_of_a_thing_with_parts_is_a_part_instance(vocabulary, scene):
    train = [scene(seed) for seed in range(6)]
    prediction = predict(vocabulary, train, train[0].size)
    evaluator = PART.build_evaluator(vocabulary, Protocols())
    rows = PART.encode(prediction, vocabulary).instances
    people = prediction.instances.get_field("labels") == 2
    assert [row["score"] for row in rows] == prediction.instances.get_field("scores")[people].tolist()
    head, torso = (vocabulary.parts.label_of("person", name) for name in ("head", "torso"))
    assert all([part["part"] for part in row["parts"]] == sorted((head, torso)) for row in rows)
    evaluator.process([prediction] * 6, train)
    metrics = evaluator.evaluate()
    assert 0 < metrics["APp-vol"] < 0.95 and 0 < metrics["APr-vol"] < 0.95
