"""docs/examples/truncated.py: yes or no for each object, on the box head's features."""

import json
import math

import numpy as np
import pytest
import torch
from example_task import ExampleRun, example

from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations


@pytest.fixture(scope="module", autouse=True)
def truncated():
    with example("truncated") as module:
        yield module


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return ExampleRun(tmp_path_factory.mktemp("truncated"), "truncated", ("detection",))


def objects(boxes, labels, cut_off):
    made = BoxList(torch.tensor(boxes).float().reshape(-1, 4), (100, 80))
    made.add_field("labels", torch.tensor(labels))
    made.add_field("truncated", torch.tensor(cut_off).float())
    return made


def test_objects_at_the_border_are_cut_off(run):
    dataset = run.dataset("train", tasks=("truncated",))
    assert dataset.tasks == {"truncated"}
    for index in range(len(dataset)):
        instances = dataset.get_annotations(index).instances
        width, height = instances.size
        for (x1, y1, x2, y2), label in zip(instances.bbox.tolist(), instances.get_field("truncated").tolist()):
            assert label == (min(x1, y1, width - 1 - x2, height - 1 - y2) < 1)


def test_labels_stay_with_their_objects():
    annotations = ImageAnnotations((100, 80), objects([[0, 0, 9, 9], [20, 20, 39, 39]], [1, 2], [1, 0]))
    assert annotations.transpose(0).instances.get_field("truncated").tolist() == [1, 0]
    assert annotations.resize((50, 40)).instances.get_field("truncated").tolist() == [1, 0]
    assert annotations.crop((15, 15, 60, 60)).instances.get_field("truncated").tolist() == [0]


def test_metrics_of_a_case_worked_by_hand(truncated):
    evaluator = truncated.Truncated().build_evaluator(None, None)
    boxes = [[0, 0, 9, 9], [20, 20, 39, 39], [60, 60, 69, 69], [80, 0, 99, 9]]
    target = ImageAnnotations((100, 80), objects(boxes, [1, 1, 2, 1], [1, 0, 1, 1]), image_id=1)
    rows = [
        {"category_id": 1, "bbox": [0, 0, 10, 10], "score": 0.9, "truncated": 0.8},
        {"category_id": 1, "bbox": [20, 20, 20, 20], "score": 0.9, "truncated": 0.6},
        {"category_id": 2, "bbox": [60, 60, 10, 10], "score": 0.2, "truncated": 0.3},
        {"category_id": 2, "bbox": [80, 0, 20, 10], "score": 0.9, "truncated": 0.9},  # of another class: finds nothing
    ]
    record = evaluator.record(rows, target)
    assert sorted(record.tolist()) == [[0.3, 1], [0.6, 0], [0.8, 1]]
    # of the ranking yes, no, yes: precision 1 at recall 1/2 and 2/3 at 1
    metrics = evaluator.summarize([record]).metrics
    assert metrics == pytest.approx({"AP": (1 + 2 / 3) / 2, "accuracy": 1 / 3})
    assert evaluator.image_score(record) == pytest.approx(1 / 3)
    assert evaluator.summarize([]).reason == "no object was found"
    nothing = evaluator.record([], target)
    assert nothing.shape == (0, 2) and math.isnan(evaluator.image_score(nothing))


def test_a_run_scores_it_and_writes_a_list(run):
    assert set(run.result["metrics"]) == {"AP", "accuracy"}
    assert run.metrics_from_files() == pytest.approx(run.result["metrics"], nan_ok=True, abs=0)
    rows = json.loads((run.predictions / "truncated.json").read_text())
    assert {"image_id", "category_id", "bbox", "score", "truncated"} <= set(rows[0])
    assert all(0 < row["truncated"] < 1 for row in rows)


def test_it_is_drawn_at_the_boxes(run):
    panels = run.panels()
    for name in ("prediction", "ground truth", "overlay"):
        assert panels[name].dtype == np.uint8 and not np.array_equal(panels[name], panels["photograph"])
    assert "<h3>truncation</h3>" in (run.output / "pictures.html").read_text()


def test_it_is_exported_resumed_and_compared(run):
    parity = run.exported()
    assert parity.faults == [] and parity.tasks["truncated"].compared > 0
    assert run.is_resumed_exactly()
    assert run.comparison().tasks == ["detection", "truncated"]
