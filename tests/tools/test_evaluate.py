"""Scoring result files from the command line: of a config's data set or of a file, and what is said when it fails."""

import json
import logging
import sys
from pathlib import Path

import numpy as np
import pytest
import toy_coco
import toy_panoptic
from PIL import Image

from maskrcnn_benchmark.data.datasets import DetailDataset
from maskrcnn_benchmark.data.mini_detail.writing import write_mini_detail
from maskrcnn_benchmark.evaluation.protocols import EdgeProtocol, Protocols
from maskrcnn_benchmark.evaluation.trivial import TrivialPredictor
from maskrcnn_benchmark.prediction_files.writer import PredictionWriter
from maskrcnn_benchmark.tasks.task import TASKS, Task, tasks_of_layout
from maskrcnn_benchmark.utils.cli import run_tool
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.imports import import_file

EIGHT = tasks_of_layout("detail")  # the eight of PASCAL in Detail

ROOT = Path(__file__).parents[2]
evaluate = import_file("evaluate", ROOT / "tools" / "evaluate.py")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with data/mini (annotations, no images), mini.yaml, and predictions of all tasks on its val images."""
    folder = tmp_path_factory.mktemp("place")
    root = write_mini_detail(folder / "data" / "mini", num_train=0, num_val=4)
    for path in (root / "images").iterdir():
        path.unlink()
    (root / "images").rmdir()
    (folder / "mini.yaml").write_text(f"DATASETS:\n  DATA_DIR: {folder / 'data'}\n  TEST: ('mini_val',)\n")
    dataset = DetailDataset(root / "annotations.json", None, "val")
    predictor = TrivialPredictor(EIGHT.values(), dataset.vocabulary).fit(map(dataset.get_annotations, range(4)))
    with PredictionWriter(folder / "predictions", dataset, EIGHT.values()) as writer:
        for index in range(4):
            prediction = predictor.predict(dataset.get_annotations(index).size)
            stored = {key: task.encode(prediction, dataset.vocabulary) for key, task in EIGHT.items()}
            writer.write(index, stored)
        writer.finish()
    return folder


@pytest.fixture
def call(place, monkeypatch, capsys, tmp_path):
    """call(option, ...) -> (exit code, screen, errors, results.json or None); "@x" stands for a path in the place."""

    def run(*options):
        words = [str(place / word[1:]) if word.startswith("@") else word for word in options]
        monkeypatch.setattr(sys, "argv", ["evaluate.py", "--output", str(tmp_path / "out"), *words])
        with pytest.raises(SystemExit) as caught:
            run_tool(evaluate.main)
        for handler in list(logging.getLogger("maskrcnn_benchmark").handlers):
            logging.getLogger("maskrcnn_benchmark").removeHandler(handler)
        path = tmp_path / "out" / "results.json"
        screen = capsys.readouterr()
        return caught.value.code, screen.out, screen.err, json.loads(path.read_text()) if path.is_file() else None

    return run


class Height(Task):
    """An added task that says nothing of its files."""

    key = "height"


@pytest.mark.parametrize("key", ["height", "workers"])
def test_an_added_task_has_an_option_of_its_own(monkeypatch, key):
    monkeypatch.setitem(TASKS, "height", Height())
    monkeypatch.setattr(Height, "key", key)
    if key == "workers":
        with pytest.raises(UserError, match=r"--workers is an option already; give that of 'workers' another name"):
            evaluate.parse_arguments([])
    else:
        arguments = evaluate.parse_arguments(["--height", "maps", "--segm", "masks.json"])
        assert evaluate.find_sources(arguments) == {"height": Path("maps"), "instance": Path("masks.json")}


EDGES = ("--edge-thresholds", "5", "--workers", "0")
ALL = ("--predictions", "@predictions", *EDGES)
FILE = ("--annotations", "@data/mini/annotations.json")


def test_a_folder_is_scored_by_config_and_by_file_alike_and_without_images(call):
    code, screen, _, by_config = call(*ALL, "--config-file", "@mini.yaml")
    assert code == 0 and list(by_config) == list(EIGHT) and "image classification" in screen
    code, _, _, by_file = call(*ALL, *FILE)
    assert code == 0 and by_file == by_config
    assert 0 < by_file["semantic"]["metrics"]["mIoU"] < 1


def test_single_files_in_the_folders_place(call):
    code, _, _, whole = call(*ALL, *FILE)
    single = (
        *("--bbox", "@predictions/bbox.json", "--keypoints", "@predictions/detail_keypoints.json"),
        *("--boundary", "@predictions/boundary", "--occlusion", "@predictions/occlusion"),
        *("--classification", "@predictions/classification.json"),
    )
    code, _, _, results = call(*single, *FILE, *EDGES)
    assert code == 0
    assert results == {t: whole[t] for t in ("detection", "keypoint", "boundary", "occlusion", "classification")}


@pytest.mark.parametrize("source", ["panoptic.json", "panoptic"])
def test_panoptic_annotations_are_recognised_and_score_themselves(call, tmp_path, source):
    path = toy_panoptic.save(tmp_path, toy_panoptic.content())
    code, screen, _, found = call("--annotations", str(path), "--panoptic", str(tmp_path / source), "--workers", "0")
    assert code == 0 and list(found) == ["panoptic"] and "panoptic segmentation" in screen
    assert found["panoptic"]["metrics"]["PQ"] == 1 and found["panoptic"]["headline"] == "PQ"


def test_chosen_tasks_alone_are_scored(call):
    _, _, _, whole = call(*ALL, *FILE)
    _, _, _, chosen = call(*ALL, *FILE, "--tasks", "boundary,detection")
    # a box is as large as its object's mask, whether masks are scored or not
    assert list(chosen) == ["detection", "boundary"] and chosen == {task: whole[task] for task in chosen}


def test_definitions_of_the_command_line_go_before_the_configs(place):
    words = ["--predictions", "x", "--config-file", str(place / "mini.yaml"), "--tasks", "boundary"]
    config = ["TEST.EDGE_THRESHOLDS", "7", "TEST.EDGE_CONVENTIONS", "seism", "TEST.DETECTION_PROTOCOL", "detail"]
    arguments = evaluate.parse_arguments([*words, *config, "--edge-thresholds", "9", "--no-edge-nms"])
    chosen = evaluate.choose_protocols(arguments, evaluate.dataset_config(arguments, ["boundary"]))
    assert chosen == Protocols(EdgeProtocol(9, 0.0075, False, "seism"), "detail")
    options = ["--edge-conventions", "seism", "--edge-max-distance", "0.011", "--detection-protocol", "detail"]
    options += ["--class-mean", "all"]
    chosen = evaluate.choose_protocols(evaluate.parse_arguments([*FILE, *options]), None)
    assert chosen == Protocols(EdgeProtocol(99, 0.011, True, "seism"), "detail", "all")


def test_other_networks_are_shown_beside(call, tmp_path):
    single = {"semantic": {"headline": "mIoU", "metrics": {"mIoU": 0.625}, "trivial": {}}}
    (tmp_path / "single.json").write_text(json.dumps(single))
    words = ("--tasks", "semantic", "--single-task", str(tmp_path / "single.json"))
    code, screen, _, results = call(*ALL, *FILE, *words)
    score = results["semantic"]["metrics"]["mIoU"]
    assert code == 0 and results["all"]["metrics"]["delta_m"] == pytest.approx((score - 0.625) / 0.625)
    assert " 62.5 " in screen and "delta_m" in screen


def test_a_list_of_images_is_scored_beside_the_whole(call, place, tmp_path, caplog):
    names = sorted(path.stem for path in (place / "predictions/semantic").iterdir())
    (tmp_path / "few.txt").write_text("\n".join([*names[:2], "elsewhere"]))
    words = ("--tasks", "semantic,boundary", "--image-list", str(tmp_path / "few.txt"))
    code, screen, _, results = call(*ALL, *FILE, *words)
    assert code == 0 and "on few: the 2 images of the list" in screen
    assert "1 name is of no image of the data set (such as elsewhere)" in caplog.text
    _, _, _, whole = call(*ALL, *FILE, "--tasks", "semantic,boundary")
    assert all(results[key]["metrics"] == whole[key]["metrics"] for key in whole)
    annotations = json.loads((place / "data/mini/annotations.json").read_text())
    (tmp_path / "few.json").write_text(
        json.dumps({**annotations, "images": [i for i in annotations["images"] if i["file_name"][:-4] in names[:2]]})
    )
    _, _, _, alone = call(*ALL, "--annotations", str(tmp_path / "few.json"), "--tasks", "semantic,boundary")
    assert all(
        results[key]["listed"] == {"name": "few", "images": 2, "metrics": alone[key]["metrics"]} for key in alone
    )


def test_maps_of_another_code_base_are_scored(call, place, tmp_path, caplog):
    """Class numbers from 0 in a grey PNG, and a boundary's strength in 0..255, called as the image."""
    for folder, change in (("seg", lambda values: values - 1), ("edges", lambda values: values)):
        (tmp_path / folder).mkdir()
        ours = place / "predictions" / {"seg": "semantic", "edges": "boundary"}[folder]
        for path in ours.iterdir():
            values = change(np.asarray(Image.open(path)))
            Image.fromarray(values.astype(np.uint8)).save(tmp_path / folder / path.name)
    words = ("--semantic", str(tmp_path / "seg"), "--boundary", str(tmp_path / "edges"), *FILE, *EDGES)
    code, _, _, results = call(*words, "--first-class", "0")
    _, _, _, whole = call(*ALL, *FILE, "--tasks", "semantic,boundary")
    assert code == 0 and results == whole
    (tmp_path / "out" / "results.json").unlink()
    first = min((tmp_path / "seg").iterdir())
    Image.fromarray(np.asarray(Image.open(first)) * 0).save(first)
    code, _, errors, results = call(*words)
    assert code == 2 and results is None
    assert "holds the value 0, but each pixel needs a class: 1 to " in errors and "--first-class says" in errors
    assert "no classes.json beside it says what its numbers mean: classes are taken to count from 1" in caplog.text
    code, _, errors, _ = call(*ALL, *FILE, "--tasks", "semantic", "--first-class", "0")
    assert code == 2 and "classes.json counts classes from 1, --first-class from 0; leave that out" in errors


def test_boundaries_by_a_named_protocol(call):
    words = ("--tasks", "boundary", "--boundary-protocol", "mti_net", "--edge-max-distance", "0.011")
    code, screen, _, results = call("--predictions", "@predictions", *FILE, "--workers", "0", *words)
    assert code == 0 and results["boundary"]["protocol"].startswith("protocol mti_net: 99 thresholds 0.01 to 0.99")
    assert "tolerance 0.011" in results["boundary"]["protocol"]
    assert screen.splitlines()[3] == f"boundary detection: {results['boundary']['note']}"


def test_masks_are_not_scored_where_nobody_annotated_any(call, tmp_path):
    toy_coco.write_coco(tmp_path / "data")
    annotations = tmp_path / "data/coco/annotations/instances_val2017.json"
    content = json.loads(annotations.read_text())
    for row in content["annotations"]:
        row.pop("segmentation", None)
    annotations.write_text(json.dumps(content))
    (tmp_path / "segm.json").write_text("[]")
    words = ("--segm", str(tmp_path / "segm.json"), "--annotations", str(annotations), "--layout", "coco")
    code, _, errors, results = call(*words, "--workers", "0")
    assert code == 2 and results is None
    assert "no image of the data set is annotated for the task 'instance'" in errors


def test_a_coco_file_without_images(call, tmp_path):
    toy_coco.write_coco(tmp_path / "data")
    annotations = tmp_path / "data/coco/annotations/instances_val2017.json"
    truth = json.loads(annotations.read_text())["annotations"]
    rows = [{"score": 0.9, **{key: row[key] for key in ("image_id", "category_id", "bbox")}} for row in truth]
    (tmp_path / "bbox.json").write_text(json.dumps(rows))
    words = ("--bbox", str(tmp_path / "bbox.json"), "--annotations", str(annotations), "--layout", "coco")
    code, _, _, results = call(*words, "--workers", "0")
    assert code == 0 and list(results) == ["detection"]
    assert results["detection"]["metrics"]["AP"] == pytest.approx(1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (FILE, "name the predictions: --predictions FOLDER, or one of --bbox"),
        (("--predictions", "@predictions"), "name the annotations: either --config-file FILE or --annotations FILE"),
        ((*ALL, *FILE, "--config-file", "@mini.yaml"), "name the annotations: either"),
        ((*ALL, *FILE, "--dataset", "mini_val"), "--dataset and KEY VALUE go with --config-file"),
        ((*ALL, *FILE, "--tasks", "focus"), "--tasks: 'focus' is unknown; there are detection"),
        (
            (*ALL, *FILE, "--edge-thresholds", "0"),
            "argument --edge-thresholds: '0' is not an integer from 1 to 999; --help says more",
        ),
        ((*ALL, *FILE, "--workers", "-1"), "argument --workers: '-1' is not an integer from 0 to 512"),
        ((*ALL, *FILE, "--single-task", "@absent.json"), "the single-task results cannot be used: cannot read "),
        ((*ALL, "--annotations", "@absent.json"), "no such annotation file"),
        ((*ALL, *FILE, "--split", "train"), "has no image of split 'train'"),
        ((*ALL, *FILE, "--parts", "person"), "names 6 classes for part"),
        (("--predictions", "@data", *FILE), "holds no predictions"),
        (
            ("--bbox", "@predictions/bbox.json", *FILE, "--tasks", "part"),
            "no file holds predictions of the task",
        ),
        ((*ALL, "--config-file", "@mini.yaml", "--dataset", "mimi_val"), "data set 'mimi_val' is not there"),
    ],
)
def test_what_cannot_be_scored_is_one_line(call, options, message):
    code, _, errors, results = call(*options)
    assert code == 2 and results is None
    assert errors.startswith("error: ") and message in errors and errors.count("\n") == 1


def test_a_damaged_answer_in_a_worker_is_one_line(call, place, tmp_path):
    rows = json.loads((place / "predictions/segm.json").read_text())
    rows[3]["segmentation"]["counts"] += "0"
    (tmp_path / "segm.json").write_text(json.dumps(rows))
    code, _, errors, _ = call("--segm", str(tmp_path / "segm.json"), *FILE, "--workers", "1")
    assert code == 2 and errors.strip().count("error:") == 1
    assert "segm.json: entry 3: its run-length code does not decode" in errors.splitlines()[-1]
