"""Optimizer and learning-rate schedule, built from a config."""

from maskrcnn_benchmark.solver.build import fill_in_iterations, make_lr_scheduler, make_optimizer
from maskrcnn_benchmark.solver.lr_scheduler import WarmupCosineLR, WarmupMultiStepLR, WarmupPolyLR

__all__ = [
    "WarmupCosineLR",
    "WarmupMultiStepLR",
    "WarmupPolyLR",
    "fill_in_iterations",
    "make_lr_scheduler",
    "make_optimizer",
]
