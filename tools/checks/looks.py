"""Stage: peak memory of the eight-task step with and without a look at the tasks' gradients (MULTITASK.LOG_PERIOD)."""

from benchmarks.memory import in_fresh_process
from checks.eight_tasks import build_network, full_size
from checks.measuring import peak_mib
from checks.networks import first_batches
from checks.stage import Findings, Setting

VARIANTS = {"without": 0, "with": 1}  # LOG_PERIOD


def check(setting: Setting, findings: Findings) -> None:
    """Each in a process of its own, for memory that was freed is kept for later."""
    peaks = {}
    for name, period in VARIANTS.items():
        peaks[name], looked = in_fresh_process(peak_of_step, setting, period)
        findings.note(f"peak memory {name} a look", peaks[name], "MiB")
        findings.require(f"gradients were looked at {name} a look", looked == bool(period), "yes" if looked else "no")
    findings.note("with a look over without", peaks["with"] / peaks["without"], "times")


def peak_of_step(setting: Setting, period: int) -> tuple[float, bool]:
    """(MiB of a first training step, on a CPU without the weights; whether it recorded the tasks' gradients)."""
    cfg, vocabulary = full_size(setting, "MULTITASK.LOG_PERIOD", period)
    (batch,) = first_batches(cfg, 1)
    network = build_network(cfg, vocabulary)
    peak = peak_mib(lambda: network.train_step(batch), setting.device)
    return peak, network.step.loss_combiner.interactions.summary() is not None
