"""Trunk, pyramid and proposals beside numbers recorded from the original library.

DETAIL_PARITY_DATA names the folder with the recordings (*.npz), the rule for the weights (reference_weights.py) and,
there or one folder above, the names and shapes of the original's tensors (state_dict_keys.json).
"""

import importlib.util
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from maskrcnn_benchmark.config import cfg
from maskrcnn_benchmark.modeling.backbone import build_backbone
from maskrcnn_benchmark.modeling.rpn.rpn import build_rpn
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.image_list import to_image_list

# What e2e_mask_rcnn_R_50_FPN_1x.yaml says about the trunk and the proposals
R_50_FPN = [
    *("MODEL.BACKBONE.CONV_BODY", "R-50-FPN", "MODEL.RESNETS.BACKBONE_OUT_CHANNELS", 256),
    *("MODEL.RPN.USE_FPN", True, "MODEL.RPN.ANCHOR_STRIDE", (4, 8, 16, 32, 64)),
    *("MODEL.RPN.PRE_NMS_TOP_N_TRAIN", 2000, "MODEL.RPN.PRE_NMS_TOP_N_TEST", 1000),
    *("MODEL.RPN.POST_NMS_TOP_N_TEST", 1000, "MODEL.RPN.FPN_POST_NMS_TOP_N_TEST", 1000),
]


@pytest.fixture(scope="module")
def folder():
    path = Path(os.environ.get("DETAIL_PARITY_DATA", "nowhere"))
    if not (path / "reference_weights.py").is_file():
        pytest.skip("set DETAIL_PARITY_DATA to the folder of the original library's numbers to run this test")
    return path


@pytest.fixture(scope="module")
def weights_rule(folder):
    spec = importlib.util.spec_from_file_location("reference_weights", folder / "reference_weights.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def recording(folder):
    data = np.load(folder / "e2e_mask_rcnn_R_50_FPN_1x.npz")
    return data, json.loads(str(data["meta"]))


def options(*lists):
    config = cfg.clone()
    for pairs in (R_50_FPN, *lists):
        config.merge_from_list(pairs)
    return config


def build(config, weights_rule, shapes):
    backbone = build_backbone(config)
    model = nn.ModuleDict({"backbone": backbone, "rpn": build_rpn(config, backbone.out_channels)})
    weights = weights_rule.fill({name: shapes[name] for name in model.state_dict()})
    model.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
    return model


def images(weights_rule, config, sizes):
    mean = torch.tensor(config.INPUT.PIXEL_MEAN)[:, None, None]
    arrays = [weights_rule.image(height, width, index) for index, (height, width) in enumerate(sizes)]
    return to_image_list([torch.from_numpy(a).permute(2, 0, 1).float() - mean for a in arrays], 32)


def test_features_and_proposals_of_mask_rcnn(weights_rule, recording):
    data, meta = recording
    config = options(meta["opts"])
    model = build(config, weights_rule, meta["shapes"]).eval()
    batch = images(weights_rule, config, meta["sizes"][:1])
    with torch.no_grad():
        features = model["backbone"](batch.tensors)
        (proposals,), _ = model["rpn"](batch, features)
    for level, found in enumerate(features):
        expected = data[f"feature{level}"]
        assert tuple(found.shape) == tuple(data[f"feature{level}_shape"])
        sampled = found.flatten()[torch.linspace(0, found.numel() - 1, 512).long()].numpy()
        assert np.abs(sampled - expected).max() < 1e-4 * expected.std()
    expected = torch.from_numpy(data["proposal_boxes"])
    assert len(proposals) == len(expected)
    distance = (proposals.bbox[:, None] - expected).abs().amax(2).amin(0)
    assert (distance < 1).float().mean() >= 0.99
    assert np.allclose(proposals.get_field("objectness").numpy(), data["proposal_objectness"], atol=1e-4)


def test_losses_and_gradients_of_a_step(weights_rule, recording):
    _, meta = recording
    config = options(meta["opts"], meta["train_opts"])
    model = build(config, weights_rule, meta["shapes"]).train()
    batch = images(weights_rule, config, meta["sizes"])
    targets = [
        ImageAnnotations(truth["size"], instances=BoxList(torch.tensor(truth["boxes"]), truth["size"]))
        for truth in weights_rule.targets(meta["sizes"], 81)
    ]
    losses = model["rpn"](batch, model["backbone"](batch.tensors), targets)[1]
    assert {name: loss.item() for name, loss in losses.items()} == pytest.approx(
        {name: meta["losses"][name] for name in losses}, rel=1e-4
    )
    sum(losses.values()).backward()
    for name, parameter in model["rpn"].named_parameters():
        expected = meta["grad_norms"].get(f"rpn.{name}")
        if expected is not None:
            assert parameter.grad.norm().item() == pytest.approx(expected, rel=1e-3), name


@pytest.mark.parametrize(
    "config_name, pairs",
    [
        ("e2e_faster_rcnn_R_50_FPN_1x.yaml", []),
        ("e2e_faster_rcnn_R_101_FPN_1x.yaml", ["MODEL.BACKBONE.CONV_BODY", "R-101-FPN"]),
        (
            "e2e_faster_rcnn_X_101_32x8d_FPN_1x.yaml",
            [
                *("MODEL.BACKBONE.CONV_BODY", "R-101-FPN", "MODEL.RESNETS.STRIDE_IN_1X1", False),
                *("MODEL.RESNETS.NUM_GROUPS", 32, "MODEL.RESNETS.WIDTH_PER_GROUP", 8),
            ],
        ),
        (
            "dcn/e2e_faster_rcnn_mdconv_R_50_FPN_1x.yaml",
            [
                *("MODEL.RESNETS.STAGE_WITH_DCN", (False, True, True, True)),
                *("MODEL.RESNETS.WITH_MODULATED_DCN", True),
            ],
        ),
        (
            "gn_baselines/e2e_faster_rcnn_R_50_FPN_1x_gn.yaml",
            [
                *("MODEL.RESNETS.TRANS_FUNC", "BottleneckWithGN", "MODEL.RESNETS.STEM_FUNC", "StemWithGN"),
                *("MODEL.FPN.USE_GN", True),
            ],
        ),
        (
            "e2e_faster_rcnn_R_50_C4_1x.yaml",
            [
                *("MODEL.BACKBONE.CONV_BODY", "R-50-C4", "MODEL.RPN.USE_FPN", False),
                *("MODEL.RPN.ANCHOR_STRIDE", (16,), "MODEL.RESNETS.BACKBONE_OUT_CHANNELS", 1024),
            ],
        ),
    ],
)
def test_names_and_shapes_of_all_tensors(folder, config_name, pairs):
    files = [f for f in (folder / "state_dict_keys.json", folder.parent / "state_dict_keys.json") if f.is_file()]
    if not files:
        pytest.skip("no state_dict_keys.json beside the recordings")
    entry = next(e for e in json.loads(files[0].read_text()) if config_name in e["configs"])
    expected = {n: tuple(s) for n, s in entry["tensors"].items() if n.startswith(("backbone.", "rpn."))}
    config = options(pairs)
    with torch.device("meta"):
        backbone = build_backbone(config)
        model = nn.ModuleDict({"backbone": backbone, "rpn": build_rpn(config, backbone.out_channels)})
    assert {name: tuple(value.shape) for name, value in model.state_dict().items()} == expected
