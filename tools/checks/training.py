"""Stage: a short training by `tools/train_net.py`, whole, and killed and resumed: the weights must be the same."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import torch

from checks.networks import MINI, ROOT, data_folder
from checks.stage import Findings, Setting
from maskrcnn_benchmark.utils.checkpoint import POINTER

TOOL = Path(__file__).parents[1] / "train_net.py"
LOOK_SECONDS = 0.02
OUTPUT_LINES = 8
STARTED = re.compile(r"Start training at iteration (\d+) of \d+")


def check(setting: Setting, findings: Findings) -> None:
    """Train, train and kill, go on; then compare."""
    iterations, period = (10, 3) if setting.small else (24, 4)
    device = setting.device.removesuffix(":0")  # the first GPU as shipped configurations call it
    options = [
        *("DATASETS.DATA_DIR", data_folder(setting), "MODEL.DEVICE", device, "SOLVER.MAX_ITER", iterations),
        *("SOLVER.CHECKPOINT_PERIOD", period, "SOLVER.IMS_PER_BATCH", 4, "SOLVER.LOG_PERIOD", 1),
        *("MULTITASK.LOG_PERIOD", 0, "SOLVER.DETERMINISTIC", True),
    ]
    whole, broken = (Path(setting.folder) / name for name in ("training_whole", "training_broken"))
    start = time.monotonic()
    _train(setting, whole, options)
    findings.note(f"{iterations} iterations, with the start of the process", time.monotonic() - start, "s")
    reached = _train_and_kill(setting, broken, options)
    output = _train(setting, broken, options)
    resumed = int(STARTED.search(output)[1])
    findings.require("goes on where it was killed", 0 < resumed == reached < iterations, f"at iteration {resumed}")
    moved, apart = _distances(whole, broken, period)
    findings.require("weights have moved", moved > 0)
    name = "resumed beside unbroken, difference of the weights over their movement"
    findings.limit(name, apart / moved if moved else float("nan"), 0.0)


def _start(setting, folder, options):
    command = [sys.executable, str(TOOL), "--config-file", str(ROOT / MINI), "--skip-test"]
    path = os.pathsep.join([*(entry for entry in sys.path if entry), os.getcwd()])
    return subprocess.Popen(
        [*command, *map(str, options), "OUTPUT_DIR", str(folder)],
        env={**os.environ, "PYTHONPATH": path},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    )


def _train(setting, folder, options):
    """A training to its end; returns what it said."""
    process = _start(setting, folder, options)
    output, _ = process.communicate()
    print(output)  # for the report, should this stage fail
    if process.returncode:
        said = " / ".join(output.strip().splitlines()[-OUTPUT_LINES:])
        raise RuntimeError(f"the training ended with code {process.returncode}: {said}")
    return output


def _train_and_kill(setting, folder, options):
    """A training that is killed after a checkpoint; returns the checkpoint's iteration."""
    process = _start(setting, folder, options)
    pointer = folder / POINTER
    while not pointer.is_file() and process.poll() is None:
        time.sleep(LOOK_SECONDS)
    process.kill()
    output, _ = process.communicate()
    print(output)
    if not pointer.is_file():
        said = " / ".join(output.strip().splitlines()[-OUTPUT_LINES:])
        raise RuntimeError(f"the training ended before its first checkpoint: {said}")
    found = re.search(r"model_(\d+)", pointer.read_text(encoding="utf-8"))
    if found is None:
        raise RuntimeError("the training was finished before it could be killed")
    return int(found[1])


def _distances(whole, broken, period):
    """(norm of what the weights moved since the first checkpoint, norm of what the two trainings differ by)."""
    final, other = (_weights(folder / "model_final.pth") for folder in (whole, broken))
    first = _weights(whole / f"model_{period:07d}.pth")
    return tuple(
        sum((final[name].double() - those[name].double()).square().sum() for name in final).sqrt().item()
        for those in (first, other)
    )


def _weights(path):
    return torch.load(path, map_location="cpu", weights_only=True)["model"]
