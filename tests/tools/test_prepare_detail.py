"""tools/prepare_detail.py: from a JSON file to an index that data sets open, and what is left where it is stopped."""

import contextlib
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import toy_panoptic

from maskrcnn_benchmark.data.datasets import DetailDataset
from maskrcnn_benchmark.data.mini_detail.writing import write_mini_detail
from maskrcnn_benchmark.utils.cli import run_tool

TOOL = Path(__file__).parents[2] / "tools" / "prepare_detail.py"


@pytest.fixture(scope="module")
def mini(tmp_path_factory):
    return write_mini_detail(tmp_path_factory.mktemp("data") / "mini_detail", 10, 4, seed=5)


@pytest.fixture
def data(mini, tmp_path):
    """A folder with the annotations of the drawn scenes, which a test may spoil, and a link to their images."""
    (tmp_path / "annotations.json").write_bytes((mini / "annotations.json").read_bytes())
    (tmp_path / "images").symlink_to(mini / "images")
    return tmp_path


def start(*arguments):
    command = [sys.executable, TOOL, *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(TOOL.parents[1])}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


@pytest.fixture
def run(capsys):
    """Runs the tool in this process: (exit code, what it printed, what it said on standard error)."""
    spec = importlib.util.spec_from_file_location("prepare_detail", TOOL)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)

    def run(*arguments):
        with pytest.raises(SystemExit) as left:
            run_tool(lambda: tool.main(list(map(str, arguments))))
        captured = capsys.readouterr()
        return left.value.code, captured.out, captured.err

    return run


def test_the_index_is_made_once_and_opened_by_the_data_set(run, data):
    arguments = ("--annotations", data / "annotations.json", "--images", data / "images", "--workers", 2)
    code, output, errors = run(*arguments)
    assert code == 0, errors
    lines = [line.split() for line in output.splitlines()]
    assert ["train", "10"] in lines and ["val", "4"] in lines and "no problems were found" in output
    assert f"prepared: {data / 'annotations.index.sqlite'}" in output
    inode = (data / "annotations.index.sqlite").stat().st_ino
    code, output, _ = run(*arguments)
    assert code == 0 and "is prepared already" in output and "no problems were found" in output
    assert (data / "annotations.index.sqlite").stat().st_ino == inode
    dataset = DetailDataset(data / "annotations.json", data / "images")
    assert len(dataset) == 14 and dataset.file.index.stat().st_ino == inode
    assert dataset[0][1].instances is not None


def test_damage_is_shown_by_kind_and_listed_in_a_file(run, data):
    content = json.loads((data / "annotations.json").read_text())
    content["annos_segmentation"][0]["segmentation"]["counts"] = "0"
    (data / "annotations.json").write_text(json.dumps(content))
    arguments = ("--annotations", data / "annotations.json", "--out", data / "out", "--problems", data / "problems.csv")
    code, output, errors = run(*arguments, "--strict")
    assert code == 2 and errors.startswith("error: ") and errors.count("\n") == 1 and "problem" in errors
    assert os.listdir(data / "out") == []
    listed = (data / "problems.csv").read_text().splitlines()
    assert listed[0] == "what,where,action,image_id" and "mask does not decode" in listed[1]
    code, output, _ = run(*arguments)
    line = next(line for line in output.splitlines() if line.startswith("mask does not decode"))
    assert code == 0 and line.split()[4:6] == ["left", "out"] and "annos_segmentation 1 of image" in line
    assert os.listdir(data / "out") == ["annotations.index.sqlite"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--annotations", "{data}/none.json"], "no such annotation file"),
        (["--annotations", "{data}/annotations.json", "--images", "{data}/none"], "no such folder of images"),
        (
            ["--annotations", "{data}/annotations.json", "--workers", "-1"],
            "argument --workers: '-1' is not an integer from 0 to 512",
        ),
        (["--annotations", "{data}/cut.json"], "cut.json: .*cut off or damaged"),
    ],
)
def test_what_cannot_be_prepared_is_one_line(run, data, arguments, message):
    (data / "cut.json").write_bytes((data / "annotations.json").read_bytes()[:-1000])
    before = sorted(os.listdir(data))
    code, output, errors = run(*[argument.format(data=data) for argument in arguments])
    assert code == 2 and output == ""
    assert re.search(message, errors) and errors.count("\n") == 1
    assert sorted(os.listdir(data)) == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_tool_that_is_stopped_leaves_nothing_that_looks_finished(run, data, number):
    content = json.loads((data / "annotations.json").read_text())
    regions = content["annos_segmentation"]
    content["annos_segmentation"] = [{**row, "id": None} for row in regions for _ in range(1500)]  # work for a while
    (data / "annotations.json").write_text(json.dumps(content))
    process = start("--annotations", data / "annotations.json", "--workers", 2)
    while process.poll() is None and not list(data.glob(".annotations.index.sqlite.*.tmp")):
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.01)
    process.send_signal(number)
    process.communicate()
    assert process.returncode == (130 if number == signal.SIGINT else -signal.SIGKILL)
    hidden = {name for name in os.listdir(data) if name.startswith(".")}
    assert set(os.listdir(data)) == {"annotations.json", "images", *hidden}
    assert len(hidden) == (2 if number == signal.SIGKILL else 0)  # a part of the index, and its lock
    (data / "annotations.json").write_text(json.dumps({**content, "annos_segmentation": regions}))
    code, _, errors = run("--annotations", data / "annotations.json", "--workers", 0)
    assert code == 0, errors
    assert set(os.listdir(data)) == {"annotations.json", "images", "annotations.index.sqlite"}


def test_real_files_are_prepared(run, real_data, tmp_path):
    for name, images in (("detail_real8", 8), ("detail_real_mini", 287)):
        folder = real_data / name
        code, _, errors = run(
            "--annotations", folder / "annotations.json", "--images", folder / "images", "--out", tmp_path / name
        )
        assert code == 0, errors
        assert len(DetailDataset(tmp_path / name / "annotations.index.sqlite", folder / "images")) == images


COCO = {
    "images": [{"id": 1, "file_name": "a.png", "width": 4, "height": 4}],
    "categories": [{"id": 1, "name": "crate"}],
    "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 3, 3], "iscrowd": 0, "area": 9}],
}


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        ({}, 0, "1 annotations"),
        ({"annotations": []}, 1, "nothing to train on: none of its 1 images has an annotation to learn from"),
        ({"annotations": None}, 1, "nothing to train on"),
        ({"images": []}, 2, "no image of it can be used"),
        ({"categories": []}, 2, "none of its 1 annotations can be used"),
    ],
)
def test_cocos_layout_is_recognised_and_nothing_usable_is_no_success(run, tmp_path, change, code, words):
    (tmp_path / "a.json").write_text(json.dumps({**COCO, **change}))
    found, out, err = run("--annotations", tmp_path / "a.json", "--workers", 0)
    assert found == code and words in out + err and (code != 2 or err.count("\n") == 1)


def test_cocos_panoptic_layout_needs_no_index(run, tmp_path):
    path = toy_panoptic.save(tmp_path, toy_panoptic.content())
    code, _, err = run("--annotations", path)
    assert code == 2 and "is in COCO's panoptic layout, which is read without an index" in err


def test_a_file_in_details_layout_without_records_is_no_success(run, data):
    content = json.loads((data / "annotations.json").read_text())
    content = {key: [] if key.startswith("annos_") else value for key, value in content.items()}
    (data / "annotations.json").write_text(json.dumps(content))
    code, out, _ = run("--annotations", data / "annotations.json", "--workers", 0)
    assert code == 1 and "nothing to train on: it has no record in annos_segmentation" in out
