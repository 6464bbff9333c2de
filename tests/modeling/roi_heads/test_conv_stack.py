"""The convolutions that the mask, keypoint and part heads share."""

import pytest
import torch
from torch.nn import functional as F

from maskrcnn_benchmark.config import cfg
from maskrcnn_benchmark.modeling.roi_heads.keypoint_head.roi_keypoint_feature_extractors import (
    make_roi_keypoint_feature_extractor,
)
from maskrcnn_benchmark.modeling.roi_heads.mask_head.roi_mask_feature_extractors import (
    make_roi_mask_feature_extractor,
)
from maskrcnn_benchmark.modeling.roi_heads.part_head.roi_part_feature_extractors import (
    make_roi_part_feature_extractor,
)
from maskrcnn_benchmark.structures.bounding_box import BoxList

HEADS = {
    "MASK": (make_roi_mask_feature_extractor, "mask_fcn"),
    "KEYPOINT": (make_roi_keypoint_feature_extractor, "conv_fcn"),
    "PART": (make_roi_part_feature_extractor, "part_fcn"),
}


@pytest.fixture(params=HEADS)
def build(request):
    """Function (norm) -> (extractor with two convolutions of 16 channels on 8, the name of its layers)."""
    make, layers = HEADS[request.param]

    def build(norm):
        config = cfg.clone()
        section = config.MODEL[f"ROI_{request.param}_HEAD"]
        section.CONV_LAYERS, section.NORM, config.MODEL.GROUP_NORM.NUM_GROUPS = (16, 16), norm, 4
        if request.param == "MASK":  # by default it is that of a C4 network
            section.FEATURE_EXTRACTOR = "MaskRCNNFPNFeatureExtractor"
        torch.manual_seed(0)
        return make(config, 8), layers

    return build


def test_a_norm_follows_each_convolution(build):
    extractor, layers = build("GN")
    maps, boxes = [torch.rand(1, 8, 8, 8)], [BoxList([[1.0, 1.0, 90.0, 90.0], [20.0, 3.0, 100.0, 50.0]], (128, 128))]
    state = {name: torch.rand_like(value) for name, value in extractor.state_dict().items()}
    assert state.keys() == {f"{layers}{k}.{name}" for k in (1, 2) for name in ("0.weight", "1.weight", "1.bias")}
    extractor.load_state_dict(state)
    expected = extractor.pooler(maps, boxes)
    for k in (1, 2):
        expected = F.conv2d(expected, state[f"{layers}{k}.0.weight"], padding=1)
        expected = F.relu(F.group_norm(expected, 4, state[f"{layers}{k}.1.weight"], state[f"{layers}{k}.1.bias"]))
    torch.testing.assert_close(extractor(maps, boxes), expected)


def test_without_a_norm_the_convolutions_have_their_plain_names_and_biases(build):
    extractor, layers = build("")
    assert set(extractor.state_dict()) == {f"{layers}{k}.{name}" for k in (1, 2) for name in ("weight", "bias")}
