"""The files themselves: written, read by what users have, and run on images of several sizes."""

import json

import numpy as np
import pytest
import torch

from maskrcnn_benchmark.config import cfg as default_cfg
from maskrcnn_benchmark.export.parity import Parity
from maskrcnn_benchmark.export.program_file import read_program, write_program
from maskrcnn_benchmark.export.reference import Reference
from maskrcnn_benchmark.export.signature import signature_of
from maskrcnn_benchmark.modeling.detector import build_detection_model
from maskrcnn_benchmark.predict.predictor import Predictor
from maskrcnn_benchmark.predict.trained_network import TrainedNetwork
from maskrcnn_benchmark.utils.errors import UserError


def narrow_predictor(small, tasks, *options):
    """Some tasks of a network that is narrow and, above all, has few layers to trace."""
    return Predictor(small.checkpoint, options=options, device="cpu", tasks=tasks)


def faults(network, run, scenes):
    reference, parity = Reference(network), Parity(signature_of(network.model))
    for scene in scenes:
        parity.compare(reference(scene), run(reference.input_of(scene)), str(scene.size))
    return parity.faults


@pytest.fixture(scope="module")
def program(small, tmp_path_factory):
    """(predictor, path) of a program that finds objects and joints."""
    predictor = narrow_predictor(small, ["detection", "keypoint"])
    path = tmp_path_factory.mktemp("program") / "model.pt2"
    write_program(predictor.network, predictor.tasks, path)
    return predictor, path


def test_a_program_answers_images_of_any_size(program, scenes):
    predictor, path = program
    assert faults(predictor.network, read_program(path), scenes) == []


@pytest.mark.slow
def test_a_program_finds_nothing_where_nothing_is(small, scenes, tmp_path):
    predictor = narrow_predictor(small, ["keypoint"], "MODEL.ROI_HEADS.SCORE_THRESH", 1.0)
    write_program(predictor.network, predictor.tasks, tmp_path / "model.pt2")
    answers = read_program(tmp_path / "model.pt2")(Reference(predictor.network).input_of(scenes[0]))
    assert answers["boxes"].shape == (0, 4) and answers["labels"].dtype == np.int64
    assert answers["keypoints"].shape == (0, len(small.vocabulary.joints), 3)


def test_a_program_is_read_by_torch_alone(program):
    _, path = program
    extra = {"metadata.json": ""}
    answers = torch.export.load(path, extra_files=extra).module()(torch.zeros(3, 32, 129, dtype=torch.uint8))
    assert list(answers) == ["boxes", "scores", "labels", "keypoints", "keypoint_scores"]
    assert json.loads(json.loads(extra["metadata.json"])["tasks"]) == ["detection", "keypoint"]


def test_a_file_names_its_answers_and_no_folder(program, small, tmp_path):
    predictor, path = program
    described = read_program(path).metadata
    assert json.loads(described["vocabulary"]) == small.vocabulary.to_dict()
    assert json.loads(described["input"])["max_size"] == predictor.network.cfg.INPUT.MAX_SIZE_TEST
    assert json.loads(described["outputs"])["boxes"]["task"] == "detection"
    (tmp_path / "config.yml").write_text(described["config"])
    read = default_cfg.clone()
    read.merge_from_file(str(tmp_path / "config.yml"))
    assert read.MODEL.ROI_BOX_HEAD == predictor.network.cfg.MODEL.ROI_BOX_HEAD
    assert str(small.cfg.DATASETS.DATA_DIR) not in described["config"] and "PATHS_CATALOG" not in described["config"]


def test_a_file_that_is_none_is_named(tmp_path):
    (tmp_path / "model.pt2").write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"model\.pt2 is no program of torch.export"):
        read_program(tmp_path / "model.pt2")


@pytest.fixture(scope="module")
def onnx(small, tmp_path_factory):
    """(predictor, path) of an ONNX file of maps and image labels."""
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    from maskrcnn_benchmark.export.onnx_file import write_onnx

    predictor = narrow_predictor(small, ["semantic", "occlusion", "classification"])
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    write_onnx(predictor.network, predictor.tasks, path)
    return predictor, path


def test_an_onnx_file_answers_images_of_any_size(onnx, scenes):
    from maskrcnn_benchmark.export.onnx_file import read_onnx

    predictor, path = onnx
    run = read_onnx(path)
    assert faults(predictor.network, run, scenes) == []
    assert json.loads(run.metadata["tasks"]) == ["semantic", "occlusion", "classification"]


def test_an_onnx_file_names_its_sides(onnx, small):
    import onnxruntime

    session = onnxruntime.InferenceSession(str(onnx[1]), providers=["CPUExecutionProvider"])
    assert [(i.name, i.type, i.shape) for i in session.get_inputs()] == [
        ("image", "tensor(uint8)", [3, "height", "width"])
    ]
    assert {o.name: o.shape for o in session.get_outputs()} == {
        "semantic": [len(small.vocabulary.semantic_names), "height", "width"],
        "occlusion": [3, "height", "width"],
        "classes": [len(small.vocabulary.image_label_names)],
    }


def test_an_onnx_file_that_is_none_is_named(tmp_path):
    pytest.importorskip("onnxruntime")
    from maskrcnn_benchmark.export.onnx_file import read_onnx

    (tmp_path / "model.onnx").write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"model\.onnx is no ONNX file"):
        read_onnx(tmp_path / "model.onnx")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["distillation", "attention"])
def test_files_of_a_network_with_a_task_exchange(small, scenes, tmp_path, name):
    """In images of other sizes than the one that was traced."""
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    from maskrcnn_benchmark.export.onnx_file import read_onnx, write_onnx

    cfg = small.cfg.clone()
    off = [word for key in ("DETECTION", "MASK", "KEYPOINT", "PART") for word in (f"MODEL.{key}_ON", False)]
    options = ("MODEL.TASK_EXCHANGE.NAME", name, "MODEL.TASK_EXCHANGE.CHANNELS", 8, "MODEL.TASK_EXCHANGE.GRID", 3)
    cfg.merge_from_list([*off, *options])
    torch.manual_seed(0)
    network = TrainedNetwork(build_detection_model(cfg, small.vocabulary).eval(), cfg, small.vocabulary, "random")
    tasks = ["semantic", "boundary", "occlusion", "classification"]
    write_program(network, tasks, tmp_path / "model.pt2")
    assert faults(network, read_program(tmp_path / "model.pt2"), scenes) == []
    write_onnx(network, tasks, tmp_path / "model.onnx")
    assert faults(network, read_onnx(tmp_path / "model.onnx"), scenes) == []


@pytest.mark.slow
def test_an_onnx_file_of_all_tasks(small, scenes, tmp_path):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    from maskrcnn_benchmark.export.onnx_file import read_onnx, write_onnx

    predictor = narrow_predictor(small, None)
    write_onnx(predictor.network, predictor.tasks, tmp_path / "all.onnx")
    assert faults(predictor.network, read_onnx(tmp_path / "all.onnx"), scenes) == []
    none = narrow_predictor(small, None, "MODEL.ROI_HEADS.SCORE_THRESH", 1.0)
    write_onnx(none.network, none.tasks, tmp_path / "none.onnx")
    answers = read_onnx(tmp_path / "none.onnx")(Reference(none.network).input_of(scenes[0]))
    assert len(answers["boxes"]) == len(answers["masks"]) == len(answers["keypoints"]) == len(answers["parts"]) == 0
    assert faults(none.network, read_onnx(tmp_path / "none.onnx"), scenes) == []


@pytest.mark.slow
@pytest.mark.parametrize("task", ["detection", "instance", "keypoint", "part", "boundary"])
def test_an_onnx_file_of_one_task(small, scenes, tmp_path, task):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    from maskrcnn_benchmark.export.onnx_file import read_onnx, write_onnx

    predictor = narrow_predictor(small, [task])
    write_onnx(predictor.network, predictor.tasks, tmp_path / "one.onnx")
    assert faults(predictor.network, read_onnx(tmp_path / "one.onnx"), scenes) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "config, options",
    [
        ("retinanet/retinanet_R-50-FPN_1x.yaml", ("MODEL.RETINANET.INFERENCE_TH", 0.008)),
        ("e2e_mask_rcnn_R_50_C4_1x.yaml", ()),
        ("dcn/e2e_faster_rcnn_mdconv_R_50_FPN_1x.yaml", ()),
    ],
)
def test_files_of_other_detectors(make_network, scenes, tmp_path, config, options):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    from maskrcnn_benchmark.export.onnx_file import read_onnx, write_onnx

    network = make_network(config, *options)
    assert isinstance(network, TrainedNetwork)
    write_onnx(network, ["detection"], tmp_path / "model.onnx")
    assert faults(network, read_onnx(tmp_path / "model.onnx"), scenes) == []
    write_program(network, ["detection"], tmp_path / "model.pt2")
    assert faults(network, read_program(tmp_path / "model.pt2"), scenes) == []
