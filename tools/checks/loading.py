"""Stage: whether the loader keeps up with the step: images a second of both."""

import itertools
import os
import time

from benchmarks.multitask import Network
from benchmarks.timing import medians, take_turns
from checks.eight_tasks import full_size
from checks.measuring import clock_of
from checks.networks import MINI, first_batches, read_config, tame
from checks.stage import Findings, Setting
from maskrcnn_benchmark.data.build import make_data_loader

STEP = "the step"
MOST_WORKERS = 8
LOADER_SECONDS = 6.0  # for each number of workers
LOADER_SHARE = 0.15  # of the stage's time, at most


def check(setting: Setting, findings: Findings) -> None:
    """The step, then loaders with more and more workers."""
    cfg, vocabulary = (
        full_size(setting) if not setting.small else read_config(setting, MINI, ("SOLVER.IMS_PER_BATCH", 2))
    )
    network = Network(cfg, vocabulary)
    tame(network.model)
    (batch,) = first_batches(cfg, 1)
    rounds, warmup = (2, 1) if setting.small else (6, 3)
    taken = take_turns({STEP: lambda turn: network.train_step(batch)}, rounds, warmup, clock_of(setting.device))
    step = cfg.SOLVER.IMS_PER_BATCH / medians(taken)[STEP]
    findings.note(STEP, step, "images/s")
    del network
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    best = 0.0
    for workers in (0, 1, 2, 4, MOST_WORKERS):
        if workers > max(1, cores):
            break
        speed = images_per_second(cfg, workers, min(LOADER_SECONDS, LOADER_SHARE * setting.seconds_left()))
        findings.note(f"a loader of {workers} workers", speed, "images/s")
        best = max(best, speed)
    findings.goal("the step over the best loader", step / best, 1.0, "times")
    findings.note("what training waits for", "the loader" if best < step else "the step")


def images_per_second(cfg, workers: int, seconds: float) -> float:
    """Of a training loader that nothing else is done beside; its first batch, for which it starts, is not counted."""
    cfg = cfg.clone()
    cfg.DATALOADER.NUM_WORKERS = workers
    batches = iter(make_data_loader(cfg, is_train=True))
    next(batches)
    start, images = time.perf_counter(), 0
    for _, targets, _ in itertools.takewhile(lambda batch: batch, batches):
        images += len(targets)
        if time.perf_counter() - start > seconds:
            break
    return images / (time.perf_counter() - start)
