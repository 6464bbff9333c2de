"""What the original library's users import, from the same places, and the behaviour that its own tests rely on."""

import copy
import importlib

import pytest
import torch
from torch import nn
from torch.utils.data import BatchSampler, SequentialSampler

from maskrcnn_benchmark.config import cfg
from maskrcnn_benchmark.modeling import registry
from maskrcnn_benchmark.modeling.detector import build_detection_model  # noqa: F401 (fills the registries)
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.image_list import to_image_list

NAMES = """
config                                             cfg
layers                                             nms interpolate ROIAlign ROIPool smooth_l1_loss SigmoidFocalLoss
layers                                             FrozenBatchNorm2d Conv2d ConvTranspose2d DFConv2d
modeling.registry                                  BACKBONES RPN_HEADS ROI_BOX_FEATURE_EXTRACTORS ROI_BOX_PREDICTOR
modeling.registry                                  ROI_MASK_FEATURE_EXTRACTORS ROI_MASK_PREDICTOR
modeling.registry                                  ROI_KEYPOINT_FEATURE_EXTRACTORS ROI_KEYPOINT_PREDICTOR
modeling.backbone                                  build_backbone
modeling.rpn.rpn                                   build_rpn
modeling.roi_heads.roi_heads                       build_roi_heads
modeling.roi_heads.mask_head.inference             Masker
modeling.detector                                  build_detection_model
modeling.box_coder                                 BoxCoder
modeling.matcher                                   Matcher
modeling.poolers                                   Pooler
modeling.balanced_positive_negative_sampler        BalancedPositiveNegativeSampler
structures.bounding_box                            BoxList
structures.boxlist_ops                             boxlist_nms remove_small_boxes boxlist_iou cat_boxlist
structures.image_list                              ImageList to_image_list
structures.segmentation_mask                       SegmentationMask
structures.keypoint                                PersonKeypoints
data                                               make_data_loader
data.samplers                                      GroupedBatchSampler IterationBasedBatchSampler DistributedSampler
engine.inference                                   inference
engine.trainer                                     do_train
solver                                             make_optimizer make_lr_scheduler
utils.checkpoint                                   Checkpointer DetectronCheckpointer
utils.model_serialization                          load_state_dict
utils.metric_logger                                MetricLogger
utils.env                                          setup_environment
utils.logger                                       setup_logger
utils.comm                                         synchronize get_rank get_world_size is_main_process
utils.collect_env                                  collect_env_info
utils.imports                                      import_file
utils.miscellaneous                                mkdir save_config
"""

PLACES = [(line.split()[0], name) for line in NAMES.strip().split("\n") for name in line.split()[1:]]


def public(place, name):
    return getattr(importlib.import_module(f"maskrcnn_benchmark.{place}"), name)


@pytest.mark.parametrize("place, name", PLACES, ids=lambda value: value)
def test_a_name_is_where_users_import_it_from(place, name):
    found = public(place, name)
    assert callable(found) or name == "cfg" or isinstance(found, dict)


@pytest.mark.parametrize("name", sorted(name for name in registry.BACKBONES if not name.startswith("timm-")))
def test_backbones_build_from_the_default_config(name):
    config = copy.deepcopy(cfg)
    config.MODEL.BACKBONE.CONV_BODY = name
    with torch.device("meta"):
        backbone = public("modeling.backbone", "build_backbone")(config)
        outputs = backbone(torch.rand(2, 3, 224, 256))
    assert all(tuple(output.shape[:2]) == (2, backbone.out_channels) for output in outputs)


PREDICTORS = [
    (kind, name)
    for kind in ("ROI_BOX_PREDICTOR", "ROI_MASK_PREDICTOR", "ROI_KEYPOINT_PREDICTOR")
    for name in sorted(getattr(registry, kind))
]


@pytest.mark.parametrize("kind, name", PREDICTORS, ids=lambda value: value)
def test_predictors_build_from_the_default_config(kind, name):
    predictor = getattr(registry, kind)[name](copy.deepcopy(cfg), 64)
    if kind == "ROI_BOX_PREDICTOR":
        classes = cfg.MODEL.ROI_BOX_HEAD.NUM_CLASSES
        scores, deltas = predictor(torch.rand(2, 64, 1, 1))
        assert (tuple(scores.shape), tuple(deltas.shape)) == ((2, classes), (2, 4 * classes))
    else:
        group = cfg.MODEL.ROI_BOX_HEAD if kind == "ROI_MASK_PREDICTOR" else cfg.MODEL.ROI_KEYPOINT_HEAD
        assert predictor(torch.rand(2, 64, 14, 14)).shape[:2] == (2, group.NUM_CLASSES)


EXTRACTORS = [
    (kind, name)
    for kind in ("ROI_BOX_FEATURE_EXTRACTORS", "ROI_MASK_FEATURE_EXTRACTORS", "ROI_KEYPOINT_FEATURE_EXTRACTORS")
    for name in sorted(getattr(registry, kind))
]


@pytest.mark.parametrize("kind, name", EXTRACTORS, ids=lambda value: value)
def test_feature_extractors_build_from_the_default_config(kind, name):
    channels = 1024 if "Conv5" in name else 64
    extractor = getattr(registry, kind)[name](copy.deepcopy(cfg), channels)
    sizes = [(256, 224), (200, 180)]
    boxes = [BoxList(torch.tensor([[2.0, 4, 60, 90], [20, 10, 150, 120]]), size) for size in sizes]
    features = extractor([torch.rand(2, channels, 16, 16)] * len(cfg.MODEL.ROI_BOX_HEAD.POOLER_SCALES), boxes)
    assert features.shape[:2] == (4, extractor.out_channels)


@pytest.mark.parametrize("name", sorted(registry.RPN_HEADS))
def test_rpn_heads_build_from_the_default_config(name):
    logits, offsets = registry.RPN_HEADS[name](copy.deepcopy(cfg), 64, 10)([torch.rand(2, 64, 24, 32)] * 3)
    assert [tuple(level.shape) for level in logits] == [(2, 10, 24, 32)] * 3
    assert [tuple(level.shape) for level in offsets] == [(2, 40, 24, 32)] * 3


def test_boxes_include_their_last_pixel():
    boxes = BoxList([[10, 20, 19, 39], [10, 20, 19, 29]], (100, 60))
    assert boxes.area().tolist() == [200, 100]
    assert boxes.convert("xywh").bbox[0].tolist() == [10, 20, 10, 20]
    assert public("structures.boxlist_ops", "boxlist_iou")(boxes, boxes).tolist() == [[1, 0.5], [0.5, 1]]
    assert public("structures.boxlist_ops", "remove_small_boxes")(boxes, 11).bbox.shape == (0, 4)
    coder = public("modeling.box_coder", "BoxCoder")((10.0, 10.0, 5.0, 5.0))
    codes = coder.encode(boxes.bbox, boxes.bbox.flip(0))
    torch.testing.assert_close(coder.decode(codes, boxes.bbox.flip(0)), boxes.bbox, atol=1e-4, rtol=0)


def test_suppression_returns_the_kept_indices():
    boxes = torch.tensor([[0.0, 0, 9, 9], [0, 0, 9, 9], [50, 50, 59, 59]])
    scores = torch.tensor([0.2, 0.9, 0.5])
    assert public("layers", "nms")(boxes, scores, 0.5).tolist() == [1, 2]
    found = BoxList(boxes, (60, 60))
    found.add_field("scores", scores)
    kept = public("structures.boxlist_ops", "boxlist_nms")(found, 0.5)
    assert sorted(round(score, 1) for score in kept.get_field("scores").tolist()) == [0.5, 0.9]
    assert len(public("structures.boxlist_ops", "cat_boxlist")([kept, found])) == 5


def test_images_are_padded_to_a_multiple():
    images = to_image_list([torch.ones(3, 20, 40), torch.ones(3, 30, 10)], 32)
    assert images.tensors.shape == (2, 3, 32, 64)
    assert [tuple(size) for size in images.image_sizes] == [(20, 40), (30, 10)]
    assert images.tensors.sum() == 3 * (20 * 40 + 30 * 10)


def test_masks_convert_and_are_integers():
    square = [[[2.0, 2, 8, 2, 8, 8, 2, 8]]]
    masks = public("structures.segmentation_mask", "SegmentationMask")(square, (12, 10), "poly")
    bitmap = masks.convert("mask").get_mask_tensor()
    assert bitmap.dtype == torch.uint8
    assert masks.size == (12, 10)
    assert int(masks.transpose(0).get_mask_tensor().sum()) == int(bitmap.sum())


def test_the_meter_has_a_lower_median_and_refuses_unknown_names():
    meters = public("utils.metric_logger", "MetricLogger")()
    for value in range(10):
        meters.update(metric=value)
    assert meters.meters["metric"].count == 10
    assert meters.meters["metric"].median == 4
    with pytest.raises(AttributeError):
        meters.not_existent  # noqa: B018


def test_weights_are_matched_by_the_end_of_their_names():
    model = nn.ModuleDict({"body": nn.ModuleDict({"layer1": nn.Linear(2, 2)})})
    weight = torch.full((2, 2), 3.0)
    public("utils.model_serialization", "load_state_dict")(model, {"module.layer1.weight": weight})
    assert model["body"]["layer1"].weight.equal(weight)


def test_a_checkpoint_is_found_again(tmp_path):
    checkpointer = public("utils.checkpoint", "Checkpointer")
    first, second = nn.Linear(2, 2), nn.Linear(2, 2)
    checkpointer(first, save_dir=str(tmp_path), save_to_disk=True).save("model_0001", iteration=7)
    assert (tmp_path / "last_checkpoint").read_text().endswith("model_0001.pth")
    extra = checkpointer(nn.DataParallel(second), save_dir=str(tmp_path)).load()
    assert extra["iteration"] == 7
    assert second.weight.equal(first.weight)


def test_samplers_end_and_wrap_around_where_asked():
    batches = public("data.samplers", "GroupedBatchSampler")(SequentialSampler(range(6)), [0, 1, 0, 1, 1, 0], 2)
    assert list(batches) == [[0, 2], [1, 3], [4], [5]]
    in_turn = BatchSampler(SequentialSampler(range(4)), 2, drop_last=False)
    endless = public("data.samplers", "IterationBasedBatchSampler")(in_turn, 5)
    assert list(endless) == [[0, 1], [2, 3], [0, 1], [2, 3], [0, 1]]


def test_one_process_is_the_main_one():
    assert (public("utils.comm", "get_rank")(), public("utils.comm", "get_world_size")()) == (0, 1)
    assert public("utils.comm", "is_main_process")()
    assert public("utils.comm", "synchronize")() is None
