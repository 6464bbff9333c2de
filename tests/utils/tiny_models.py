"""Small networks of every family, and tensors that tell whether each landed where it belongs."""

import zlib

import torch
from torch import nn

from maskrcnn_benchmark.config import cfg as defaults
from maskrcnn_benchmark.modeling.detector import build_detection_model

NARROW = {
    "MODEL.DEVICE": "cpu",
    "MODEL.RESNETS.RES2_OUT_CHANNELS": 32,
    "MODEL.RESNETS.STEM_OUT_CHANNELS": 8,
    "MODEL.RESNETS.WIDTH_PER_GROUP": 8,
    "MODEL.ROI_BOX_HEAD.MLP_HEAD_DIM": 16,
    "MODEL.ROI_BOX_HEAD.CONV_HEAD_DIM": 32,
    "MODEL.ROI_BOX_HEAD.POOLER_RESOLUTION": 7,
    "MODEL.ROI_MASK_HEAD.CONV_LAYERS": (32, 32, 32, 32),
    "MODEL.ROI_KEYPOINT_HEAD.CONV_LAYERS": (16,) * 8,
    "MODEL.GROUP_NORM.NUM_GROUPS": 4,
}
FPN = {
    "MODEL.BACKBONE.CONV_BODY": "R-50-FPN",
    "MODEL.RESNETS.BACKBONE_OUT_CHANNELS": 32,
    "MODEL.RPN.USE_FPN": True,
    "MODEL.RPN.ANCHOR_STRIDE": (4, 8, 16, 32, 64),
    "MODEL.ROI_HEADS.USE_FPN": True,
    "MODEL.ROI_BOX_HEAD.FEATURE_EXTRACTOR": "FPN2MLPFeatureExtractor",
    "MODEL.ROI_BOX_HEAD.PREDICTOR": "FPNPredictor",
    "MODEL.ROI_BOX_HEAD.POOLER_SCALES": (0.25, 0.125, 0.0625, 0.03125),
    "MODEL.ROI_MASK_HEAD.FEATURE_EXTRACTOR": "MaskRCNNFPNFeatureExtractor",
    "MODEL.ROI_MASK_HEAD.SHARE_BOX_FEATURE_EXTRACTOR": False,
    "MODEL.ROI_KEYPOINT_HEAD.SHARE_BOX_FEATURE_EXTRACTOR": False,
}
MASK = {"MODEL.MASK_ON": True}
KEYPOINT = {"MODEL.KEYPOINT_ON": True, "MODEL.ROI_BOX_HEAD.NUM_CLASSES": 2}
GROUP_NORM = {
    "MODEL.RESNETS.TRANS_FUNC": "BottleneckWithGN",
    "MODEL.RESNETS.STEM_FUNC": "StemWithGN",
    "MODEL.RESNETS.STRIDE_IN_1X1": False,
    "MODEL.FPN.USE_GN": True,
    "MODEL.ROI_BOX_HEAD.USE_GN": True,
    "MODEL.ROI_MASK_HEAD.USE_GN": True,
    "MODEL.ROI_BOX_HEAD.FEATURE_EXTRACTOR": "FPNXconv1fcFeatureExtractor",
}
CASCADE = {"MODEL.ROI_BOX_HEAD.CASCADE.ENABLED": True, "MODEL.CLS_AGNOSTIC_BBOX_REG": True}
C4 = {"MODEL.BACKBONE.CONV_BODY": "R-50-C4", "MODEL.RESNETS.BACKBONE_OUT_CHANNELS": 128}
X101 = {
    "MODEL.BACKBONE.CONV_BODY": "R-101-FPN",
    "MODEL.RESNETS.STRIDE_IN_1X1": False,
    "MODEL.RESNETS.NUM_GROUPS": 4,
    "MODEL.RESNETS.WIDTH_PER_GROUP": 4,
}
DEFORMABLE = {
    "MODEL.RESNETS.STAGE_WITH_DCN": (False, True, True, True),
    "MODEL.RESNETS.WITH_MODULATED_DCN": True,
}


def make_cfg(*options):
    """The narrow config with dictionaries of options merged into it."""
    cfg = defaults.clone()
    for each in (NARROW, *options):
        cfg.merge_from_list([item for pair in each.items() for item in pair])
    return cfg


def make_model(cfg):
    return build_detection_model(cfg)


def mark(name, shape):
    """A tensor whose numbers belong to its name."""
    generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    return torch.rand(shape, generator=generator) + 0.5


def marks(model):
    """A mark for each tensor of a model, the constant anchors left out."""
    return {name: mark(name, t.shape) for name, t in model.state_dict().items() if ".cell_anchors." not in name}


def skeleton(shapes):
    """A module that has parameters of these names and shapes and does nothing."""
    root = nn.Module()
    for name, shape in shapes.items():
        *path, leaf = name.split(".")
        module = root
        for part in path:
            if part not in dict(module.named_children()):
                module.add_module(part, nn.Module())
            module = getattr(module, part)
        module.register_parameter(leaf, nn.Parameter(torch.zeros(shape)))
    return root


def retinanet_head(num_anchors, num_classes, channels=4):
    """Names and shapes of a RetinaNet's head and coarse levels, `num_classes` without background."""
    shapes = {
        "backbone.fpn.fpn_inner2.weight": (channels, 2 * channels, 1, 1),
        "backbone.fpn.top_blocks.p6.weight": (channels, channels, 3, 3),
        "rpn.head.cls_logits.weight": (num_anchors * num_classes, channels, 3, 3),
        "rpn.head.cls_logits.bias": (num_anchors * num_classes,),
        "rpn.head.bbox_pred.weight": (num_anchors * 4, channels, 3, 3),
        "rpn.head.bbox_pred.bias": (num_anchors * 4,),
    }
    for tower in ("cls_tower", "bbox_tower"):
        for index in (0, 2, 4, 6):
            shapes[f"rpn.head.{tower}.{index}.weight"] = (channels, channels, 3, 3)
            shapes[f"rpn.head.{tower}.{index}.bias"] = (channels,)
    return shapes
