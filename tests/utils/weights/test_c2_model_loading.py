"""Detectron's blobs, of every family, land in the tensors that they belong to."""

import logging
import pickle
import re

import numpy as np
import pytest
import torch
from tiny_models import (
    C4,
    DEFORMABLE,
    FPN,
    GROUP_NORM,
    KEYPOINT,
    MASK,
    X101,
    make_cfg,
    make_model,
    mark,
    marks,
    retinanet_head,
    skeleton,
)

from maskrcnn_benchmark.utils.checkpoint import DetectronCheckpointer
from maskrcnn_benchmark.utils.weights import c2_model_loading

LAST_BLOCKS = {"R-50": (2, 3, 5, 2), "R-101": (2, 3, 22, 2)}


def blob_name(name, body, group_norm):
    """Detectron's name of one of our tensors, None if it has no such blob."""
    module, _, kind = name.rpartition(".")
    module = re.sub(
        r"^(backbone\.body|roi_heads\.(box|mask)\.(feature_extractor\.head|feature_extractor|predictor))\.", "", module
    )
    module = re.sub(r"^(backbone\.fpn|roi_heads\.keypoint\.(feature_extractor|predictor))\.", "", module)
    plain, norm = {"weight": ("w", "s"), "bias": ("b", "b")}[kind]
    after = f"_{'gn' if group_norm else 'bn'}_{norm}"
    if module == "stem.conv1":
        return "conv1_w"
    if module == "stem.bn1":
        return f"conv1{after}" if group_norm else f"res_conv1{after}"
    if found := re.fullmatch(r"layer(\d)\.(\d+)\.(conv|bn)(\d)(?:\.conv)?", module):
        branch = f"res{int(found[1]) + 1}_{found[2]}_branch2{'abc'[int(found[4]) - 1]}"
        return branch + (after if found[3] == "bn" else f"_{plain}")
    if found := re.fullmatch(r"layer(\d)\.(\d+)\.downsample\.(\d)", module):
        return f"res{int(found[1]) + 1}_{found[2]}_branch1" + (after if found[3] == "1" else f"_{plain}")
    if found := re.fullmatch(r"fpn_(inner|layer)(\d)(?:\.(\d))?", module):
        stage, is_inner = int(found[2]) + 1, found[1] == "inner"
        block = f"res{stage}_{LAST_BLOCKS[body][stage - 2]}_sum"
        base = f"fpn_inner_{block}" + ("_lateral" if stage < 5 else "") if is_inner else f"fpn_{block}"
        return base + (after if found[3] == "1" else f"_{plain}")
    if found := re.fullmatch(r"xconvs\.(\d+)", module):
        return f"head_conv{int(found[1]) // 3 + 1}" + (after if int(found[1]) % 3 else f"_{plain}")
    if found := re.fullmatch(r"mask_fcn(\d)(?:\.(\d))?", module):
        base = f"_mask_fcn{found[1]}" if group_norm else f"_[mask]_fcn{found[1]}"
        return base + (after if found[2] == "1" else f"_{plain}")
    if module.startswith("rpn.head."):
        level = "_fpn2" if body else ""
        names = {"conv": "conv_rpn", "cls_logits": "rpn_cls_logits", "bbox_pred": "rpn_bbox_pred"}
        return f"{names[module.removeprefix('rpn.head.')]}{level}_{plain}"
    return f"{module}_{plain}" if "offset" not in module else None


def is_statistic(name):
    return name.endswith(("running_mean", "running_var"))


FAMILIES = {
    "Faster R-CNN, FPN": (FPN,),
    "Mask R-CNN, FPN": (FPN, MASK),
    "Mask R-CNN, C4": (C4, MASK),
    "Keypoint R-CNN": (FPN, KEYPOINT),
    "group norm": (FPN, MASK, GROUP_NORM),
    "ResNeXt-101": (FPN, MASK, X101),
    "deformable": (FPN, MASK, DEFORMABLE),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_every_tensor_of_the_family_gets_its_blob(family, tmp_path, caplog):
    cfg = make_cfg(*FAMILIES[family])
    model = make_model(cfg)
    body = cfg.MODEL.BACKBONE.CONV_BODY.removesuffix("-FPN") if cfg.MODEL.RPN.USE_FPN else ""
    expected, blobs = {}, {}
    for name, tensor in model.state_dict().items():
        if is_statistic(name):
            tensor.fill_(7)
            expected[name] = torch.zeros(tensor.shape) if name.endswith("mean") else torch.ones(tensor.shape)
        elif ".cell_anchors." in name or ".offset." in name:
            expected[name] = tensor.clone()
        else:
            blob = blob_name(name, body, family == "group norm")
            # two of our names may share one blob: C4's box and mask heads run the same layers
            expected[name] = mark(blob, tensor.shape)
            blobs[blob] = expected[name].numpy()
            blobs[f"{blob}_momentum"] = np.zeros(tensor.shape, np.float32)
    path = tmp_path / "model_final.pkl"
    path.write_bytes(pickle.dumps({"blobs": blobs, "cfg": "MODEL: {}"}, protocol=2))
    with caplog.at_level(logging.INFO):
        DetectronCheckpointer(cfg, model).load(str(path))
    wrong = [name for name, tensor in model.state_dict().items() if not tensor.equal(expected[name])]
    assert wrong == []
    assert "in the file but not in the model" not in caplog.text and "was trained with" not in caplog.text


def test_an_imagenet_classifier_fills_the_trunk_and_leaves_its_last_layer(tmp_path):
    cfg = make_cfg(FPN)
    model = make_model(cfg)
    blobs = {"conv1_w": mark("conv1_w", (8, 3, 7, 7)).numpy(), "conv1_b": np.zeros(8, np.float32)}
    blobs |= {"res_conv1_bn_s": np.full(8, 3, np.float32), "res_conv1_bn_b": np.full(8, 4, np.float32)}
    blobs |= {"fc1000_w": np.zeros((1000, 256), np.float32), "fc1000_b": np.zeros(1000, np.float32)}
    (tmp_path / "R-50.pkl").write_bytes(pickle.dumps(blobs, protocol=2))
    DetectronCheckpointer(cfg, model).load(str(tmp_path / "R-50.pkl"))
    stem = model.backbone.body.stem
    assert stem.conv1.weight.equal(mark("conv1_w", (8, 3, 7, 7)))
    assert stem.bn1.weight.eq(3).all() and stem.bn1.bias.eq(4).all() and stem.bn1.running_var.eq(1).all()


def test_python_2_pickles_are_read(tmp_path):
    # {"conv1_w": zeros((1, 2), float32), "fc6_b": arange(2, float32)} as Python 2 pickles it: numbers as text
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01%s"
        b"cnumpy\ndtype\nU\x02f4K\x00K\x01\x87R"
        b"(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x08%stb"
    )
    first = array % (b"K\x01K\x02\x86", bytes(8))
    second = array % (b"K\x02\x85", np.arange(2, dtype="<f4").tobytes())
    (tmp_path / "old.pkl").write_bytes(b"\x80\x02}(U\x07conv1_w" + first + b"U\x05fc6_b" + second + b"u.")
    model = skeleton({"stem.conv1.weight": (1, 2), "fc6.bias": (2,)})
    with torch.no_grad():
        model.stem.conv1.weight.fill_(9)
    DetectronCheckpointer(make_cfg(), model).load(str(tmp_path / "old.pkl"))
    assert model.stem.conv1.weight.eq(0).all() and model.fc6.bias.tolist() == [0, 1]


def test_biases_before_norms_are_left_out_if_they_are_zero_and_reported_if_not():
    blobs = {"conv1_w": torch.ones(1), "conv1_b": torch.zeros(1), "res2_0_branch2a_b": torch.ones(1)}
    state_dict, _ = c2_model_loading.convert(blobs, skeleton({}), make_cfg(), "")
    assert sorted(state_dict) == ["layer1.0.conv1.bias", "stem.conv1.weight"]


def test_retinanets_anchors_are_reordered_and_its_box_codes_scaled():
    cfg = make_cfg()
    model = skeleton(retinanet_head(num_anchors=9, num_classes=2))
    # Detectron counts anchors by size, then ratio; ours by ratio, then size
    logits = torch.arange(18.0).view(3, 3, 2)  # size, ratio, class
    boxes = torch.arange(36.0).view(3, 3, 4)
    blobs = {"retnet_cls_pred_fpn3_b": logits.flatten(), "retnet_bbox_pred_fpn3_b": boxes.flatten()}
    blobs |= {"fpn_6_w": torch.ones(4, 4, 3, 3), "retnet_cls_conv_n1_fpn3_w": torch.full((4, 4, 3, 3), 2.0)}
    blobs |= {"retnet_bbox_conv_n3_fpn3_b": torch.full((4,), 3.0), "conv1_w": torch.ones(1)}
    state_dict, conventions = c2_model_loading.convert(blobs, model, cfg, "")
    model.load_state_dict({n: t for n, t in state_dict.items() if n.startswith("rpn")}, strict=False)
    head = model.rpn.head
    assert head.cls_logits.bias.view(3, 3, 2).equal(logits.transpose(0, 1))
    assert head.bbox_pred.bias.view(3, 3, 4).equal(boxes.transpose(0, 1) * torch.tensor([10.0, 10.0, 5.0, 5.0]))
    assert head.cls_tower.get_submodule("2").weight.eq(2).all() and head.bbox_tower.get_submodule("6").bias.eq(3).all()
    assert state_dict["top_blocks.p6.weight"].eq(1).all() and conventions["MODEL.RETINANET.USE_C5"] is True


@pytest.mark.parametrize(
    "options, shape, stride_in_1x1",
    [({}, (8, 8, 3, 3), True), ({}, (8, 2, 3, 3), False), ({"conv1_gn_s": torch.ones(1)}, (8, 8, 3, 3), False)],
)
def test_the_stride_of_a_trunk_is_told_from_its_blobs(options, shape, stride_in_1x1):
    blobs = {"conv1_w": torch.ones(1), "res2_0_branch2b_w": torch.ones(shape), **options}
    _, conventions = c2_model_loading.convert(blobs, skeleton({}), make_cfg(), "")
    assert conventions["MODEL.RESNETS.STRIDE_IN_1X1"] is stride_in_1x1


def test_an_option_that_the_weights_contradict_is_named(tmp_path, caplog):
    cfg = make_cfg(FPN, {"INPUT.TO_BGR255": False})
    model = make_model(cfg)
    blobs = {name: tensor.numpy() for name, tensor in {"conv1_w": mark("a", (8, 3, 7, 7))}.items()}
    (tmp_path / "R-50.pkl").write_bytes(pickle.dumps(blobs))
    DetectronCheckpointer(cfg, model).load(str(tmp_path / "R-50.pkl"))
    assert "INPUT.TO_BGR255 True, but the config has False" in caplog.text


def test_marks_differ_between_names():
    """What the other tests rely on."""
    tensors = marks(make_model(make_cfg(FPN, MASK)))
    assert len({float(tensor.sum()) for tensor in tensors.values()}) == len(tensors)
