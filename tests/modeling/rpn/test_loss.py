"""What anchors learn, and which images take part."""

import pytest
import torch

from maskrcnn_benchmark.modeling.balanced_positive_negative_sampler import BalancedPositiveNegativeSampler
from maskrcnn_benchmark.modeling.box_coder import BoxCoder
from maskrcnn_benchmark.modeling.matcher import Matcher
from maskrcnn_benchmark.modeling.rpn.anchor_generator import AnchorGrid
from maskrcnn_benchmark.modeling.rpn.loss import RPNLossComputation
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations

SIZE = (64, 64)
ANCHORS = torch.tensor([[0.0, 0, 15, 15], [16, 0, 31, 15], [0, 16, 15, 31], [40, 40, 63, 63], [42, 42, 63, 63]])
# as on two levels, of three and of two positions
GRID = AnchorGrid(list(ANCHORS.split([3, 2])), ANCHORS, *torch.tensor([[0, 3], [3, 2], [1, 1]]))
NOWHERE = ImageAnnotations(SIZE)


def loss_of_all(batch=10**6, fraction=0.5):
    """The loss with a sampler that takes every anchor."""
    matcher = Matcher(0.7, 0.3, allow_low_quality_matches=True)
    return RPNLossComputation(matcher, BalancedPositiveNegativeSampler(batch, fraction), BoxCoder((1.0,) * 4))


def target(*boxes, crowd=None):
    instances = BoxList(torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4), SIZE)
    instances.add_field("labels", torch.ones(len(boxes), dtype=torch.int64))
    if crowd is not None:
        instances.add_field("iscrowd", torch.tensor(crowd))
    return ImageAnnotations(SIZE, instances=instances)


def run(targets, visible=None, seed=0, loss=None):
    torch.manual_seed(seed)
    n = len(targets)
    logits, offsets = torch.randn(n, len(ANCHORS)), torch.randn(n, len(ANCHORS), 4)
    logits.requires_grad_(), offsets.requires_grad_()
    visible = torch.ones(n, len(ANCHORS), dtype=torch.bool) if visible is None else visible
    return (loss or loss_of_all())(GRID, visible, logits, offsets, targets), logits, offsets


def test_values_of_both_losses():
    losses, logits, offsets = run([target([0, 0, 15, 15])])
    positive = torch.tensor([1.0, 0, 0, 0, 0])
    expected = torch.nn.functional.binary_cross_entropy_with_logits(logits[0], positive)
    assert torch.allclose(losses["loss_objectness"], expected)
    difference = offsets[0, 0].abs()
    smooth = torch.where(difference < 1 / 9, 4.5 * difference**2, difference - 0.5 / 9)
    assert torch.allclose(losses["loss_rpn_box_reg"], smooth.sum() / 5)


def test_anchors_between_the_thresholds_and_outside_the_image_are_ignored():
    visible = torch.ones(1, 5, dtype=torch.bool)
    visible[0, 1] = False
    # IoU of anchor 4 with anchor 3 is 484 / 576 = 0.84; of the box with anchor 0, 0.5: claimed as its best.
    losses, logits, _ = run([target([40, 40, 63, 63], [0, 0, 15, 7])], visible)
    losses["loss_objectness"].backward()
    assert (logits.grad[0] < 0).tolist() == [True, False, False, True, True]
    assert (logits.grad[0] == 0).tolist() == [False, True, False, False, False]


def test_an_image_nobody_looked_at_contributes_nothing():
    looked = target([0, 0, 15, 15], [40, 40, 63, 63])
    losses, logits, offsets = run([looked, NOWHERE])
    visible = torch.ones(1, 5, dtype=torch.bool)
    alone = loss_of_all()(GRID, visible, logits[:1], offsets[:1], [looked])
    assert {name: loss.item() for name, loss in losses.items()} == {name: loss.item() for name, loss in alone.items()}
    sum(losses.values()).backward()
    assert logits.grad[1].abs().sum() == 0 and offsets.grad[1].abs().sum() == 0
    assert logits.grad[0].abs().sum() > 0


def test_rows_of_annotated_images_are_found_behind_others():
    losses, logits, _ = run([NOWHERE, target([0, 0, 15, 15])])
    losses["loss_objectness"].backward()
    assert (logits.grad[1] < 0).tolist() == [True, False, False, False, False]


def test_no_annotated_image_means_no_loss():
    assert run([NOWHERE, NOWHERE])[0] == {}


def test_no_visible_anchor_means_no_loss():
    assert run([target([0, 0, 15, 15])], torch.zeros(1, 5, dtype=torch.bool))[0] == {}


def test_an_image_without_objects_is_background():
    losses, logits, offsets = run([target()])
    expected = torch.nn.functional.softplus(logits[0]).mean()
    assert torch.allclose(losses["loss_objectness"], expected)
    assert losses["loss_rpn_box_reg"].item() == 0
    sum(losses.values()).backward()
    assert offsets.grad.abs().sum() == 0


def test_crowds_are_no_objects():
    boxes = [[0, 0, 15, 15], [40, 40, 63, 63]]
    with_crowd = run([target(*boxes, crowd=[False, True])])[0]
    assert {k: v.item() for k, v in with_crowd.items()} == {k: v.item() for k, v in run([target(boxes[0])])[0].items()}


@pytest.mark.parametrize("batch, fraction", [(2, 0.5), (3, 0.0)])
def test_only_sampled_anchors_learn(batch, fraction):
    losses, logits, offsets = run([target([0, 0, 15, 15])], loss=loss_of_all(batch, fraction))
    sum(losses.values()).backward()
    assert int((logits.grad != 0).sum()) == batch
    assert int((offsets.grad != 0).any(dim=2).sum()) == int(batch * fraction)


def test_sampled_anchors_come_level_after_level_with_their_numbers():
    targets = [target([0, 0, 15, 15], [40, 40, 63, 63]), NOWHERE, target()]
    visible = torch.ones(3, 5, dtype=torch.bool)
    visible[2, 3] = False
    sampled = loss_of_all().sample(GRID, visible, targets)
    assert sampled.per_level == [6, 3]
    assert sampled.anchor.tolist() == [0, 1, 2, 0, 1, 2, 3, 4, 4]
    assert sampled.image.tolist() == [0, 0, 0, 2, 2, 2, 0, 0, 2]
    assert sampled.positive.tolist() == [True, False, False, False, False, False, True, True, False]
    decoded = BoxCoder((1.0,) * 4).decode(sampled.codes[[0, 6, 7]], ANCHORS[[0, 3, 4]])
    torch.testing.assert_close(decoded, torch.tensor([[0.0, 0, 15, 15], [40, 40, 63, 63], [40, 40, 63, 63]]))
