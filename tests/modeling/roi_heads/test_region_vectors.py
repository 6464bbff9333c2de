"""Heads of one vector per region: which features they read, and how their loss is counted."""

import functools

import pytest
import torch
from torch.nn import functional as F

from maskrcnn_benchmark.modeling.roi_heads.region_vectors import RegionVectorHead
from maskrcnn_benchmark.modeling.roi_heads.regions import ROI_FEATURES
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations

SIZE = (64, 64)


def regions(features, labels=(2, 1, 0), matched=(1, 0, -1)):
    """Sampled regions with features, two of them with an object."""
    boxes = BoxList(torch.tensor([[0.0, 0, 9, 9], [5, 5, 20, 20], [30, 30, 40, 40]])[: len(labels)], SIZE)
    boxes.add_field("labels", torch.tensor(labels))
    boxes.add_field("matched_idxs", torch.tensor(matched))
    boxes.add_field(ROI_FEATURES, features)
    return boxes


def annotated(*values):
    instances = BoxList(torch.tensor([[5.0, 5, 20, 20], [0, 0, 9, 9]]), SIZE)
    if values:
        instances.add_field("size", torch.tensor(values))
    return ImageAnnotations(SIZE, instances=instances)


def make_head(outputs, loss, **options):
    """A head whose outputs are its features."""
    head = RegionVectorHead(outputs, outputs, "size", label_of, functools.partial(loss, reduction="none"), **options)
    with torch.no_grad():
        head.predictor.weight.copy_(torch.eye(outputs))
    return head


def label_of(annotations):
    instances = annotations.instances
    return instances.get_field("size") if instances.has_field("size") else None


def test_the_loss_is_the_mean_over_the_entries_that_are_known():
    head = make_head(2, F.l1_loss)
    features = torch.tensor([[1.0, 2.0], [3.0, 4.0], [50.0, 60.0]])
    target = annotated([3.5, float("nan")], [0.0, 1.0])
    _, losses = head([], [regions(features)], [target])
    assert losses["loss_size"].item() == pytest.approx((1 + 1 + 0.5) / 3)
    losses["loss_size"].backward()
    assert head.predictor.weight.grad.isfinite().all()


def test_of_a_loss_per_region_every_label_must_be_known():
    def distance(outputs, labels, reduction):
        return (outputs - labels).abs().sum(dim=1)

    target = annotated([3.5, float("nan")], [0.0, 1.0])
    features = torch.tensor([[1.0, 2.0], [3.0, 4.0], [50.0, 60.0]])
    assert make_head(2, distance)([], [regions(features)], [target])[1]["loss_size"].item() == pytest.approx(2)


def test_a_class_is_learnt_from_the_objects_whose_class_is_known():
    head = make_head(3, F.cross_entropy)
    features = torch.tensor([[0.0, 5.0, 0.0], [7.0, 0.0, 0.0], [0.0, 0.0, 9.0]])
    images = [regions(features), regions(features), regions(features[:0], (), ())]
    targets = [annotated(0, 1), annotated(-1, 2), annotated()]
    expected = F.cross_entropy(features[[0, 1, 0]], torch.tensor([1, 0, 2]))
    torch.testing.assert_close(head([], images, targets)[1]["loss_size"], expected)
    assert head([], images, [annotated(-1, -1), annotated(), annotated()])[1] == {}


def test_features_are_vectors_or_the_mean_of_maps_of_the_box_head_or_of_its_own():
    maps = torch.arange(24.0).reshape(3, 2, 2, 2)
    (found,), losses = make_head(2, F.l1_loss, activation=torch.neg)([], [regions(maps)])
    assert losses == {} and found.get_field("size").tolist() == [[-1.5, -5.5], [-9.5, -13.5], [-17.5, -21.5]]
    own = torch.nn.Module()
    own.forward = lambda features, boxes: torch.full((sum(map(len, boxes)), 2), 7.0)
    boxes = regions(maps).copy_with_fields(["labels"])
    (found,), _ = make_head(2, F.l1_loss, feature_extractor=own)([], [boxes])
    assert found.get_field("size").tolist() == [[7.0, 7.0]] * 3
