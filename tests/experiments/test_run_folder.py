"""One run as its folder tells it: finished, at work, killed, older than the record, damaged."""

import json
import socket

import pytest
from fake_runs import make_run

from maskrcnn_benchmark.experiments.run_folder import find_runs, read_run
from maskrcnn_benchmark.utils.errors import UserError


def record(state, **start):
    start = {"host": socket.gethostname(), "process": {"id": 2**22 + 1, "born": 1}, "training_seconds": None, **start}
    return {"state": state, "error": start.pop("error", None), "iteration": 8, "max_iteration": 20, "starts": [start]}


def test_a_run_with_everything(tmp_path):
    told = record("finished", training_seconds=5.5)
    run = read_run(make_run(tmp_path / "a", {"semantic": 0.5}, {"SOLVER.SEED": 3, "SOLVER.STEPS": [1, 2]}, told))
    assert (run.state, run.iteration, run.training_seconds, run.seed, run.test_set) == (
        *("finished", 8, 5.5, 3, "mini_detail_val"),
    )
    assert run.options["SOLVER.STEPS"] == [1, 2] and run.results["semantic"]["metrics"] == {"mIoU": 0.5}
    assert run.problems == []


def test_states_without_a_record(tmp_path):
    assert read_run(make_run(tmp_path / "a", {"semantic": 0.5})).state == "finished"
    trained = make_run(tmp_path / "b")
    assert read_run(trained).state == "not finished"
    (trained / "model_final.pth").touch()
    assert read_run(trained).state == "trained"


def test_a_killed_run_is_told_from_one_at_work_elsewhere(tmp_path):
    assert read_run(make_run(tmp_path / "a", record=record("running"))).state == "killed"
    assert read_run(make_run(tmp_path / "b", record=record("running", host="elsewhere"))).state == "running"
    failed = read_run(make_run(tmp_path / "c", record=record("failed", error="out of luck")))
    assert (failed.state, failed.error) == ("failed", "out of luck")


def test_a_start_that_was_killed_has_its_seconds_from_the_log(tmp_path):
    run = make_run(tmp_path / "a", record=record("running"))
    (run / "log.txt").write_text(
        "2026-11-24 22:43:35,780 maskrcnn_benchmark.engine.trainer INFO: Start training at iteration 0 of 60\n"
        "2026-11-24 22:43:45,780 maskrcnn_benchmark.engine.progress INFO: iteration 20/60  eta 0:05:42  loss 28.5  "
        "semantic 9.572  lr 0.001759  28.8 images/s\n"
    )
    read = read_run(run)
    assert (read.training_seconds, read.iteration) == (10.0, 20)


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("config.yml", "a: [", "config.yml is damaged: it holds no options"),
        ("config.yml", "TF32: .inf", "an option has a value that no option has"),
        ("config.yml", "just words", "config.yml is damaged: it holds no options"),
        ("results.json", "{", "results.json is damaged"),
        ("results.json", '{"semantic": {"headline": "mIoU", "metrics": {}, "trivial": {}}}', "semantic has no metrics"),
        ("results.json", '{"semantic": {"headline": "a", "metrics": {"a": "b"}, "trivial": {}}}', "has no metrics"),
        ("run.json", "[]", "run.json is damaged"),
    ],
)
def test_a_damaged_file_is_a_line_and_the_rest_is_read(tmp_path, name, text, line):
    folder = make_run(tmp_path / "a", {"semantic": 0.5}, record=record("finished"))
    (folder / name).write_text(text)
    run = read_run(folder)
    (problem,) = run.problems
    assert line in problem and str(folder / name) in problem and "\n" not in problem
    assert (run.options is None, run.results == {}, run.record is None) == tuple(
        name == each for each in ("config.yml", "results.json", "run.json")
    )


def test_runs_are_found_below_a_folder_and_not_within_one_another(tmp_path):
    a, b = make_run(tmp_path / "x/y/a"), make_run(tmp_path / "b")
    make_run(b / "within")
    assert find_runs(tmp_path) == ([b, a], [])
    assert find_runs(b) == ([b], [])


def test_a_planned_run_that_never_began_says_why(tmp_path):
    (tmp_path / "lr").mkdir()
    (tmp_path / "lr" / "sweep_run.json").write_text(json.dumps({}))
    (tmp_path / "lr" / "sweep.log").write_text("a line\nerror: SOLVER.OPTIMIZER is 'x'\n")
    runs, problems = find_runs(tmp_path)
    assert runs == [] and problems == [f"{tmp_path / 'lr'}: no training began here (error: SOLVER.OPTIMIZER is 'x')"]


def test_what_is_no_run_is_one_line(tmp_path):
    with pytest.raises(UserError, match=r"gone: there is no such folder"):
        find_runs(tmp_path / "gone")
    with pytest.raises(UserError, match=r"is no run: there is no config\.yml"):
        find_runs(tmp_path)
