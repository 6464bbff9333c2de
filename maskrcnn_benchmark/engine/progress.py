"""What a person sees of a running training: a progress bar, lines in the log, and TensorBoard."""

import datetime
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from maskrcnn_benchmark.engine.event_log import EventLog
from maskrcnn_benchmark.engine.step import StepOutcome
from maskrcnn_benchmark.multitask.interactions import GradientStatistics
from maskrcnn_benchmark.tasks.task import TASKS, task_of_loss
from maskrcnn_benchmark.utils.comm import all_gather, get_world_size, is_main_process
from maskrcnn_benchmark.utils.metric_logger import MetricLogger

EVENTS = "tensorboard"  # folder of the TensorBoard log within OUTPUT_DIR

logger = logging.getLogger(__name__)


class Progress:
    """Collects what the steps report and shows it, in the main process, every `period` iterations.

    Gradient conflicts are shown at once, in the iterations that are sampled for them.

    Args:
        start, end: iterations done so far, and in all.
        period: iterations between two lines of the log and points of TensorBoard.
        folder: OUTPUT_DIR; "" writes no TensorBoard log.
        device: of this process; on CUDA each line ends with the peak of its memory.
    """

    def __init__(self, start: int, end: int, period: int, folder: Any, device: torch.device | str = "cpu") -> None:
        self.end = end
        self.period = period
        self.device = torch.device(device)
        self.meters = MetricLogger()
        self.images = 0
        self.since = time.perf_counter()
        main = is_main_process()
        # tqdm's None: a bar on a terminal only; a log file has the lines instead
        self.bar = tqdm(total=end, initial=start, disable=None if main else True, unit="it", dynamic_ncols=True)
        # points that a killed run had written beyond its last checkpoint are hidden by those that are to come
        self.events = EventLog(Path(folder) / EVENTS, start + 1 if start else None) if main and folder else None

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *exception: object) -> None:
        self._on_bar(self.bar.close)
        if self.events is not None:
            self.events.close()

    def step(self, iteration: int, outcome: StepOutcome, lr: float, num_images: int) -> None:
        """Take in a `StepOutcome` of `num_images` images on this rank; all ranks call it in every iteration."""
        values = _values(outcome)
        self.meters.update(**values)
        self.images += num_images
        self._on_bar(self.bar.update)
        if iteration % self.period == 0 or iteration == self.end:
            self._report(iteration, lr)
        if outcome.gradient_statistics is not None:  # alike in all processes, which is why they may communicate here
            self._show_gradients(iteration, values, outcome.gradient_statistics)

    def results(self, iteration: int, results: Mapping[str, Mapping[str, Any]]) -> None:
        """Show an evaluation's {task: {"metrics": {name: value}}} in TensorBoard."""
        if self.events is None:
            return
        metrics = {key: result["metrics"] for key, result in results.items()}
        values = {f"val/{key}/{name}": value for key, found in metrics.items() for name, value in found.items()}
        self.events.add(values, iteration)

    def restart_clock(self) -> None:
        """Leave what happened since the last report, such as an evaluation, out of the speed."""
        self.images, self.since = 0, time.perf_counter()

    def _on_bar(self, action, *arguments):
        """Do something to the bar, as long as the terminal is there that shows it."""
        try:
            action(*arguments)
        except OSError as error:
            self.bar.disable = True
            logger.warning("the progress bar is not shown any longer: %s", error)

    def _report(self, iteration, lr):
        means = _means_over_ranks(self.meters)
        seconds = time.perf_counter() - self.since
        speed = self.images * get_world_size() / max(seconds, 1e-9)
        steps = self.meters.total.count
        self.meters = MetricLogger()
        self.restart_clock()
        if not is_main_process():
            return
        self._on_bar(self.bar.set_postfix_str, f"loss {means['total']:.3f}, {speed:.1f} images/s")
        eta = datetime.timedelta(seconds=int(seconds / steps * (self.end - iteration)))
        tasks = "  ".join(f"{n.removeprefix('task/')} {v:.3f}" for n, v in means.items() if n.startswith("task/"))
        memory = ""
        if self.device.type == "cuda":
            memory = f"  {torch.cuda.max_memory_allocated(self.device) / 2**20:.0f} MiB"
        logger.info(
            "iteration %d/%d  eta %s  loss %.4f  %s  lr %.6f  %.1f images/s%s",
            *(iteration, self.end, eta, means["total"], tasks, lr, speed, memory),
        )
        if self.events is not None:
            values = {**means, "lr": lr, "images_per_second": speed}
            self.events.add({f"train/{name}": value for name, value in values.items()}, iteration)

    def _show_gradients(self, iteration, values, gradients):
        """The table of tasks at an iteration of these values, and its `GradientStatistics` in TensorBoard."""
        step = MetricLogger()
        step.update(**values)
        means = _means_over_ranks(step)
        if not is_main_process():
            return
        table = format_gradients(means, gradients)
        if table:
            logger.info("gradient conflicts at iteration %d:\n%s", iteration, table)
        if self.events is not None:
            norms = {f"train/trunk_gradient/{key}": norm for key, norm in gradients.norms.items()}
            cosines = {f"train/cosine/{a}-{b}": cosine for (a, b), cosine in gradients.cosines.items()}
            self.events.add({**norms, **cosines}, iteration)


def _values(outcome):
    """{name: number} of a `StepOutcome`, named as in TensorBoard."""
    groups = {
        "task": outcome.tasks,
        "loss": outcome.losses,
        "weight": outcome.weights,
        "trunk_weight": outcome.backbone_weights,
    }
    named = {f"{group}/{key}": value for group, values in groups.items() for key, value in values.items()}
    return {"total": outcome.total, "gradient_norm": outcome.gradient_norm, **named}


def format_gradients(values: Mapping[str, float], gradients: GradientStatistics) -> str:
    """The gradient conflicts of a step, as text: a row for each task that took part, "" if none did.

    Columns: the task; its loss, unweighted; the weight of that; the weight of its gradient on the backbone where an
    aggregation chose one; the norm of that gradient; its cosine with each other task's, below 0 where the two conflict.

    Args:
        values: {"loss/<loss name>", "weight/<task key>", "trunk_weight/<task key>": number}.
        gradients: the step's `GradientStatistics`.
    """
    losses: dict[str, float] = {}
    for name, value in values.items():
        if name.startswith("loss/"):
            key = task_of_loss(name.removeprefix("loss/")).key
            losses[key] = losses.get(key, 0.0) + value
    shown = [key for key in TASKS if key in losses or key in gradients.norms]
    met = [key for key in shown if key in gradients.norms]
    columns = {
        "task": shown,
        "loss": [_number(losses.get(key), ".4f") for key in shown],
        "weight": [_number(values.get(f"weight/{key}"), ".4g") for key in shown],
        "backbone": [_number(values.get(f"trunk_weight/{key}"), ".4g") for key in shown],
        "norm": [_number(gradients.norms.get(key), ".3g") for key in shown],
    }
    if set(columns["backbone"]) == {"-"}:
        del columns["backbone"]
    both = gradients.cosines | {(b, a): cosine for (a, b), cosine in gradients.cosines.items()}
    for other, head in zip(met, _short(met)):
        columns[head] = ["." if key == other else _number(both.get((key, other)), "+.2f") for key in shown]
    widths = [max(len(cell) for cell in (head, *cells)) for head, cells in columns.items()]
    lines = [columns, *zip(*columns.values())] if shown else []
    return "\n".join(
        "  ".join(
            f"{cell:>{width}}" if place else f"{cell:<{width}}" for place, (cell, width) in enumerate(zip(line, widths))
        )
        for line in lines
    )


def _number(value, form):
    return "-" if value is None else format(value, form)


def _short(keys):
    """The beginnings of keys, of at least four letters, that tell them apart: list of str."""
    length = 4
    while len({key[:length] for key in keys}) < len(keys):
        length += 1
    return [key[:length] for key in keys]


def _means_over_ranks(meters):
    """{name: mean over the steps and ranks that had this value}."""
    totals = {}
    for rank_sums in all_gather({name: (meter.total, meter.count) for name, meter in meters.meters.items()}):
        for name, (total, count) in rank_sums.items():
            before = totals.get(name, (0.0, 0))
            totals[name] = (before[0] + total, before[1] + count)
    return {name: total / count for name, (total, count) in totals.items()}
