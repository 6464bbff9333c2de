"""The record of a run: what it says at the beginning, at each kind of end, and when the run goes on."""

import json
import os
import random
import shlex
import subprocess
import sys

import numpy as np
import pytest
import torch

from maskrcnn_benchmark.config import cfg as default_cfg
from maskrcnn_benchmark.experiments import run_record
from maskrcnn_benchmark.experiments.run_record import is_at_work, read_record, record_run
from maskrcnn_benchmark.utils.errors import Interrupted, UserError


@pytest.fixture
def cfg(tmp_path):
    cfg = default_cfg.clone()
    cfg.merge_from_list(["OUTPUT_DIR", str(tmp_path), "SOLVER.SEED", 7, "SOLVER.MAX_ITER", 20])
    return cfg


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.json"


def test_it_is_there_while_the_run_is_at_work_and_says_by_whom(cfg, path, monkeypatch):
    monkeypatch.setenv("MY_TOKEN", "hunter2-hunter2")
    monkeypatch.setattr(sys, "orig_argv", ["python", "tools/train_net.py", "INPUT.MIN_SIZE_TRAIN", "(64, 80)"])
    with record_run(cfg, {"iteration": 0}):
        record = read_record(path)
        assert is_at_work(record)
    (start,) = record["starts"]
    assert record["state"] == "running" and (record["iteration"], record["max_iteration"]) == (0, 20)
    assert start["command"] == "python tools/train_net.py INPUT.MIN_SIZE_TRAIN '(64, 80)'"
    assert shlex.split(start["command"])[-1] == "(64, 80)"
    assert (start["folder"], start["seed"], start["processes"]) == (os.getcwd(), 7, 1)
    assert start["environment"]["pytorch"] == torch.__version__ and start["ended"] is None
    assert "hunter2" not in path.read_text()


def test_a_run_that_ends_well_is_finished_at_its_last_iteration(cfg, path):
    arguments = {"iteration": 0}
    with record_run(cfg, arguments) as record:
        arguments["iteration"] = 20
        record.trained()
    record = read_record(path)
    assert (record["state"], record["error"], record["iteration"]) == ("finished", None, 20)
    assert 0 <= record["training_seconds"] <= record["seconds"]
    assert record["starts"][0]["started"] <= record["starts"][0]["ended"]
    assert not is_at_work(record)


@pytest.mark.parametrize(
    ("error", "state", "line"),
    [
        (UserError("iteration 3: the loss\nis nan"), "failed", "iteration 3: the loss is nan"),
        (ZeroDivisionError("by\nzero"), "failed", "ZeroDivisionError: by zero"),
        (MemoryError(), "failed", "MemoryError"),
        (Interrupted("stopped"), "interrupted", None),
        (KeyboardInterrupt(), "interrupted", None),
    ],
)
def test_how_it_ended_is_one_line_and_the_error_goes_on(cfg, path, error, state, line):
    arguments = {"iteration": 0}
    with pytest.raises(type(error)), record_run(cfg, arguments):
        arguments["iteration"] = 2
        raise error
    record = read_record(path)
    assert (record["state"], record["error"], record["iteration"]) == (state, line, 2)
    assert record["training_seconds"] is not None


def test_a_run_that_goes_on_has_all_its_starts_and_their_sum(cfg, path):
    with pytest.raises(Interrupted), record_run(cfg, {"iteration": 0}):
        raise Interrupted("stopped")
    first = read_record(path)
    arguments = {"iteration": 8}
    with record_run(cfg, arguments):
        arguments["iteration"] = 20
    record = read_record(path)
    assert [start["state"] for start in record["starts"]] == ["interrupted", "finished"]
    assert [start["from_iteration"] for start in record["starts"]] == [0, 8]
    assert record["starts"][0] == first["starts"][0] and record["state"] == "finished"
    assert record["seconds"] == pytest.approx(sum(start["seconds"] for start in record["starts"]))


def test_a_killed_start_is_seen_and_marked_by_the_next(cfg, path):
    with record_run(cfg, {"iteration": 0}):
        killed = json.loads(path.read_text())
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    killed["starts"][0]["process"]["id"] = dead.pid
    path.write_text(json.dumps(killed))
    assert killed["state"] == "running" and not is_at_work(killed)
    with record_run(cfg, {"iteration": 20}):
        pass
    record = read_record(path)
    assert [(s["state"], s["iteration"]) for s in record["starts"]] == [("interrupted", 20), ("finished", 20)]
    assert record["starts"][1]["training_seconds"] == 0  # it had nothing left to train


def test_another_process_of_the_same_number_is_not_this_run(cfg, path):
    with record_run(cfg, {"iteration": 0}):
        record = read_record(path)
    start = record["starts"][0]
    if start["process"]["born"] is None:
        pytest.skip("this system does not say when a process was started")
    start["process"]["born"] += 1
    assert not is_at_work(record)
    start["host"] = "elsewhere"  # which cannot be looked at from here
    assert is_at_work(record)


def test_a_complete_run_is_not_recorded_again(cfg, path):
    with record_run(cfg, {"iteration": 20}):
        pass
    before = path.read_bytes()
    with record_run(cfg, {"iteration": 20}):
        pass
    assert path.read_bytes() == before
    cfg.SOLVER.MAX_ITER = 30
    with record_run(cfg, {"iteration": 20}):
        pass
    assert len(read_record(path)["starts"]) == 2


def test_other_processes_write_nothing(cfg, path, monkeypatch):
    monkeypatch.setattr(run_record, "is_main_process", lambda: False)
    with record_run(cfg, {"iteration": 0}) as record:
        record.trained()
    assert not path.exists()


def test_a_damaged_record_begins_anew_with_a_warning(cfg, path, caplog):
    path.write_text('{"state": "fin')
    with record_run(cfg, {"iteration": 0}):
        pass
    assert "run.json is damaged" in caplog.text and len(read_record(path)["starts"]) == 1


def test_a_record_that_cannot_be_written_does_not_stop_the_run(cfg, path, caplog):
    path.mkdir()
    with record_run(cfg, {"iteration": 0}):
        reached = True
    assert reached and "the run goes on without its record" in caplog.text


@pytest.mark.parametrize(
    "text",
    [
        *("{", "[]", "{}", '{"state": "running", "starts": []}', '{"state": 1, "starts": [{}]}'),
        '{"state": "running", "starts": [{"git": "x"}]}',
    ],
)
def test_what_is_no_record_is_refused_in_one_line(path, text):
    path.write_text(text)
    with pytest.raises(UserError, match=r"run\.json is damaged"):
        read_record(path)


def test_no_random_number_is_drawn(cfg):
    def state():
        return random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()

    before = state()
    with record_run(cfg, {"iteration": 0}):
        assert state() == before
    assert state() == before
