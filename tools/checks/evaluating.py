"""Stage: prediction and evaluation of all tasks through `engine.inference`, beside the same on the CPU."""

import math

from benchmarks.multitask import training_batches
from checks.networks import MINI, TINY, build_model, read_config
from checks.stage import Findings, Setting
from maskrcnn_benchmark.data.build import make_data_loader
from maskrcnn_benchmark.engine.inference import Evaluation, InferenceNetwork
from maskrcnn_benchmark.evaluation.protocols import build_protocols
from maskrcnn_benchmark.tasks.task import tasks_of_layout

TASKS = tasks_of_layout("detail")  # the eight of PASCAL in Detail

# Metrics are in 0..1; of a few images, one prediction that falls on the other side of a threshold is a few thousandths
SAME = 0.02


def check(setting: Setting, findings: Findings) -> None:
    """Score the same network on both; of a CPU alone, twice."""
    cfg, vocabulary = read_config(
        setting, MINI, (*TINY, "TEST.IMS_PER_BATCH", 4, "TEST.EDGE_THRESHOLDS", 39), device="cpu"
    )
    ((batch,), _) = training_batches(cfg, 1, own_data=True)
    model = build_model(cfg, vocabulary, batch)
    on_cpu, here = (evaluate(cfg, model.to(device), device) for device in ("cpu", setting.device))
    findings.require("every task is scored", list(here) == list(TASKS), ", ".join(here))
    for key, result in here.items():
        name = result["headline"]
        found, expected = (scores[key]["metrics"][name] for scores in (here, on_cpu))
        findings.require(f"{key}, {name}", math.isfinite(found), f"{found:.4f}", group=setting.device)
        if setting.on_cuda:
            findings.note(f"{key}, {name}", expected, group="cpu")
        findings.limit(f"{key}, {name}", abs(found - expected), SAME, group="difference")


def evaluate(cfg, model, device: str) -> dict:
    """The results of `engine.inference` on the test images."""
    (loader,) = make_data_loader(cfg, is_train=False)
    evaluation = Evaluation(list(TASKS.values()), build_protocols(cfg))
    return evaluation.run(InferenceNetwork(model, device), loader, "mini_detail_val")
