"""Every configuration of the original builds its model, and each family of models runs.

The folder of DETAIL_PARITY_DATA, or the one above it, may hold state_dict_keys.json (a list of {configs, tensors:
{name: shape}}): then the names and shapes of every tensor of every model are compared.
"""

import copy
import json
import os
from pathlib import Path

import pytest
import torch

from maskrcnn_benchmark.config import cfg
from maskrcnn_benchmark.modeling.detector import build_detection_model
from maskrcnn_benchmark.structures.image_list import to_image_list
from maskrcnn_benchmark.utils.errors import UserError

ROOT = Path(__file__).parents[3] / "configs"

# One of each family, with what its answers hold
SCORED = {"scores", "labels"}
FAMILIES = {
    "bases/Base-RCNN-C4": SCORED,
    "bases/Base-RCNN-FPN": SCORED,
    "bases/Base-Mask-RCNN-FPN": SCORED | {"mask"},
    "caffe2/e2e_mask_rcnn_R_50_C4_1x_caffe2": SCORED | {"mask"},
    "cityscapes/e2e_mask_rcnn_R_50_FPN_1x_poly": SCORED | {"mask"},
    "dcn/e2e_faster_rcnn_dconv_R_50_FPN_1x": SCORED,
    "dcn/e2e_mask_rcnn_mdconv_R_50_FPN_1x": SCORED | {"mask"},
    "e2e_keypoint_rcnn_R_50_FPN_1x": SCORED | {"keypoints"},
    "e2e_mask_rcnn_X_101_32x8d_FPN_1x": SCORED | {"mask"},
    "gn_baselines/e2e_faster_rcnn_R_50_FPN_1x_gn": SCORED,
    "gn_baselines/scratch_e2e_mask_rcnn_R_50_FPN_Xconv1fc_3x_gn": SCORED | {"mask"},
    "pascal_voc/e2e_faster_rcnn_R_50_C4_1x_1_gpu_voc": SCORED,
    "retinanet/retinanet_R-50-FPN_1x": SCORED,
    "retinanet/retinanet_R-50-FPN_P5_1x": SCORED,
    "rpn_R_50_C4_1x": {"objectness"},
    "rpn_R_50_FPN_1x": {"objectness"},
}

# A family's wiring at a fraction of its width, on few regions
THIN = {
    "MODEL.RESNETS.STEM_OUT_CHANNELS": 8,
    "MODEL.RESNETS.RES2_OUT_CHANNELS": 32,
    "MODEL.GROUP_NORM.NUM_GROUPS": 4,
    "MODEL.RPN.POST_NMS_TOP_N_TEST": 10,
    "MODEL.RPN.FPN_POST_NMS_TOP_N_TEST": 10,
    "MODEL.ROI_HEADS.SCORE_THRESH": 0.0,
    "MODEL.ROI_HEADS.DETECTIONS_PER_IMG": 5,
    "MODEL.ROI_BOX_HEAD.MLP_HEAD_DIM": 16,
    "MODEL.ROI_BOX_HEAD.CONV_HEAD_DIM": 16,
    "MODEL.ROI_MASK_HEAD.CONV_LAYERS": (16, 16),
    "MODEL.ROI_KEYPOINT_HEAD.CONV_LAYERS": (16, 16),
    "MODEL.RETINANET.INFERENCE_TH": 0.0,
    "TEST.DETECTIONS_PER_IMG": 5,
}


def load(name):
    config = copy.deepcopy(cfg)
    config.merge_from_file(ROOT / f"{name}.yaml")
    return config


def thin(config):
    config.merge_from_list([item for pair in THIN.items() for item in pair])
    config.MODEL.RESNETS.WIDTH_PER_GROUP = 8 if config.MODEL.RESNETS.NUM_GROUPS == 1 else 1
    # A C4 backbone has the width of its third stage
    config.MODEL.RESNETS.BACKBONE_OUT_CHANNELS = 128 if config.MODEL.BACKBONE.CONV_BODY.endswith("C4") else 32
    return config


def networks():
    """(name, config) of each network that the configurations describe, which many share."""
    found = {}
    for path in sorted(ROOT.rglob("*.yaml")):
        config = cfg.clone()
        config.merge_from_file(path)
        config.MODEL.WEIGHT = ""
        found.setdefault(config.MODEL.dump(), (path.relative_to(ROOT).as_posix(), config))
    return list(found.values())


@pytest.mark.parametrize(("name", "config"), networks())
def test_every_network_of_the_configurations_builds(name, config):
    with torch.device("meta"):
        model = build_detection_model(config)
    assert model.backbone.out_channels == config.MODEL.RESNETS.BACKBONE_OUT_CHANNELS
    assert (model.rpn is None) != config.MODEL.DETECTION_ON
    two_stages = config.MODEL.DETECTION_ON and not config.MODEL.RPN_ONLY and not config.MODEL.RETINANET_ON
    assert (model.roi_heads is not None) == two_stages


@pytest.fixture(scope="module")
def tensors_of_models():
    folder = Path(os.environ.get("DETAIL_PARITY_DATA", "nowhere"))
    for path in (folder / "state_dict_keys.json", folder.parent / "state_dict_keys.json"):
        if path.is_file():
            return json.loads(path.read_text())
    pytest.skip("set DETAIL_PARITY_DATA to a folder in or below the one of state_dict_keys.json to run this test")


def test_names_and_shapes_of_all_tensors_are_the_originals(tensors_of_models):
    for entry in tensors_of_models:
        expected = {name: tuple(shape) for name, shape in entry["tensors"].items()}
        for name in entry["configs"]:
            with torch.device("meta"):
                model = build_detection_model(load(name.removesuffix(".yaml")))
            assert {key: tuple(value.shape) for key, value in model.state_dict().items()} == expected, name


@pytest.mark.parametrize("name", FAMILIES)
def test_each_family_runs_in_evaluation_with_gradients_on(name):
    config = thin(load(name))
    torch.manual_seed(0)
    model = build_detection_model(config).eval()
    sizes = [(128, 160), (120, 112)]
    images = to_image_list([40 * torch.randn(3, *size) for size in sizes], config.DATALOADER.SIZE_DIVISIBILITY)
    answers = model(images)
    assert [answer.size for answer in answers] == [(width, height) for height, width in sizes]
    for answer in answers:
        assert set(answer.fields()) == FAMILIES[name]
        assert len(answer) > 0
        limits = torch.tensor(answer.size * 2) - 1
        assert (answer.bbox >= 0).all() and (answer.bbox <= limits).all()
        if "labels" in FAMILIES[name]:
            group = config.MODEL.RETINANET if config.MODEL.RETINANET_ON else config.MODEL.ROI_BOX_HEAD
            labels = answer.get_field("labels")
            assert labels.min() >= 1 and labels.max() < group.NUM_CLASSES
        if "mask" in FAMILIES[name]:
            side = config.MODEL.ROI_MASK_HEAD.RESOLUTION
            assert answer.get_field("mask").shape == (len(answer), 1, side, side)
        if "keypoints" in FAMILIES[name]:
            assert answer.get_field("keypoints").keypoints.shape == (len(answer), 17, 3)
    score = "objectness" if "objectness" in FAMILIES[name] else "scores"
    sum(answer.bbox.sum() + answer.get_field(score).sum() for answer in answers).backward()
    last_stage = [p for p in model.backbone.body.parameters() if p.requires_grad][-1]
    assert torch.isfinite(last_stage.grad).all() and last_stage.grad.abs().sum() > 0


def test_an_unknown_architecture_is_the_users_error():
    config = copy.deepcopy(cfg)
    config.MODEL.META_ARCHITECTURE = "GeneralizedRCN"
    with pytest.raises(UserError, match=r"MODEL\.META_ARCHITECTURE is 'GeneralizedRCN', but must be GeneralizedRCNN"):
        build_detection_model(config)
