"""Stage: whether the loader keeps up with the step: images a second of both."""

import os
import time

from benchmarks.timing import medians, take_turns
from checks.eight_tasks import build_network, full_size
from checks.measuring import clock_of
from checks.networks import first_batches
from checks.stage import Findings, Setting
from maskrcnn_benchmark.data.build import make_data_loader

STEP = "the step"
WORKERS = (0, 1, 2, 4, 8)
SECONDS, SECONDS_SMALL = 5.0, 1.0  # for each number of workers


def check(setting: Setting, findings: Findings) -> None:
    """The step, then loaders with as many workers as there are cores, each alone."""
    cfg, vocabulary = full_size(setting)
    step = step_images_per_second(setting, cfg, vocabulary)
    findings.note(STEP, step, "images/s")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    best = 0.0
    for workers in WORKERS:
        if workers <= cores:
            speed = loader_images_per_second(cfg, workers, SECONDS_SMALL if setting.small else SECONDS)
            findings.note(f"a loader of {workers} workers", speed, "images/s")
            best = max(best, speed)
    findings.goal(f"{STEP} over the best loader", step / best, 1.0, "times")


def step_images_per_second(setting: Setting, cfg, vocabulary) -> float:
    """Of training steps on one batch that is there already."""
    network = build_network(cfg, vocabulary)
    (batch,) = first_batches(cfg, 1)
    rounds, warmup = (3, 1) if setting.small else (6, 3)
    seconds = take_turns({STEP: lambda turn: network.train_step(batch)}, rounds, warmup, clock_of(setting.device))
    return cfg.SOLVER.IMS_PER_BATCH / medians(seconds)[STEP]


def loader_images_per_second(cfg, workers: int, seconds: float) -> float:
    """Of a training loader beside which nothing is done; its first batch, for which it starts, is not counted."""
    cfg = cfg.clone()
    cfg.DATALOADER.NUM_WORKERS = workers
    batches = iter(make_data_loader(cfg, is_train=True))
    next(batches)
    start, images, taken = time.perf_counter(), 0, 0.0
    while taken < seconds:
        images += len(next(batches)[1])
        taken = time.perf_counter() - start
    return images / taken
