"""Detectron's Caffe2 weights under our names.

A blob is called after its layer and ends in _w (weight) or _b (bias); what follows a convolution is called after it
with _bn or _gn, and has _s (scale) and _b. The batch norms were folded into a scale and a shift before publication, so
they get mean 0 and variance 1 here. Detectron's boxes, images (BGR, 0..255) and class order are ours.
"""

import re
from collections.abc import Collection
from typing import Any

import numpy as np
from torch import nn
from yacs.config import CfgNode

from maskrcnn_benchmark.utils.weights.layouts import (
    Place,
    StateDict,
    add_statistics,
    in_sequence,
    ratios_before_sizes,
    rename_deformable,
    retinanet_anchor_counts,
    scale_box_codes,
    stacked_conv,
)

NAME = "Detectron (Caffe2)"
BLOB = re.compile(r"(?P<layer>.+?)(?P<norm>_bn|_gn)?_(?P<kind>[wbs])")
KINDS = {"w": "weight", "s": "weight", "b": "bias"}
MOST_BLOCKS = 36


def _backbone(prefix: str, ours: str) -> dict[str, Place]:
    """Every block that stages res2..res5 of any depth may have."""
    places = {}
    for stage in range(2, 6):
        for block in range(MOST_BLOCKS):
            theirs, our_block = f"{prefix}res{stage}_{block}", f"{ours}layer{stage - 1}.{block}"
            for index, branch in enumerate("abc", 1):
                places[f"{theirs}_branch2{branch}"] = Place(f"{our_block}.conv{index}", f"{our_block}.bn{index}")
            places[f"{theirs}_branch1"] = Place(f"{our_block}.downsample.0", f"{our_block}.downsample.1")
    return places


def _pyramid():
    places = {"fpn_6": Place("top_blocks.p6"), "fpn_7": Place("top_blocks.p7")}
    for stage in range(2, 6):
        for block in range(MOST_BLOCKS):
            theirs = f"res{stage}_{block}_sum"
            # the coarsest level, which nothing is added to, has no _lateral
            places[f"fpn_inner_{theirs}"] = in_sequence(f"fpn_inner{stage - 1}")
            places[f"fpn_inner_{theirs}_lateral"] = in_sequence(f"fpn_inner{stage - 1}")
            places[f"fpn_{theirs}"] = in_sequence(f"fpn_layer{stage - 1}")
    return places


def _heads():
    places = {name: Place(name) for name in ("fc6", "fc7", "cls_score", "bbox_pred", "conv5_mask", "mask_fcn_logits")}
    places["kps_score_lowres"] = Place("kps_score_lowres")
    # the finest level names the weights that all levels share
    for level in ("", "_fpn2", "_fpn3"):
        places[f"conv_rpn{level}"] = Place("rpn.head.conv")
        places[f"rpn_cls_logits{level}"] = places[f"retnet_cls_pred{level}"] = Place("rpn.head.cls_logits")
        places[f"rpn_bbox_pred{level}"] = places[f"retnet_bbox_pred{level}"] = Place("rpn.head.bbox_pred")
    for index in range(1, 9):
        places[f"head_conv{index}"] = stacked_conv(index)
        places[f"conv_fcn{index}"] = Place(f"conv_fcn{index}")
        for spelling in ("_[mask]_fcn", "[mask]_fcn", "_mask_fcn"):
            places[f"{spelling}{index}"] = in_sequence(f"mask_fcn{index}")
        for tower in ("cls", "bbox"):
            places[f"retnet_{tower}_conv_n{index - 1}_fpn3"] = Place(f"rpn.head.{tower}_tower.{2 * (index - 1)}")
    return places


PLACES = {
    "conv1": Place("stem.conv1", "stem.bn1"),
    "res_conv1": Place("", "stem.bn1"),
    **_backbone("", ""),
    **_backbone("_[mask]_", "mask.feature_extractor.head."),
    **_pyramid(),
    **_heads(),
    # the classifiers of ImageNet, and fixed kernels that enlarge maps
    **{name: Place("") for name in ("fc1000", "pred", "mask_fcn_logits_up", "kps_score")},
}


def recognise(names: Collection[str]) -> bool:
    """Whether these are the names of Caffe2's blobs."""
    return any(re.fullmatch(r"(conv1|.*_branch2a|conv_rpn.*|fc6)_w", name) for name in names)


def is_left_out(name: str) -> bool:
    """Whether `convert` leaves a name out: the classifier's, and fixed kernels."""
    return not _our_name(name, ())


def convert(blobs: StateDict, model: nn.Module, cfg: CfgNode, source: str) -> tuple[StateDict, dict[str, Any]]:
    """(our state dict, the options that the weights were trained with).

    Args:
        blobs: {name: tensor}; momenta are left out, names that Detectron's models do not have stay as they are.
        model: decides which convolutions are deformable.
        cfg: the anchors of RetinaNet are read, which Detectron counts in another order.
        source: unused.
    """
    weights = {name: tensor for name, tensor in blobs.items() if not name.endswith("_momentum")}
    state_dict = {}
    for name, tensor in weights.items():
        ours = _our_name(name, weights)
        if ours and not _is_idle_bias(ours, tensor):
            state_dict[ours] = tensor
    for name in weights:
        if name.endswith("_bn_s"):
            norm = (_our_name(name, weights) or name).removesuffix(".weight")
            if f"{norm}.weight" in state_dict:
                add_statistics(state_dict, norm)
    if any(name.startswith("retnet_") for name in weights):
        _fit_retinanet(state_dict, cfg)
    return rename_deformable(state_dict, model), _conventions(weights)


def _our_name(name, blobs):
    """Our name of a blob, "" for one of no use to us, its own for one that we do not know."""
    found = BLOB.fullmatch(name)
    if not found or found["layer"] not in PLACES or (found["kind"] == "s") > bool(found["norm"]):
        return name
    place = PLACES[found["layer"]]
    ours = place.name(bool(found["norm"]), f"{found['layer']}_gn_s" in blobs)
    return f"{ours}.{KINDS[found['kind']]}" if ours else ""


def _is_idle_bias(name, tensor):
    """Conversions from Caffe have biases of zero before batch norms, where our convolutions have none."""
    return re.fullmatch(r"(stem|.*layer\d\.\d+)\.(conv\d|downsample\.0)\.bias", name) and not np.any(tensor.numpy())


def _fit_retinanet(state_dict, cfg):
    counts = retinanet_anchor_counts(cfg)
    for name in [name for name in state_dict if name.startswith(("rpn.head.cls_logits", "rpn.head.bbox_pred"))]:
        tensor = ratios_before_sizes(state_dict[name], *counts)
        state_dict[name] = scale_box_codes(tensor) if "bbox_pred" in name else tensor


def _conventions(blobs):
    """MSRA's backbones have the stride in the first 1x1 convolution; ResNeXts and those with group norm do not."""
    expected = {"INPUT.TO_BGR255": True, "INPUT.PIXEL_STD": [1.0, 1.0, 1.0]}
    grouped = "res2_0_branch2b_w" in blobs and len(set(blobs["res2_0_branch2b_w"].shape[:2])) == 2
    if any(name.startswith("res2_") for name in blobs):
        expected["MODEL.RESNETS.STRIDE_IN_1X1"] = not grouped and "conv1_gn_s" not in blobs
    if any(name.startswith("retnet_") for name in blobs):
        expected["MODEL.RETINANET.USE_C5"] = True
    return expected
