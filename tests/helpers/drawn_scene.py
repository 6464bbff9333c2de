"""Fixtures: a small scene with all eight tasks, as ground truth and as a perfect prediction."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.dense_map import BoundaryMap, OcclusionMap, SemanticMap
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.image_prediction import ImagePrediction, ScoreMap
from maskrcnn_benchmark.structures.keypoint import DETAIL_JOINTS, Keypoints
from maskrcnn_benchmark.structures.part_mask import PartMask, PartSet
from maskrcnn_benchmark.structures.segmentation_mask import SegmentationMask
from maskrcnn_benchmark.structures.vocabulary import Vocabulary

WIDTH, HEIGHT = 160, 120
SIZE = (WIDTH, HEIGHT)
PERSON, HORSE = slice(20, 60), slice(90, 140)  # columns; both take the rows 30..89
ROWS = slice(30, 90)


@pytest.fixture(scope="session")
def vocabulary():
    names = ("person", "horse", "sky", "grass")
    return Vocabulary(names[:2], names, names, PartSet.from_names("person6", {}), DETAIL_JOINTS)


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(60, 200, (HEIGHT, WIDTH, 3)).astype(np.uint8)


@pytest.fixture
def ground_truth(vocabulary):
    masks = torch.zeros(2, HEIGHT, WIDTH, dtype=torch.uint8)
    masks[0, ROWS, PERSON] = 1
    masks[1, ROWS, HORSE] = 1
    instances = BoxList([[20, 30, 59, 89], [90, 30, 139, 89]], SIZE)
    instances.add_field("labels", torch.tensor([1, 2]))
    instances.add_field("masks", SegmentationMask(masks, SIZE, "mask"))
    parts = torch.zeros_like(masks)
    parts[0, 30:50, PERSON] = 1
    parts[0, 50:90, PERSON] = 2
    instances.add_field("parts", PartMask(parts, [True, False], SIZE, vocabulary.parts))
    joints = torch.zeros(1, 14, 3)
    joints[0, 0] = torch.tensor([40.0, 35.0, 1.0])
    joints[0, 1] = torch.tensor([40.0, 50.0, 1.0])
    joints[0, 2] = torch.tensor([55.0, 60.0, 2.0])
    people = BoxList([[20, 30, 59, 89]], SIZE)
    people.add_field("labels", torch.tensor([1]))
    people.add_field("keypoints", Keypoints(joints, SIZE, joints=DETAIL_JOINTS))
    semantic = torch.full((HEIGHT, WIDTH), 2, dtype=torch.uint8)
    semantic[90:] = 255
    semantic[ROWS, PERSON] = 0
    edges = torch.zeros(HEIGHT, WIDTH, dtype=torch.uint8)
    edges[ROWS, 59] = 1  # the person is in front and left of this line, so its tangent points upwards
    direction = torch.zeros(2, HEIGHT, WIDTH)
    direction[0, ROWS, 59] = -1.0
    return ImageAnnotations(
        SIZE,
        instances,
        people,
        SemanticMap(semantic),
        BoundaryMap(edges),
        OcclusionMap(edges, direction),
        torch.tensor([1.0, 1.0, 1.0, 0.0]),
    )


@pytest.fixture
def prediction(ground_truth, vocabulary):
    instances = BoxList(ground_truth.instances.bbox, SIZE)
    instances.add_field("labels", torch.tensor([1, 2]))
    instances.add_field("scores", torch.tensor([0.9, 0.2]))
    instances.add_field("mask", torch.ones(2, 1, 28, 28))
    parts = ground_truth.instances.get_field("parts").crop_and_resize(ground_truth.instances.bbox, 28)
    instances.add_field("parts", F.one_hot(parts, 7).permute(0, 3, 1, 2).float())
    joints = torch.cat([ground_truth.people.get_field("keypoints").keypoints, torch.zeros(1, 14, 3)])
    instances.add_field("keypoints", Keypoints(joints, SIZE, joints=DETAIL_JOINTS))
    classes = ground_truth.semantic.labels.long().clamp(max=3)
    edges = ground_truth.boundary.edges[None].float()
    return ImagePrediction(
        SIZE,
        instances,
        ScoreMap(F.one_hot(classes, 4).permute(2, 0, 1).float(), SIZE),
        ScoreMap(edges, SIZE),
        ScoreMap(torch.cat([edges, ground_truth.occlusion.direction]), SIZE),
        torch.tensor([0.9, 0.6, 1.0, 0.0]),
    )
