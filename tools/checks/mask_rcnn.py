"""Stage: Mask R-CNN R-50-FPN beside torchvision's, on the same images and objects, in turn and in one process."""

from types import SimpleNamespace

import torch

from benchmarks import detector
from checks.eight_tasks import compare_times, free_memory, look_into
from checks.precision import tf32
from checks.stage import Findings, Setting
from maskrcnn_benchmark.engine.step import PRECISIONS as DTYPES

MOST_TIMES = {"train": 1.0, "infer": 1.0}  # not slower than torchvision
FULL = {"height": 800, "width": 1088, "batch": 2, "objects": 8}
SMALL = {"height": 64, "width": 96, "batch": 1, "objects": 2}
PRECISIONS = (("float32", True, "TF32"), ("bfloat16", True, "bfloat16"))
PRECISIONS_ON_CPU = (("float32", False, "float32"),)


def check(setting: Setting, findings: Findings) -> None:
    """Both networks in turn in each precision; then a training step of each alone, looked into."""
    size = SimpleNamespace(**(SMALL if setting.small else FULL), device=setting.device, opts=[])
    batch = detector.make_batch(size, size.batch)
    findings.note("images", " x ".join(map(str, batch[0].shape)))
    precisions = PRECISIONS if setting.on_cuda else PRECISIONS_ON_CPU
    for dtype, rounded, name in precisions:
        with findings.attempt("runs", name), tf32(rounded):
            _time(setting, findings, size, dtype, name)
        free_memory(setting)
    dtype, rounded, name = precisions[0]
    for key, make in detector.NETWORKS.items():
        group = f"{key}, {name}"
        with findings.attempt("runs", group), tf32(rounded):
            network = make(size, detector.random_weights(size))
            compute_in(network.model, dtype, setting.device)
            look_into(setting, findings, lambda network=network: network.train_step(batch), group)
        network = None
        free_memory(setting)


def _time(setting, findings, size, dtype, group):
    batch, single = detector.make_batch(size, size.batch), detector.make_batch(size, 1)
    actions = {}
    for key, network in detector.build_networks(size).items():
        compute_in(network.model, dtype, setting.device)
        actions[f"{key}, train"] = lambda turn, network=network: network.train_step(batch)
        actions[f"{key}, infer"] = lambda turn, network=network: network.infer(single)
    compare_times(setting, findings, actions, group, MOST_TIMES, "ours", "torchvision")


def compute_in(model, dtype: str, device: str) -> None:
    """Let a model's forward pass run under autocast, the same for both networks."""
    if DTYPES[dtype] is not None:
        model.forward = torch.autocast(torch.device(device).type, DTYPES[dtype])(model.forward)
