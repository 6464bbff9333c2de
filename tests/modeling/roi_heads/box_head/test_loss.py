import math

import pytest
import torch
from torch.nn import functional as F

from maskrcnn_benchmark.config import cfg
from maskrcnn_benchmark.modeling.balanced_positive_negative_sampler import BalancedPositiveNegativeSampler
from maskrcnn_benchmark.modeling.box_coder import BoxCoder
from maskrcnn_benchmark.modeling.matcher import Matcher
from maskrcnn_benchmark.modeling.roi_heads.box_head.loss import FastRCNNLossComputation
from maskrcnn_benchmark.modeling.roi_heads.sampled_regions import positives_of
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.task import TASKS

CODER = BoxCoder((10.0, 10.0, 5.0, 5.0))


@pytest.fixture
def make_loss():
    def make(low=0.5, agnostic=False, batch=100, weights=None):
        sampler = BalancedPositiveNegativeSampler(batch, 0.5)
        return FastRCNNLossComputation(Matcher(0.5, low), sampler, CODER, agnostic, weights)

    return make


@pytest.fixture
def proposals():
    return [
        BoxList(
            [[10.0, 10.0, 29.0, 29.0], [10.0, 10.0, 24.0, 29.0], [10.0, 10.0, 17.0, 29.0], [40.0, 40.0, 49.0, 49.0]],
            (64, 64),
        )
    ]


@pytest.fixture
def target():
    instances = BoxList([[50.0, 0.0, 60.0, 9.0], [10.0, 10.0, 29.0, 29.0]], (64, 64))
    instances.add_field("labels", torch.tensor([3, 2]))
    return ImageAnnotations((64, 64), instances=instances)


def test_proposals_take_label_and_index_of_their_object(make_loss, proposals, target):
    sampled = make_loss().subsample(proposals, [target])[0]
    assert sampled.get_field("labels").tolist() == [2, 2, 0, 0]
    assert sampled.get_field("matched_idxs").tolist() == [1, 1, -1, -1]
    decoded = CODER.decode(sampled.get_field("regression_targets")[:2], sampled.bbox[:2])
    torch.testing.assert_close(decoded, target.instances.bbox[[1, 1]])


def test_proposals_between_the_thresholds_are_not_sampled(make_loss, proposals, target):
    sampled = make_loss(low=0.3).subsample(proposals, [target])[0]
    assert sampled.get_field("labels").tolist() == [2, 2, 0]


def test_crowds_are_no_objects(make_loss, proposals, target):
    target.instances.add_field("iscrowd", torch.tensor([False, True]))
    sampled = make_loss().subsample(proposals, [target])[0]
    assert sampled.get_field("labels").tolist() == [0, 0, 0, 0]


def test_the_batch_size_bounds_the_sample_and_its_positives(make_loss, proposals, target):
    sampled = make_loss(batch=2).subsample(proposals, [target])[0]
    assert sorted((sampled.get_field("labels") > 0).tolist()) == [False, True]


@pytest.mark.parametrize("agnostic", [False, True])
def test_the_losses_are_fast_rcnns(make_loss, proposals, target, agnostic):
    loss = make_loss(agnostic=agnostic)
    sampled = loss.subsample(proposals, [target])
    logits, codes = torch.randn(4, 4), torch.randn(4, 8 if agnostic else 16)
    loss_classifier, loss_box_reg = loss(logits, codes, sampled)
    labels = sampled[0].get_field("labels")
    column = 4 if agnostic else 8
    expected = F.smooth_l1_loss(
        codes[:2, column : column + 4], sampled[0].get_field("regression_targets")[:2], reduction="sum"
    )
    torch.testing.assert_close(loss_classifier, F.cross_entropy(logits, labels))
    torch.testing.assert_close(loss_box_reg, expected / 4)


def test_background_regions_do_without_the_classes_that_nobody_annotated(make_loss, proposals, target):
    loss = make_loss()
    sampled = loss.subsample(proposals * 2, [target, target])
    logits = torch.tensor([[1.0, 2.0, 0.5, -1.0]]).repeat(8, 1).requires_grad_()
    known = torch.tensor([True, False, True, True])
    loss_classifier, _ = loss(logits, torch.zeros(8, 16), sampled, [known, None])
    loss_classifier.backward()
    # labels are 2, 2, 0, 0 on either image
    whole = math.log(math.e + math.e**2 + math.e**0.5 + math.e**-1)
    without = math.log(math.e + math.e**0.5 + math.e**-1)
    expected = (2 * (whole - 0.5) + 2 * (without - 1) + 2 * (whole - 0.5) + 2 * (whole - 1)) / 8
    assert loss_classifier.item() == pytest.approx(expected, rel=1e-6)
    assert logits.grad[:, 1].gt(0).tolist() == [True, True, False, False, True, True, True, True]
    assert logits.grad.isfinite().all()


def test_labels_that_are_all_known_change_no_bit(make_loss, proposals, target):
    loss = make_loss()
    sampled = loss.subsample(proposals, [target])
    logits, codes = torch.randn(4, 4), torch.randn(4, 16)
    expected = loss(logits, codes, sampled)
    for known in (None, torch.ones(4, dtype=torch.bool)):
        assert all(map(torch.equal, loss(logits, codes, sampled, [known]), expected))


def test_an_image_that_knows_one_class_alone_beside_one_without_objects_annotated(make_loss, proposals, target):
    loss = make_loss()
    known = torch.tensor([True, False, False, False])
    sampled = loss.subsample(
        proposals * 2, [ImageAnnotations((64, 64)), ImageAnnotations((64, 64), target.instances[:0])]
    )
    logits = torch.randn(4, 4)
    assert len(sampled[0]) == 0
    assert loss(logits, torch.zeros(4, 16), sampled, [None, known])[0].item() == 0


def test_positives_come_first_and_are_taken_without_asking_the_device(make_loss, proposals, target):
    turned = [proposals[0][[3, 1, 2, 0]]]
    turned[0].add_field("objectness", torch.arange(4.0))
    (sampled,) = make_loss().subsample(turned, [target])
    assert sampled.bbox.tolist() == turned[0].bbox[[1, 3, 0, 2]].tolist()
    assert sampled.get_field("objectness").tolist() == [1, 3, 0, 2]
    assert sampled.num_positives == 2
    plain = sampled.copy_with_fields(["labels", "matched_idxs"])
    for boxes in (sampled, plain):
        positives = positives_of(boxes)
        assert positives.get_field("labels").tolist() == [2, 2]
        assert positives.get_field("matched_idxs").tolist() == [1, 1]


def test_images_of_a_batch_are_sampled_as_each_alone(make_loss, proposals, target):
    shorter = BoxList(proposals[0].bbox[1:3], (64, 64))
    empty = ImageAnnotations((64, 64), target.instances[:0])
    boxes, targets = [*proposals, shorter, *proposals], [target, target, empty]
    batch = make_loss().subsample(boxes, targets)
    alone = [make_loss().subsample([p], [t])[0] for p, t in zip(boxes, targets)]
    for one, other in zip(batch, alone):
        assert torch.equal(one.bbox, other.bbox)
        for field in ("labels", "matched_idxs"):
            assert torch.equal(one.get_field(field), other.get_field(field))
        count = one.num_positives
        assert torch.equal(*(b.get_field("regression_targets")[:count] for b in (one, other)))


def test_a_region_weighs_as_its_class_does(make_loss, proposals, target):
    loss = make_loss(weights=(0.5, 1.0, 3.0, 1.0))
    sampled = loss.subsample(proposals, [target])  # labels 2, 2, 0, 0
    logits, codes = torch.randn(4, 4), torch.randn(4, 16)
    each = F.cross_entropy(logits, sampled[0].get_field("labels"), reduction="none")
    plain = make_loss()(logits, codes, sampled)
    loss_classifier, loss_box_reg = loss(logits, codes, sampled)
    torch.testing.assert_close(loss_classifier, (3 * each[:2].sum() + 0.5 * each[2:].sum()) / 4)
    torch.testing.assert_close(loss_box_reg, plain[1])


def test_the_weights_of_labels_come_from_the_config_and_background_weighs_one_unless_named():
    config, things = cfg.clone(), Vocabulary(thing_names=("cat", "dog"))
    config.MODEL.ROI_BOX_HEAD.NUM_CLASSES = 3
    expected = {
        (): None,
        (2, 3.0): (1.0, 2.0, 3.0),
        (("dog", 3),): (1.0, 1.0, 3.0),
        (("dog", 3), ("background", 0.25)): (0.25, 1.0, 3.0),
        (("background", 0.25),): (0.25, 1.0, 1.0),
        ("inverse_sqrt",): None,
        ("inverse_sqrt", ("cat", 0.5), ("dog", 2.0)): (1.0, 0.5, 2.0),
    }
    for value, weights in expected.items():
        config.MODEL.ROI_BOX_HEAD.CLASS_WEIGHTS = value
        assert TASKS["detection"].class_weights(config, things) == weights
