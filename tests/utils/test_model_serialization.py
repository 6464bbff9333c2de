"""Matching the names of a file with those of a model."""

import logging
from collections import OrderedDict

import pytest
import torch
from torch import nn

from maskrcnn_benchmark.utils.model_serialization import load_state_dict, strip_prefix_if_present


def nested_model():
    model = nn.Module()
    model.block1 = nn.Module()
    model.block1.layer1 = nn.Linear(2, 3)
    model.layer2 = nn.Linear(3, 2)
    model.res = nn.Module()
    model.res.layer2 = nn.Linear(3, 2)
    return model


def file_of_nested_model():
    return {
        "layer1.weight": torch.rand(3, 2),
        "layer1.bias": torch.rand(3),
        "layer2.weight": torch.rand(2, 3),
        "layer2.bias": torch.rand(2),
        "res.layer2.weight": torch.rand(2, 3),
        "res.layer2.bias": torch.rand(2),
    }


def test_names_are_matched_by_their_longest_common_suffix():
    for wrap in (lambda m: m, nn.DataParallel):
        model, state = nested_model(), file_of_nested_model()
        report = load_state_dict(wrap(model), state)
        for loaded, stored in zip(model.state_dict().values(), state.values()):
            assert loaded is not stored and loaded.equal(stored)
        assert not report.missing and not report.unused and not report.mismatched


def test_a_module_prefix_in_the_file_does_not_matter():
    model = nested_model()
    state = {f"module.{name}": torch.rand_like(value) for name, value in model.state_dict().items()}
    load_state_dict(model, state)
    assert model.res.layer2.bias.equal(state["module.res.layer2.bias"])


def test_a_prefix_that_only_some_names_have_stays():
    assert set(strip_prefix_if_present({"module.a": 1, "b": 2}, "module.")) == {"module.a", "b"}
    assert set(strip_prefix_if_present({"module.a": 1, "module.b": 2}, "module.")) == {"a", "b"}


def test_suffixes_are_counted_in_whole_components():
    model = nn.Module()
    model.xlayer = nn.Linear(2, 2)
    report = load_state_dict(model, {"layer.weight": torch.zeros(2, 2), "layer.bias": torch.zeros(2)})
    assert report.missing == ["xlayer.weight", "xlayer.bias"] and report.unused == ["layer.weight", "layer.bias"]


def test_another_shape_is_reported_and_left_alone():
    model = nested_model()
    before = model.layer2.weight.clone()
    state = file_of_nested_model() | {"layer2.weight": torch.rand(5, 3)}
    report = load_state_dict(model, state)
    assert report.mismatched == [("layer2.weight", (2, 3), "layer2.weight", (5, 3))]
    assert model.layer2.weight.equal(before) and model.layer2.bias.equal(state["layer2.bias"])


def test_what_either_side_has_alone_is_reported():
    model = nested_model()
    state = file_of_nested_model()
    del state["layer1.bias"]
    state["head.weight"] = torch.rand(1)
    report = load_state_dict(model, state)
    assert report.missing == ["block1.layer1.bias"] and report.unused == ["head.weight"]


def test_the_report_is_one_block_that_gives_reasons(caplog):
    model = nn.Module()
    model.predictor = nn.Module()
    model.predictor.cls_score = nn.Linear(2, 21)
    model.predictor.bbox_pred = nn.Linear(2, 8)
    model.fc6 = nn.Linear(4, 2)
    model.fc7 = nn.Linear(2, 2)
    state = {"predictor.cls_score.weight": torch.zeros(81, 2), "predictor.cls_score.bias": torch.zeros(81)}
    state |= {
        "bbox_pred.weight": torch.zeros(8, 3),
        "fc6.weight": torch.zeros(2, 5),
        "other.x.y": torch.zeros(1),
    }
    state |= {"fc7.weight": torch.zeros(2, 2)}
    load_state_dict(model, state)
    assert [record.getMessage().splitlines() for record in caplog.records] == [
        [
            "weights: 1 of the model's 8 tensors were in the file",
            "  predictor.cls_score (weight, bias): 81 classes in the file, 21 here; kept as it was",
            "  predictor.bbox_pred (weight): (8, 3) in the file (as bbox_pred.weight), (8, 2) here; kept as it was",
            "  fc6 (weight): (2, 5) in the file (as fc6.weight), (2, 4) here; kept as it was",
            "  not in the file, kept as they were: predictor.bbox_pred (1), fc6.bias (1), fc7.bias (1)",
            "  in the file but not in the model: other.x (1)",
        ]
    ]


@pytest.mark.parametrize("blocks, line", [(3, "3 blocks in the file, 2 here"), (1, "1 block in the file, 2 here")])
def test_a_network_of_another_depth_is_a_warning(caplog, blocks, line):
    def stage(count):
        parts = [nn.Sequential(OrderedDict(conv1=nn.Conv2d(2, 2, 1))) for _ in range(count)]
        return nn.Sequential(OrderedDict(layer3=nn.Sequential(*parts)))

    model = nn.Sequential(OrderedDict(backbone=stage(2)))
    with caplog.at_level(logging.WARNING):
        load_state_dict(model, stage(2).state_dict())
        assert not caplog.records
        load_state_dict(model, stage(blocks).state_dict())
    assert f"  backbone.layer3: {line}; give the config or the weights of the other depth" in caplog.text
