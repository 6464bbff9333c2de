"""detectron2's weights, of ImageNet and of its model zoo, under our names.

Its background class is the last and has no box codes or mask, ours is the first and has both: rows are moved, and zeros
stand for what is not there, which nothing reads. Its epsilon moves into the variances. Anchors at one position are
counted by size there and by ratio here: the rows of heads with several sizes (C4, RetinaNet) are reordered.

MODEL.BOX_CONVENTION "detectron2" reads them with its boxes. With the original's boxes move by about a pixel: its boxes
are continuous, ours inclusive (width = x2 - x1 + 1); its anchors are centred on a cell's corner, ours on its centre and
rounded; its ROIAlign is shifted by half a pixel.
"""

import re
from collections.abc import Collection
from typing import Any

import torch
from torch import nn
from yacs.config import CfgNode

from maskrcnn_benchmark.utils.weights.layouts import (
    Place,
    StateDict,
    add_statistics,
    fold_epsilon,
    in_sequence,
    ratios_before_sizes,
    rename_deformable,
    retinanet_anchor_counts,
    scale_box_codes,
    stacked_conv,
)

NAME = "detectron2"
MOST_BLOCKS = 36
PREFIXES = ("backbone.", "bottom_up.", "roi_heads.", "proposal_generator.")
# Options of its Base-RCNN configs, whose backbones are MSRA's
PIXEL_MEAN, PIXEL_STD = [103.53, 116.28, 123.675], [1.0, 1.0, 1.0]


def _backbone() -> dict[str, Place]:
    places = {"stem.conv1": Place("stem.conv1", "stem.bn1")}
    for stage in range(2, 6):
        for block in range(MOST_BLOCKS):
            theirs, ours = f"res{stage}.{block}", f"layer{stage - 1}.{block}"
            for index in (1, 2, 3):
                places[f"{theirs}.conv{index}"] = Place(f"{ours}.conv{index}", f"{ours}.bn{index}")
            places[f"{theirs}.shortcut"] = Place(f"{ours}.downsample.0", f"{ours}.downsample.1")
            places[f"{theirs}.conv2_offset"] = Place(f"{ours}.conv2.offset")
    return places


def _heads():
    places = {
        "top_block.p6": Place("top_blocks.p6"),
        "top_block.p7": Place("top_blocks.p7"),
        "rpn_head.conv": Place("rpn.head.conv"),
        "rpn_head.conv.conv0": Place("rpn.head.conv.conv0"),
        "rpn_head.conv.conv1": Place("rpn.head.conv.conv1"),
        "rpn_head.objectness_logits": Place("rpn.head.cls_logits"),
        "rpn_head.anchor_deltas": Place("rpn.head.bbox_pred"),
        "box_head.fc1": Place("fc6"),
        "box_head.fc2": Place("fc7"),
        "box_predictor.cls_score": Place("cls_score"),
        "box_predictor.bbox_pred": Place("bbox_pred"),
        "mask_head.deconv": Place("conv5_mask"),
        "mask_head.predictor": Place("mask_fcn_logits"),
        "keypoint_head.score_lowres": Place("kps_score_lowres"),
        "head.cls_score": Place("rpn.head.cls_logits"),
        "head.bbox_pred": Place("rpn.head.bbox_pred"),
    }
    for stage in range(2, 6):
        places[f"fpn_lateral{stage}"] = in_sequence(f"fpn_inner{stage - 1}")
        places[f"fpn_output{stage}"] = in_sequence(f"fpn_layer{stage - 1}")
    for index in range(1, 9):
        places[f"box_head.conv{index}"] = stacked_conv(index)
        places[f"mask_head.mask_fcn{index}"] = in_sequence(f"mask_fcn{index}")
        places[f"keypoint_head.conv_fcn{index}"] = Place(f"conv_fcn{index}")
        for tower in ("cls", "bbox"):
            places[f"head.{tower}_subnet.{2 * (index - 1)}"] = Place(f"rpn.head.{tower}_tower.{2 * (index - 1)}")
    return places


PLACES = {**_backbone(), **_heads()}
# A layer of stage n of a cascade: "box_head.n.fc1", "box_predictor.n.cls_score"
STAGE = re.compile(r"(box_head|box_predictor)\.(\d+)\.(.+)")
PARTS = {"box_head": "feature_extractor", "box_predictor": "predictor"}
# Layers with outputs for each class
OF_CLASSES = re.compile(r"(?:.*\.predictor\.)?(cls_score|bbox_pred|mask_fcn_logits)\.(?:weight|bias)")
# Constants, counted from the config here, and the classifier of ImageNet
USELESS = ("pixel_mean", "pixel_std", "anchor_generator.", "stem.fc.", "linear.", "fc.")


def recognise(names: Collection[str]) -> bool:
    """Whether these are names of detectron2's ResNets or of what it builds on them."""
    return any(
        _shorten(name).startswith(("stem.conv1.norm.", "res2.0.conv1.", "rpn_head.objectness")) for name in names
    )


def is_left_out(name: str) -> bool:
    """Whether `convert` leaves a name out: the classifier's, and constants."""
    return _shorten(name).startswith(USELESS)


def convert(weights: StateDict, model: nn.Module, cfg: CfgNode, source: str) -> tuple[StateDict, dict[str, Any]]:
    """(our state dict, the options that the weights were trained with).

    Args:
        weights: {name: tensor}.
        model: decides on epsilons and on deformable convolutions.
        cfg: the numbers of anchors are read.
        source: unused.
    """
    short = {_shorten(name): tensor for name, tensor in weights.items()}
    state_dict = {}
    for name, tensor in short.items():
        if not is_left_out(name):
            state_dict[_our_name(name, short)] = tensor
    state_dict = fold_epsilon(state_dict, model)
    for name in [name for name in short if name.endswith(".norm.weight") and name.startswith(("stem.", "res"))]:
        # norms without statistics are affine layers; group norms keep them unread
        if name.replace(".weight", ".running_var") not in short and _has_statistics(model):
            add_statistics(state_dict, _our_name(name, short).removesuffix(".weight"))
    _move_background(state_dict)
    _reorder_anchors(state_dict, "head.bbox_pred.weight" in short, cfg)
    return rename_deformable(state_dict, model), _conventions(weights)


def _shorten(name):
    for prefix in PREFIXES:
        name = name.removeprefix(prefix)
    return name


def _our_name(name, short):
    """Our name for a shortened one, or that itself if it is unknown here."""
    layer, _, kind = name.rpartition(".")
    of_norm, lead = layer.endswith(".norm"), ""
    has_norm = f"{layer}.norm.weight" in short
    if stage := STAGE.fullmatch(layer):
        layer, lead = f"{stage[1]}.{stage[3]}", f"stages.{stage[2]}.{PARTS[stage[1]]}."
    place = PLACES.get(layer.removesuffix(".norm"))
    if place is None or (of_norm and not place.norm):
        return name
    return f"{lead}{place.name(of_norm, has_norm)}.{kind}"


def _has_statistics(model):
    return any(name.endswith("running_var") for name in model.state_dict())


def _move_background(state_dict):
    """From the last row to the first; with zeros where detectron2 has no row for it."""
    for name, tensor in state_dict.items():
        found = OF_CLASSES.fullmatch(name)
        if found and found[1] == "cls_score":
            state_dict[name] = tensor.roll(1, 0)
        elif found:
            background = torch.zeros_like(tensor[:1]).repeat_interleave(4 if found[1] == "bbox_pred" else 1, 0)
            state_dict[name] = torch.cat([background, tensor])


def _reorder_anchors(state_dict, is_retinanet, cfg):
    if is_retinanet:
        counts = retinanet_anchor_counts(cfg)
    else:
        counts = 1 if cfg.MODEL.RPN.USE_FPN else len(cfg.MODEL.RPN.ANCHOR_SIZES), len(cfg.MODEL.RPN.ASPECT_RATIOS)
    for name in [name for name in state_dict if name.startswith(("rpn.head.cls_logits.", "rpn.head.bbox_pred."))]:
        tensor = ratios_before_sizes(state_dict[name], *counts)
        state_dict[name] = scale_box_codes(tensor) if is_retinanet and "bbox_pred" in name else tensor


def _conventions(weights):
    """What the file says of its images, or what the Base-RCNN configs say; 0..1 here is 0..255 there for RGB."""
    mean, std = (
        [round(value, 6) for value in weights[name].flatten().tolist()] if name in weights else default
        for name, default in (("pixel_mean", PIXEL_MEAN), ("pixel_std", PIXEL_STD))
    )
    is_rgb = mean[0] > mean[-1]
    scale = 255 if is_rgb else 1
    return {
        "INPUT.TO_BGR255": not is_rgb,
        "INPUT.PIXEL_MEAN": [value / scale for value in mean],
        "INPUT.PIXEL_STD": [value / scale for value in std],
        # its backbones with a deviation of 1 are MSRA's
        "MODEL.RESNETS.STRIDE_IN_1X1": all(value == 1 for value in std),
    }
