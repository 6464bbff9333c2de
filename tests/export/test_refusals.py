"""What cannot be exported is said by name, before anything is written."""

import importlib.util

import pytest
from torch import nn

from maskrcnn_benchmark.export.refusals import check_exportable, check_packages
from maskrcnn_benchmark.utils.errors import UserError


@pytest.mark.parametrize(
    "options, name",
    [
        (("TEST.BBOX_AUG.ENABLED", True), r"TEST\.BBOX_AUG\.ENABLED"),
        (("MODEL.RPN_ONLY", True), r"MODEL\.RPN_ONLY"),
        (("MODEL.ROI_MASK_HEAD.POSTPROCESS_MASKS", True), r"MODEL\.ROI_MASK_HEAD\.POSTPROCESS_MASKS"),
        (("MODEL.COMPILE", True), r"MODEL\.COMPILE"),
        (("MODEL.BOX_CONVENTION", "torchvision"), r"MODEL\.BOX_CONVENTION is 'torchvision'"),
    ],
)
def test_options_are_named(small, options, name):
    cfg = small.cfg.clone()
    cfg.merge_from_list(list(options))
    with pytest.raises(UserError, match=f"^this network cannot be exported: {name}"):
        check_exportable(cfg, small.model)


def test_a_network_of_this_package_is_not_refused(small, make_network):
    check_exportable(small.cfg, small.model)
    for config in ("retinanet/retinanet_R-50-FPN_1x.yaml", "e2e_mask_rcnn_R_50_C4_1x.yaml"):
        network = make_network(config)
        check_exportable(network.cfg, network.model)


class Foreign(nn.Module):
    pooler = None


@pytest.mark.parametrize(
    "place, name, reason",
    [
        ("roi_heads", "mask", r"no tensor form of the head Foreign, only of ROIMaskHead"),
        ("heads", "boundary", r"the head of the task 'boundary' \(Foreign\) has no method `scores`"),
        ("heads", "focus", r"no task has the head fpn_heads\.heads\.focus \(Foreign\)"),
    ],
)
def test_modules_of_ones_own_are_named(make_network, small, monkeypatch, place, name, reason):
    heads = small.model.roi_heads if place == "roi_heads" else small.model.fpn_heads.heads
    monkeypatch.setitem(heads._modules, name, Foreign())
    with pytest.raises(UserError, match=reason):
        check_exportable(small.cfg, small.model)


def test_a_feature_extractor_without_a_pooler_is_named(small, monkeypatch):
    monkeypatch.setitem(small.model.roi_heads["part"]._modules, "feature_extractor", Foreign())
    with pytest.raises(UserError, match=r"Foreign of the head roi_heads\.part has no `Pooler`"):
        check_exportable(small.cfg, small.model)


def test_missing_packages_are_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "onnxruntime" else name)
    with pytest.raises(UserError, match=r'needs onnxruntime, .*pip install "maskrcnn-benchmark\[export\]"'):
        check_packages()
