"""Stage: peak memory of the eight-task step with and without gradient statistics (MULTITASK.LOG_PERIOD)."""

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
        peaks[name], recorded = in_fresh_process(peak_of_step, setting, period)
        findings.note(f"peak memory {name} statistics", peaks[name], "MiB")
        right, text = recorded == bool(period), "yes" if recorded else "no"
        findings.require(f"gradients recorded {name} statistics", right, text)
    findings.note("with over without", peaks["with"] / peaks["without"], "times")


def peak_of_step(setting: Setting, period: int) -> tuple[float, bool]:
    """(MiB of a first training step, on a CPU without the weights; whether it recorded gradient statistics)."""
    cfg, vocabulary = full_size(setting, "MULTITASK.LOG_PERIOD", period)
    (batch,) = first_batches(cfg, 1)
    network = build_network(cfg, vocabulary)
    peak = peak_mib(lambda: network.train_step(batch), setting.device)
    return peak, network.step.loss_combiner.interactions.summary() is not None
