"""A small annotated image with every task, and its perfect prediction."""

import numpy as np
import pytest
import torch

from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.dense_map import IGNORE_INDEX, BoundaryMap, OcclusionMap, SemanticMap
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.image_prediction import ImagePrediction, ScoreMap
from maskrcnn_benchmark.structures.keypoint import DETAIL_JOINTS, Keypoints
from maskrcnn_benchmark.structures.part_mask import PartMask, PartSet
from maskrcnn_benchmark.structures.segmentation_mask import SegmentationMask
from maskrcnn_benchmark.structures.vocabulary import Vocabulary

WIDTH, HEIGHT = 160, 128
SIZE = (WIDTH, HEIGHT)


@pytest.fixture(scope="session")
def vocabulary():
    return Vocabulary(
        thing_names=("dog", "person", "car"),
        semantic_names=("dog", "person", "car", "grass", "sky"),
        image_label_names=("dog", "person", "car", "grass", "sky"),
        parts=PartSet.from_names("person", {"person": ["head", "hair", "torso", "lhand"], "dog": ["head"]}),
        joints=DETAIL_JOINTS,
    )


@pytest.fixture(scope="session")
def scene(vocabulary):
    """scene(seed) -> ImageAnnotations of rectangles on sky and grass, a person with parts and joints among them."""
    return lambda seed: _annotate(vocabulary, seed)


@pytest.fixture(scope="session")
def perfect(vocabulary):
    """perfect(annotations) -> the ImagePrediction that repeats them."""
    return lambda target: _repeat(vocabulary, target)


def _annotate(vocabulary, seed):
    rng = np.random.default_rng(seed)
    labels = torch.tensor([1, 2, 3])
    x1, y1 = rng.integers(10, 70, 3), rng.integers(10, 50, 3)
    boxes = torch.tensor(np.stack([x1, y1, x1 + rng.integers(40, 80, 3), y1 + rng.integers(30, 65, 3)], 1)).float()
    masks = torch.zeros(3, HEIGHT, WIDTH, dtype=torch.uint8)
    semantic = torch.full((HEIGHT, WIDTH), 4, dtype=torch.uint8)
    semantic[80:] = 3
    for mask, label, box in zip(masks, labels, boxes.int().tolist()):
        mask[box[1] : box[3] + 1, box[0] : box[2] + 1] = 1
        semantic[mask > 0] = int(label) - 1
    edges = (semantic[1:, 1:] != semantic[:-1, 1:]) | (semantic[1:, 1:] != semantic[1:, :-1])
    edges = torch.nn.functional.pad(edges, (1, 0, 1, 0)).to(torch.uint8)
    theta = torch.atan2(torch.arange(HEIGHT)[:, None] - 64.0, torch.arange(WIDTH)[None] - 80.0)
    occlusion = OcclusionMap(edges, torch.stack([theta.sin(), theta.cos()]) * edges)
    semantic[:8] = IGNORE_INDEX
    instances = BoxList(boxes, SIZE)
    instances.add_field("labels", labels)
    instances.add_field("masks", SegmentationMask(masks, SIZE, mode="mask"))
    instances.add_field("parts", _parts(vocabulary, boxes))
    joints = torch.cat([torch.rand(1, 14, 2, generator=torch.Generator().manual_seed(0)), torch.ones(1, 14, 1)], 2)
    joints[..., :2] = boxes[1, :2] + joints[..., :2] * (boxes[1, 2:] - boxes[1, :2])
    people = BoxList(boxes[1:2], SIZE)
    people.add_field("labels", torch.ones(1, dtype=torch.int64))
    people.add_field("keypoints", Keypoints(joints, SIZE, joints=DETAIL_JOINTS))
    classes = torch.tensor([1.0, 1.0, 1.0, seed % 2, 1 - seed % 2])
    return ImageAnnotations(
        SIZE, instances, people, SemanticMap(semantic), BoundaryMap(edges), occlusion, classes, image_id=seed
    )


def _parts(vocabulary, boxes):
    """Head above torso in the person's box; the other instances have no parts annotated."""
    maps = torch.zeros(3, HEIGHT, WIDTH, dtype=torch.uint8)
    left, top, right, bottom = boxes[1].int().tolist()
    middle = (top + bottom) // 2
    maps[1, top:middle, left : right + 1] = vocabulary.parts.label_of("person", "head")
    maps[1, middle : bottom + 1, left : right + 1] = vocabulary.parts.label_of("person", "torso")
    return PartMask(maps, torch.tensor([False, True, False]), SIZE, vocabulary.parts)


def _repeat(vocabulary, target):
    instances = target.instances.copy_with_fields(["labels"])
    count = len(instances)
    instances.add_field("scores", torch.full((count,), 0.9))
    instances.add_field("mask", torch.ones(count, 1, 28, 28))
    joints = target.people.get_field("keypoints").keypoints.expand(count, -1, -1)
    instances.add_field("keypoints", Keypoints(joints, SIZE, joints=DETAIL_JOINTS))
    num_parts = len(vocabulary.parts) + 1
    layout = target.instances.get_field("parts").crop_and_resize(target.instances.bbox, 64)
    instances.add_field("parts", torch.nn.functional.one_hot(layout, num_parts).permute(0, 3, 1, 2).float())
    semantic = torch.where(target.semantic.labels == IGNORE_INDEX, 0, target.semantic.labels).long()
    edges = target.boundary.edges.float()
    return ImagePrediction(
        SIZE,
        instances,
        semantic=ScoreMap(torch.nn.functional.one_hot(semantic, 5).permute(2, 0, 1).float(), SIZE),
        boundary=ScoreMap(edges[None], SIZE),
        occlusion=ScoreMap(torch.cat([edges[None], target.occlusion.direction]), SIZE),
        classes=target.classes.clone(),
        image_id=target.image_id,
    )
