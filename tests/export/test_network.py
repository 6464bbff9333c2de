"""The tensor form of a network, before it is traced, answers as the network itself does."""

import pytest
import torch
from PIL import Image

from maskrcnn_benchmark.export.network import ExportableNetwork
from maskrcnn_benchmark.export.parity import Parity
from maskrcnn_benchmark.export.reference import Reference
from maskrcnn_benchmark.export.signature import signature_of
from maskrcnn_benchmark.export.suppression import apart_nms, onnx_nms
from maskrcnn_benchmark.modeling.detector import build_detection_model
from maskrcnn_benchmark.predict.predictor import Predictor
from maskrcnn_benchmark.predict.trained_network import TrainedNetwork

LOW = ("MODEL.RETINANET.INFERENCE_TH", 0.008)
CASCADE = ("MODEL.ROI_BOX_HEAD.CASCADE.ENABLED", True, "MODEL.CLS_AGNOSTIC_BBOX_REG", True)
NETWORKS = {
    "faster": ("e2e_faster_rcnn_R_50_FPN_1x.yaml",),
    "mask": ("e2e_mask_rcnn_R_50_FPN_1x.yaml",),
    "C4": ("e2e_mask_rcnn_R_50_C4_1x.yaml",),
    "RetinaNet": ("retinanet/retinanet_R-50-FPN_1x.yaml", *LOW),
    "RetinaNet from P5": ("retinanet/retinanet_R-50-FPN_P5_1x.yaml", *LOW),
    "deformable": ("dcn/e2e_faster_rcnn_mdconv_R_50_FPN_1x.yaml",),
    "group norm": ("gn_baselines/e2e_faster_rcnn_R_50_FPN_Xconv1fc_1x_gn.yaml", "MODEL.GROUP_NORM.NUM_GROUPS", 4),
    "class-agnostic": ("e2e_faster_rcnn_R_50_FPN_1x.yaml", "MODEL.CLS_AGNOSTIC_BBOX_REG", True),
    "cascade": ("e2e_mask_rcnn_R_50_FPN_1x.yaml", *CASCADE),
    "cascade, C4": ("e2e_mask_rcnn_R_50_C4_1x.yaml", *CASCADE),
    "no suppression": ("e2e_faster_rcnn_R_50_FPN_1x.yaml", "MODEL.RPN.NMS_THRESH", 0.0, "MODEL.ROI_HEADS.NMS", 0.0),
    "all detections": ("e2e_faster_rcnn_R_50_FPN_1x.yaml", "MODEL.ROI_HEADS.DETECTIONS_PER_IMG", 0),
    "small ones left out": ("e2e_faster_rcnn_R_50_FPN_1x.yaml", "MODEL.RPN.MIN_SIZE", 24),
    "few of each level": ("e2e_faster_rcnn_R_50_FPN_1x.yaml", "MODEL.RPN.POST_NMS_TOP_N_TEST", 5),
    "without padding": ("e2e_faster_rcnn_R_50_FPN_1x.yaml", "DATALOADER.SIZE_DIVISIBILITY", 0),
    "RGB": ("e2e_faster_rcnn_R_50_FPN_1x.yaml", "INPUT.TO_BGR255", False, "INPUT.PIXEL_MEAN", [0.5, 0.4, 0.3]),
}


def differences(network, images, nms):
    reference, exported, parity = (
        Reference(network),
        ExportableNetwork(network.model, network.cfg, nms),
        Parity(signature_of(network.model)),
    )
    for image in images:
        with torch.no_grad():
            found = exported(torch.from_numpy(reference.input_of(image)))
        parity.compare(reference(image), {name: tensor.numpy() for name, tensor in found.items()}, str(image.size))
    return parity


@pytest.mark.parametrize("name", NETWORKS)
def test_region_answers_are_the_networks(make_network, scenes, name):
    parity = differences(make_network(*NETWORKS[name]), scenes[1:3], apart_nms)
    assert parity.faults == []
    assert parity.tasks["detection"].compared >= 10


def test_onnx_suppression_keeps_the_same(make_network, scenes):
    parity = differences(make_network(*NETWORKS["mask"]), scenes, onnx_nms)
    assert parity.faults == [] and parity.tasks["instance"].compared >= 10


def test_all_eight_tasks_are_answered_alike(small, scenes):
    network = Predictor(small.checkpoint, device="cpu").network
    parity = differences(network, scenes, apart_nms)
    assert parity.faults == []
    assert list(parity.tasks) == [
        *("detection", "instance", "keypoint", "part", "semantic", "boundary", "occlusion", "classification")
    ]


def test_people_alone_have_joints_and_owners_alone_parts(small, scenes):
    network = Predictor(small.checkpoint, device="cpu").network
    exported = ExportableNetwork(network.model, network.cfg, apart_nms)
    answers = exported(torch.from_numpy(Reference(network).input_of(scenes[0])))
    person = network.vocabulary.thing_names.index("person") + 1
    is_person = answers["labels"] == person
    assert (answers["keypoints"].flatten(1) != 0).any(1).tolist() == is_person.tolist()
    assert (answers["parts"].sum(1) - 1).abs().max() < 1e-5


def test_an_image_without_objects_has_none(small):
    network = Predictor(small.checkpoint, options=["MODEL.ROI_HEADS.SCORE_THRESH", 1.0], device="cpu").network
    parity = differences(network, [Image.new("RGB", (133, 97), (90, 120, 140))], apart_nms)
    assert parity.faults == [] and parity.tasks["detection"].compared == 0


def test_parts_of_the_whole_image(small, scenes):
    network = small_with_part_map(small)
    parity = differences(network, scenes, apart_nms)
    assert parity.faults == [] and list(parity.tasks["part"].largest) == ["part_map"]


@pytest.mark.parametrize("name", ["distillation", "attention"])
def test_what_heads_read_behind_a_task_exchange(small, scenes, name):
    options = ("MODEL.TASK_EXCHANGE.NAME", name, "MODEL.TASK_EXCHANGE.CHANNELS", 8, "MODEL.TASK_EXCHANGE.GRID", 3)
    parity = differences(small_with_part_map(small, *options), scenes[1:3], apart_nms)
    assert parity.faults == [] and {"part", "semantic", "boundary", "occlusion"} <= parity.tasks.keys()


def small_with_part_map(small, *options):
    cfg = small.cfg.clone()
    cfg.merge_from_list(["MODEL.PART_HEAD", "fpn", *options])
    torch.manual_seed(0)
    model = build_detection_model(cfg, small.vocabulary).eval()
    return TrainedNetwork(model, cfg, small.vocabulary, "random")


def test_the_network_itself_is_left_alone(make_network, scenes):
    network = make_network("e2e_faster_rcnn_R_50_FPN_1x.yaml")
    before = Reference(network)(scenes[0])
    ExportableNetwork(network.model, network.cfg, apart_nms)
    after = Reference(network)(scenes[0])
    assert all((before[name] == after[name]).all() for name in before)
    assert next(network.model.backbone.body.layer3.parameters()).requires_grad
