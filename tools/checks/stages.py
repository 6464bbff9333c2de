"""All stages, the most important first: what is at the end may find no time left."""

from checks import (
    balancing,
    collectives,
    eight_tasks,
    evaluating,
    loading,
    looks,
    mask_rcnn,
    operations,
    parity,
    training,
    versions,
)
from checks.stage import Stage

TORCHJD = {"module": "torchjd", "extra": "balancing"}

STAGES = (
    Stage("versions", "versions, processors, memory; the device multiplies", versions.check, 10, on_device=False),
    Stage("operations", "NMS, RPN and ROIAlign alone", operations.check, 15),
    Stage("training", "a short training, killed and resumed", training.check, 60),
    Stage("parity", "the same weights and images on CPU and device, in each precision", parity.check, 60),
    Stage("eight_tasks", "the full-size step of eight tasks beside Mask R-CNN's", eight_tasks.check, 60),
    Stage("mask_rcnn", "Mask R-CNN beside torchvision's", mask_rcnn.check, 50),
    Stage("evaluation", "prediction and evaluation of all tasks", evaluating.check, 20),
    Stage("weightings", "every weighting, gradients taken at both levels", balancing.check_weightings, 20),
    Stage("aggregations", "every aggregation of the base install, at both levels", balancing.check_aggregations, 25),
    Stage("torchjd", "every aggregation of torchjd, at both levels", balancing.check_torchjd, 25, **TORCHJD),
    Stage("collectives", "processes that train together", collectives.check, 45),
    Stage("looks", "memory with and without a look at the tasks' gradients", looks.check, 20),
    Stage("loading", "the loader against the step", loading.check, 40),
)
