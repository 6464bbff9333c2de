"""What is shown of a training."""

import errno
import os

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from maskrcnn_benchmark.engine.progress import Progress, format_gradients
from maskrcnn_benchmark.engine.step import StepOutcome
from maskrcnn_benchmark.multitask.interactions import GradientStatistics


def scalars(folder):
    events = EventAccumulator(str(folder / "tensorboard")).Reload()
    return {tag: [(e.step, pytest.approx(e.value)) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def outcome(total, **tasks):
    return StepOutcome({f"loss_{key}": value for key, value in tasks.items()}, tasks, total, 1.0, False)


def test_means_of_each_period_reach_log_and_tensorboard(tmp_path, caplog):
    with caplog.at_level("INFO"), Progress(0, 3, 2, str(tmp_path)) as progress:
        progress.step(1, outcome(3.0, semantic=1.0, part=2.0), 0.1, 4)
        progress.step(2, outcome(2.0, semantic=2.0), 0.1, 4)
        progress.results(2, {"part": {"headline": "mIoU", "metrics": {"mIoU": 0.5}, "trivial": {}}})
        progress.step(3, outcome(7.0, semantic=7.0), 0.01, 4)
    found = scalars(tmp_path)
    assert found["train/total"] == [(2, 2.5), (3, 7.0)]
    assert found["train/task/semantic"] == [(2, 1.5), (3, 7.0)]
    # a task without labels in a step is left out of the mean, not counted as zero
    assert found["train/task/part"] == found["train/loss/loss_part"] == [(2, 2.0)]
    assert found["train/lr"] == [(2, 0.1), (3, 0.01)] and found["val/part/mIoU"] == [(2, 0.5)]
    lines = [record.getMessage() for record in caplog.records]
    assert lines[0].startswith("iteration 2/3  eta 0:00:00  loss 2.5000  semantic 1.500  part 2.000  lr 0.100000")
    assert lines[0].endswith("images/s") and lines[1].startswith("iteration 3/3")


def test_a_line_ends_with_the_memory_of_this_processs_own_gpu(caplog, monkeypatch):
    peak = {torch.device("cuda", 0): 2**20, torch.device("cuda", 1): 3 * 2**30}
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", peak.__getitem__)
    with caplog.at_level("INFO"), Progress(0, 1, 1, "", torch.device("cuda", 1)) as progress:
        progress.step(1, outcome(1.0), 0.1, 1)
    assert caplog.records[0].getMessage().endswith("images/s  3072 MiB")


def test_points_beyond_the_checkpoint_of_a_killed_run_are_hidden(tmp_path):
    with Progress(0, 4, 1, str(tmp_path)) as progress:
        for iteration in (1, 2, 3):
            progress.step(iteration, outcome(1.0), 0.1, 1)
    with Progress(2, 4, 1, str(tmp_path)) as progress:
        progress.step(3, outcome(5.0), 0.1, 1)
    assert scalars(tmp_path)["train/total"] == [(1, 1.0), (2, 1.0), (3, 5.0)]


def sampled(weights, backbone_weights, gradients):
    losses = {"loss_semantic": 0.5, "loss_occlusion_edge": 0.25, "loss_occlusion_direction": 0.5}
    tasks = {"semantic": 2.0, "occlusion": 0.75}
    return StepOutcome(losses, tasks, 2.75, 1.0, False, weights, backbone_weights, gradients)


def test_weights_reach_tensorboard_as_means_and_gradient_statistics_where_they_were(tmp_path, caplog):
    first = GradientStatistics({"semantic": 4.0, "occlusion": 0.5}, {("semantic", "occlusion"): -0.25})
    with caplog.at_level("INFO"), Progress(0, 4, 2, str(tmp_path)) as progress:
        progress.step(1, sampled({"semantic": 4.0}, {"semantic": 0.5}, first), 0.1, 4)
        progress.step(2, sampled({"semantic": 2.0, "occlusion": 1.0}, {}, None), 0.1, 4)
        progress.step(3, outcome(1.0), 0.1, 4)
        progress.step(4, sampled({}, {}, GradientStatistics({"semantic": 8.0}, {})), 0.1, 4)
    found = scalars(tmp_path)
    assert found["train/weight/semantic"] == [(2, 3.0)] and found["train/weight/occlusion"] == [(2, 1.0)]
    assert found["train/trunk_weight/semantic"] == [(2, 0.5)]
    # a sampled iteration between two points of the log is not lost
    assert found["train/trunk_gradient/semantic"] == [(1, 4.0), (4, 8.0)]
    assert found["train/trunk_gradient/occlusion"] == [(1, 0.5)]
    assert found["train/cosine/semantic-occlusion"] == [(1, -0.25)]
    lines = [record.getMessage().splitlines()[0] for record in caplog.records]
    assert [line.split("  ")[0] for line in lines] == [
        "gradient conflicts at iteration 1:",
        "iteration 2/4",
        "iteration 4/4",
        "gradient conflicts at iteration 4:",
    ]


def test_the_table_of_a_sampled_iteration_has_a_row_for_each_task():
    values = {
        "loss/loss_semantic": 0.5,
        "loss/loss_occlusion_edge": 0.25,
        "loss/loss_occlusion_direction": 0.5,
        "weight/semantic": 4.0,
        "weight/occlusion": 0.125,
        "loss/loss_part": 1.0,
        "weight/part": 2.0,
    }
    cosines = {("part", "semantic"): 0.5, ("part", "occlusion"): -0.126}
    gradients = GradientStatistics({"part": 12.34, "semantic": 4.0, "occlusion": 0.5}, cosines)
    rows = [line.split() for line in format_gradients(values, gradients).splitlines()]
    assert rows == [
        ["task", "loss", "weight", "norm", "part", "sema", "occl"],
        ["part", "1.0000", "2", "12.3", ".", "+0.50", "-0.13"],
        ["semantic", "0.5000", "4", "4", "+0.50", ".", "-"],
        ["occlusion", "0.7500", "0.125", "0.5", "-0.13", "-", "."],
    ]
    rows = format_gradients({**values, "trunk_weight/part": 0.3}, gradients).splitlines()
    assert rows[0].split()[:5] == ["task", "loss", "weight", "backbone", "norm"]
    assert [row.split()[3] for row in rows[1:]] == ["0.3", "-", "-"]
    assert len({len(row) for row in rows}) == 1


def test_a_task_without_a_gradient_is_a_row_and_no_column():
    table = format_gradients({"loss/loss_mask": 1.0, "loss/loss_kp": 2.0}, GradientStatistics({"keypoint": 1.0}, {}))
    assert [line.split() for line in table.splitlines()] == [
        ["task", "loss", "weight", "norm", "keyp"],
        ["instance", "1.0000", "-", "-", "-"],
        ["keypoint", "2.0000", "-", "1", "."],
    ]
    assert format_gradients({}, GradientStatistics({}, {})) == ""


def test_a_disk_that_takes_no_more_points_is_one_warning_and_the_training_goes_on(tmp_path, caplog, monkeypatch):
    def full(descriptor, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    with caplog.at_level("WARNING"), Progress(0, 6, 1, str(tmp_path)) as progress:
        progress.step(1, outcome(1.0), 0.1, 1)
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", full)
            progress.step(2, outcome(2.0), 0.1, 1)
            progress.step(3, outcome(3.0), 0.1, 1)
            progress.results(3, {"part": {"metrics": {"mIoU": 0.5}}})
        progress.step(4, outcome(4.0), 0.1, 1)
    assert scalars(tmp_path)["train/total"] == [(1, 1.0), (4, 4.0)]
    # a logger of another test may have told of its own file
    (line,) = [message for message in caplog.messages if str(tmp_path) in message]
    assert "tfevents" in line and "No space left on device" in line and "tries again with every report" in line


def test_a_terminal_that_is_gone_ends_the_bar_and_not_the_training(tmp_path, caplog):
    with caplog.at_level("WARNING"), Progress(0, 3, 1, "") as progress:

        def gone(*arguments):
            raise OSError(errno.EIO, "Input/output error")

        progress.bar.update = gone
        for iteration in (1, 2, 3):
            progress.step(iteration, outcome(1.0), 0.1, 1)
    assert "the progress bar is not shown any longer" in caplog.messages[0]
