"""A toy problem for the region heads: two 64 x 64 images, a pyramid of two random maps, two objects an image."""

import pytest
import torch

from maskrcnn_benchmark.config import cfg
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.keypoint import DETAIL_JOINTS, Keypoints
from maskrcnn_benchmark.structures.part_mask import PartMask, PartSet
from maskrcnn_benchmark.structures.segmentation_mask import SegmentationMask
from maskrcnn_benchmark.structures.vocabulary import Vocabulary

SIZE = (64, 64)
CHANNELS = 16
OBJECTS = [[8.0, 6.0, 39.0, 57.0], [36.0, 20.0, 61.0, 45.0]]
PARTS = PartSet.from_names("person", {"person": ["head", "torso"]})

OPTIONS = {
    "MODEL.ROI_HEADS.USE_FPN": True,
    "MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE": 16,
    "MODEL.ROI_HEADS.POSITIVE_FRACTION": 0.5,
    "MODEL.ROI_BOX_HEAD.FEATURE_EXTRACTOR": "FPN2MLPFeatureExtractor",
    "MODEL.ROI_BOX_HEAD.PREDICTOR": "FPNPredictor",
    "MODEL.ROI_BOX_HEAD.NUM_CLASSES": 3,
    "MODEL.ROI_BOX_HEAD.MLP_HEAD_DIM": 32,
    "MODEL.ROI_BOX_HEAD.POOLER_RESOLUTION": 5,
    "MODEL.ROI_MASK_HEAD.FEATURE_EXTRACTOR": "MaskRCNNFPNFeatureExtractor",
    "MODEL.ROI_MASK_HEAD.CONV_LAYERS": (16, 16),
    "MODEL.ROI_MASK_HEAD.POOLER_RESOLUTION": 7,
    "MODEL.ROI_MASK_HEAD.RESOLUTION": 14,
    "MODEL.ROI_MASK_HEAD.SHARE_BOX_FEATURE_EXTRACTOR": False,
    "MODEL.ROI_KEYPOINT_HEAD.CONV_LAYERS": (16, 16),
    "MODEL.ROI_KEYPOINT_HEAD.NUM_CLASSES": 14,
    "MODEL.ROI_KEYPOINT_HEAD.POOLER_RESOLUTION": 7,
    "MODEL.ROI_KEYPOINT_HEAD.RESOLUTION": 28,
    "MODEL.ROI_KEYPOINT_HEAD.SHARE_BOX_FEATURE_EXTRACTOR": False,
    "MODEL.ROI_PART_HEAD.CONV_LAYERS": (16, 16),
    "MODEL.ROI_PART_HEAD.NUM_CLASSES": 3,
    "MODEL.ROI_PART_HEAD.POOLER_RESOLUTION": 7,
    "MODEL.ROI_PART_HEAD.RESOLUTION": 28,
}


@pytest.fixture
def make_config():
    """A function (KEY, value, ...) -> config of thin heads on two levels, with all region tasks on."""

    def make(*options):
        config = cfg.clone()
        config.merge_from_list([item for pair in OPTIONS.items() for item in pair])
        for head in ("BOX", "MASK", "KEYPOINT", "PART"):
            config.merge_from_list([f"MODEL.ROI_{head}_HEAD.POOLER_SCALES", (0.25, 0.125)])
            config.merge_from_list([f"MODEL.ROI_{head}_HEAD.POOLER_SAMPLING_RATIO", 2])
        config.merge_from_list(["MODEL.MASK_ON", True, "MODEL.KEYPOINT_ON", True, "MODEL.PART_ON", True])
        config.merge_from_list(list(options))
        return config

    return make


@pytest.fixture
def features():
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(2, CHANNELS, side, side, generator=generator) for side in (16, 8)]


@pytest.fixture
def proposals():
    """Per image the objects, boxes near them and boxes elsewhere; 24 in all."""
    generator = torch.Generator().manual_seed(1)
    result = []
    for _ in range(2):
        near = torch.tensor(OBJECTS).repeat(5, 1) + torch.randn(10, 4, generator=generator)
        corner = torch.rand(12, 2, generator=generator) * 44
        far = torch.cat((corner, corner + 6 + torch.rand(12, 2, generator=generator) * 12), 1)
        boxes = BoxList(torch.cat((torch.tensor(OBJECTS), near, far)), SIZE).clip_to_image(remove_empty=False)
        boxes.add_field("objectness", torch.rand(len(boxes), generator=generator))
        result.append(boxes)
    return result


@pytest.fixture
def make_target():
    """A function () -> `ImageAnnotations` of one image: a person (label 1, with parts and joints) and a dog (2)."""

    def make():
        instances = BoxList(torch.tensor(OBJECTS), SIZE)
        instances.add_field("labels", torch.tensor([1, 2]))
        masks = torch.zeros(2, 64, 64, dtype=torch.uint8)
        masks[0, 6:58, 12:34] = 1
        masks[1, 24:42, 36:62] = 1
        instances.add_field("masks", SegmentationMask(masks, SIZE, mode="mask"))
        labels = torch.zeros(2, 64, 64, dtype=torch.uint8)
        labels[0, 6:20, 12:34] = 1
        labels[0, 20:58, 12:34] = 2
        instances.add_field("parts", PartMask(labels, torch.tensor([True, False]), SIZE, PARTS))
        people = BoxList(torch.tensor(OBJECTS[:1]), SIZE)
        people.add_field("labels", torch.tensor([1]))
        joints = torch.stack((torch.linspace(12, 36, 14), torch.linspace(10, 50, 14), torch.ones(14)), 1)
        people.add_field("keypoints", Keypoints(joints[None], SIZE, joints=DETAIL_JOINTS))
        return ImageAnnotations(SIZE, instances=instances, people=people)

    return make


@pytest.fixture
def targets(make_target):
    return [make_target(), make_target()]


@pytest.fixture
def vocabulary():
    return Vocabulary(thing_names=("person", "dog"), parts=PARTS, joints=DETAIL_JOINTS)
