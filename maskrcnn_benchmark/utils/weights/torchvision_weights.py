"""torchvision's ResNets and its detectors with a ResNet-50-FPN (first generation) under our names.

What is exact: the backbone, the pyramid, the heads on the same regions. Detectors trained on COCO predict COCO's 91
category numbers; their rows are picked so that the classes are our 80 in the order of the categories.

What stays different and moves boxes by about a pixel: its boxes are continuous, ours inclusive (width = x2 - x1 + 1);
its anchors are centred on a cell's corner, ours on its centre.
"""

import re
from collections.abc import Collection
from typing import Any

import torch
from torch import nn
from torchvision.models.detection import FasterRCNN_ResNet50_FPN_Weights
from yacs.config import CfgNode

from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.weights.layouts import EPSILON, fold_epsilon, rename_deformable, scale_box_codes

NAME = "torchvision"
# Category numbers of COCO that its 80 classes have, after 0, the background
COCO_NUMBERS = [i for i, name in enumerate(FasterRCNN_ResNet50_FPN_Weights.COCO_V1.meta["categories"]) if name != "N/A"]
NUM_COCO_NUMBERS = 91
# Files of torchvision's own detectors, whose frozen batch norm had no epsilon when they were trained
WITHOUT_EPSILON = re.compile(r"(fasterrcnn|maskrcnn|keypointrcnn|retinanet)_resnet50_fpn_coco-[0-9a-f]+")

CONVENTIONS = {
    "INPUT.TO_BGR255": False,
    "INPUT.PIXEL_MEAN": [0.485, 0.456, 0.406],
    "INPUT.PIXEL_STD": [0.229, 0.224, 0.225],
    "MODEL.RESNETS.STRIDE_IN_1X1": False,
}

# Pattern of a name, and ours; later generations of torchvision put each convolution into a sequence of its own
RENAMES = [
    (re.compile(pattern), ours)
    for pattern, ours in (
        (r"(?:backbone\.body\.)?(conv1|bn1)\.(\w+)", r"stem.\1.\2"),
        (r"(?:backbone\.body\.)?(layer\d\..+)", r"\1"),
        (r"backbone\.fpn\.extra_blocks\.(p[67])\.(\w+)", r"top_blocks.\1.\2"),
        (r"rpn\.head\.conv(?:\.0\.0)?\.(\w+)", r"rpn.head.conv.\1"),
        (r"rpn\.head\.(cls_logits|bbox_pred)\.(\w+)", r"rpn.head.\1.\2"),
        (r"roi_heads\.box_head\.(fc[67])\.(\w+)", r"\1.\2"),
        (r"roi_heads\.box_predictor\.(cls_score|bbox_pred)\.(\w+)", r"\1.\2"),
        (r"roi_heads\.mask_head\.(mask_fcn\d)\.(\w+)", r"\1.\2"),
        (r"roi_heads\.mask_predictor\.(conv5_mask|mask_fcn_logits)\.(\w+)", r"\1.\2"),
        (r"roi_heads\.keypoint_predictor\.(kps_score_lowres)\.(\w+)", r"\1.\2"),
        (r"head\.classification_head\.cls_logits\.(\w+)", r"rpn.head.cls_logits.\1"),
        (r"head\.regression_head\.bbox_reg\.(\w+)", r"rpn.head.bbox_pred.\1"),
    )
]
# Pattern of a name with a number n, our name, and our number from n
COUNTED = [
    (re.compile(pattern), ours, number)
    for pattern, ours, number in (
        (r"roi_heads\.mask_head\.(\d)\.0\.(\w+)", "mask_fcn{}.{}", lambda n: n + 1),
        (r"roi_heads\.keypoint_head\.(\d+)\.(\w+)", "conv_fcn{}.{}", lambda n: n // 2 + 1),
        (r"head\.classification_head\.conv\.(\d)\.0\.(\w+)", "rpn.head.cls_tower.{}.{}", lambda n: 2 * n),
        (r"head\.regression_head\.conv\.(\d)\.0\.(\w+)", "rpn.head.bbox_tower.{}.{}", lambda n: 2 * n),
        (r"head\.classification_head\.conv\.(\d)\.(\w+)", "rpn.head.cls_tower.{}.{}", lambda n: n),
        (r"head\.regression_head\.conv\.(\d)\.(\w+)", "rpn.head.bbox_tower.{}.{}", lambda n: n),
    )
]
PYRAMID = re.compile(r"backbone\.fpn\.(inner|layer)_blocks\.(\d)(?:\.0)?\.(\w+)")


def recognise(names: Collection[str]) -> bool:
    """Whether these are the names of a ResNet or of a detector of torchvision."""
    backbone = {"conv1.weight", "bn1.running_var", "layer1.0.conv1.weight"}
    return backbone <= set(names) or any(name.startswith("backbone.fpn.inner_blocks.") for name in names)


def is_left_out(name: str) -> bool:
    """Whether `convert` leaves a name out: the classifier's."""
    return name.startswith("fc.")


def convert(
    weights: dict[str, torch.Tensor], model: nn.Module, cfg: CfgNode, source: str
) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """(our state dict, the options that the weights were trained with).

    Args:
        weights: {name: tensor}.
        model: decides on epsilons, on deformable convolutions and whether classes are picked.
        cfg: unused.
        source: the file's name, which tells torchvision's own detectors from others.

    Raises:
        UserError: a detector of torchvision's second generation, which is another network.
    """
    if "rpn.head.conv.1.0.weight" in weights or "backbone.fpn.inner_blocks.0.1.weight" in weights:
        raise UserError(
            f"{source}: torchvision's detectors of the second generation (..._v2) have other heads than these models; "
            "take the first, such as catalog://COCO/torchvision/maskrcnn_resnet50_fpn"
        )
    # the pyramid of RetinaNet begins one stage later
    first_level = 4 - sum(name.startswith("backbone.fpn.inner_blocks.") and name.endswith("weight") for name in weights)
    renamed = ((_our_name(name, first_level + 1), tensor) for name, tensor in weights.items())
    state_dict = {name: tensor for name, tensor in renamed if name}
    _pick_classes(state_dict, model)
    conventions = dict(CONVENTIONS)
    if any(name.startswith("head.regression_head.") for name in weights):
        _fit_retinanet(state_dict, model)
        conventions["MODEL.RETINANET.USE_C5"] = False
    epsilon = 0.0 if WITHOUT_EPSILON.search(source) else EPSILON
    return rename_deformable(fold_epsilon(state_dict, model, epsilon), model), conventions


def _our_name(name, first_level):
    """Our name, "" for the classifier, their own for a name that is unknown here."""
    if is_left_out(name):
        return ""
    if found := PYRAMID.fullmatch(name):
        return f"fpn_{found[1]}{int(found[2]) + first_level}.{found[3]}"
    for pattern, ours in RENAMES:
        if found := pattern.fullmatch(name):
            return found.expand(ours)
    for pattern, ours, number in COUNTED:
        if found := pattern.fullmatch(name):
            return ours.format(number(int(found[1])), found[2])
    return name


def _pick_classes(state_dict, model):
    """Keep the rows of our 81 classes of the 91 that COCO numbers, unless the model itself has 91."""
    if _rows_in(model, "cls_score.weight") == NUM_COCO_NUMBERS:
        return
    for layer, rows_per_class in (("cls_score", 1), ("bbox_pred", 4), ("mask_fcn_logits", 1)):
        for name in (f"{layer}.weight", f"{layer}.bias"):
            if name in state_dict and len(state_dict[name]) == NUM_COCO_NUMBERS * rows_per_class:
                classes = state_dict[name].unflatten(0, (NUM_COCO_NUMBERS, rows_per_class))
                state_dict[name] = classes[COCO_NUMBERS].flatten(0, 1)


def _fit_retinanet(state_dict, model):
    """Scale the box codes, and leave out the logits of the background and of COCO's unused numbers."""
    boxes = [name for name in ("rpn.head.bbox_pred.weight", "rpn.head.bbox_pred.bias") if name in state_dict]
    for name in boxes:
        state_dict[name] = scale_box_codes(state_dict[name])
    num_anchors = len(state_dict[boxes[0]]) // 4
    for name in ("rpn.head.cls_logits.weight", "rpn.head.cls_logits.bias"):
        logits = state_dict.get(name)
        if logits is None or len(logits) % num_anchors or len(logits) == _rows_in(model, name):
            continue
        logits = logits.unflatten(0, (num_anchors, -1))
        classes = COCO_NUMBERS[1:] if logits.shape[1] == NUM_COCO_NUMBERS else range(1, logits.shape[1])
        state_dict[name] = logits[:, list(classes)].flatten(0, 1)


def _rows_in(model, suffix):
    """Rows of the model's tensor whose name ends with `suffix`; 0 if it has none."""
    return next((len(tensor) for name, tensor in model.state_dict().items() if name.endswith(suffix)), 0)
