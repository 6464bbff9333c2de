"""Files of every kind come in through one door."""

import pickle

import numpy as np
import pytest
import torch
from tiny_models import CASCADE, FPN, make_cfg, make_model, skeleton
from torch import nn

from maskrcnn_benchmark.config import cfg
from maskrcnn_benchmark.utils.checkpoint import DetectronCheckpointer
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.model_serialization import load_state_dict
from maskrcnn_benchmark.utils.weights.fitting_weights import fitting_weights
from maskrcnn_benchmark.utils.weights.weight_file import convert, read_checkpoint, split_checkpoint


@pytest.mark.parametrize("name", ["a.pth", "a.pkl", "a.bin", "a.safetensors"])
@pytest.mark.parametrize("is_zip", [True, False])
def test_the_content_tells_a_torch_file_whatever_its_name(tmp_path, name, is_zip):
    torch.save({"w": torch.ones(2)}, tmp_path / name, _use_new_zipfile_serialization=is_zip)
    assert read_checkpoint(tmp_path / name)["w"].equal(torch.ones(2))


@pytest.mark.parametrize("name", ["a.pth", "a.PKL", "a.bin"])
def test_the_content_tells_a_pickle_of_arrays_whatever_its_name(tmp_path, name):
    (tmp_path / name).write_bytes(pickle.dumps({"w": np.ones(2)}))
    assert read_checkpoint(tmp_path / name)["w"].tolist() == [1, 1]


@pytest.mark.parametrize("key", ["model", "state_dict"])
def test_weights_are_found_under_the_usual_keys(tmp_path, key):
    model = nn.Linear(2, 2)
    torch.save({key: {f"module.{n}": t for n, t in model.state_dict().items()}, "epoch": 3}, tmp_path / "a.pth")
    weights, rest = split_checkpoint(read_checkpoint(tmp_path / "a.pth"), tmp_path / "a.pth")
    assert weights["weight"].equal(model.weight) and rest == {"epoch": 3}


def test_arrays_of_another_byte_order_become_tensors():
    weights, _ = split_checkpoint({"blobs": {"a_w": np.arange(3, dtype=">f4")}}, "a.pkl")
    assert weights["a_w"].tolist() == [0, 1, 2]


def test_lists_beside_the_blobs_of_a_classifier_are_left_out():
    model = skeleton({"a.w": (2,)})
    weights, _ = fitting_weights(model, cfg, {"w": np.ones(2, np.float32), "names": ["cat"]}, "R-50.pkl")
    assert set(weights) == {"w"}


def test_a_list_is_no_checkpoint(tmp_path):
    (tmp_path / "a.pkl").write_bytes(pickle.dumps([1]))
    with pytest.raises(UserError, match=r"a\.pkl holds a list"):
        read_checkpoint(tmp_path / "a.pkl")


def test_another_librarys_optimizer_and_iteration_are_left_behind(tmp_path):
    model = make_model(make_cfg(FPN))
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    stem = model.backbone.body.stem.conv1.weight.shape
    data = {"model": {"backbone.bottom_up.stem.conv1.weight": torch.ones(stem)}, "optimizer": {"x": 1}, "iteration": 9}
    data["model"]["backbone.bottom_up.stem.conv1.norm.weight"] = torch.ones(stem[0])
    torch.save(data, tmp_path / "model_final.pth")
    assert DetectronCheckpointer(make_cfg(FPN), model, optimizer).load(str(tmp_path / "model_final.pth")) == {}
    assert model.backbone.body.stem.conv1.weight.eq(1).all()


def test_our_own_names_are_no_other_librarys():
    assert convert(make_model(make_cfg(FPN)).state_dict(), nn.Module(), cfg, "a.pth").library is None


def test_each_head_of_a_cascade_begins_with_our_weights_of_a_plain_one():
    plain, cascade = (make_model(make_cfg(FPN, each)) for each in ({}, CASCADE))
    weights, _ = fitting_weights(cascade, make_cfg(FPN, CASCADE), {"model": plain.state_dict()}, "a.pth")
    report = load_state_dict(cascade, weights)
    for stage in cascade.roi_heads.box.stages:
        assert stage.feature_extractor.fc7.weight.equal(plain.roi_heads.box.feature_extractor.fc7.weight)
        assert stage.predictor.cls_score.bias.equal(plain.roi_heads.box.predictor.cls_score.bias)
    # one box for all classes is another last layer
    assert {name.split(".")[-2] for name, *_ in report.mismatched} == {"bbox_pred"}
    assert report.missing == report.unused == []
    weights, _ = fitting_weights(cascade, make_cfg(FPN, CASCADE), {"model": cascade.state_dict()}, "a.pth")
    assert list(weights) == list(cascade.state_dict())


@pytest.mark.parametrize(
    "weights",
    [
        {"backbone.fpn.inner_blocks.0.weight": (1,), "head.regression_head.conv.0.0.weight": (1,)},
        {"proposal_generator.rpn_head.objectness_logits.bias": (), "roi_heads.box_predictor.cls_score.bias": ()},
        {"conv1_w": (1,), "retnet_bbox_pred_fpn3_b": ()},
    ],
)
def test_known_names_with_odd_shapes_are_the_users_error(weights):
    tensors = {name: torch.ones(shape) for name, shape in weights.items()}
    with pytest.raises(UserError, match=r"odd\.pth: its tensors are not those of a network of"):
        fitting_weights(skeleton({}), make_cfg(), tensors, "odd.pth")
