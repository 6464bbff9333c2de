"""What RetinaNet's anchors learn, what the losses are divided by, and which images take part."""

import pytest
import torch

from maskrcnn_benchmark.layers import SigmoidFocalLoss
from maskrcnn_benchmark.modeling.box_coder import BoxCoder
from maskrcnn_benchmark.modeling.matcher import Matcher
from maskrcnn_benchmark.modeling.rpn.retinanet.loss import RetinaNetLossComputation
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations

SIZE = (64, 64)
# Beside an object at the first: IoU 1, 0.5, 0.45 (neither side), 0 and, outside of the image, 0
ANCHORS = torch.tensor([[0.0, 0, 19, 19], [0, 0, 19, 9], [0, 0, 19, 8], [40, 40, 59, 59], [60, 60, 99, 99]])
NOWHERE = ImageAnnotations(SIZE)
NORM = 4.0


def target(*boxes, labels=None, crowd=None):
    instances = BoxList(torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4), SIZE)
    instances.add_field("labels", torch.tensor(labels or [1] * len(boxes), dtype=torch.int64))
    if crowd is not None:
        instances.add_field("iscrowd", torch.tensor(crowd))
    return ImageAnnotations(SIZE, instances=instances)


def run(targets):
    """Losses, logits [N, 5, 2] and offsets [N, 5, 4] of images with the same predictions."""
    evaluator = RetinaNetLossComputation(
        Matcher(0.5, 0.4, allow_low_quality_matches=True),
        BoxCoder((10.0, 10.0, 5.0, 5.0)),
        SigmoidFocalLoss(2.0, 0.25),
        beta=0.11,
        regression_norm=NORM,
    )
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(1, 5, 2, generator=generator).repeat(len(targets), 1, 1).requires_grad_()
    offsets = torch.randn(1, 5, 4, generator=generator).repeat(len(targets), 1, 1).requires_grad_()
    return evaluator(ANCHORS, logits, offsets, targets), logits, offsets


def signs(gradient):
    return gradient.sign().int().tolist()


def test_anchors_learn_the_class_of_their_object_and_all_else_is_background():
    losses, logits, offsets = run([target([0, 0, 19, 19], labels=[2])])
    sum(losses.values()).backward()
    assert signs(logits.grad[0]) == [[1, -1], [1, -1], [0, 0], [1, 1], [1, 1]]
    assert offsets.grad[0].abs().amax(1).gt(0).tolist() == [True, True, False, False, False]


def test_the_losses_are_the_formulas_of_the_paper_over_the_originals_divisors():
    losses, logits, offsets = run([target([0, 0, 19, 19], labels=[2]), target()])
    probability = logits.detach().sigmoid()
    is_class = torch.zeros(2, 5, 2)
    is_class[0, :2, 1] = 1
    p = torch.where(is_class == 1, probability, 1 - probability)
    alpha = torch.where(is_class == 1, 0.25, 0.75)
    focal = -alpha * (1 - p) ** 2 * p.log()
    focal[0, 2] = 0
    # Two positive anchors on two images
    assert losses["loss_retina_cls"].item() == pytest.approx(focal.sum().item() / (2 + 2), rel=1e-5)
    wanted = BoxCoder((10.0, 10.0, 5.0, 5.0)).encode(ANCHORS[:1].expand(2, 4), ANCHORS[:2])
    apart = (offsets[0, :2] - wanted).abs()
    smooth = torch.where(apart < 0.11, apart**2 / 0.22, apart - 0.055)
    assert losses["loss_retina_reg"].item() == pytest.approx(smooth.sum().item() / (2 * NORM), rel=1e-5)


def test_an_object_that_no_anchor_fits_claims_its_nearest():
    losses, logits, _ = run([target([40, 40, 44, 44], labels=[1])])
    losses["loss_retina_cls"].backward()
    assert signs(logits.grad[0])[3] == [-1, 1]


def test_anchors_that_leave_the_image_learn_too():
    losses, logits, _ = run([target([60, 60, 63, 63], labels=[1])])
    losses["loss_retina_cls"].backward()
    assert signs(logits.grad[0])[4] == [-1, 1]


def test_an_image_without_objects_is_background():
    losses, logits, offsets = run([target()])
    sum(losses.values()).backward()
    assert (logits.grad > 0).all()
    assert losses["loss_retina_reg"].item() == 0 and (offsets.grad == 0).all()


def test_an_image_that_nobody_looked_at_contributes_nothing():
    looked = target([0, 0, 19, 19], labels=[2])
    alone = run([looked])[0]
    losses, logits, offsets = run([NOWHERE, looked])
    for name, loss in losses.items():
        assert loss.item() == pytest.approx(alone[name].item(), rel=1e-6)
    sum(losses.values()).backward()
    assert logits.grad[0].abs().sum() == 0 and offsets.grad[0].abs().sum() == 0
    assert signs(logits.grad[1])[0] == [1, -1]


def test_no_annotated_image_means_no_loss():
    assert run([NOWHERE, NOWHERE])[0] == {}


def test_crowds_are_no_objects():
    boxes = [[0, 0, 19, 19], [40, 40, 59, 59]]
    with_crowd = run([target(*boxes, labels=[1, 2], crowd=[False, True])])[0]
    without = run([target(boxes[0], labels=[1])])[0]
    assert {k: v.item() for k, v in with_crowd.items()} == {k: v.item() for k, v in without.items()}


def test_classes_that_nobody_annotated_are_left_out_at_background_anchors():
    partly = target([0, 0, 19, 19], labels=[2])
    partly.known_labels = torch.tensor([True, False, True])
    losses, logits, _ = run([partly, target()])
    losses["loss_retina_cls"].backward()
    # anchors 0 and 1 hold an object of class 2, which therefore is none of class 1
    assert signs(logits.grad[0]) == [[1, -1], [1, -1], [0, 0], [0, 1], [0, 1]]
    assert (logits.grad[1] > 0).all()
    p = torch.where(
        torch.tensor([[0, 1], [0, 1], [0, 0], [0, 0], [0, 0]]) == 1, logits[0].sigmoid(), 1 - logits[0].sigmoid()
    )
    focal = -torch.where(p == logits[0].sigmoid(), 0.25, 0.75) * (1 - p) ** 2 * p.log()
    focal[2], focal[3:, 0] = 0, 0
    background = -0.75 * logits[1].sigmoid() ** 2 * (1 - logits[1].sigmoid()).log()
    expected = (focal.sum() + background.sum()).item() / (2 + 2)
    assert losses["loss_retina_cls"].item() == pytest.approx(expected, rel=1e-5)


def test_classes_that_are_all_known_change_no_bit():
    plain, told = target([0, 0, 19, 19], labels=[2]), target([0, 0, 19, 19], labels=[2])
    told.known_labels = torch.tensor([True, True, True])
    assert torch.equal(run([plain])[0]["loss_retina_cls"], run([told])[0]["loss_retina_cls"])
