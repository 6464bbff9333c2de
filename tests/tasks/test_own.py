"""A task is one file: without it, and the line that imports it, all others do what they did."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from maskrcnn_benchmark.data.mini_detail.writing import write_mini_detail
from maskrcnn_benchmark.tasks.task import TASKS, tasks_of_layout

ROOT = Path(__file__).parents[2]
EIGHT = list(tasks_of_layout("detail").values())
# Trains, evaluates, draws and exports the network of a config, in the folder of the package without a task
SCRIPT = """
import sys
from maskrcnn_benchmark import Predictor
from maskrcnn_benchmark.config import cfg
from maskrcnn_benchmark.experiments.run import train
from maskrcnn_benchmark.export.export import export_network
from maskrcnn_benchmark.tasks import TASKS

missing, number, yaml, data, folder, picture = sys.argv[1:]
assert missing not in TASKS and len(TASKS) == int(number), list(TASKS)
cfg = cfg.clone()
cfg.merge_from_file(yaml)
cfg.merge_from_list(["OUTPUT_DIR", folder, "DATASETS.DATA_DIR", data])
train(cfg)
predictor = Predictor(f"{folder}/model_final.pth")
predicted = predictor(picture)
predicted.draw().save(f"{folder}/grid.png")
predicted.draw(layout="overlay").save(f"{folder}/overlay.png")
predicted.save(f"{folder}/predictions")
assert export_network(predictor, ["program"], folder)
"""


def yaml_without(missing, folder):
    """The mini config, with tiny layers, that does not speak of a task."""
    text = (ROOT / "configs" / "detail" / "mini_R_18_FPN.yaml").read_text()
    name = missing.upper()
    text = re.sub(rf"^ *{name}(_ORDER)?(_ON)?:.*\n", "", text, flags=re.MULTILINE)
    text = re.sub(rf"^  ROI_{name}_HEAD:\n(    .*\n)+", "", text, flags=re.MULTILINE)
    assert name not in text
    path = folder / "seven.yaml"
    path.write_text(text)
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_mini_detail(folder / "mini_detail", num_train=8, num_val=2, seed=1)
    return folder


@pytest.mark.parametrize(
    ("missing", "files"),
    [
        ("occlusion", ["tasks/occlusion.py", "modeling/fpn_heads/occlusion.py"]),
        (
            "keypoint",
            [
                "tasks/keypoint.py",
                "modeling/roi_heads/keypoint_head",
                "evaluation/coco/keypoint.py",
                "evaluation/detail_toolkit_keypoint.py",
            ],
        ),
    ],
)
def test_seven_tasks_do_without_the_eighth(missing, files, data, tmp_path):
    package = tmp_path / "copy" / "maskrcnn_benchmark"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "maskrcnn_benchmark", package, ignore=ignored)
    for name in files:
        (shutil.rmtree if (package / name).is_dir() else os.remove)(package / name)
    own = package / "tasks" / "own.py"
    lines = own.read_text().splitlines(keepends=True)
    kept = [line for line in lines if not line.rstrip().endswith(f"import {missing}")]
    assert len(lines) - len(kept) == 1
    own.write_text("".join(kept))
    tiny = ["MODEL.DEVICE", "cpu", "SOLVER.MAX_ITER", "2", "SOLVER.IMS_PER_BATCH", "4", "TEST.NUM_PICTURES", "1"]
    yaml = yaml_without(missing, tmp_path)
    text = SCRIPT.replace("train(cfg)", f"cfg.merge_from_list({tiny!r})\ntrain(cfg)")
    picture = next((data / "mini_detail" / "images").glob("*.jpg"))
    output = tmp_path / "output"
    environment = {**os.environ, "PYTHONPATH": str(package.parent)}
    number = str(len(TASKS) - 1)
    command = [sys.executable, "-c", text, missing, number, str(yaml), str(data), str(output), str(picture)]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    titles = [task.title for task in EIGHT if task.key != missing]
    table = done.stderr + done.stdout
    assert all(title in table for title in titles) and TASKS[missing].title not in table
    for name in ("pictures.html", "grid.png", "overlay.png", "predictions/classes.json", "model.pt2"):
        assert (output / name).is_file()
