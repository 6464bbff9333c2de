"""Stages: every weighting, and every aggregation of gradients at its levels, for two steps of a tiny network."""

import math
import time
from functools import partial

import torch

from benchmarks.multitask import Network
from checks.networks import MINI, TINY, first_batches, read_config
from maskrcnn_benchmark.multitask.aggregations import AGGREGATIONS
from maskrcnn_benchmark.multitask.weightings import WEIGHTINGS

TORCHJD = ("pcgrad", "cagrad", "aligned_mtl", "upgrad", "dualproj", "graddrop")  # the extra "balancing" brings it
OWN = tuple(name for name in AGGREGATIONS if name not in TORCHJD)
STEPS = 2
# Adam counts its steps on the CPU, whatever device its parameters are on
ON_CPU = "step"


def _check(setting, findings, option, methods):
    cfg, vocabulary = read_config(setting, MINI, TINY)
    batches = first_batches(cfg, STEPS)
    for method in methods:
        levels = cfg.record_of("MULTITASK.GRADIENTS_AT").range.values
        for level in levels if option == "WEIGHTING" else AGGREGATIONS[method].levels:
            changed = cfg.clone()
            changed.merge_from_list([f"MULTITASK.{option}", method, "MULTITASK.GRADIENTS_AT", level])
            if option == "AGGREGATION" and AGGREGATIONS[method].halves:
                changed.SOLVER.ACCUMULATE_STEPS = 2
            with findings.attempt(method, f"at {level}"):
                start = time.perf_counter()
                fault = try_method(changed, vocabulary, batches)
                seconds = time.perf_counter() - start
                findings.require(method, not fault, fault or f"{seconds:.2f} s", f"at {level}")


check_weightings = partial(_check, option="WEIGHTING", methods=tuple(WEIGHTINGS))
check_aggregations = partial(_check, option="AGGREGATION", methods=OWN)
check_torchjd = partial(_check, option="AGGREGATION", methods=TORCHJD)


def try_method(cfg, vocabulary, batches) -> str:
    """Train a step on each batch; what is wrong then, or ""."""
    network = Network(cfg, vocabulary)
    before = {name: p.detach().clone() for name, p in network.model.named_parameters() if p.requires_grad}
    network.model.train()
    for images, targets in batches:
        outcome = network.step(images, targets, lambda: ["an image of the check"])
        bad = [name for name, value in {**outcome.losses, "the sum": outcome.total}.items() if not math.isfinite(value)]
        if bad:
            return f"{', '.join(bad)} not finite"
    still = [name for name, p in network.model.named_parameters() if name in before and p.equal(before[name])]
    if len(still) > len(before) // 2:
        return f"{len(still)} of {len(before)} weights have not moved"
    elsewhere = misplaced(network)
    return f"on another device: {', '.join(elsewhere)}" if elsewhere else ""


def misplaced(network: Network) -> list[str]:
    """Names of the state of a network, its combiner and its optimizer that is not on the network's device."""
    state = {**network.model.state_dict(), **network.step.loss_combiner.state_dict()}
    for index, held in enumerate(network.step.optimizer.state.values()):
        state |= {f"optimizer {index}, {name}": value for name, value in held.items() if name != ON_CPU}
    tensors = {name: value for name, value in state.items() if isinstance(value, torch.Tensor)}
    return [name for name, tensor in tensors.items() if tensor.device.type != network.device.type]
