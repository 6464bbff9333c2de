"""The table, results.json and expected results."""

import json
import logging
import math

import pytest

from maskrcnn_benchmark.engine.delta_m import read_single_task
from maskrcnn_benchmark.engine.results import (
    check_expected_results,
    format_table,
    gather_results,
    read_interactions,
    read_results,
    write_class_table,
    write_results,
)
from maskrcnn_benchmark.evaluation.scores import Scores
from maskrcnn_benchmark.utils.errors import UserError


@pytest.fixture
def results():
    metrics = {"boundary": {"ODS-F": 0.71, "OIS-F": 0.72, "AP": math.nan}, "detection": {"AP": 0.312, "AP50": 0.55}}
    scores = {task: Scores(values, protocol=f"{task} as usual") for task, values in metrics.items()}
    return gather_results(scores, {"detection": {"AP": 0.02, "AP50": 0.05}})


def test_results_follow_the_table_of_tasks(results):
    assert list(results) == ["detection", "boundary"]
    assert results["detection"] == {
        "headline": "AP",
        "metrics": {"AP": 0.312, "AP50": 0.55},
        "trivial": {"AP": 0.02, "AP50": 0.05},
        "protocol": "detection as usual",
        "reason": "",
        "per_class": {},
    }


def test_table_shows_headline_beside_trivial_and_then_the_rest(results):
    header, rule, detection, boundary = format_table(results).splitlines()
    assert header.split() == ["task", "metric", "score", "trivial", "also"]
    assert set(rule) == {"-"}
    assert detection.split() == ["detection", "AP", "31.2", "2.0", "AP50", "55.0"]
    assert boundary.split() == ["boundary", "detection", "ODS-F", "71.0", "-", "OIS-F", "72.0", "AP", "-"]
    assert detection.index("AP") == boundary.index("ODS-F")


def test_proposals_come_first_and_without_a_trivial_predictor_there_is_no_column_for_it():
    table = format_table(
        gather_results(
            {"boundary": Scores({"ODS-F": 0.7}), "box_proposal": Scores({"AR@100": 0.4, "AR@1000": 0.5})}, {}
        )
    )
    header, _, proposals, boundary = table.splitlines()
    assert header.split() == ["task", "metric", "score", "also"]
    assert proposals.split() == ["region", "proposals", "AR@1000", "50.0", "AR@100", "40.0"]
    assert boundary.split() == ["boundary", "detection", "ODS-F", "70.0"]


def test_results_file_has_null_for_nan_and_leaves_no_temporary(results, tmp_path):
    path = tmp_path / "inference" / "results.json"
    write_results(results, path)
    written = json.loads(path.read_text())
    assert written["boundary"]["metrics"] == {"ODS-F": 0.71, "OIS-F": 0.72, "AP": None}
    assert [entry.name for entry in path.parent.iterdir()] == ["results.json"]


def test_what_tasks_did_to_one_another_stands_beside_them_and_is_no_result(results, tmp_path):
    interactions = {
        "tasks": ["detection", "boundary"],
        "looks": [3, 0],
        "norm": [1.5, math.nan],
        "cosine": [[1.0, math.nan], [math.nan, 1.0]],
        "conflict": [[0.0, math.nan], [math.nan, 0.0]],
    }
    path, plain = tmp_path / "results.json", tmp_path / "plain.json"
    write_results(results, path, interactions)
    write_results(results, plain)
    written = json.loads(path.read_text())
    assert list(written) == ["detection", "boundary", "interactions"]
    assert written["interactions"]["cosine"] == [[1.0, None], [None, 1.0]]
    assert written["interactions"]["norm"] == [1.5, None] and written["interactions"]["looks"] == [3, 0]
    # nan is not equal to itself, but the text of it is
    assert str(read_interactions(path)) == str(interactions) and read_interactions(plain) is None
    assert str(read_results(path)) == str(read_results(plain)) == str(results)
    assert format_table(read_results(path)) == format_table(results)
    write_class_table(read_results(path), tmp_path / "per_class.csv")
    assert read_single_task(path) == pytest.approx(read_single_task(plain))


def test_expected_results_are_held_against_the_tolerance(results, caplog):
    expected = [
        ["mini_val", "detection", "AP", 0.30, 0.01],
        ["mini_val", "boundary", "ODS-F", 0.80, 0.01],
        ["other_val", "detection", "AP", 0.99, 0.01],
    ]
    with caplog.at_level(logging.INFO):
        missed = check_expected_results(results, "mini_val", expected, sigma_tolerance=4)
    assert missed == ["mini_val boundary ODS-F = 0.7100, expected 0.7600..0.8400"]
    assert [record.levelname for record in caplog.records] == ["INFO", "ERROR"]


def test_the_originals_expectations_hold_for_any_data_set(results, caplog):
    expected = [["bbox", "AP", [0.30, 0.01]], ("bbox", "AP50", (0.40, 0.01))]
    assert check_expected_results(results, "any_val", expected, 4) == [
        "any_val detection AP50 = 0.5500, expected 0.3600..0.4400"
    ]
    proposals = gather_results({"box_proposal": Scores({"AR@1000": 0.5})}, {})
    assert check_expected_results(proposals, "any_val", [["box_proposal", "AR@1000", [0.5, 0.0]]], 4) == []


def test_nan_is_not_as_expected(results):
    assert check_expected_results(results, "mini_val", [["mini_val", "boundary", "AP", 0.5, 1.0]], 4)


@pytest.mark.parametrize(
    ("expectation", "message"),
    [
        (["mini_val", "detecton", "AP", 0.3, 0.1], "'detecton' was not measured; did you mean 'detection'"),
        (["mini_val", "detection", "AP5", 0.3, 0.1], "'AP5' was not measured; did you mean 'AP50'"),
        (["mini_val", "detection", "AP"], "give \\[data set, task, metric, mean, standard deviation\\]"),
        (["bbox", "AP", 0.3], "a kind of bbox, segm, keypoints, box_proposal"),
        (["mini_val", "detection", "AP", "0.3", 0.1], "give"),
        (["segm", "AP", [0.3, 0.1]], "'instance' was not measured"),
    ],
)
def test_expectation_of_something_unknown_names_the_nearest(results, expectation, message):
    with pytest.raises(UserError, match=message):
        check_expected_results(results, "mini_val", [expectation], 4)


def test_a_headline_that_nobody_measures_is_named():
    with pytest.raises(ValueError, match="'semantic' has the headline 'mIoU', but its evaluator measures MAE"):
        gather_results({"semantic": Scores({"MAE": 0.5})}, {})
