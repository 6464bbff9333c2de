"""The gain over single-task networks, and the file that their results are read from."""

import json
import math

import pytest

from maskrcnn_benchmark.engine.delta_m import METRICS, add_delta_m, read_single_task
from maskrcnn_benchmark.engine.results import format_table, gather_results, read_results, write_results
from maskrcnn_benchmark.evaluation.scores import Scores
from maskrcnn_benchmark.tasks.task import TASKS
from maskrcnn_benchmark.utils.errors import UserError


@pytest.fixture
def results():
    scores = {
        "semantic": Scores({"mIoU": 0.632, "fwIoU": 0.7}),
        "part": Scores({"mIoU": 0.551}),
        "boundary": Scores({"ODS-F": 0.692, "AP": 0.6}),
    }
    return gather_results(scores, {})


def test_it_is_the_mean_relative_gain(results):
    """Three columns of ASTMT's table (ResNet-101, without and single task): -7.467 %, -9.226 % and -4.814 %."""
    compared = add_delta_m(results, {"semantic": 0.683, "part": 0.607, "boundary": 0.727})
    assert compared["all"]["metrics"]["delta_m"] == pytest.approx(-0.07169, abs=1e-5)
    assert compared["part"]["gain"] == pytest.approx(-0.0922570, abs=1e-6)
    assert compared["part"]["single_task"] == 0.607
    assert "single_task" not in results["part"]


def test_the_same_results_gain_nothing_and_better_ones_something(results):
    base = {task: result["metrics"][result["headline"]] for task, result in results.items()}
    assert add_delta_m(results, base)["all"]["metrics"]["delta_m"] == 0
    lower = {task: value / 2 for task, value in base.items()}
    assert add_delta_m(results, lower)["all"]["metrics"]["delta_m"] == pytest.approx(1)


def test_tasks_that_only_one_network_has_are_left_out_and_named(results):
    results["boundary"]["metrics"]["ODS-F"] = math.nan
    compared = add_delta_m(results, {"semantic": 0.5, "boundary": 0.7, "keypoint": 0.3})
    assert compared["all"]["metrics"]["delta_m"] == pytest.approx(0.264)
    assert "part, boundary" in compared["all"]["reason"] and "gain" not in compared["boundary"]
    assert math.isnan(add_delta_m(results, {})["all"]["metrics"]["delta_m"])


def test_the_table_has_both_columns_and_the_last_line(results):
    table = format_table(add_delta_m(results, {"semantic": 0.683, "part": 0.607, "boundary": 0.727})).splitlines()
    assert table[0].split() == ["task", "metric", "score", "single", "gain", "also"]
    assert table[2].split()[:6] == ["part", "segmentation", "mIoU", "55.1", "60.7", "-9.2"]
    assert table[-1].split() == ["all", "tasks", "delta_m", "-7.2", "-", "-"]


def test_results_with_a_comparison_are_written_and_read(results, tmp_path):
    compared = add_delta_m(results, {"semantic": 0.6})
    write_results(compared, tmp_path / "results.json")
    assert read_results(tmp_path / "results.json") == compared


def test_three_forms_of_a_file_say_the_same(results, tmp_path):
    write_results(results, tmp_path / "results.json")
    forms = {
        "values.json": {"part": 0.551, "semantic": 0.632},
        "metrics.json": {"part": {"mIoU": 0.551}, "semantic": {"mIoU": 0.632, "fwIoU": 0.1}},
        "paths.json": {"part": "results.json", "semantic": "results.json"},
    }
    for name, content in forms.items():
        (tmp_path / name).write_text(json.dumps(content))
        assert read_single_task(tmp_path / name) == {"part": 0.551, "semantic": 0.632}, name
    assert read_single_task(tmp_path / "results.json") == {"part": 0.551, "semantic": 0.632, "boundary": 0.692}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"semantics": 0.5}', "no task 'semantics'"),
        ('{"semantic": 68.3}', "semantic is 68.3; give a value in 0..1"),
        ('{"semantic": true}', "semantic is True"),
        ('{"semantic": {"fwIoU": 0.5}}', "semantic has no 'mIoU'"),
        ('{"semantic": "other.json"}', "single-task results cannot be used: cannot read .*other.json"),
        ("[0.5]", "holds no object"),
        ('{"semantic": ', "not valid JSON"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(content, message, tmp_path):
    (tmp_path / "single.json").write_text(content)
    with pytest.raises(UserError, match=message):
        read_single_task(tmp_path / "single.json")


def test_a_gain_over_nothing_is_refused(results):
    with pytest.raises(UserError, match="the single-task result of part is 0"):
        add_delta_m(results, {"part": 0.0})


def test_a_named_choice_of_metrics_stands_for_tasks_in_place_of_headlines(results, tmp_path, monkeypatch):
    monkeypatch.setitem(METRICS, "mti_net", {"semantic": "fwIoU"})
    (tmp_path / "single.json").write_text(json.dumps({"semantic": {"mIoU": 0.6, "fwIoU": 0.56}, "part": 0.551}))
    base = read_single_task(tmp_path / "single.json", "mti_net")
    assert base == {"semantic": 0.56, "part": 0.551}
    compared = add_delta_m(results, base, "mti_net")
    assert compared["all"]["metrics"]["delta_m"] == pytest.approx((0.7 / 0.56 - 1) / 2, abs=1e-9)
    assert compared["all"]["protocol"].endswith("above 0 is better (semantic by fwIoU)")
    assert add_delta_m(results, base)["semantic"]["gain"] == pytest.approx(0.632 / 0.56 - 1)


def test_saliency_is_measured_as_each_family_of_tables_does():
    assert METRICS["mti_net"]["saliency"] == "max-mIoU" and METRICS["atrc"]["saliency"] == "maxF"


def test_errors_in_degrees_are_read_as_they_are_and_less_is_better(results, tmp_path, monkeypatch):
    monkeypatch.setattr(TASKS["boundary"], "higher_is_better", False)
    results["boundary"]["metrics"]["ODS-F"] = 12.0
    (tmp_path / "single.json").write_text(json.dumps({"boundary": 16.0}))
    compared = add_delta_m(results, read_single_task(tmp_path / "single.json"))
    assert compared["all"]["metrics"]["delta_m"] == pytest.approx(0.25, abs=1e-9)


def test_results_of_another_protocol_are_told(tmp_path, caplog):
    entry = {"headline": "ODS-F", "metrics": {"ODS-F": 0.7}, "protocol": "protocol seism: 101 thresholds"}
    (tmp_path / "results.json").write_text(json.dumps({"boundary": entry, "part": 0.6}))
    (tmp_path / "single.json").write_text(json.dumps({"boundary": "results.json"}))
    for name in ("results.json", "single.json"):
        for ours, told in (("protocol sak: 99 thresholds", 1), (entry["protocol"], 0)):
            caplog.clear()
            protocols = {"boundary": ours, "part": "mIoU"}
            assert read_single_task(tmp_path / name, protocols=protocols)["boundary"] == 0.7
            assert caplog.text.count("Delta_m compares boundary of two protocols") == told
