"""Training and testing from the command line on a data set in COCO's files, as a user of the original does it."""

import json
import logging
import sys
from pathlib import Path

import pytest
import toy_coco

from maskrcnn_benchmark.engine.results import read_results
from maskrcnn_benchmark.utils.cli import run_tool
from maskrcnn_benchmark.utils.imports import import_file

ROOT = Path(__file__).parents[2]
train_net = import_file("train_net", ROOT / "tools" / "train_net.py")
test_net = import_file("test_net", ROOT / "tools" / "test_net.py")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with toy.yaml and data/coco."""
    folder = tmp_path_factory.mktemp("place")
    (folder / "toy.yaml").write_text(toy_coco.YAML)
    toy_coco.write_coco(folder / "data")
    return folder


@pytest.fixture
def call(place, monkeypatch, capsys):
    """A function (tool, output folder, option, ...) that runs a tool and returns what it showed on the screen."""

    def run(tool, folder, *options):
        words = ["tool", "--config-file", str(place / "toy.yaml"), "DATASETS.DATA_DIR", str(place / "data")]
        monkeypatch.setattr(sys, "argv", [*words, "OUTPUT_DIR", str(folder), *options])
        with pytest.raises(SystemExit) as caught:
            run_tool(tool.main)
        for handler in list(logging.getLogger("maskrcnn_benchmark").handlers):
            logging.getLogger("maskrcnn_benchmark").removeHandler(handler)
            handler.close()
        output = capsys.readouterr()
        assert caught.value.code == 0, output.err
        return output.out

    return run


@pytest.fixture
def trained(call, place):
    """The output folder of a finished training, made once."""
    folder = place / "trained"
    if not folder.exists():
        call(train_net, folder)
    return folder


def test_a_mask_rcnn_trains_and_tests(call, tmp_path):
    screen = call(train_net, tmp_path)
    assert screen.count("maxDets=100") == 2 * 10 and "bbox on coco_2017_val, by pycocotools:" in screen
    assert "trivial" not in screen and "instance segmentation  AP" in screen
    names = {path.name for path in tmp_path.iterdir()}
    assert names >= {"config.yml", "log.txt", "last_checkpoint", "model_final.pth", "results.json", "pictures.html"}
    written = {path.name for path in (tmp_path / "inference" / "coco_2017_val").iterdir()}
    answers = {"bbox.json", "segm.json", "classes.json"}
    assert written == {*answers, "coco_summary.txt", "results.json", "per_class.csv", "curves", "report.html"}


def test_the_last_checkpoint_is_tested_on_every_data_set_in_batches(call, trained, place):
    screen = call(test_net, trained, "DATASETS.TEST", "('coco_2017_val', 'coco_2017_train')", "TEST.IMS_PER_BATCH", "3")
    assert "Start evaluation on coco_2017_val (5 images)" in screen
    assert "Start evaluation on coco_2017_train (3 images)" in screen
    assert "Results on coco_2017_val:" in screen and "Results on coco_2017_train:" in screen
    again = read_results(trained / "inference" / "coco_2017_val" / "results.json")
    for task, result in read_results(trained / "results.json").items():
        assert result["metrics"] == pytest.approx(again[task]["metrics"], abs=1e-6, nan_ok=True)
    rows = json.loads((trained / "inference" / "coco_2017_val" / "bbox.json").read_text())
    images = json.loads((place / "data/coco/annotations/instances_val2017.json").read_text())["images"]
    assert {row["image_id"] for row in rows} == {row["id"] for row in images}
    assert {row["category_id"] for row in rows} <= {1, 18}


def test_named_weights_and_flags_after_the_options(call, trained, tmp_path):
    weights = str(trained / "model_final.pth")
    first = call(test_net, tmp_path / "a", "--ckpt", weights)
    second = call(test_net, tmp_path / "b", "MODEL.WEIGHT", weights)
    assert f"Loading checkpoint from {weights}" in first and f"Loading checkpoint from {weights}" in second
    files = [tmp_path / name / "inference" / "coco_2017_val" / "bbox.json" for name in "ab"]
    assert files[0].read_text() == files[1].read_text()
    # an empty name is no weights: the folder's own are meant
    assert f"Loading checkpoint from {trained}" in call(test_net, trained, "MODEL.WEIGHT", "")


def test_a_checkpoint_and_the_place_of_the_data_are_enough(trained, place, tmp_path, monkeypatch):
    places = ("DATASETS.DATA_DIR", str(place / "data"))
    weights = tmp_path / "elsewhere" / "model.pth"
    weights.parent.mkdir()
    weights.write_bytes((trained / "model_final.pth").read_bytes())
    monkeypatch.setattr(sys, "argv", ["tool", "--ckpt", str(weights), "MODEL.DEVICE", "cpu", *places])
    with pytest.raises(SystemExit) as caught:
        run_tool(test_net.main)
    assert caught.value.code == 0
    again = read_results(weights.parent / "inference" / "coco_2017_val" / "results.json")
    for task, result in read_results(trained / "results.json").items():
        assert result["metrics"] == pytest.approx(again[task]["metrics"], abs=1e-6, nan_ok=True)


def test_nothing_to_test_is_said(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["tool"])
    with pytest.raises(SystemExit) as caught:
        run_tool(test_net.main)
    assert caught.value.code == 2 and capsys.readouterr().err.startswith("error: name what to test: --ckpt FILE, or")


def test_scores_on_a_list_of_images_stand_beside_those_on_all(call, trained, place, tmp_path):
    images = json.loads((place / "data/coco/annotations/instances_val2017.json").read_text())["images"]
    (tmp_path / "few.txt").write_text("\n".join(image["file_name"] for image in images[:2]))
    weights = ("--ckpt", str(trained / "model_final.pth"))
    screen = call(test_net, tmp_path / "out", *weights, "TEST.IMAGE_LIST", str(tmp_path / "few.txt"))
    assert "on few: the 2 images of the list" in screen
    written = read_results(tmp_path / "out" / "inference" / "coco_2017_val" / "results.json")
    for task, result in read_results(trained / "results.json").items():
        assert written[task]["metrics"] == pytest.approx(result["metrics"], abs=1e-6, nan_ok=True)
        assert written[task]["listed"]["images"] == 2 and set(written[task]["listed"]["metrics"]) == set(
            result["metrics"]
        )


def test_test_time_augmentation_of_boxes_with_masks(call, trained, tmp_path):
    weights = ("--ckpt", str(trained / "model_final.pth"), "TEST.BBOX_AUG.ENABLED", "True")
    call(test_net, tmp_path / "same", *weights)
    call(test_net, tmp_path / "more", *weights, "TEST.BBOX_AUG.H_FLIP", "True", "TEST.BBOX_AUG.SCALES", "(48, 80)")
    call(test_net, tmp_path / "plain", *weights[:2])
    plain, same, more = (
        json.loads((tmp_path / name / "inference" / "coco_2017_val" / "segm.json").read_text())
        for name in ("plain", "same", "more")
    )
    assert same == plain and more != plain
    assert {row["image_id"] for row in more} == {row["image_id"] for row in plain}


def test_a_network_of_proposals_trains_and_tests(call, tmp_path):
    only = ("MODEL.RPN_ONLY", "True", "MODEL.MASK_ON", "False")
    expected = ("TEST.EXPECTED_RESULTS", "[['box_proposal', 'AR@1000', [0.5, 0.2]]]")
    screen = call(train_net, tmp_path, *only, *expected)
    assert "region proposals  AR@1000" in screen and "as expected: coco_2017_val box_proposal AR@1000" in screen
    assert not (tmp_path / "pictures.html").exists() and "Pictures" not in screen
    assert list(read_results(tmp_path / "results.json")) == ["box_proposal"]
    assert "region proposals  AR@1000" in call(test_net, tmp_path, *only)


def test_joints_train_and_test(call, tmp_path):
    names = ("DATASETS.TRAIN", "('keypoints_coco_2017_train',)", "DATASETS.TEST", "('keypoints_coco_2017_val',)")
    screen = call(train_net, tmp_path, *names, "MODEL.KEYPOINT_ON", "True", "MODEL.MASK_ON", "False")
    assert "keypoints on keypoints_coco_2017_val, by pycocotools:" in screen and screen.count("maxDets= 20") == 10
    assert (tmp_path / "inference" / "keypoints_coco_2017_val" / "keypoints.json").is_file()


def test_an_option_out_of_range_is_one_line_before_anything_is_made(place, monkeypatch, capsys, tmp_path):
    words = ["tool", "--config-file", str(place / "toy.yaml"), "DATASETS.DATA_DIR", str(place / "data")]
    monkeypatch.setattr(sys, "argv", [*words, "OUTPUT_DIR", str(tmp_path), "SOLVER.IMS_PER_BATCH", "0"])
    with pytest.raises(SystemExit):
        run_tool(train_net.main)
    assert capsys.readouterr().err == (
        "error: the command line: SOLVER.IMS_PER_BATCH is 0, but must be an integer from 1 to 65,536; correct it, or "
        "leave it out for the default, 16\n"
    )


@pytest.mark.slow
def test_the_originals_mask_rcnn_trains_and_tests_on_real_coco(real_data, tmp_path, monkeypatch, capsys):
    config = ROOT / "configs" / "e2e_mask_rcnn_R_50_FPN_1x.yaml"
    if not (real_data / "coco_mini").is_dir() or not config.is_file():
        pytest.skip("needs real_data/coco_mini")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "coco").symlink_to(real_data / "coco_mini")
    options = {
        "MODEL.DEVICE": "cpu",
        "MODEL.WEIGHT": "",
        "DATASETS.DATA_DIR": tmp_path / "data",
        "OUTPUT_DIR": tmp_path,
        "DATASETS.TRAIN": "('coco_2017_train',)",
        "DATASETS.TEST": "('coco_2017_val',)",
        "SOLVER.MAX_ITER": 2,
        "SOLVER.IMS_PER_BATCH": 1,
        "INPUT.MIN_SIZE_TRAIN": (160,),
        "INPUT.MIN_SIZE_TEST": 160,
        "DATALOADER.NUM_WORKERS": 0,
        "TEST.NUM_PICTURES": 1,
    }
    words = [str(word) for pair in options.items() for word in pair]
    monkeypatch.setattr(sys, "argv", ["tool", "--config-file", str(config), *words])
    with pytest.raises(SystemExit) as caught:
        run_tool(train_net.main)
    screen = capsys.readouterr()
    assert caught.value.code == 0, screen.err
    assert screen.out.count("maxDets=100") == 2 * 10
    assert list(read_results(tmp_path / "results.json")) == ["detection", "instance"]
    written = {path.name for path in (tmp_path / "inference" / "coco_2017_val").iterdir()}
    answers = {"bbox.json", "segm.json", "classes.json"}
    assert written == {*answers, "coco_summary.txt", "results.json", "per_class.csv", "curves", "report.html"}
