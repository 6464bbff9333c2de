"""torchvision's weights under our names compute what they compute in torchvision."""

import re

import pytest
import torch
from tiny_models import FPN, KEYPOINT, MASK, make_cfg, make_model, retinanet_head, skeleton
from torch import nn
from torchvision.models import detection, resnet18, resnet50
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.ops import FrozenBatchNorm2d

from maskrcnn_benchmark.utils.checkpoint import DetectronCheckpointer
from maskrcnn_benchmark.utils.weights import torchvision_weights
from maskrcnn_benchmark.utils.weights.layouts import fold_epsilon

CHANNELS = 16
# our options for a network as wide as the ones below
WIDE = {
    "MODEL.RESNETS.RES2_OUT_CHANNELS": 256,
    "MODEL.RESNETS.STEM_OUT_CHANNELS": 64,
    "MODEL.RESNETS.WIDTH_PER_GROUP": 8,
    "MODEL.RESNETS.BACKBONE_OUT_CHANNELS": CHANNELS,
    "MODEL.RESNETS.STRIDE_IN_1X1": False,
    "MODEL.ROI_MASK_HEAD.CONV_LAYERS": (CHANNELS,) * 4,
    "INPUT.TO_BGR255": False,
    "INPUT.PIXEL_MEAN": [0.485, 0.456, 0.406],
    "INPUT.PIXEL_STD": [0.229, 0.224, 0.225],
}


def make_backbone(norm=FrozenBatchNorm2d, first_stage=1):
    body = resnet50(weights=None, norm_layer=norm, width_per_group=8)
    layers = {f"layer{i}": str(i - first_stage) for i in range(first_stage, 5)}
    return BackboneWithFPN(body, layers, [256 * 2 ** (i - 1) for i in range(first_stage, 5)], CHANNELS)


def make_detector(kind):
    """A narrow detector of torchvision with random weights, statistics included."""
    torch.manual_seed(0)
    predictor = detection.faster_rcnn.FastRCNNPredictor(CHANNELS, 2 if kind == "keypoint" else 91)
    heads = {"box_head": detection.faster_rcnn.TwoMLPHead(CHANNELS * 49, CHANNELS), "box_predictor": predictor}
    if kind == "mask":
        heads["mask_head"] = detection.mask_rcnn.MaskRCNNHeads(CHANNELS, (CHANNELS,) * 4, 1)
        heads["mask_predictor"] = detection.mask_rcnn.MaskRCNNPredictor(CHANNELS, CHANNELS, 91)
        model = detection.MaskRCNN(make_backbone(), **heads)
    elif kind == "keypoint":
        heads["keypoint_head"] = detection.keypoint_rcnn.KeypointRCNNHeads(CHANNELS, (CHANNELS,) * 8)
        heads["keypoint_predictor"] = detection.keypoint_rcnn.KeypointRCNNPredictor(CHANNELS, 17)
        model = detection.KeypointRCNN(make_backbone(), **heads)
    for name, tensor in model.state_dict().items():
        if name.endswith(("running_var", "bn1.weight", "bn2.weight", "bn3.weight")):
            tensor.uniform_(0.01, 1)
        elif name.endswith(("bias", "running_mean")):
            tensor.normal_(0, 0.1)
    return model.eval()


@pytest.fixture(scope="module", params=["mask", "keypoint"])
def pair(request, tmp_path_factory):
    """(torchvision's detector, ours with its weights, which kind it is)."""
    theirs = make_detector(request.param)
    cfg = make_cfg(FPN, MASK if request.param == "mask" else KEYPOINT, WIDE)
    ours = make_model(cfg).eval()
    path = tmp_path_factory.mktemp("weights") / "detector.pth"
    torch.save(theirs.state_dict(), path)
    DetectronCheckpointer(cfg, ours).load(str(path))
    return theirs, ours, request.param


@pytest.fixture(scope="module")
def features(pair):
    theirs, ours, _ = pair
    images = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        return list(theirs.backbone(images).values()), list(ours.backbone(images))


def assert_same_map(ours, theirs):
    """Equal but for the rounding of long sums, which is a share of the map's largest value, not of each value."""
    torch.testing.assert_close(ours, theirs, rtol=0, atol=3e-5 * float(theirs.abs().max()))


def test_the_pyramid_is_the_same(features):
    theirs, ours = features
    assert len(theirs) == len(ours) == 5
    for a, b in zip(theirs, ours):
        assert_same_map(b, a)


def test_the_proposal_head_is_the_same(pair, features):
    theirs, ours, _ = pair
    with torch.no_grad():
        for a, b in zip(theirs.rpn.head(features[0]), ours.rpn.head(features[0])):
            for level_of_theirs, level_of_ours in zip(a, b):
                assert_same_map(level_of_ours, level_of_theirs)


def test_the_box_head_answers_with_our_classes(pair):
    theirs, ours, kind = pair
    pooled = torch.randn(3, CHANNELS, 7, 7)
    box, theirs = ours.roi_heads.box, theirs.roi_heads
    with torch.no_grad():
        logits, codes = theirs.box_predictor(theirs.box_head(pooled))
        hidden = box.feature_extractor.fc7(box.feature_extractor.fc6(pooled.flatten(1)).relu()).relu()
        our_logits, our_codes = box.predictor(hidden)
    numbers = torchvision_weights.COCO_NUMBERS if kind == "mask" else [0, 1]
    torch.testing.assert_close(our_logits, logits[:, numbers])
    torch.testing.assert_close(our_codes.view(3, -1, 4), codes.view(3, -1, 4)[:, numbers])


def test_the_mask_or_keypoint_head_is_the_same(pair):
    theirs, ours, kind = pair
    pooled = torch.randn(2, CHANNELS, 14, 14)
    head = getattr(ours.roi_heads, kind)
    hidden = pooled
    with torch.no_grad():
        for name in head.feature_extractor.blocks:
            hidden = getattr(head.feature_extractor, name)(hidden).relu()
        answer = head.predictor(hidden)
        if kind == "mask":
            expected = theirs.roi_heads.mask_predictor(theirs.roi_heads.mask_head(pooled))
            expected = expected[:, torchvision_weights.COCO_NUMBERS]
        else:
            expected = theirs.roi_heads.keypoint_predictor(theirs.roi_heads.keypoint_head(pooled))
    assert_same_map(answer, expected)


def test_coco_has_80_classes_and_their_numbers_are_those_of_its_categories():
    numbers = torchvision_weights.COCO_NUMBERS
    assert len(numbers) == 81 and numbers[:13] == [*range(12), 13] and numbers[-1] == 90


def test_old_and_new_spellings_of_names_are_the_same():
    new = make_detector("mask").state_dict()
    old = {re.sub(r"(blocks\.\d|rpn\.head\.conv)(\.0)+\.", r"\1.", name): tensor for name, tensor in new.items()}
    old = {
        re.sub(r"mask_head\.(\d)\.0\.", lambda m: f"mask_head.mask_fcn{int(m[1]) + 1}.", n): t for n, t in old.items()
    }
    assert "backbone.fpn.inner_blocks.0.weight" in old and "roi_heads.mask_head.mask_fcn4.bias" in old
    assert set(old) != set(new)
    model = nn.Module()
    first, second = (torchvision_weights.convert(names, model, None, "")[0] for names in (old, new))
    assert first.keys() == second.keys() and all(first[name].equal(second[name]) for name in first)


@pytest.mark.parametrize(
    "source, epsilon",
    [("maskrcnn_resnet50_fpn_coco-bf2d0c1e.pth", 0), ("mine.pth", 1e-5), ("resnet50-0676ba61.pth", 1e-5)],
)
def test_torchvisions_own_detectors_were_trained_without_epsilon(source, epsilon):
    model = nn.Sequential(FrozenBatchNorm2d(1, eps=0))
    weights = {"backbone.fpn.inner_blocks.0.weight": torch.ones(1), "backbone.body.bn1.running_var": torch.ones(1)}
    state_dict, _ = torchvision_weights.convert(weights, model, None, source)
    assert state_dict["stem.bn1.running_var"].item() == pytest.approx(1 + epsilon, abs=1e-7)


def test_a_model_of_91_classes_keeps_cocos_numbers():
    weights = {
        "roi_heads.box_predictor.cls_score.weight": torch.rand(91, 2),
        "backbone.fpn.inner_blocks.0.weight": torch.ones(1),
    }
    for rows, expected in ((91, 91), (81, 81), (21, 81)):
        model = skeleton({"roi_heads.box.predictor.cls_score.weight": (rows, 2)})
        assert len(torchvision_weights.convert(weights, model, None, "")[0]["cls_score.weight"]) == expected


def test_retinanet_loses_its_background_and_its_box_codes_are_scaled():
    torch.manual_seed(0)
    theirs = detection.RetinaNet(
        detection.backbone_utils.BackboneWithFPN(
            resnet50(weights=None, norm_layer=FrozenBatchNorm2d, width_per_group=8),
            {f"layer{i}": str(i - 2) for i in (2, 3, 4)},
            [512, 1024, 2048],
            CHANNELS,
            detection.backbone_utils.LastLevelMaxPool(),
        ),
        num_classes=91,
        anchor_generator=detection.anchor_utils.AnchorGenerator(((8, 10, 12),) * 4, ((0.5, 1.0, 2.0),) * 4),
    ).state_dict()
    ours = skeleton(retinanet_head(9, 80, CHANNELS))
    state_dict, conventions = torchvision_weights.convert(theirs, ours, None, "")
    assert state_dict["fpn_inner2.weight"].shape[1] == 512 and "fpn_inner5.weight" not in state_dict
    expected = theirs["head.classification_head.cls_logits.weight"].view(9, 91, CHANNELS, 3, 3)
    assert state_dict["rpn.head.cls_logits.weight"].view(9, 80, CHANNELS, 3, 3)[:, 79].equal(expected[:, 90])
    assert state_dict["rpn.head.cls_logits.weight"].view(9, 80, CHANNELS, 3, 3)[:, 0].equal(expected[:, 1])
    boxes = theirs["head.regression_head.bbox_reg.weight"]
    assert state_dict["rpn.head.bbox_pred.weight"][6].equal(boxes[6] * 5)
    assert state_dict["rpn.head.bbox_tower.6.weight"].equal(theirs["head.regression_head.conv.3.0.weight"])
    assert set(ours.rpn.head.state_dict()) <= {name.removeprefix("rpn.head.") for name in state_dict}
    assert conventions["MODEL.RETINANET.USE_C5"] is False


def test_a_convolution_of_the_second_generation_brings_its_norm():
    weights = {
        f"{layer}.{index}.{leaf}": torch.ones(1)
        for layer in ("backbone.fpn.inner_blocks.0", "roi_heads.box_head.3", "roi_heads.mask_head.1")
        for index, leaf in ((0, "weight"), (1, "weight"), (1, "running_var"))
    }
    weights |= {f"rpn.head.conv.{index}.0.weight": torch.ones(1) for index in (0, 1)}
    weights |= {"roi_heads.box_head.5.weight": torch.ones(1)}
    state_dict, _ = torchvision_weights.convert(weights, nn.Module(), None, "")
    assert set(state_dict) == {
        *("fpn_inner4.0.weight", "fpn_inner4.1.weight", "fpn_inner4.1.running_var"),
        *("xconvs.9.weight", "xconvs.10.weight", "xconvs.10.running_var", "fc6.weight"),
        *("mask_fcn2.0.weight", "mask_fcn2.1.weight", "mask_fcn2.1.running_var"),
        *("rpn.head.conv.conv0.weight", "rpn.head.conv.conv1.weight"),
    }


def test_each_option_that_disagrees_is_named(tmp_path, caplog):
    path = tmp_path / "resnet18.pth"
    torch.save(resnet18(weights=None).state_dict(), path)
    cfg = make_cfg({"MODEL.BACKBONE.CONV_BODY": "R-18-FPN", "MODEL.RESNETS.STEM_OUT_CHANNELS": 64}, {})
    model = nn.Module()
    model.stem = nn.Module()
    model.stem.conv1 = nn.Conv2d(3, 64, 7, bias=False)
    DetectronCheckpointer(cfg, model).load(str(path))
    for option in ("INPUT.TO_BGR255", "INPUT.PIXEL_MEAN", "INPUT.PIXEL_STD", "MODEL.RESNETS.STRIDE_IN_1X1"):
        assert f"was trained with {option} " in caplog.text


def test_norms_with_an_epsilon_of_their_own_keep_their_variances():
    model = nn.ModuleDict({"layer1": FrozenBatchNorm2d(1, eps=0), "fpn_inner1": nn.Sequential(nn.Identity())})
    model["fpn_inner1"].append(nn.BatchNorm2d(1))
    names = ("layer1.running_var", "fpn_inner1.1.running_var", "fpn_inner1.1.num_batches_tracked")
    folded = fold_epsilon({name: torch.ones(1) for name in names}, model, 0.5)
    assert {name: tensor.item() for name, tensor in folded.items()} == dict(zip(names, (1.5, 1, 1)))
