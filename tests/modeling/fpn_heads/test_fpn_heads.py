"""Heads with one answer per image: shapes, absent labels, padding, and losses worked by hand."""

import math

import pytest
import torch

from maskrcnn_benchmark.config import cfg
from maskrcnn_benchmark.modeling.fpn_heads.boundary import weighted_edge_loss
from maskrcnn_benchmark.modeling.fpn_heads.classification import soft_maximum
from maskrcnn_benchmark.modeling.fpn_heads.dense_decoder import (
    DenseDecoder,
    DenseFeatures,
    stack_padded,
    without_unlabelled,
)
from maskrcnn_benchmark.modeling.fpn_heads.edge_decoder import EdgeDecoder, EdgePredictor, predict_together
from maskrcnn_benchmark.modeling.fpn_heads.fpn_heads import build_fpn_heads
from maskrcnn_benchmark.modeling.fpn_heads.occlusion import OcclusionHead, attention_loss, direction_loss
from maskrcnn_benchmark.modeling.fpn_heads.semantic import pixel_cross_entropy
from maskrcnn_benchmark.structures.dense_map import IGNORE_INDEX, BoundaryMap, OcclusionMap, SemanticMap
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.image_list import to_image_list, valid_mask
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.task import TASKS, enabled_tasks
from maskrcnn_benchmark.utils.errors import UserError

CHANNELS = 16
SIZES = [(64, 96), (50, 70)]  # height, width


@pytest.fixture
def heads():
    torch.manual_seed(0)
    config = cfg.clone()
    config.MODEL.BACKBONE.CONV_BODY = "R-18-FPN"
    for switch in ("SEMANTIC_ON", "BOUNDARY_ON", "OCCLUSION_ON", "CLASSIFICATION_ON"):
        config.MODEL[switch] = True
    config.MODEL.SEMANTIC_HEAD.NUM_CLASSES = 5
    config.MODEL.CLASSIFICATION_HEAD.NUM_CLASSES = 7
    config.MODEL.DENSE_TRUNK.CHANNELS = 16
    config.MODEL.EDGE_DECODER.CHANNELS = 8
    return build_fpn_heads(config, CHANNELS, enabled_tasks(config))


@pytest.fixture
def batch():
    torch.manual_seed(1)
    images = to_image_list([torch.randn(3, h, w) for h, w in SIZES], 32)
    height, width = images.tensors.shape[-2:]
    pyramid = [torch.randn(2, CHANNELS, -(-height // s), -(-width // s)) for s in (4, 8, 16, 32, 64)]
    return images, pyramid


def annotations(size, **tasks):
    height, width = size
    made = {}
    if "semantic" in tasks:
        made["semantic"] = SemanticMap(torch.full((height, width), 2, dtype=torch.uint8))
    edges = torch.zeros(height, width, dtype=torch.uint8)
    edges[height // 2] = 1
    if "boundary" in tasks:
        made["boundary"] = BoundaryMap(edges)
    if "occlusion" in tasks:
        direction = torch.stack([torch.zeros(height, width), edges.float()])
        made["occlusion"] = OcclusionMap(edges, direction)
    if "classes" in tasks:
        made["classes"] = torch.ones(7)
    return ImageAnnotations((width, height), **made)


def test_predictions_have_documented_shapes(heads, batch):
    images, pyramid = batch
    predictions, losses = heads.eval()(pyramid, images)
    assert losses == {}
    for index, (height, width) in enumerate(SIZES):
        semantic = predictions["semantic"][index].resize((width, height))
        assert semantic.scores.shape == (5, height, width)
        boundary = predictions["boundary"][index].resize((width, height)).scores
        assert boundary.shape == (1, height, width) and boundary.min() >= 0 and boundary.max() <= 1
        occlusion = predictions["occlusion"][index].resize((width, height)).scores
        assert occlusion.shape == (3, height, width)
        assert torch.allclose(occlusion[1:].square().sum(0), torch.ones(height, width), atol=1e-4)
        classes = predictions["classification"][index]
        assert classes.shape == (7,) and classes.min() >= 0 and classes.max() <= 1


def test_losses_exist_only_for_annotated_tasks(heads, batch):
    images, pyramid = batch
    everything = {"semantic": 1, "boundary": 1, "occlusion": 1, "classes": 1}
    full = [annotations(size, **everything) for size in SIZES]
    assert set(heads(pyramid, images, full)[1]) == {
        "loss_semantic",
        "loss_boundary",
        "loss_occlusion_edge",
        "loss_occlusion_direction",
        "loss_classification",
    }
    partial = [annotations(SIZES[0], semantic=1), annotations(SIZES[1], classes=1)]
    assert set(heads(pyramid, images, partial)[1]) == {"loss_semantic", "loss_classification"}
    assert heads(pyramid, images, [annotations(size) for size in SIZES])[1] == {}


def test_occlusion_annotated_but_empty_has_no_direction_to_learn(heads, batch):
    images, pyramid = batch
    targets = [annotations(size, occlusion=1) for size in SIZES]
    for target in targets:
        width, height = target.size
        nothing = torch.zeros(height, width, dtype=torch.uint8)
        target.occlusion = OcclusionMap(nothing, torch.zeros(2, height, width))
    losses = heads(pyramid, images, targets)[1]
    assert set(losses) == {"loss_occlusion_edge"}
    assert torch.isfinite(losses["loss_occlusion_edge"])


def test_an_unannotated_image_does_not_change_the_loss(heads, batch):
    images, pyramid = batch
    heads.eval()  # group norm or not: nothing may couple the images
    labelled = annotations(SIZES[0], semantic=1, boundary=1, occlusion=1, classes=1)
    both = heads(pyramid, images, [labelled, annotations(SIZES[1])])[1]
    alone = heads([x[:1] for x in pyramid], to_image_list([images.tensors[0, :, :64, :96]], 32), [labelled])[1]
    for name, loss in alone.items():
        assert torch.allclose(loss, both[name], rtol=1e-4), name


def test_classification_does_not_see_the_padding(heads, batch):
    images, pyramid = batch
    clean = heads.eval()(pyramid, images)[0]["classification"][1]
    for level, x in enumerate(pyramid):
        stride = 4 * 2**level
        x[1, :, -(-50 // stride) :] = 1e4
        x[1, :, :, -(-70 // stride) :] = 1e4
    assert torch.allclose(heads(pyramid, images)[0]["classification"][1], clean)


def test_dense_heads_need_a_pyramid():
    config = cfg.clone()
    config.MODEL.SEMANTIC_ON = True
    with pytest.raises(UserError, match="R-50-C4 has no feature pyramid"):
        build_fpn_heads(config, CHANNELS, enabled_tasks(config), strides=(16,))


def test_no_dense_task_builds_nothing():
    assert build_fpn_heads(cfg, CHANNELS, enabled_tasks(cfg)) is None


def test_trunk_takes_pyramids_of_odd_sizes():
    trunk = DenseDecoder(CHANNELS, 16)
    pyramid = [torch.randn(1, CHANNELS, h, w) for h, w in ((25, 33), (13, 17), (7, 9), (4, 5), (2, 3))]
    assert trunk(pyramid).shape == (1, 16, 25, 33)


@pytest.mark.parametrize("stride", [1, 2, 4])
def test_edge_predictor_answers_every_pixel(stride):
    decoder = EdgeDecoder(16, stride, 4, 8)
    predictor = EdgePredictor(8, 3, stride)
    fine = decoder(torch.randn(1, 16, 16, 24), torch.randn(1, 3, 64, 96))
    logits = predictor(fine)
    assert logits.shape == (1, 3, 64, 96)
    assert logits[:, 0].sigmoid().mean().item() == pytest.approx(0.05, abs=0.02)


def test_cross_entropy_ignores_unlabelled_pixels_and_padding():
    logits = torch.zeros(1, 4, 2, 2)
    labels = torch.full((5, 6), IGNORE_INDEX, dtype=torch.uint8)
    assert pixel_cross_entropy(logits, [labels], 4) is None
    labels[0, 0] = 3
    assert pixel_cross_entropy(logits, [labels], 4).item() == pytest.approx(math.log(4))


def test_the_weights_of_classes_come_from_the_config_by_name_and_stay_out_of_state_dicts():
    config = cfg.clone()
    config.merge_from_list(["MODEL.SEMANTIC_ON", True, "MODEL.SEMANTIC_HEAD.NUM_CLASSES", 3])
    vocabulary = Vocabulary(semantic_names=("sky", "wall", "dog"))
    plain = TASKS["semantic"].build_head(config, 8, vocabulary)
    config.MODEL.SEMANTIC_HEAD.CLASS_WEIGHTS = (("dog", 4.0), ("sky", 0.5))
    head = TASKS["semantic"].build_head(config, 8, vocabulary)
    assert plain.class_weights is None and head.class_weights.tolist() == [0.5, 1.0, 4.0]
    assert head.state_dict().keys() == plain.state_dict().keys()
    torch.nn.init.zeros_(head.predict.weight)
    labels = torch.full((8, 8), 2, dtype=torch.uint8)
    labels[:, :4] = 0
    target = ImageAnnotations((8, 8), semantic=SemanticMap(labels))
    features = DenseFeatures([], [(8, 8)], torch.randn(1, 8, 2, 2))
    loss = head(features, None, [target])[1]["loss_semantic"]
    assert loss.item() == pytest.approx((4.0 + 0.5) / 2 * math.log(3), rel=1e-5)


@pytest.mark.parametrize("loss_stride", [1, 2, 4])
def test_cross_entropy_of_right_logits_is_small_at_any_stride(loss_stride):
    labels = torch.arange(6).repeat_interleave(8)[None].expand(16, -1).to(torch.uint8)
    logits = 50 * torch.nn.functional.one_hot(labels[::4, ::4].long(), 6).permute(2, 0, 1)[None].float()
    right = pixel_cross_entropy(logits, [labels], 4, loss_stride).item()
    wrong = pixel_cross_entropy(logits.flip(-1), [labels], 4, loss_stride).item()
    assert right < 5 < wrong


def test_edge_loss_by_hand():
    logits = torch.zeros(1, 1, 4)
    edges = torch.tensor([[[1, 0, 0, 0]]])
    valid = torch.tensor([[[True, True, True, False]]])
    expected = (0.95 + 2 * 0.05) * math.log(2) / 3
    assert weighted_edge_loss(logits, edges, valid, 0.95).item() == pytest.approx(expected)


def test_attention_loss_by_hand():
    logits = torch.zeros(1, 1, 4)
    edges = torch.tensor([[[True, False, False, False]]])
    valid = torch.ones(1, 1, 4, dtype=torch.bool)
    focus = 4.0 ** (0.5**0.5)
    expected = (0.75 + 3 * 0.25) * focus * math.log(2) / 4
    assert attention_loss(logits, edges, valid, 4.0, 0.5).item() == pytest.approx(expected)


def test_attention_loss_has_a_finite_slope_where_it_is_right():
    logits = torch.tensor([[[60.0, -60.0]]], requires_grad=True)
    attention_loss(logits, torch.tensor([[[True, False]]]), torch.ones(1, 1, 2, dtype=torch.bool), 4.0, 0.5).backward()
    assert torch.isfinite(logits.grad).all()


def test_direction_loss_by_hand():
    truth = torch.tensor([[0.0, 1.0]])
    assert direction_loss(3 * truth, truth).item() == pytest.approx(0)
    assert direction_loss(-truth, truth).item() == pytest.approx(3.5)  # squared chord 4
    quarter = torch.tensor([[1.0, 0.0]])
    assert direction_loss(quarter, truth).item() == pytest.approx(1.5)  # squared chord 2


def test_valid_mask_and_padding():
    assert valid_mask([(5, 3)], 2, 2, 4, "cpu").tolist() == [[[True, False], [True, False]]]
    stacked = stack_padded([torch.ones(1, 2), torch.ones(2, 1)], 2, 3, 9)
    assert stacked.tolist() == [[[1, 1, 9], [9, 9, 9]], [[1, 9, 9], [1, 9, 9]]]


def test_soft_maximum_lies_between_mean_and_maximum_and_ignores_the_padding():
    scores = torch.tensor([[[1.0, 2.0, 3.0, 100.0]]])
    inside = torch.tensor([[[True, True, True, False]]])
    expected = math.log(sum(math.exp(4 * x) for x in (1, 2, 3)) / 3) / 4
    assert soft_maximum(scores, inside).item() == pytest.approx(expected)
    assert 2 < expected < 3


def test_the_trunk_adds_its_levels_at_the_finest_size():
    """The definition: each level passes its stages, each but the finest followed by an enlargement; then the sum."""
    trunk = DenseDecoder(CHANNELS, 16)
    pyramid = [torch.randn(1, CHANNELS, h, w) for h, w in ((25, 33), (13, 17), (7, 9), (4, 5), (2, 3))]
    total = trunk.levels[0][0](pyramid[0])
    for level in (1, 2, 3):
        x = pyramid[level]
        for index, stage in enumerate(trunk.levels[level]):
            size = pyramid[level - 1 - index].shape[-2:]
            x = torch.nn.functional.interpolate(stage(x), size=size, mode="bilinear", align_corners=False)
        total = total + x
    torch.testing.assert_close(trunk(pyramid), total, rtol=1e-5, atol=1e-5)


def test_predicting_together_is_predicting_each():
    predictors = [EdgePredictor(8, 1, 2), EdgePredictor(8, 3, 2)]
    fine = torch.randn(2, 8, 6, 10)
    together = predict_together(predictors, fine)
    for predictor in predictors:
        spread = torch.nn.functional.pixel_shuffle(together[predictor], 2)
        torch.testing.assert_close(spread, predictor(fine), rtol=1e-5, atol=1e-6)


def test_a_head_without_labels_gets_no_gradient_beside_one_that_has_them(heads, batch):
    images, pyramid = batch
    targets = [annotations(size, boundary=1) for size in SIZES]
    sum(heads(pyramid, images, targets)[1].values()).backward()
    assert all(p.grad is not None for p in heads.heads["boundary"].parameters())
    assert all(p.grad is None for p in heads.heads["occlusion"].parameters())


@pytest.mark.parametrize("stride", [1, 2, 4])
def test_directions_are_read_at_the_edge_pixels(heads, batch, stride):
    """The loss is that of the enlarged maps, wherever the convolution leaves their cells."""
    images, pyramid = batch
    head = OcclusionHead(8, stride, lambda annotations: annotations.occlusion)
    height, width = images.tensors.shape[-2:]
    generator = torch.Generator().manual_seed(2)
    features = DenseFeatures(pyramid, images.image_sizes, fine=torch.randn(2, 8, height // stride, width // stride))
    angle = torch.rand(*SIZES[1], generator=generator) * 6
    edges = (torch.rand(*SIZES[1], generator=generator) < 0.1).byte()
    target = ImageAnnotations(
        SIZES[1][::-1], occlusion=OcclusionMap(edges, torch.stack([angle.sin(), angle.cos()]) * edges)
    )
    losses = head(features, None, [annotations(SIZES[0]), target])[1]
    raw = head.predictor(features.fine)[1, 1:, : SIZES[1][0], : SIZES[1][1]]
    rows, columns = edges.nonzero(as_tuple=True)
    expected = direction_loss(raw[:, rows, columns].t(), target.occlusion.direction[:, rows, columns].t())
    torch.testing.assert_close(losses["loss_occlusion_direction"], expected)


def test_what_is_not_labelled_is_left_out_of_a_mask():
    inside = torch.ones(3, 2, dtype=torch.bool)
    assert without_unlabelled(inside, [1, None, 1]).tolist() == [[True, True], [False, False], [True, True]]
    assert without_unlabelled(inside, [1, 1, 1]) is inside and inside.all()


def test_a_head_that_forgets_an_image_is_named(heads, batch):
    images, pyramid = batch
    heads.heads["semantic"].forward = lambda *arguments: ([], {})
    with pytest.raises(ValueError, match=r"the head 'semantic' \(PixelClassifier\) returned 0 outputs for 2 images"):
        heads.eval()(pyramid, images)
