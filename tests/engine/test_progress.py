"""What is shown of a training."""

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from maskrcnn_benchmark.engine.progress import Progress
from maskrcnn_benchmark.engine.step import StepOutcome


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


def test_points_beyond_the_checkpoint_of_a_killed_run_are_hidden(tmp_path):
    with Progress(0, 4, 1, str(tmp_path)) as progress:
        for iteration in (1, 2, 3):
            progress.step(iteration, outcome(1.0), 0.1, 1)
    with Progress(2, 4, 1, str(tmp_path)) as progress:
        progress.step(3, outcome(5.0), 0.1, 1)
    assert scalars(tmp_path)["train/total"] == [(1, 1.0), (2, 1.0), (3, 5.0)]
