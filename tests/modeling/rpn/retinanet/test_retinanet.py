"""RetinaNet as the detector sees it."""

import pytest
import torch

from maskrcnn_benchmark.config import cfg
from maskrcnn_benchmark.modeling.detector import build_detection_model
from maskrcnn_benchmark.modeling.rpn.anchor_generator import make_anchor_generator_retinanet
from maskrcnn_benchmark.modeling.rpn.retinanet import build_retinanet
from maskrcnn_benchmark.modeling.rpn.retinanet.retinanet import RetinaNetHead
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.image_list import ImageList
from maskrcnn_benchmark.utils.errors import UserError

STRIDES, SIZES = (8, 16), (16, 32)


def options(*pairs):
    config = cfg.clone()
    config.merge_from_list(
        [
            *("MODEL.RETINANET_ON", True, "MODEL.BACKBONE.CONV_BODY", "R-50-FPN-RETINANET"),
            *("MODEL.RETINANET.ANCHOR_STRIDES", STRIDES, "MODEL.RETINANET.ANCHOR_SIZES", SIZES),
            *("MODEL.RETINANET.NUM_CLASSES", 4, "MODEL.RETINANET.INFERENCE_TH", 0.001, "TEST.DETECTIONS_PER_IMG", 20),
            *pairs,
        ]
    )
    return config


def batch(n=2, channels=8, height=64, width=96):
    torch.manual_seed(0)
    images = ImageList(torch.rand(n, 3, height, width), [(height, width - 10 * i) for i in range(n)])
    return images, [torch.randn(n, channels, height // s, width // s).requires_grad_() for s in STRIDES]


def target(image_size, *boxes):
    height, width = image_size
    instances = BoxList(torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4), (width, height))
    instances.add_field("labels", torch.tensor([1 + i % 3 for i in range(len(boxes))]))
    return ImageAnnotations((width, height), instances=instances)


def test_anchors_step_through_an_octave_on_each_level():
    anchors = list(make_anchor_generator_retinanet(options("MODEL.RETINANET.ASPECT_RATIOS", (1.0,))).cell_anchors)
    sides = [(level[:, 2] - level[:, 0] + 1).tolist() for level in anchors]
    assert sides == [pytest.approx([size * 2 ** (i / 3) for i in range(3)]) for size in SIZES]


def test_before_training_every_class_is_as_likely_as_the_prior():
    head = RetinaNetHead(8, 3, 5, num_convs=2, prior_prob=0.02)
    logits, offsets = head([torch.zeros(2, 8, 4, 6), torch.zeros(2, 8, 2, 3)])
    assert [tuple(x.shape) for x in logits] == [(2, 15, 4, 6), (2, 15, 2, 3)]
    assert [tuple(x.shape) for x in offsets] == [(2, 12, 4, 6), (2, 12, 2, 3)]
    assert all(torch.allclose(x.sigmoid(), torch.tensor(0.02)) for x in logits)


def test_state_dict_names():
    names = list(build_retinanet(options("MODEL.RETINANET.NUM_CONVS", 2), 8).state_dict())
    towers = [f"head.{t}_tower.{i}.{kind}" for t in ("cls", "bbox") for i in (0, 2) for kind in ("weight", "bias")]
    ends = [f"head.{end}.{kind}" for end in ("cls_logits", "bbox_pred") for kind in ("weight", "bias")]
    assert names == ["anchor_generator.cell_anchors.0", "anchor_generator.cell_anchors.1", *towers, *ends]


def test_training_gives_losses_that_reach_every_parameter():
    images, features = batch()
    model = build_retinanet(options(), 8).train()
    _, losses = model(images, features, [target(images.image_sizes[0], [4, 4, 30, 40]), ImageAnnotations((86, 64))])
    assert set(losses) == {"loss_retina_cls", "loss_retina_reg"}
    sum(losses.values()).backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())
    assert features[0].grad[1].abs().sum() == 0


def test_a_batch_that_nobody_looked_at_has_no_losses():
    images, features = batch()
    targets = [ImageAnnotations((w, h)) for h, w in images.image_sizes]
    assert build_retinanet(options(), 8).train()(images, features, targets)[1] == {}


def test_evaluation_with_gradients_on_gives_detections_within_the_image():
    images, features = batch()
    detections, losses = build_retinanet(options(), 8).eval()(images, features)
    assert losses == {}
    for found, (height, width) in zip(detections, images.image_sizes):
        assert len(found) >= 20  # untrained scores are all but equal, and ties are kept
        assert set(found.get_field("labels").tolist()) <= {1, 2, 3}
        assert found.size == (width, height)
        assert found.bbox.min() >= 0
        assert (found.bbox.amax(0)[2:] <= torch.tensor([width - 1.0, height - 1.0])).all()
    sum(found.bbox.sum() + found.get_field("scores").sum() for found in detections).backward()
    assert all(torch.isfinite(level.grad).all() for level in features)


def test_an_empty_batch():
    features = [torch.zeros(0, 8, 64 // stride, 96 // stride) for stride in STRIDES]
    assert build_retinanet(options(), 8).eval()(ImageList(torch.zeros(0, 3, 64, 96), []), features)[0] == []


def test_half_precision_features_give_single_precision_boxes():
    images, features = batch()
    model = build_retinanet(options(), 8)
    with torch.autocast("cpu", torch.bfloat16):
        _, losses = model.train()(images, features, [target(s, [4, 4, 30, 40]) for s in images.image_sizes])
        detections, _ = model.eval()(images, features)
    assert detections[0].bbox.dtype == detections[0].get_field("scores").dtype == torch.float32
    assert all(loss.dtype == torch.float32 and torch.isfinite(loss) for loss in losses.values())


def test_it_learns_a_square_by_heart():
    images, features = batch(n=1)
    features = [level.detach() for level in features]
    model = build_retinanet(options(), 8)
    truth = target(images.image_sizes[0], [20, 12, 51, 43])
    optimizer = torch.optim.Adam(model.parameters(), 2e-3)
    for _ in range(60):
        loss = sum(model.train()(images, features, [truth])[1].values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    (found,) = model.eval()(images, features)[0]
    best = found.get_field("scores").argmax()
    assert found.get_field("labels")[best] == 1
    assert (found.bbox[best] - torch.tensor([20.0, 12, 51, 43])).abs().max() < 4


@pytest.mark.parametrize(
    "pairs, message",
    [
        (("MODEL.BACKBONE.CONV_BODY", "R-50-FPN"), "P3..P7.*CONV_BODY R-50-FPN.*choose R-50-FPN-RETINANET"),
        (("MODEL.RETINANET.ANCHOR_SIZES", (16,)), "ANCHOR_STRIDES has 2 levels and .*ANCHOR_SIZES 1"),
        (("MODEL.MASK_ON", True), "RetinaNet .*for MODEL.MASK_ON"),
        (("MODEL.KEYPOINT_ON", True, "MODEL.PART_ON", True), "RetinaNet .*KEYPOINT_ON and MODEL.PART_ON"),
    ],
)
def test_a_wrong_option_is_the_users_error(pairs, message):
    with pytest.raises(UserError, match=message), torch.device("meta"):
        build_detection_model(options(*pairs))
