"""Stages that the tests of the check run in its processes."""

import os
import subprocess
import time

from checks.stage import Skipped


def tell_process(setting, findings):
    findings.note("process", os.getpid())


def break_down(setting, findings):
    findings.note("before", 1.5, "ms")
    print("what a library wrote")
    raise RuntimeError("CUDA error: device-side assert triggered\nCompile with TORCH_USE_CUDA_DSA")


def hang(setting, findings):
    child = subprocess.Popen(["sleep", "600"])
    findings.note("child", child.pid)
    time.sleep(600)


def die(setting, findings):
    os._exit(7)


def be_wrong(setting, findings):
    findings.limit("loss_mask", 2e-3, 1e-3, group="float32")
    findings.limit("loss_mask", 2e-3, 1e-2, group="TF32")
    findings.limit("loss_part", float("nan"), 1e-3, group="TF32")
    findings.require("in place", True)


def be_slow(setting, findings):
    findings.goal("ours over torchvision", 1.25, 1.0, "times")


def leave_out(setting, findings):
    raise Skipped("built without NCCL")


def go_on(setting, findings):
    with findings.attempt("float16"):
        raise ValueError("a loss is nan\nand more")
    findings.note("bfloat16", 0.5)
