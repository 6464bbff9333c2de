"""torchvision's ResNets and its detectors with a ResNet-50-FPN, of both generations, under our names.

What is exact: the backbone, the pyramid, the heads on the same regions and, with MODEL.BOX_CONVENTION "torchvision",
the detections. Detectors trained on COCO predict COCO's 91 category numbers; their rows are picked so that the classes
are our 80 in the order of the categories.

With the original's convention boxes move by about a pixel: torchvision's are continuous, ours inclusive (width =
x2 - x1 + 1), and its anchors are centred on a cell's corner, ours on its centre.
"""

import re
from collections.abc import Collection
from typing import Any

import torch
from torch import nn
from torchvision.models.detection import FasterRCNN_ResNet50_FPN_Weights
from yacs.config import CfgNode

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

# Pattern of a name, and ours
RENAMES = [
    (re.compile(pattern), ours)
    for pattern, ours in (
        (r"(?:backbone\.body\.)?(conv1|bn1)\.(\w+)", r"stem.\1.\2"),
        (r"(?:backbone\.body\.)?(layer\d\..+)", r"\1"),
        (r"backbone\.fpn\.extra_blocks\.(p[67])\.(\w+)", r"top_blocks.\1.\2"),
        (r"rpn\.head\.(conv|cls_logits|bbox_pred)\.(\w+)", r"rpn.head.\1.\2"),
        (r"roi_heads\.box_head\.(fc[67])\.(\w+)", r"\1.\2"),
        (r"roi_heads\.box_head\.\d\.(\w+)", r"fc6.\1"),
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
        (r"roi_heads\.keypoint_head\.(\d+)\.(\w+)", "conv_fcn{}.{}", lambda n: n // 2 + 1),
        (r"head\.classification_head\.conv\.(\d)\.(\w+)", "rpn.head.cls_tower.{}.{}", lambda n: n),
        (r"head\.regression_head\.conv\.(\d)\.(\w+)", "rpn.head.bbox_tower.{}.{}", lambda n: n),
    )
]
# Where a ResNet's layers are in nn.Sequential(*resnet.children()), which lightly and fastai keep as an encoder
CHILDREN = {"0": "conv1", "1": "bn1", **{str(3 + stage): f"layer{stage}" for stage in (1, 2, 3, 4)}}
# Number n of a convolution that stands in a sequence of its own, as those of later releases do: first itself, then, in
# the second generation, its norm
BLOCK = re.compile(
    r"(backbone\.fpn\.inner_blocks|backbone\.fpn\.layer_blocks|rpn\.head\.conv|roi_heads\.box_head|roi_heads\.mask_head|"
    r"head\.classification_head\.conv|head\.regression_head\.conv)\.(\d)\.([01])\.(\w+)"
)
PYRAMID = re.compile(r"backbone\.fpn\.(inner|layer)_blocks\.(\d)\.(\w+)")
# Ours of a row of convolutions, norms and ReLUs that are counted together, and of those that are counted from 1
ROWS = {
    "roi_heads.box_head": "xconvs",
    "head.classification_head.conv": "rpn.head.cls_tower",
    "head.regression_head.conv": "rpn.head.bbox_tower",
}
NUMBERED = {
    "backbone.fpn.inner_blocks": "fpn_inner",
    "backbone.fpn.layer_blocks": "fpn_layer",
    "roi_heads.mask_head": "mask_fcn",
}


def recognise(names: Collection[str]) -> bool:
    """Whether these are the names of a ResNet or of a detector of torchvision."""
    backbone = {"conv1.weight", "bn1.running_var", "layer1.0.conv1.weight"}
    return backbone <= set(names) or any(name.startswith("backbone.fpn.inner_blocks.") for name in names)


def named_children(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A ResNet's weights, whose layers are numbered as in a sequence, under the layers' names; others as they are."""
    if not weights.keys() >= {"0.weight", "1.running_var", "4.0.conv1.weight"}:
        return weights
    parts = ((name.partition("."), tensor) for name, tensor in weights.items())
    return {CHILDREN.get(first, first) + dot + rest: tensor for (first, dot, rest), tensor in parts}


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
    """
    # the pyramid of RetinaNet begins one stage later
    levels = {name.split(".")[3] for name in weights if name.startswith("backbone.fpn.inner_blocks.")}
    renamed = ((_our_name(name, 5 - len(levels), weights), tensor) for name, tensor in weights.items())
    state_dict = {name: tensor for name, tensor in renamed if name}
    _pick_classes(state_dict, model)
    conventions = dict(CONVENTIONS)
    if any(name.startswith("head.regression_head.") for name in weights):
        _fit_retinanet(state_dict, model)
        p6 = state_dict.get("top_blocks.p6.weight")
        conventions["MODEL.RETINANET.USE_C5"] = p6 is not None and p6.shape[0] != p6.shape[1]
    if levels:
        conventions["MODEL.BOX_CONVENTION"] = "torchvision"
    epsilon = 0.0 if WITHOUT_EPSILON.search(source) else EPSILON
    return rename_deformable(fold_epsilon(state_dict, model, epsilon), model), conventions


def _our_name(name, first_level, names):
    """Our name, "" for the classifier, their own for a name that is unknown here."""
    if is_left_out(name):
        return ""
    if found := BLOCK.fullmatch(name):
        return _name_in_block(found[1], int(found[2]), int(found[3]), found[4], first_level, names)
    if found := PYRAMID.fullmatch(name):
        return f"fpn_{found[1]}{int(found[2]) + first_level}.{found[3]}"
    for pattern, ours in RENAMES:
        if found := pattern.fullmatch(name):
            return found.expand(ours)
    for pattern, ours, number in COUNTED:
        if found := pattern.fullmatch(name):
            return ours.format(number(int(found[1])), found[2])
    return name


def _name_in_block(row, number, place, leaf, first_level, names):
    """Our name of tensor `leaf` of convolution (`place` 0) or norm (1) `number` of a row of them."""
    has_norm = f"{row}.{number}.1.weight" in names
    if row in ROWS:
        return f"{ROWS[row]}.{(3 if has_norm else 2) * number + place}.{leaf}"
    if row in NUMBERED:
        first = first_level if row.startswith("backbone.") else 1
        return f"{NUMBERED[row]}{number + first}.{f'{place}.' if has_norm else ''}{leaf}"
    several = f"{row}.1.0.weight" in names
    return f"rpn.head.conv.{f'conv{number}.' if several else ''}{leaf}"


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
