"""Series of what a training logged: from TensorBoard, from log.txt, smoothed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.tensorboard import SummaryWriter

from maskrcnn_benchmark.experiments.learning_curves import Curve, logged_seconds, read_curves, smoothed
from maskrcnn_benchmark.utils.errors import UserError

LOG = """2026-11-24 22:43:35,780 maskrcnn_benchmark.engine.trainer INFO: Start training at iteration 0 of 60
2026-11-24 22:43:45,780 maskrcnn_benchmark.engine.progress INFO: iteration 20/60  eta 0:05:42  loss 28.5  detection 1.584  semantic 9.572  lr 0.001759  28.8 images/s
2026-11-24 22:43:55,280 maskrcnn_benchmark.engine.progress INFO: iteration 40/60  eta 0:05:31  loss 20.25  detection 1.267  semantic 6.375  lr 0.0025  29.2 images/s
2026-11-24 23:00:00,000 maskrcnn_benchmark.engine.trainer INFO: Start training at iteration 20 of 60
2026-11-24 23:00:30,000 maskrcnn_benchmark.engine.progress INFO: iteration 60/60  eta 0:05:31  loss 19  detection 1.267  semantic 6.375  lr 0.002  29.2 images/s  812 MiB
2026-11-24 23:00:40,000 maskrcnn_benchmark.experiments.run INFO: Results: out/results.json
"""  # noqa: E501


def write(folder, points, purge=None):
    """{tag: {step: value}} as a training writes it."""
    with SummaryWriter(str(folder / "tensorboard"), purge_step=purge) as writer:
        for tag, series in points.items():
            for step, value in series.items():
                writer.add_scalar(tag, value, step)


def points(curve):
    return dict(zip(curve.steps.tolist(), curve.values.tolist()))


def test_losses_of_a_task_are_added_without_weights(tmp_path):
    write(
        tmp_path,
        {
            "train/total": {20: 8.0, 40: 4.0},
            "train/lr": {20: 0.5, 40: 0.25},
            "train/task/detection": {20: 100.0, 40: 100.0},
            "train/loss/loss_objectness": {20: 1.0, 40: 0.5},
            "train/loss/loss_box_reg": {20: 2.0},
            "train/loss/loss_semantic": {20: 3.0},
            "train/loss/loss_of_my_own": {20: 1.5},
            "val/semantic/mIoU": {40: 0.25},
        },
    )
    curves = read_curves(tmp_path)
    assert set(curves) == {
        "total",
        "lr",
        "task/detection",
        "task/semantic",
        "task/loss_of_my_own",
        "test/semantic/mIoU",
    }
    assert points(curves["total"]) == {20: 8.0, 40: 4.0} and points(curves["lr"]) == {20: 0.5, 40: 0.25}
    assert points(curves["task/detection"]) == {20: 3.0, 40: 0.5}
    assert points(curves["task/loss_of_my_own"]) == {20: 1.5} and points(curves["test/semantic/mIoU"]) == {40: 0.25}


def test_what_a_killed_run_had_logged_too_much_is_replaced(tmp_path):
    write(tmp_path, {"train/total": {20: 8.0, 40: 4.0, 60: 3.0}})
    write(tmp_path, {"train/total": {40: 5.0}}, purge=21)
    assert points(read_curves(tmp_path)["total"]) == {20: 8.0, 40: 5.0}


def test_without_tensorboard_the_log_tells_total_and_rate(tmp_path):
    (tmp_path / "log.txt").write_text(LOG)
    curves = read_curves(tmp_path)
    assert set(curves) == {"total", "lr"}
    assert points(curves["total"]) == {20: 28.5, 60: 19.0} and points(curves["lr"]) == {20: 0.001759, 60: 0.002}


def test_seconds_of_training_by_the_log_are_those_of_all_starts(tmp_path):
    assert logged_seconds(tmp_path) is None
    (tmp_path / "log.txt").write_text(LOG)
    assert logged_seconds(tmp_path) == pytest.approx(19.5 + 30)
    (tmp_path / "log.txt").write_text(LOG.splitlines()[0] + "\n")
    assert logged_seconds(tmp_path) == 0


def test_a_folder_without_any_has_none(tmp_path):
    assert read_curves(tmp_path) == {}


def test_a_log_that_cannot_be_read_is_one_line(tmp_path, monkeypatch):
    write(tmp_path, {"train/total": {1: 1.0}})
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    def stumble(self):
        raise KeyError("x")

    monkeypatch.setattr(EventAccumulator, "Reload", stumble)
    with pytest.raises(UserError, match=r"tensorboard cannot be read .*KeyError"):
        read_curves(tmp_path)


@given(st.lists(st.integers(0, 50), min_size=1, unique=True).map(sorted), st.integers(1, 30))
def test_smoothing_is_the_mean_of_what_lies_near(steps, width):
    steps = np.array(steps)
    values = np.cos(steps) + steps
    expected = [values[np.abs(steps - step) < width / 2].mean() for step in steps]
    np.testing.assert_allclose(smoothed(Curve(steps, values), width).values, expected, atol=1e-9)
