"""Small networks with random weights whose answers vary as a trained one's do."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from maskrcnn_benchmark.config import cfg as default_cfg
from maskrcnn_benchmark.modeling.detector import build_detection_model
from maskrcnn_benchmark.predict.trained_network import TrainedNetwork
from maskrcnn_benchmark.structures.vocabulary import Vocabulary

ROOT = Path(__file__).parents[2]

# Narrow enough for a test, and with scores high enough to detect something
NARROW = (
    *("MODEL.DEVICE", "cpu", "INPUT.MIN_SIZE_TEST", 130, "INPUT.MAX_SIZE_TEST", 160),
    *("MODEL.RESNETS.STEM_OUT_CHANNELS", 8, "MODEL.RESNETS.RES2_OUT_CHANNELS", 16, "MODEL.RESNETS.WIDTH_PER_GROUP", 4),
    *("MODEL.ROI_BOX_HEAD.MLP_HEAD_DIM", 32, "MODEL.ROI_BOX_HEAD.NUM_CLASSES", 5, "MODEL.RETINANET.NUM_CLASSES", 5),
    *("MODEL.RPN.POST_NMS_TOP_N_TEST", 60, "MODEL.RPN.FPN_POST_NMS_TOP_N_TEST", 50, "TEST.DETECTIONS_PER_IMG", 12),
    *("MODEL.ROI_HEADS.DETECTIONS_PER_IMG", 12, "MODEL.RPN.PRE_NMS_TOP_N_TEST", 100),
)
# Layers whose random outputs are almost alike, and the largest output that they are given instead: not so large that
# probabilities round to 1, for of equal ones any may come first
LARGEST = {
    "rpn.head.cls_logits": 5.0,
    "rpn.head.bbox_pred": 0.6,
    "box.predictor.cls_score": 4.0,
    "box.predictor.bbox_pred": 2.0,
    **{
        f"stages.{k}.predictor.{name}": value
        for k in range(3)
        for name, value in (("cls_score", 4.0), ("bbox_pred", 4.0))
    },
}


def random_network(config_file, *options):
    """A narrow `TrainedNetwork` of a config of configs/."""
    cfg = default_cfg.clone()
    cfg.merge_from_file(str(ROOT / "configs" / config_file))
    channels = 64 if "C4" in cfg.MODEL.BACKBONE.CONV_BODY else 16
    cfg.merge_from_list([*NARROW, "MODEL.RESNETS.BACKBONE_OUT_CHANNELS", channels, *options])
    torch.manual_seed(1)
    model = build_detection_model(cfg).eval()
    scene = F.interpolate(60 * torch.randn(1, 3, 12, 16), scale_factor=8, mode="bicubic")
    for end, value in LARGEST.items():  # in the order in which they run
        for name, module in model.named_modules():
            if name.endswith(end):
                _scale(model, module, value, scene)
    return TrainedNetwork(model, cfg, Vocabulary(thing_names=tuple("abcd")), "random")


@torch.no_grad()
def _scale(model, layer, value, scene):
    """Make `value` the largest output of a layer, without its bias, on a scene."""
    seen, bias = [], layer.bias.view(-1, *[1] * (layer.weight.ndim - 2))
    hook = layer.register_forward_hook(lambda layer, inputs, output: seen.append((output - bias).abs().max().item()))
    model(scene)
    hook.remove()
    layer.weight *= value / max(seen)


@pytest.fixture(scope="session")
def make_network():
    return random_network


@pytest.fixture(scope="session")
def scenes():
    """PIL images with something to see: wide, upright, of odd size, square."""
    generator = np.random.default_rng(0)
    images = []
    for width, height in ((160, 120), (75, 110), (133, 97), (128, 128)):
        coarse = generator.integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
        images.append(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))
    return images
