"""Which anchors become proposals."""

import pytest
import torch

from maskrcnn_benchmark.layers import nms
from maskrcnn_benchmark.modeling.box_coder import BoxCoder
from maskrcnn_benchmark.modeling.rpn.inference import RPNPostProcessor, add_ground_truth
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations

SIZES = [(80, 100), (60, 90)]


def selector(pre=1000, post=1000, thresh=0.7, min_size=0, total=1000, per_batch=False):
    return RPNPostProcessor(pre, post, thresh, min_size, BoxCoder((1.0,) * 4), total, per_batch)


def predictions(*counts, images=2, seed=0):
    """Random anchors, logits and offsets for levels of `counts` anchors."""
    generator = torch.Generator().manual_seed(seed)
    anchors, logits, offsets = [], [], []
    for count in counts:
        corner = torch.rand(count, 2, generator=generator) * 80 - 10
        anchors.append(torch.cat((corner, corner + 5 + torch.rand(count, 2, generator=generator) * 40), 1))
        logits.append(torch.randn(images, count, generator=generator))
        offsets.append(torch.randn(images, count, 4, generator=generator) * 0.2)
    return anchors, logits, offsets


def one_by_one(anchors, logits, offsets, image, pre, post, thresh):
    """The plain way for one image: per level decode, clip, sort, suppress."""
    boxes, scores = [], []
    limit = torch.tensor([SIZES[image][1] - 1.0, SIZES[image][0] - 1.0] * 2)
    for level_anchors, level_logits, level_offsets in zip(anchors, logits, offsets):
        order = level_logits[image].argsort(descending=True)[:pre]
        decoded = BoxCoder((1.0,) * 4).decode(level_offsets[image][order], level_anchors[order])
        decoded = torch.minimum(decoded.clamp(min=0), limit)
        kept = nms(decoded, level_logits[image][order], thresh)[:post]
        boxes.append(decoded[kept])
        scores.append(level_logits[image][order][kept])
    return torch.cat(boxes), torch.cat(scores)


def test_batch_gives_what_the_plain_way_gives_for_each_image():
    prediction = predictions(200, 60, 10)
    proposals = selector(pre=100, post=30, thresh=0.5, total=40)(*prediction, SIZES)
    for image, proposal in enumerate(proposals):
        boxes, scores = one_by_one(*prediction, image, 100, 30, 0.5)
        best = scores.argsort(descending=True)[:40]
        assert torch.allclose(proposal.bbox, boxes[best], atol=1e-5)
        assert torch.allclose(proposal.get_field("objectness"), scores[best].sigmoid())
        assert proposal.size == (SIZES[image][1], SIZES[image][0])


def test_limit_over_levels_holds_for_the_batch_in_training():
    prediction = predictions(200, 60)
    prediction[1][0][0] += 10  # the first image is far more certain
    proposals = selector(total=50, per_batch=True)(*prediction, SIZES)
    assert [len(p) for p in proposals] == [50, 0]
    together = selector(total=10**6, per_batch=True)(*prediction, SIZES)
    apart = selector(total=10**6)(*prediction, SIZES)
    assert [len(p) for p in together] == [len(p) for p in apart]


def test_one_level_has_no_limit_over_levels():
    prediction = predictions(100)
    several = selector(post=20, thresh=0, total=5)(*prediction, SIZES)
    assert [len(p) for p in several] == [20, 20]


def test_best_come_first_in_testing():
    for proposal in selector(total=50)(*predictions(200, 60, 10), SIZES):
        assert (proposal.get_field("objectness").diff() <= 0).all()


def test_small_boxes_are_dropped_before_they_suppress_others():
    anchors = [torch.tensor([[0.0, 0, 3, 3], [0, 0, 4, 4]])]
    logits, offsets = [torch.tensor([[2.0, 1.0]])], [torch.zeros(1, 2, 4)]
    assert len(selector(thresh=0.5)(anchors, logits, offsets, SIZES[:1])[0]) == 1
    (proposal,) = selector(thresh=0.5, min_size=5)(anchors, logits, offsets, SIZES[:1])
    assert proposal.bbox.tolist() == [[0, 0, 4, 4]]


def test_boxes_that_are_not_numbers_are_dropped():
    anchors, logits, offsets = predictions(20, 5)
    offsets[0][0, 3] = torch.nan
    logits[0][0, 3] = 9.0
    proposals = selector(thresh=0.99)(anchors, logits, offsets, SIZES)
    assert torch.isfinite(proposals[0].bbox).all()
    assert len(proposals[0]) == 24


def test_gradients_pass_and_predictions_stay_as_they_were():
    anchors, logits, offsets = predictions(30, 10)
    offsets = [o.requires_grad_() for o in offsets]
    before = [o.detach().clone() for o in offsets]
    proposals = selector()(anchors, logits, offsets, SIZES)
    sum(p.bbox.sum() for p in proposals).backward()
    assert all(torch.isfinite(o.grad).all() for o in offsets)
    assert all(torch.equal(o, b) for o, b in zip(offsets, before))


def target(boxes, crowd=None):
    instances = BoxList(torch.tensor(boxes).reshape(-1, 4), (100, 80))
    if crowd is not None:
        instances.add_field("iscrowd", torch.tensor(crowd))
    return ImageAnnotations((100, 80), instances=instances)


def test_annotated_objects_become_proposals_of_objectness_one():
    objects = [[1.0, 2, 30, 40], [5, 6, 70, 80]]
    anchors, logits, offsets = predictions(20, 5, images=3)
    targets = [target(objects, [False, True]), ImageAnnotations((100, 80)), target([])]
    plain = selector()(anchors, logits, offsets, [(80, 100)] * 3)
    added = selector()(anchors, logits, offsets, [(80, 100)] * 3, targets)
    assert [len(a) - len(p) for a, p in zip(added, plain)] == [1, 0, 0]
    assert added[0].bbox[-1].tolist() == objects[0]
    assert added[0].get_field("objectness")[-1] == 1


def test_objects_are_added_to_no_proposals():
    empty = BoxList(torch.zeros(0, 4), (100, 80))
    empty.add_field("objectness", torch.zeros(0))
    assert len(add_ground_truth([empty], [target([[1.0, 2, 3, 4]])])[0]) == 1


@pytest.mark.parametrize("per_batch", [True, False])
def test_fewer_boxes_than_the_limit(per_batch):
    proposals = selector(total=10**6, per_batch=per_batch, thresh=0)(*predictions(4, 3), SIZES)
    assert [len(p) for p in proposals] == [7, 7]
