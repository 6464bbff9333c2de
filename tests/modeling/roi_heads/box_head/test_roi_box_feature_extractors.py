import pytest
import torch

from maskrcnn_benchmark.config import cfg
from maskrcnn_benchmark.modeling import registry
from maskrcnn_benchmark.modeling.poolers import Pooler
from maskrcnn_benchmark.modeling.roi_heads.box_head.roi_box_feature_extractors import FPNXconv1fcFeatureExtractor
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.utils.errors import UserError


@pytest.mark.parametrize("name", sorted(registry.ROI_BOX_FEATURE_EXTRACTORS))
def test_every_extractor_builds_from_the_default_config(name):
    channels = 1024 if "Conv5" in name else 64
    extractor = registry.ROI_BOX_FEATURE_EXTRACTORS[name](cfg.clone(), channels)
    boxes = [BoxList([[1.0, 1.0, 90.0, 90.0], [5.0, 9.0, 60.0, 30.0]], (128, 128))]
    with torch.no_grad():
        out = extractor([torch.rand(1, channels, 8, 8)], boxes)
    assert out.shape[:2] == (2, extractor.out_channels)
    assert out.shape[2:] in ((), (7, 7))


def test_conv5_says_which_trunk_it_needs():
    with pytest.raises(UserError, match=r"layer3, which has 1024 channels, but .* gives 256"):
        registry.ROI_BOX_FEATURE_EXTRACTORS["ResNet50Conv5ROIFeatureExtractor"](cfg.clone(), 256)


def test_xconv1fc_with_group_norm_has_the_originals_names():
    extractor = FPNXconv1fcFeatureExtractor(64, Pooler((7, 7), (0.25,), 2), 64, 2, 32, use_gn=True)
    assert set(extractor.state_dict()) == {
        "xconvs.0.weight", "xconvs.1.weight", "xconvs.1.bias",
        "xconvs.3.weight", "xconvs.4.weight", "xconvs.4.bias", "fc6.weight", "fc6.bias",
    }  # fmt: skip
