"""What a person sees of a running training: a progress bar, lines in the log, and TensorBoard."""

import datetime
import logging
import time
from pathlib import Path

import torch
from tqdm import tqdm

from maskrcnn_benchmark.utils.comm import all_gather, get_world_size, is_main_process
from maskrcnn_benchmark.utils.metric_logger import MetricLogger

EVENTS = "tensorboard"  # folder of the TensorBoard log within OUTPUT_DIR

logger = logging.getLogger(__name__)


class Progress:
    """Collects what the steps report and shows it, in the main process, every `period` iterations.

    Args:
        start, end: iterations done so far, and in all.
        period: iterations between two lines of the log and points of TensorBoard.
        folder: OUTPUT_DIR; "" writes no TensorBoard log.
    """

    def __init__(self, start, end, period, folder):
        self.end = end
        self.period = period
        self.meters = MetricLogger()
        self.images = 0
        self.since = time.perf_counter()
        main = is_main_process()
        # tqdm's None: a bar on a terminal only; a log file has the lines instead
        self.bar = tqdm(total=end, initial=start, disable=None if main else True, unit="it", dynamic_ncols=True)
        self.writer = _open_writer(folder, start) if main and folder else None

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.bar.close()
        if self.writer is not None:
            self.writer.close()

    def step(self, iteration, outcome, lr, num_images):
        """Take in a `StepOutcome` of `num_images` images on this rank; all ranks call it in every iteration."""
        self.meters.update(total=outcome.total, gradient_norm=outcome.gradient_norm)
        self.meters.update(**{f"task/{key}": value for key, value in outcome.tasks.items()})
        self.meters.update(**{f"loss/{name}": value for name, value in outcome.losses.items()})
        self.images += num_images
        self.bar.update()
        if iteration % self.period == 0 or iteration == self.end:
            self._report(iteration, lr)

    def results(self, iteration, results):
        """Show an evaluation's {task: {"metrics": {name: value}}} in TensorBoard."""
        if self.writer is None:
            return
        for key, result in results.items():
            for name, value in result["metrics"].items():
                self.writer.add_scalar(f"val/{key}/{name}", value, iteration)
        self.writer.flush()

    def restart_clock(self):
        """Leave what happened since the last report, such as an evaluation, out of the speed."""
        self.images, self.since = 0, time.perf_counter()

    def _report(self, iteration, lr):
        means = _means_over_ranks(self.meters)
        seconds = time.perf_counter() - self.since
        speed = self.images * get_world_size() / max(seconds, 1e-9)
        steps = self.meters.total.count
        self.meters = MetricLogger()
        self.restart_clock()
        if not is_main_process():
            return
        self.bar.set_postfix_str(f"loss {means['total']:.3f}, {speed:.1f} images/s")
        eta = datetime.timedelta(seconds=int(seconds / steps * (self.end - iteration)))
        tasks = "  ".join(f"{n.removeprefix('task/')} {v:.3f}" for n, v in means.items() if n.startswith("task/"))
        memory = f"  {torch.cuda.max_memory_allocated() / 2**20:.0f} MiB" if torch.cuda.is_available() else ""
        logger.info(
            "iteration %d/%d  eta %s  loss %.4f  %s  lr %.6f  %.1f images/s%s",
            *(iteration, self.end, eta, means["total"], tasks, lr, speed, memory),
        )
        if self.writer is not None:
            for name, value in {**means, "lr": lr, "images_per_second": speed}.items():
                self.writer.add_scalar(f"train/{name}", value, iteration)


def _means_over_ranks(meters):
    """{name: mean over the steps and ranks that had this value}."""
    totals = {}
    for rank_sums in all_gather({name: (meter.total, meter.count) for name, meter in meters.meters.items()}):
        for name, (total, count) in rank_sums.items():
            before = totals.get(name, (0.0, 0))
            totals[name] = (before[0] + total, before[1] + count)
    return {name: total / count for name, (total, count) in totals.items()}


def _open_writer(folder, start):
    # imported here: it takes a second that no other tool should wait for
    from torch.utils.tensorboard import SummaryWriter

    # points that a killed run had written beyond its last checkpoint are hidden by those that are to come
    return SummaryWriter(str(Path(folder) / EVENTS), purge_step=start + 1 if start else None)
