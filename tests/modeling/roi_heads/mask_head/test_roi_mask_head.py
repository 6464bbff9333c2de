import pycocotools.mask as mask_utils
import pytest
import torch
from torch.nn import functional as F

from maskrcnn_benchmark.config import cfg
from maskrcnn_benchmark.modeling import registry
from maskrcnn_benchmark.modeling.roi_heads.mask_head.inference import (
    Masker,
    MaskPostProcessor,
    MaskPostProcessorCOCOFormat,
)
from maskrcnn_benchmark.modeling.roi_heads.mask_head.loss import MaskRCNNLossComputation
from maskrcnn_benchmark.modeling.roi_heads.mask_head.mask_head import build_roi_mask_head
from maskrcnn_benchmark.modeling.roi_heads.mask_head.roi_mask_feature_extractors import make_roi_mask_feature_extractor
from maskrcnn_benchmark.modeling.roi_heads.mask_head.roi_mask_predictors import make_roi_mask_predictor
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations


@pytest.mark.parametrize("name", ["MaskRCNNFPNFeatureExtractor", "ResNet50Conv5ROIFeatureExtractor"])
def test_every_extractor_builds_from_the_default_config(name):
    assert len(registry.ROI_MASK_FEATURE_EXTRACTORS) == 2
    channels = 1024 if "Conv5" in name else 64
    config = cfg.clone()
    config.MODEL.ROI_MASK_HEAD.FEATURE_EXTRACTOR = name
    extractor = make_roi_mask_feature_extractor(config, channels)
    with torch.no_grad():
        out = extractor([torch.rand(1, channels, 8, 8)], [BoxList([[1.0, 1.0, 90.0, 90.0]], (128, 128))])
    assert out.shape[:2] == (1, extractor.out_channels)


@pytest.mark.parametrize("name, side", [("MaskRCNNC4Predictor", 28), ("MaskRCNNConv1x1Predictor", 14)])
def test_every_predictor_gives_one_map_per_class(name, side):
    assert len(registry.ROI_MASK_PREDICTOR) == 2
    config = cfg.clone()
    config.MODEL.ROI_MASK_HEAD.PREDICTOR = name
    assert make_roi_mask_predictor(config, 64)(torch.rand(2, 64, 14, 14)).shape == (2, 81, side, side)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("name", ["MaskRCNNC4Predictor", "MaskRCNNConv1x1Predictor"])
def test_the_map_of_one_class_is_that_among_all(name, layout):
    config = cfg.clone()
    config.MODEL.ROI_MASK_HEAD.PREDICTOR = name
    predictor = make_roi_mask_predictor(config, 64)
    torch.nn.init.normal_(predictor.mask_fcn_logits.bias)
    x, labels = torch.rand(70, 64, 7, 7).contiguous(memory_format=layout), torch.arange(70) + 1
    expected = predictor(x)[torch.arange(70), labels]
    torch.testing.assert_close(predictor.of_labels(x, labels), expected)
    with torch.no_grad():
        torch.testing.assert_close(predictor.of_labels(x, labels), expected)
        assert predictor.of_labels(x[:0], labels[:0]).shape == expected[:0].shape


@pytest.fixture
def detections():
    boxes = BoxList([[10.0, 10.0, 29.0, 29.0], [5.0, 30.0, 34.0, 39.0]], (50, 40))
    boxes.add_field("labels", torch.tensor([2, 1]))
    return boxes


@pytest.fixture
def logits():
    maps = torch.full((2, 3, 28, 28), -9.0)
    maps[0, 2] = maps[1, 1] = 9.0
    return maps


def test_each_detection_is_given_the_mask_of_its_class(detections, logits):
    boxes = MaskPostProcessor()(logits, [detections])[0]
    assert boxes.get_field("mask").shape == (2, 1, 28, 28)
    assert (boxes.get_field("mask") > 0.99).all()


def test_masks_can_be_pasted_by_the_post_processor(detections, logits):
    pasted = MaskPostProcessor(Masker(0.5, 1))(logits, [detections])[0].get_field("mask")
    assert pasted.shape == (2, 1, 40, 50) and pasted.dtype == torch.bool
    assert pasted[0, 0, 12:28, 12:28].all() and pasted[0].sum() < 24 * 24
    torch.testing.assert_close(Masker()([torch.sigmoid(logits[[0, 1], [2, 1]])[:, None]], detections)[0], pasted)


def test_coco_format_encodes_the_pasted_masks(detections, logits):
    pasted = Masker().forward_single_image(torch.sigmoid(logits[[0, 1], [2, 1]])[:, None], detections)
    codes = MaskPostProcessorCOCOFormat(Masker())(logits, [detections])[0].get_field("mask")
    assert [code["size"] for code in codes] == [[40, 50]] * 2 and isinstance(codes[0]["counts"], str)
    assert (torch.from_numpy(mask_utils.decode(codes)).permute(2, 0, 1) == pasted[:, 0]).all()


def test_an_unthresholded_masker_gives_bytes(detections):
    soft = Masker(threshold=-1)([torch.full((2, 1, 28, 28), 0.5)], [detections])[0]
    assert soft.dtype == torch.uint8 and soft[0, 0, 20, 20] == 127


def test_the_masker_wants_as_many_lists_as_images(detections):
    with pytest.raises(ValueError, match="masks of 2 images, but boxes of 1"):
        Masker()([torch.zeros(1, 1, 28, 28)] * 2, [detections])


def test_the_loss_is_against_the_mask_of_the_matched_object(make_target):
    target = make_target()
    boxes = BoxList(torch.cat((target.instances.bbox.flip(0), torch.tensor([[0.0, 0.0, 5.0, 5.0]]))), (64, 64))
    boxes.add_field("labels", torch.tensor([2, 1, 0]))
    boxes.add_field("matched_idxs", torch.tensor([1, 0, -1]))
    loss = MaskRCNNLossComputation()
    chosen = loss.select([boxes], [target])
    assert chosen[0].get_field("labels").tolist() == [2, 1]
    logits = torch.randn(2, 14, 14)
    masks = target.instances.get_field("masks").crop_and_resize(target.instances.bbox, 14)
    assert 0.2 < masks.mean() < 0.95
    expected = F.binary_cross_entropy_with_logits(logits, masks.flip(0).float())
    torch.testing.assert_close(loss(logits, chosen, [target]), expected)


def test_objects_without_masks_are_not_trained(make_target):
    target = make_target()
    boxes = target.instances.copy_with_fields(["labels"])
    boxes.add_field("matched_idxs", torch.tensor([0, 1]))
    bare = ImageAnnotations((64, 64), instances=target.instances.copy_with_fields(["labels"]))
    assert len(MaskRCNNLossComputation().select([boxes], [bare])[0]) == 0


def test_an_object_without_a_mask_among_others_is_not_trained(make_target):
    target = make_target()
    target.instances.add_field("has_mask", torch.tensor([False, True]))
    boxes = target.instances.copy_with_fields(["labels"])
    boxes.add_field("matched_idxs", torch.tensor([0, 1]))
    (chosen,) = MaskRCNNLossComputation().select([boxes], [target])
    assert chosen.get_field("matched_idxs").tolist() == [1]


def test_one_mask_for_all_classes():
    config = cfg.clone()
    config.MODEL.ROI_MASK_HEAD.CLS_AGNOSTIC_MASK = True
    config.MODEL.ROI_MASK_HEAD.FEATURE_EXTRACTOR = "MaskRCNNFPNFeatureExtractor"
    head = build_roi_mask_head(config, 8)
    x = torch.rand(2, 256, 14, 14)
    both = head.predictor(x)
    assert both.shape[1] == 2
    torch.testing.assert_close(head.own_logits(x, torch.tensor([17, 80])), both[:, 1])
