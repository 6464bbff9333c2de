"""All stages, the most important first: what is at the end may find no time left."""

from checks.stage import Stage

STAGES = (
    Stage("versions", "versions, processors, memory; the device multiplies", "checks.versions:check", 10, False),
    Stage("operations", "NMS, RPN and ROIAlign alone", "checks.operations:check", 15),
    Stage("training", "a short training, killed and resumed", "checks.training:check", 100),
    Stage("parity", "the same weights and images on CPU and device, in each precision", "checks.parity:check", 60),
    Stage("eight_tasks", "the step of eight tasks beside Mask R-CNN's", "checks.eight_tasks:check", 60),
    Stage("mask_rcnn", "Mask R-CNN beside torchvision's", "checks.mask_rcnn:check", 50),
    Stage("evaluation", "prediction and evaluation of all tasks", "checks.evaluating:check", 20),
    Stage("weightings", "every weighting, gradients taken at both levels", "checks.balancing:check_weightings", 20),
    Stage(
        "aggregations",
        "every aggregation of the base install, at its levels",
        "checks.balancing:check_aggregations",
        25,
    ),
    Stage(
        "torchjd",
        "every aggregation of torchjd, likewise",
        "checks.balancing:check_torchjd",
        25,
        module="torchjd",
        extra="balancing",
    ),
    Stage(
        "timm",
        "the same with a backbone of timm: weights and images on CPU and device, in each precision",
        "checks.parity:check_timm",
        40,
        module="timm",
        extra="timm",
    ),
    Stage("collectives", "processes that train together", "checks.collectives:check", 45),
    Stage(
        "gradient_statistics",
        "memory with and without statistics of the tasks' gradients",
        "checks.gradient_statistics:check",
        25,
    ),
    Stage("loading", "the loader against the step", "checks.loading:check", 50),
)
