"""Saliency, normals and depth from a training to its files, pictures, export and the next iteration."""

import math

import pytest
from example_task import ExampleRun

from maskrcnn_benchmark.engine.inference import Evaluation
from maskrcnn_benchmark.engine.results import format_table, read_results
from maskrcnn_benchmark.engine.score_files import score_files
from maskrcnn_benchmark.prediction_files.reader import PredictionReader, find_predictions
from maskrcnn_benchmark.tasks.task import TASKS

KEYS = ("saliency", "normals", "depth")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return ExampleRun(tmp_path_factory.mktemp("run"), "depth", ("saliency", "normals"), maps=True)


def test_results_are_those_of_the_written_files_in_their_units(run):
    results = read_results(run.output / "results.json")
    assert list(results) == list(KEYS)
    for found in results.values():
        assert all(map(math.isfinite, (*found["metrics"].values(), *found["trivial"].values())))
    table = format_table(results).splitlines()
    assert [row.split("  ")[0] for row in table[2:5]] == ["saliency", "surface normals", "depth"]
    assert "\u00b0" in table[3] and " m " in table[4]
    dataset, tasks = run.dataset(tasks=KEYS), [TASKS[key] for key in KEYS]
    reader = PredictionReader(dataset, find_predictions(run.predictions, tasks), tasks)
    found = score_files(Evaluation(tasks), dataset, reader)
    assert {key: found[key].scores.metrics for key in KEYS} == {key: results[key]["metrics"] for key in KEYS}


def test_a_checkpoint_predicts_and_is_exported_and_resumed(run):
    predicted = run.predictor()(run.image())
    width, height = predicted.size
    assert predicted.saliency.shape == predicted.depth.shape == (height, width)
    assert predicted.normals.shape == (3, height, width) and predicted.depth.min() > 0
    assert predicted.draw(layout="overlay").size[0] >= width
    parity = run.exported()
    assert parity.faults == [] and {key: parity.tasks[key].compared for key in KEYS} == dict.fromkeys(KEYS, 1)
    assert run.is_resumed_exactly()
