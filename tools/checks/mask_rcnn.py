"""Stage: Mask R-CNN R-50-FPN beside torchvision's, on the same images and objects, in turn and in one process."""

import gc
from types import SimpleNamespace

import torch

from benchmarks import detector
from benchmarks.timing import medians, take_turns
from checks.eight_tasks import look_into
from checks.measuring import clock_of
from checks.precision import tf32
from checks.stage import Findings, Setting
from maskrcnn_benchmark.engine.step import PRECISIONS as DTYPES

# Not slower than torchvision
MOST_TIMES = 1.0
PRECISIONS = (("float32", True, "TF32"), ("bfloat16", True, "bfloat16"))
PRECISIONS_ON_CPU = (("float32", False, "float32"),)


def check(setting: Setting, findings: Findings) -> None:
    """Times, ratios, and what a training step of each does."""
    size = SimpleNamespace(height=64, width=96, batch=1, objects=2) if setting.small else None
    size = size or SimpleNamespace(height=800, width=1088, batch=2, objects=8)
    size.device, size.opts = setting.device, []
    rounds, warmup = (1, 1) if setting.small else (8, 3)
    batch, single = detector.make_batch(size, size.batch), detector.make_batch(size, 1)
    findings.note("images", " x ".join(map(str, batch[0].shape)))
    for number, (dtype, rounded, name) in enumerate(PRECISIONS if setting.on_cuda else PRECISIONS_ON_CPU):
        networks = detector.build_networks(size)
        actions = {}
        for key, network in networks.items():
            compute_in(network.model, dtype, setting.device)
            actions[f"{key}, train"] = lambda turn, network=network: network.train_step(batch)
            actions[f"{key}, infer"] = lambda turn, network=network: network.infer(single)
        with tf32(rounded):
            seconds = medians(take_turns(actions, rounds, warmup, clock_of(setting.device)))
            for action, taken in seconds.items():
                findings.note(action, 1000 * taken, "ms", name)
            for kind in ("train", "infer"):
                ratio = seconds[f"ours, {kind}"] / seconds[f"torchvision, {kind}"]
                findings.goal(f"ours over torchvision, {kind}", ratio, MOST_TIMES, "times", name)
            if number == 0:
                for key in networks:
                    look_into(setting, findings, actions[f"{key}, train"], seconds[f"{key}, train"], key)
        del networks, actions
        gc.collect()
        if setting.on_cuda:
            torch.cuda.empty_cache()


def compute_in(model, dtype: str, device: str) -> None:
    """Let a model's forward pass run under autocast, the same for both networks."""
    if DTYPES[dtype] is not None:
        model.forward = torch.autocast(torch.device(device).type, DTYPES[dtype])(model.forward)
