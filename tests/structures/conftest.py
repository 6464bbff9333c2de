"""A fully annotated image and what it takes to compare two of them bit by bit."""

import pytest
import torch

from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.dense_map import BoundaryMap, OcclusionMap, SemanticMap
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.keypoint import DetailKeypoints
from maskrcnn_benchmark.structures.part_mask import PartMask, PartSet
from maskrcnn_benchmark.structures.segmentation_mask import SegmentationMask


def _bits(tensor):
    """The bytes of a tensor: unlike ==, they tell 0.0 from -0.0."""
    return tensor.detach().cpu().contiguous().numpy().tobytes()


@pytest.fixture(scope="session")
def same_bits():
    def compare(one, other):
        return one.shape == other.shape and one.dtype == other.dtype and _bits(one) == _bits(other)

    return compare


@pytest.fixture(scope="session")
def tensors_of():
    """All tensors of an ImageAnnotations by name."""

    def collect(annotations):
        instances, people = annotations.instances, annotations.people
        return {
            "boxes": instances.bbox,
            "labels": instances.get_field("labels"),
            "masks": instances.get_field("masks").instances.masks,
            "parts": instances.get_field("parts").labels,
            "parts annotated": instances.get_field("parts").annotated,
            "outlines": instances.get_field("outlines").instances.points,
            "people": people.bbox,
            "joints": people.get_field("keypoints").keypoints,
            "semantic": annotations.semantic.labels,
            "boundary": annotations.boundary.edges,
            "occlusion": annotations.occlusion.edges,
            "direction": annotations.occlusion.direction,
            "classes": annotations.classes,
        }

    return collect


@pytest.fixture(scope="session")
def full_annotations():
    """make(seed, boxes, joints): annotations of every task for a 17 x 11 image; boxes [4][4], joints [2][14][3]."""

    def make(seed=0, boxes=None, joints=None):
        random = torch.Generator().manual_seed(seed)
        width, height, count = 17, 11, 4

        def maps(high, *shape):
            return torch.randint(0, high, shape, generator=random, dtype=torch.uint8)

        boxes = torch.rand(count, 4, generator=random) * 10 if boxes is None else torch.tensor(boxes)
        joints = torch.rand(2, 14, 3, generator=random) * 10 if joints is None else torch.tensor(joints)
        parts = PartSet.from_names("person", {"person": ["head", "lhand", "rhand", "lfoot", "rfoot", "torso"]})
        instances = BoxList(boxes, (width, height))
        instances.add_field("labels", torch.arange(1, count + 1))
        instances.add_field("masks", SegmentationMask(maps(2, count, height, width), (width, height), "mask"))
        triangles = [[(torch.randint(-999, 999, (6,), generator=random) / 256).tolist()] for _ in range(count)]
        instances.add_field("outlines", SegmentationMask(triangles, (width, height)))
        annotated = torch.tensor([True, False, True, True])
        instances.add_field("parts", PartMask(maps(7, count, height, width), annotated, (width, height), parts))
        people = BoxList(boxes[:2], (width, height))
        people.add_field("labels", torch.ones(2, dtype=torch.int64))
        people.add_field("keypoints", DetailKeypoints(joints, (width, height)))
        edges = maps(2, height, width)
        theta = torch.rand(height, width, generator=random) * 6
        return ImageAnnotations(
            (width, height),
            instances=instances,
            people=people,
            semantic=SemanticMap(maps(200, height, width)),
            boundary=BoundaryMap(maps(2, height, width)),
            occlusion=OcclusionMap(edges, torch.stack((theta.sin(), theta.cos())) * edges),
            classes=torch.tensor([0.0, 1.0, 1.0]),
            image_id=2008000002,
        )

    return make
