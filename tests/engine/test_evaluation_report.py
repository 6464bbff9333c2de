"""What an evaluation leaves behind: results, classes, curves, and a report that shows the worst and the best."""

import csv
import json
import re

import numpy as np
import pytest
import torch
from PIL import Image

from maskrcnn_benchmark.engine.evaluation_report import EvaluationReport
from maskrcnn_benchmark.engine.image_subset import ImageSubset
from maskrcnn_benchmark.engine.results import format_table, read_results
from maskrcnn_benchmark.evaluation.evaluator import Evaluator
from maskrcnn_benchmark.evaluation.scores import Curve, Line, Scores
from maskrcnn_benchmark.structures.dense_map import BoundaryMap
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.boundary import BOUNDARY

SIZE = (40, 30)


class Share(Evaluator):
    """Scores a boundary map by the share of its pixels that are predicted."""

    protocol = "share of pixels"

    def record(self, stored, target):
        return float(stored.mean()) / 255

    def summarize(self, records):
        mean = float(np.mean(records))
        curve = Curve("boundary", "Boundary", "recall", "precision", [Line("ours", [0, 1], [mean, mean])])
        return Scores({"ODS-F": mean, "AP": float("nan")}, {"F": {"edge": mean}}, [curve])

    def image_score(self, record):
        return record


class Images:
    vocabulary = Vocabulary()
    transforms = None
    root = "somewhere"

    def __init__(self):
        self.opened = []

    def __len__(self):
        return 5

    def __getitem__(self, index):
        self.opened.append(index)
        return Image.new("RGB", SIZE), self.get_annotations(index), index

    def get_img_info(self, index):
        return {"file_name": f"picture{index}.jpg", "width": SIZE[0], "height": SIZE[1], "image_id": index}

    def get_annotations(self, index):
        edges = torch.zeros(SIZE[1], SIZE[0], dtype=torch.uint8)
        return ImageAnnotations(SIZE, boundary=BoundaryMap(edges), image_id=index)


class Answers:
    """Every pixel of an image as strong as the others."""

    def read(self, index, tasks=None):
        strength = [51, 204, 0, 153, 102][index]
        return {"boundary": np.full((30, 40), strength, np.uint8)}


@pytest.fixture
def evaluators():
    evaluator, images = Share(BOUNDARY, Vocabulary()), Images()
    evaluator.process([Answers().read(i) for i in range(5)], [images.get_annotations(i) for i in range(5)])
    evaluator.evaluate()
    return {"boundary": evaluator}


def test_results_classes_and_curves_are_written(evaluators, tmp_path):
    single = tmp_path / "single.json"
    single.write_text(json.dumps({"boundary": 0.32}))
    report = EvaluationReport(evaluators, Images(), {"boundary": {"ODS-F": 0.1}}, single)
    report.write(tmp_path / "out")
    assert report.results["all"]["metrics"]["delta_m"] == pytest.approx(0.25)
    written = json.loads((tmp_path / "out" / "results.json").read_text())
    assert written["boundary"]["protocol"] == "share of pixels" and written["boundary"]["metrics"]["AP"] is None
    rows = list(csv.reader((tmp_path / "out" / "per_class.csv").open()))
    assert rows == [["task", "metric", "class", "value"], ["boundary", "F", "edge", "0.400000"]]
    assert Image.open(tmp_path / "out" / "curves" / "boundary.png").size == (960, 840)


@pytest.mark.parametrize(("count", "worst", "best"), [(2, [2, 0], [1, 3]), (9, [2, 0], [1, 3, 4]), (0, [], [])])
def test_the_report_shows_the_worst_and_the_best_images(evaluators, tmp_path, count, worst, best):
    images = Images()
    report = EvaluationReport(evaluators, images)
    page = report.write_page(tmp_path, "Report", [("data set", "five")], count, Answers())
    text = page.read_text()
    shown = [int(number) for number in re.findall(r"<h3>picture(\d).jpg", text)]
    assert shown == worst + best
    assert sorted(images.opened) == sorted(worst + best)
    assert text.count('src="data:image/jpeg') == 2 * len(shown)


def test_images_that_are_not_there_leave_their_place_white(evaluators, tmp_path):
    images = Images()
    images.root = None
    page = EvaluationReport(evaluators, images).write_page(tmp_path, "R", [], 1, Answers())
    assert page.read_text().count('src="data:image/jpeg') == 4 and not images.opened


def test_scores_on_a_list_stand_beside_those_on_all_images(evaluators, tmp_path):
    report = EvaluationReport(evaluators, Images(), subset=ImageSubset("test_new", (1, 3), 5))
    whole = EvaluationReport(evaluators, Images()).results["boundary"]
    # images 1 and 3 are predicted at 204 and 153 of 255
    listed = {
        "name": "test_new",
        "images": 2,
        "metrics": {"ODS-F": pytest.approx(0.7), "AP": pytest.approx(np.nan, nan_ok=True)},
    }
    assert report.results["boundary"] == {**whole, "listed": listed, "metrics": report.results["boundary"]["metrics"]}
    assert report.results["boundary"]["metrics"]["ODS-F"] == whole["metrics"]["ODS-F"] == pytest.approx(0.4)
    report.write(tmp_path)
    read = read_results(tmp_path / "results.json")
    head, _, line, images = format_table(read).splitlines()
    assert re.split(r"  +", head) == ["task", "metric", "score", "on test_new", "also"]
    assert line.split()[2:5] == ["ODS-F", "40.0", "70.0"] and images == "on test_new: the 2 images of the list"


def test_contradictions_have_a_file_and_a_table(evaluators, tmp_path):
    row = {"name": "cats < dogs", "unit": "share", "definition": "of all", "prediction": 0.125, "ground_truth": None}
    told = {"images": 5, "figures": [row]}
    report = EvaluationReport(evaluators, Images(), consistency=told)
    report.write(tmp_path)
    assert json.loads((tmp_path / "consistency.json").read_text()) == told
    text = report.write_page(tmp_path, "A report", [], 0, Answers()).read_text()
    assert "<td>cats &lt; dogs</td><td>12.5 %</td><td>-</td><td>of all</td>" in text
    plain = EvaluationReport(evaluators, Images()).write_page(tmp_path, "A report", [], 0, Answers()).read_text()
    assert "Consistency" not in plain
