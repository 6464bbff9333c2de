"""A network of ours with the options of a detector of torchvision and its weights detects what torchvision does."""

from functools import partial

import pytest
import torch
from torch import nn
from torchvision.models import detection, get_model_weights, resnet50
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.ops import FrozenBatchNorm2d
from torchvision.ops.feature_pyramid_network import LastLevelP6P7

from maskrcnn_benchmark.config import cfg as defaults
from maskrcnn_benchmark.config.torchvision_networks import NETWORKS, options_of_file
from maskrcnn_benchmark.layers.mask_paste import paste_masks
from maskrcnn_benchmark.modeling.detector import build_detection_model
from maskrcnn_benchmark.structures.image_list import ImageList
from maskrcnn_benchmark.utils.model_serialization import load_state_dict
from maskrcnn_benchmark.utils.weights.fitting_weights import fitting_weights
from maskrcnn_benchmark.utils.weights.torchvision_weights import COCO_NUMBERS

CHANNELS = 32
# Two images whose padded size is no multiple of the coarser strides, and their size in the files that they are from
SIZES, ORIGINAL_SIZES = [(136, 180), (160, 100)], [(102, 160), (214, 129)]
NARROW = {
    "MODEL.RESNETS.WIDTH_PER_GROUP": 8,
    "MODEL.RESNETS.BACKBONE_OUT_CHANNELS": CHANNELS,
    "MODEL.ROI_BOX_HEAD.MLP_HEAD_DIM": CHANNELS,
    "MODEL.ROI_BOX_HEAD.CONV_HEAD_DIM": CHANNELS,
    "MODEL.ROI_MASK_HEAD.CONV_LAYERS": (CHANNELS,) * 4,
    "MODEL.ROI_KEYPOINT_HEAD.CONV_LAYERS": (CHANNELS,) * 8,
}


def torchvisions(name):
    """The detector of that name made of torchvision's own modules, with fewer channels."""
    kind, v2 = name.partition("_")[0], name.endswith("_v2")
    norm = nn.BatchNorm2d if v2 else partial(FrozenBatchNorm2d, eps=0.0)
    first = 2 if kind == "retinanet" else 1
    extra = {"extra_blocks": LastLevelP6P7(2048 if v2 else CHANNELS, CHANNELS)} if kind == "retinanet" else {}
    backbone = BackboneWithFPN(
        resnet50(weights=None, norm_layer=norm, width_per_group=8),
        {f"layer{i}": str(i - first) for i in range(first, 5)},
        [256 * 2 ** (i - 1) for i in range(first, 5)],
        CHANNELS,
        norm_layer=nn.BatchNorm2d if v2 and kind != "retinanet" else None,
        **extra,
    )
    if kind == "retinanet":
        head_norm = partial(nn.GroupNorm, 32) if v2 else None
        head = detection.retinanet.RetinaNetHead(CHANNELS, 9, 91, norm_layer=head_norm)
        return detection.RetinaNet(backbone, 91, head=head, anchor_generator=detection.retinanet._default_anchorgen())
    num_classes = 2 if kind == "keypointrcnn" else 91
    heads = {"box_predictor": detection.faster_rcnn.FastRCNNPredictor(CHANNELS, num_classes)}
    if v2:
        convs = [CHANNELS] * 4
        heads["box_head"] = detection.faster_rcnn.FastRCNNConvFCHead(
            (CHANNELS, 7, 7), convs, [CHANNELS], nn.BatchNorm2d
        )
        anchors = AnchorGenerator(tuple((s,) for s in (32, 64, 128, 256, 512)), ((0.5, 1.0, 2.0),) * 5)
        heads["rpn_anchor_generator"] = anchors
        heads["rpn_head"] = detection.rpn.RPNHead(CHANNELS, 3, conv_depth=2)
    else:
        heads["box_head"] = detection.faster_rcnn.TwoMLPHead(CHANNELS * 49, CHANNELS)
    if kind == "maskrcnn":
        norm = nn.BatchNorm2d if v2 else None
        heads["mask_head"] = detection.mask_rcnn.MaskRCNNHeads(CHANNELS, [CHANNELS] * 4, 1, norm_layer=norm)
        heads["mask_predictor"] = detection.mask_rcnn.MaskRCNNPredictor(CHANNELS, CHANNELS, 91)
        return detection.MaskRCNN(backbone, **heads)
    if kind == "keypointrcnn":
        heads["keypoint_head"] = detection.keypoint_rcnn.KeypointRCNNHeads(CHANNELS, (CHANNELS,) * 8)
        heads["keypoint_predictor"] = detection.keypoint_rcnn.KeypointRCNNPredictor(CHANNELS, 17)
        return detection.KeypointRCNN(backbone, **heads)
    return detection.FasterRCNN(backbone, **heads)


@torch.no_grad()
def randomize(model):
    """Weights and statistics that make detections of many classes, none of them of a number that COCO does not use."""
    for name, tensor in model.state_dict().items():
        if name.endswith("running_var"):
            tensor.uniform_(0.5, 1.5)
        elif name.endswith("running_mean"):
            tensor.normal_(0, 0.1)
        elif name.endswith("weight") and tensor.ndim == 1:
            tensor.uniform_(0.3, 1)
        elif name.endswith("bias"):
            tensor.normal_(0, 0.05)
    unused = sorted(set(range(91)) - set(COCO_NUMBERS))
    if hasattr(model, "head"):
        classes = model.head.classification_head.cls_logits
        spread_out(classes, 0.05)
        classes.bias.copy_(torch.randn_like(classes.bias) - 3)
        classes.bias.view(9, 91)[:, [0, *unused]] = -100  # also "background", which RetinaNet has none of
        spread_out(model.head.regression_head.bbox_reg, 0.15)
        return
    spread_out(model.rpn.head.cls_logits, 0.5)
    spread_out(model.rpn.head.bbox_pred, 0.3)
    predictor = model.roi_heads.box_predictor
    spread_out(predictor.cls_score, 3 if hasattr(model.roi_heads.box_head, "fc7") else 12)
    spread_out(predictor.bbox_pred, 3)
    if len(predictor.cls_score.bias) == 91:
        predictor.cls_score.bias[unused] = -100


def spread_out(layer, deviation):
    layer.weight.normal_(0, deviation)


def ours(name, weights):
    cfg = defaults.clone()
    options = {**NETWORKS[name], **NARROW}
    if name.startswith("keypointrcnn"):
        options["MODEL.ROI_BOX_HEAD.NUM_CLASSES"] = 2
    cfg.merge_from_list([word for option in options.items() for word in option])
    model = build_detection_model(cfg)
    file = get_model_weights(name).DEFAULT.url.rpartition("/")[2]
    load_state_dict(model, fitting_weights(model, cfg, weights, file)[0])
    return model.eval()


@pytest.fixture(scope="module", params=NETWORKS)
def found(request):
    """(torchvision's detections in both images, ours as BoxLists of the images' original sizes, best first)."""
    torch.manual_seed(3)
    net = torchvisions(request.param).eval()
    randomize(net)
    batch = torch.zeros(2, 3, 160, 192)
    for image, (height, width) in zip(batch, SIZES):
        blocks = torch.randn(3, 20, 24).repeat_interleave(8, 1).repeat_interleave(8, 2)
        image[:, :height, :width] = blocks[:, :height, :width]
    with torch.no_grad():
        features = net.backbone(batch)
        images = detection.image_list.ImageList(batch, SIZES)
        if hasattr(net, "head"):
            theirs = retinas_detections(net, images, list(features.values()))
        else:
            proposals, _ = net.rpn(images, features)
            theirs, _ = net.roi_heads(features, proposals, SIZES)
        theirs = net.transform.postprocess(theirs, SIZES, ORIGINAL_SIZES)
        mine = ours(request.param, net.state_dict())(ImageList(batch, SIZES))
    mine = [boxes.resize(size[::-1]) for boxes, size in zip(mine, ORIGINAL_SIZES)]
    return theirs, mine, request.param


def retinas_detections(net, images, features):
    outputs = net.head(features)
    anchors = net.anchor_generator(images, features)
    counts = [level.shape[2] * level.shape[3] * 9 for level in features]
    outputs = {key: list(rows.split(counts, dim=1)) for key, rows in outputs.items()}
    return net.postprocess_detections(outputs, [list(a.split(counts)) for a in anchors], SIZES)


def pairs(found):
    """(one image's detections of torchvision, ours in the same order)."""
    theirs, mine, name = found
    numbers = torch.tensor([0, 1] if name.startswith("keypoint") else COCO_NUMBERS)
    for one, other in zip(theirs, mine):
        # scores that are equal but for their last bits may change places
        apart = torch.cdist(one["boxes"], edges(other), p=torch.inf)
        apart += (one["labels"][:, None] != numbers[other.get_field("labels")]) * 1e6
        apart += (one["scores"][:, None] - other.get_field("scores")).abs() * 10
        yield one, other[apart.argmin(dim=1)]


def edges(boxes):
    return boxes.bbox + torch.tensor([0, 0, 1, 1])  # ours end on the last pixel


def test_boxes_scores_and_classes_are_torchvisions(found):
    numbers = torch.tensor([0, 1] if found[2].startswith("keypoint") else COCO_NUMBERS)
    for (theirs, mine), all_of_mine in zip(pairs(found), found[1]):
        assert len(all_of_mine) == len(theirs["boxes"]) >= 20
        torch.testing.assert_close(edges(mine), theirs["boxes"], rtol=0, atol=1e-2)
        torch.testing.assert_close(mine.get_field("scores"), theirs["scores"], rtol=0, atol=1e-4)
        assert numbers[mine.get_field("labels")].equal(theirs["labels"])


def test_masks_in_the_image_are_torchvisions(found):
    if not found[2].startswith("maskrcnn"):
        pytest.skip("a network without masks")
    for theirs, mine in pairs(found):
        pasted = paste_masks(mine.get_field("mask"), mine.region_corners(), mine.size)
        expected = theirs["masks"][:, 0] > 0.5
        assert expected.any()
        assert (pasted != expected).sum() <= 1e-4 * expected.sum() + 2


def test_keypoints_are_torchvisions(found):
    if not found[2].startswith("keypointrcnn"):
        pytest.skip("a network without keypoints")
    for theirs, mine in pairs(found):
        keypoints = mine.get_field("keypoints")
        same = (keypoints.keypoints - theirs["keypoints"]).abs().amax(dim=2) < 1e-2
        assert same.float().mean() > 0.99  # a maximum may move where two cells are all but equal
        torch.testing.assert_close(keypoints.get_field("logits"), theirs["keypoints_scores"], rtol=1e-3, atol=1e-3)


def test_a_file_is_known_by_the_name_that_torchvision_gave_it():
    for name, options in NETWORKS.items():
        assert options_of_file(get_model_weights(name).DEFAULT.url) == options
    assert options_of_file("/cache/maskrcnn_resnet50_fpn_v2_coco-73cbd019.pth")["MODEL.MASK_ON"]
    for other in ("model_final.pth", "fcos_resnet50_fpn_coco-99b0c9b7.pth", "my_maskrcnn_resnet50_fpn_coco-12.pth"):
        assert options_of_file(other) is None
