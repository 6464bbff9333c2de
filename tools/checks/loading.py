"""Stage: whether the loader keeps up with the step: images a second of both."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import cv2
import torch

from benchmarks.timing import medians, take_turns
from checks.eight_tasks import build_network, full_size
from checks.measuring import clock_of
from checks.networks import first_batches
from checks.stage import Findings, Setting
from maskrcnn_benchmark.data.build import make_data_loader
from maskrcnn_benchmark.utils.threads import allowed_cores

STEP = "the step"
WORKERS = (0, 1, 2, 4, 8)
SECONDS, SECONDS_SMALL = 5.0, 1.0  # for each number of workers


def check(setting: Setting, findings: Findings) -> None:
    """The step, then loaders with as many workers as there are cores, each alone."""
    cfg, vocabulary = full_size(setting)
    step = step_images_per_second(setting, cfg, vocabulary)
    findings.note(STEP, step, "images/s", _size_of(cfg))
    best = _try_loaders(setting, findings, cfg)
    findings.goal(f"{STEP} over the best loader", step / best, 1.0, "times", _size_of(cfg))
    if setting.small:  # of images so small the loader mostly hands over
        _try_loaders(setting, findings, full_size(replace(setting, small=False))[0])


def _try_loaders(setting, findings, cfg):
    """Images a second of the best loader."""
    best = 0.0
    for workers in WORKERS:
        if workers <= allowed_cores():
            speed = loader_images_per_second(cfg, workers, SECONDS_SMALL if setting.small else SECONDS)
            findings.note(f"a loader of {workers} workers", speed, "images/s", _size_of(cfg))
            best = max(best, speed)
    return best


def _size_of(cfg):
    return f"within {max(cfg.INPUT.MIN_SIZE_TRAIN)}x{cfg.INPUT.MAX_SIZE_TRAIN}"


def step_images_per_second(setting: Setting, cfg, vocabulary) -> float:
    """Of training steps on one batch that is there already."""
    network = build_network(cfg, vocabulary)
    (batch,) = first_batches(cfg, 1)
    rounds, warmup = (3, 1) if setting.small else (6, 3)
    seconds = take_turns({STEP: lambda turn: network.train_step(batch)}, rounds, warmup, clock_of(setting.device))
    return cfg.SOLVER.IMS_PER_BATCH / medians(seconds)[STEP]


def loader_images_per_second(cfg, workers: int, seconds: float) -> float:
    """Of a training loader beside which nothing is done; its first batch, for which it starts, is not counted.

    Without workers it has one thread, as each of its workers otherwise.
    """
    cfg = cfg.clone()
    cfg.DATALOADER.NUM_WORKERS = workers
    with _one_thread():
        batches = iter(make_data_loader(cfg, is_train=True))
        next(batches)
        start, images, taken = time.perf_counter(), 0, 0.0
        while taken < seconds:
            images += len(next(batches)[1])
            taken = time.perf_counter() - start
        return images / taken


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        cv2.setNumThreads(before[1])
