"""Stage: the full-size step of eight tasks beside Mask R-CNN's: time, memory, kernels, waits, busy share."""

import gc
from collections.abc import Callable

import torch

from benchmarks.multitask import EIGHT_TASKS, MASK_RCNN, Network, with_tasks
from benchmarks.timing import medians, take_turns
from checks.measuring import clock_of, peak_mib, synchronisations, trace
from checks.networks import FULL, MINI, first_batches, read_config, tame
from checks.precision import tf32
from checks.stage import Findings, Setting
from maskrcnn_benchmark.multitask.tasks import TASKS

LEARNING_RATE = 1e-5  # small, so that random weights stay as they are while they are timed
TIMES_MASK_RCNN = {"train": 1.5, "infer": 2.0}
MOST_WAITS = {EIGHT_TASKS: 60, MASK_RCNN: 40}
PLACES = 5
# (DTYPE, TF32, what the rows call it); the shipped configuration's comes first
PRECISIONS = (("bfloat16", True, "bfloat16"), ("float32", True, "TF32"))
PRECISIONS_ON_CPU = (("float32", False, "float32"),)


def full_size(setting: Setting, *options):
    """(config, `Vocabulary`) of the shipped configuration with 2 images of its size; small: of the mini configuration."""
    common = ("SOLVER.IMS_PER_BATCH", 2, "SOLVER.BASE_LR", LEARNING_RATE, *options)
    if setting.small:
        return read_config(setting, MINI, common)
    return read_config(setting, FULL, ("INPUT.MIN_SIZE_TRAIN", (800,), "INPUT.MAX_SIZE_TRAIN", 1333, *common))


def build_network(cfg, vocabulary) -> Network:
    """A `benchmarks.multitask.Network` whose activations stay in range."""
    network = Network(cfg, vocabulary)
    tame(network.model)
    return network


def check(setting: Setting, findings: Findings) -> None:
    """Both networks on the same images, in turn, in each precision; one training step of each is looked into."""
    rounds, warmup = (3, 1) if setting.small else (8, 3)
    for number, (dtype, rounded, name) in enumerate(PRECISIONS if setting.on_cuda else PRECISIONS_ON_CPU):
        cfg, vocabulary = full_size(setting, "DTYPE", dtype)
        (batch,) = first_batches(cfg, 1)
        variants = {EIGHT_TASKS: with_tasks(cfg, TASKS), MASK_RCNN: with_tasks(cfg, ("detection", "instance"))}
        networks = {key: build_network(variant, vocabulary) for key, variant in variants.items()}
        if number == 0:
            findings.note("images", " x ".join(map(str, batch[0].tensors.shape)))
        actions = {}
        for key, network in networks.items():
            actions[f"{key}, train"] = lambda turn, network=network, batch=batch: network.train_step(batch)
            actions[f"{key}, infer"] = lambda turn, network=network, batch=batch: network.infer(batch)
        with tf32(rounded):
            seconds = medians(take_turns(actions, rounds, warmup, clock_of(setting.device)))
            for action, taken in seconds.items():
                findings.note(action, 1000 * taken, "ms", name)
            for kind, most in TIMES_MASK_RCNN.items():
                ratio = seconds[f"{EIGHT_TASKS}, {kind}"] / seconds[f"{MASK_RCNN}, {kind}"]
                findings.goal(f"{EIGHT_TASKS} over {MASK_RCNN}, {kind}", ratio, most, "times", name)
            if number == 0:
                for key in networks:
                    look_into(setting, findings, actions[f"{key}, train"], seconds[f"{key}, train"], key)
        del networks, actions
        gc.collect()
        if setting.on_cuda:
            torch.cuda.empty_cache()


def look_into(setting: Setting, findings: Findings, action: Callable, seconds: float, name: str) -> None:
    """What one training step does besides taking time.

    Args:
        action: function of a number.
        seconds: that it takes when nobody looks.
        name: of the rows' column.
    """
    findings.note("peak memory", peak_mib(lambda: action(0), setting.device), "MiB", name)
    seen = trace(lambda: action(0), setting.device)
    findings.note("kernels" if setting.on_cuda else "operations", seen.kernels, "", name)
    if not setting.on_cuda:
        return
    findings.note("copies and fills", seen.copies, "", name)
    findings.note("busy share of the device", seen.busy_ms / (1000 * seconds), "", name)
    with synchronisations() as places:
        action(0)
    findings.goal("waits for the device", sum(places.values()), MOST_WAITS.get(name, float("inf")), "", name)
    for index, (place, count) in enumerate(places.most_common(PLACES)):
        findings.note(f"most waits, {index + 1}", f"{count} at {place}", group=name)
    for index, (kernel, milliseconds, count) in enumerate(seen.slowest):
        findings.note(f"most time, {index + 1}", f"{milliseconds:.2f} ms, {count} of {kernel[:40]}", group=name)
