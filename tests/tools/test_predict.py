"""The command that predicts: what it writes, what it says, and with which status it ends."""

import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from maskrcnn_benchmark.predict import output
from maskrcnn_benchmark.predict.predictor import Predictor
from maskrcnn_benchmark.predict.video import read_video
from maskrcnn_benchmark.prediction_files.reader import find_predictions
from maskrcnn_benchmark.tasks.task import TASKS
from maskrcnn_benchmark.utils.cli import run_tool
from maskrcnn_benchmark.utils.imports import import_file

ROOT = Path(__file__).parents[2]
predict = import_file("predict_tool", ROOT / "tools" / "predict.py")
LOW = ["--threshold", "0", "boundary=0.4"]


@pytest.fixture
def checkpoint(small):
    return small.checkpoint


@pytest.fixture
def shots(tmp_path):
    """A folder of two images and a damaged one."""
    folder = tmp_path / "shots"
    folder.mkdir()
    for name, seed in (("a", 0), ("b", 1)):
        noise = np.random.default_rng(seed).integers(0, 256, (60, 80, 3)).astype(np.uint8)
        Image.fromarray(noise).save(folder / f"{name}.png")
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no image")
    return folder


@pytest.fixture
def run(checkpoint, monkeypatch, capfd):
    """A function of words after the checkpoint that runs the tool: (exit status, stdout, stderr)."""

    def call(*words):
        words = [checkpoint, *map(str, words), "--device", "cpu"]
        monkeypatch.setattr(sys, "argv", ["predict.py", *words])
        with pytest.raises(SystemExit) as ended:
            run_tool(predict.main)
        shown = capfd.readouterr()
        return ended.value.code, shown.out.strip(), shown.err.strip()

    return call


def files(folder):
    return sorted(path.name for path in Path(folder).iterdir())


def test_a_folder_with_a_damaged_file(run, shots, tmp_path):
    status, screen, errors = run(shots, "--output", tmp_path / "out", "--json", *LOW)
    assert status == 1
    assert "skipped: " in errors and "broken.jpg" in errors
    assert screen.startswith("2 of 3 images, ") and screen.endswith(f" s each, in {tmp_path / 'out'}")
    assert files(tmp_path / "out") == ["a.jpg", "a.json", "b.jpg", "b.json"]
    assert Image.open(tmp_path / "out" / "a.jpg").size == (480, 360)
    tree = json.loads((tmp_path / "out" / "a.json").read_text())
    assert tree["image_id"] == "a" and len(tree["answers"]["detection"]) == 6 and "semantic" in tree["maps"]


@pytest.mark.parametrize(
    ("options", "expected", "size"),
    [
        (["--show", "grid"], ["a.jpg"], (3 * 490 + 10, 4 * (360 + 42 + 36 + 10) + 10)),  # legends below
        (["--show", "grid", "--tasks", "semantic"], ["a.jpg"], (2 * 490 + 10, 360 + 36 + 20)),
        (["--show", "panels", "--tasks", "part,semantic"], ["a_part.jpg", "a_semantic.jpg"], (480, 360 + 42)),
        (["--scale", "1"], ["a.jpg"], (80, 60)),
        (["--show", "scene", "--scale", "10"], ["a.jpg"], (800, 600 + 60)),  # an arrow's meaning below
        (["--show", "none", "--json"], ["a.json"], None),
    ],
)
def test_what_is_shown(run, shots, tmp_path, options, expected, size):
    status, screen, _ = run(shots / "a.png", "--output", tmp_path / "out", *options, *LOW)
    assert status == 0 and screen.startswith("1 image, ")
    assert files(tmp_path / "out") == expected
    if size is not None:
        assert Image.open(tmp_path / "out" / expected[0]).size == size


def test_pictures_are_those_of_the_results(run, checkpoint, shots, tmp_path):
    run(shots / "a.png", "--output", tmp_path, "--show", "panels", "--threshold", "boundary=0.4", "0.25")
    thresholds = dict.fromkeys(("detection", "instance", "keypoint", "part"), 0.25) | {"boundary": 0.4}
    result = Predictor(checkpoint, device="cpu", thresholds=thresholds)(shots / "a.png")
    for task in result.tasks:
        result.draw(task).save(tmp_path / "expected.jpg", quality=output.JPEG_QUALITY)
        assert (tmp_path / f"a_{task}.jpg").read_bytes() == (tmp_path / "expected.jpg").read_bytes(), task


def test_a_scene_is_in_the_json_as_well(run, shots, tmp_path):
    assert run(shots / "a.png", "--output", tmp_path, "--show", "scene", "--json")[0] == 0
    tree = json.loads((tmp_path / "a.json").read_text())["scene"]
    assert (tree["width"], tree["height"]) == (80, 60) and all(row["area"] > 0 for row in tree["segments"])
    status, _, errors = run(shots / "a.png", "--output", tmp_path, "--show", "scene", "--tasks", "detection")
    assert status == 2 and "(MODEL.MASK_ON) and semantic segmentation (MODEL.SEMANTIC_ON); turn" in errors


def test_answers_to_score(run, shots, tmp_path):
    folder = tmp_path / "answers"
    run(shots / "a.png", "--save-answers", folder, "--show", "none")
    status, screen, errors = run(shots / "b.png", "--save-answers", folder, "--show", "none")
    assert status == 0, errors
    assert screen.endswith(f"in {folder}")
    assert {row["image_id"] for row in json.loads((folder / "bbox.json").read_text())} == {"a", "b"}
    assert {"detection", "semantic", "occlusion"} <= set(find_predictions(folder, TASKS.values()))


def test_a_video_becomes_a_video(run, tmp_path):
    writer = cv2.VideoWriter(str(tmp_path / "street.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 12.0, (80, 60))
    for k in range(6):
        writer.write(np.full((60, 80, 3), 30 * k, np.uint8))
    writer.release()
    status, screen, _ = run(
        tmp_path / "street.avi", "--every", 2, "--batch-size", 2, "--json", "--output", tmp_path / "o"
    )
    assert status == 0 and screen.startswith("3 images, ")
    assert files(tmp_path / "o") == ["street.mp4", *(f"street_{k:06d}.json" for k in (0, 2, 4))]
    frames = list(read_video(tmp_path / "o" / "street.mp4"))
    assert len(frames) == 3 and frames[0][3].rate == 6.0 and frames[0][2].size == (480, 360)
    times = [json.loads((tmp_path / "o" / f"street_{k:06d}.json").read_text())["seconds"] for k in (0, 2, 4)]
    assert times == pytest.approx([0, 2 / 12, 4 / 12], abs=1e-3)


def test_a_picture_never_takes_the_place_of_its_photograph(run, shots, tmp_path):
    photograph = shots / "c.jpg"
    Image.new("RGB", (40, 30)).save(photograph)
    before = photograph.read_bytes()
    status, _, errors = run(photograph, "--output", shots)
    assert status == 2 and "its picture would take its place; choose another folder" in errors
    assert photograph.read_bytes() == before


def test_options_of_the_config_follow_the_sources(run, shots, tmp_path):
    status, _, errors = run(shots / "a.png", "MODEL.MASK_ONN", "False")
    assert status == 2 and "MODEL.MASK_ONN" in errors and "MODEL.MASK_ON?" in errors
    options = ["MODEL.KEYPOINT_ON", "False", "--json", "--show", "none", "--output", tmp_path / "o"]
    assert run(shots / "a.png", *options)[0] == 0
    assert "keypoint" not in json.loads((tmp_path / "o" / "a.json").read_text())["answers"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["missing.jpg"], "no such image, folder or video: missing.jpg"),
        (["MODEL.MASK_ON", "False"], "name an image, a folder, a video or a webcam before MODEL.MASK_ON"),
        (["x.png", "--show", "none"], "--show none leaves nothing to write"),
        (["x.png", "--show", "all"], "invalid choice: 'all'"),
        (["x.png", "--threshold", "part=much"], "a threshold is TASK=NUMBER, such as detection=0.7"),
        (["x.png", "--threshold", "flow=0.1"], "not for 'flow'"),
        (["x.png", "--batch-size", "0"], "argument --batch-size: '0' is not an integer from 1 to"),
        (["x.png", "--scale", "-1"], "argument --scale: '-1' is not a number above 0 and at most 100"),
        (["webcam:0", "x.png"], "webcam:0 never ends; name no other source beside it"),
        (["http://localhost/x.png"], "--allow-urls"),
    ],
)
def test_a_mistake_is_said_in_one_line(run, words, message):
    status, screen, errors = run(*words)
    assert status == 2 and screen == ""
    assert message in errors and errors.startswith("error: ") and "\n" not in errors


def test_what_was_done_until_an_interruption_is_kept(run, shots, tmp_path, monkeypatch):
    (shots / "broken.jpg").unlink()
    add = output.PictureFiles.add

    def add_then_stop(self, result):
        add(self, result)
        if result.name == "a":
            raise KeyboardInterrupt

    monkeypatch.setattr(output.PictureFiles, "add", add_then_stop)
    status, _, errors = run(shots, "--output", tmp_path / "o", "--save-answers", tmp_path / "answers")
    assert status == 130 and "interrupted after 0 images; what was predicted until then is written" in errors
    assert files(tmp_path / "o") == ["a.jpg"] and "classes.json" in files(tmp_path / "answers")


def test_without_a_window_a_webcam_goes_into_a_file(run, tmp_path, monkeypatch):
    class Camera:
        left = 3

        def __init__(self, number):
            pass

        def isOpened(self):
            return True

        def set(self, key, value):
            return True

        def grab(self):
            self.left -= 1
            return self.left >= 0

        def retrieve(self):
            return True, np.zeros((60, 80, 3), np.uint8)

        def release(self):
            pass

    # the video that is written is opened by its name, to see whether it is whole
    of_file = cv2.VideoCapture
    monkeypatch.setattr(cv2, "VideoCapture", lambda what, *how: of_file(what, *how) if how else Camera(what))
    monkeypatch.setattr(predict, "can_show_windows", lambda: False)
    status, screen, _ = run("webcam:0", "--output", tmp_path)
    assert status == 0 and screen.startswith("no window can be shown here") and "\n3 images, " in screen
    assert files(tmp_path) == ["webcam0.mp4"]


def test_the_help_has_an_example(capsys):
    with pytest.raises(SystemExit):
        predict.parse_arguments(["--help"])
    assert "python tools/predict.py output/mini_R_18_FPN/model_final.pth photo.jpg" in capsys.readouterr().out
