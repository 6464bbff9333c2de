"""The report of an evaluation is one file that holds its table, its curves, its classes and its pictures."""

import math
import re

import pytest

from maskrcnn_benchmark.evaluation.scores import Curve, Line
from maskrcnn_benchmark.tasks.task import TASKS
from maskrcnn_benchmark.visualization.run_report import Example, TaskReport, write_report

ROWS = [
    ("task", "metric", "score", "trivial", "also"),
    ("semantic segmentation", "mIoU", "55.1", "12.0", "fwIoU 60.0"),
    ("all tasks", "delta_m", "-2.0", "-", ""),
]


@pytest.fixture
def task(image):
    example = [Example("<b>.jpg", 0.25, image, 255 - image)]
    return TaskReport(
        "semantic",
        "semantic segmentation",
        "mean over <classes>",
        "no image is labelled",
        {"mIoU": "55.1", "fwIoU": "-"},
        {"IoU": {"person": 0.75, "sky": math.nan}},
        [Curve("pr", "A curve", "recall", "precision", [Line("all", [0, 1], [1, 0.5])])],
        worst=example,
        best=example * 2,
    )


def test_it_is_one_file_with_everything_in_it(task, vocabulary, tmp_path):
    path = write_report(tmp_path / "report.html", "Report", [("data set", "<mini>")], ROWS, [task], vocabulary, TASKS)
    text = path.read_text()
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.html"]
    assert not re.search(r'(src|href)="(?!data:|#)', text)
    assert len(re.findall('src="data:image/jpeg', text)) == 3 * 2
    assert len(re.findall('src="data:image/png', text)) == 1
    assert '<a href="#semantic">semantic segmentation</a>' in text and '<section id="semantic">' in text
    for cell in ("-2.0", "55.1", "fwIoU", "person", "75.0", "no image is labelled"):
        assert cell in text
    assert "&lt;mini&gt;" in text and "&lt;b&gt;.jpg" in text and "&lt;classes&gt;" in text


def test_gradient_conflicts_have_a_section(task, vocabulary, tmp_path):
    rows = [[1.0, -0.25], [-0.25, 1.0]]
    summary = {"tasks": ["part", "semantic"], "looks": [4, 4], "norm": [1.0, 2.0], "cosine": rows, "conflict": rows}
    path = tmp_path / "report.html"
    plain = write_report(path, "Report", [], ROWS, [task], vocabulary, TASKS).read_text()
    shown = write_report(path, "Report", [], ROWS, [task], vocabulary, TASKS, summary).read_text()
    assert '<section id="interactions">' in shown and "interactions" not in plain
    assert shown.count("data:image/png") == plain.count("data:image/png") + 1


def test_a_task_without_pictures_or_classes_is_still_reported(vocabulary, tmp_path):
    task = TaskReport("semantic", "semantic segmentation", "", "", {"mIoU": "50.0"})
    text = write_report(tmp_path / "report.html", "Report", [], ROWS, [task], vocabulary, TASKS).read_text()
    assert "<b>50.0</b>" in text and "data:image" not in text and "<details>" not in text
