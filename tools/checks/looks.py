"""Stage: peak memory of the eight-task step with and without a look at the tasks' gradients (MULTITASK.LOG_PERIOD)."""

import gc

import torch

from benchmarks.timing import wait_for
from checks.eight_tasks import build_network, full_size
from checks.measuring import peak_mib
from checks.networks import first_batches
from checks.stage import Findings, Setting

VARIANTS = {"without": 0, "with": 1}  # LOG_PERIOD


def check(setting: Setting, findings: Findings) -> None:
    """Each in a network of its own, after a step that fills the caches."""
    peaks = {}
    for name, period in VARIANTS.items():
        cfg, vocabulary = full_size(setting, "MULTITASK.LOG_PERIOD", period)
        (batch,) = first_batches(cfg, 1)
        network = build_network(cfg, vocabulary)
        network.train_step(batch)
        wait_for(setting.device)
        peaks[name] = peak_mib(lambda network=network, batch=batch: network.train_step(batch), setting.device)
        findings.note(f"peak memory {name} a look", peaks[name], "MiB")
        recorded = network.step.loss_combiner.interactions.summary()
        findings.require(f"gradients recorded {name} a look", (recorded is not None) == bool(period))
        del network, batch
        gc.collect()
        if setting.on_cuda:
            torch.cuda.empty_cache()
    findings.note("with a look over without", peaks["with"] / peaks["without"] if peaks["without"] else None, "times")
