"""From a config to the whole network."""

from collections.abc import Iterable
from typing import Any

import torch._functorch.config
from torch import nn
from yacs.config import CfgNode

from maskrcnn_benchmark.config.check import check_options
from maskrcnn_benchmark.modeling.backbone import build_backbone
from maskrcnn_benchmark.modeling.detector.generalized_rcnn import GeneralizedRCNN
from maskrcnn_benchmark.modeling.detector.pixels import PixelNormalizer
from maskrcnn_benchmark.modeling.fpn_heads.fpn_heads import build_fpn_heads
from maskrcnn_benchmark.modeling.roi_heads.roi_heads import build_roi_heads
from maskrcnn_benchmark.modeling.rpn.retinanet.retinanet import check_levels
from maskrcnn_benchmark.modeling.rpn.rpn import build_rpn
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.utils.errors import UserError


def build_detection_model(cfg: CfgNode, vocabulary: Vocabulary | None = None) -> GeneralizedRCNN:
    """Build the network that a config describes, on the CPU with random weights.

    Args:
        cfg: the config; its class counts must be final (`data.build.bind_vocabulary`).
        vocabulary: `Vocabulary` of the training data, which says which classes have keypoints and parts; without it
            every detection is given both.

    Raises:
        UserError: an option is out of range, or the tasks that are turned on contradict each other or the backbone.
    """
    from maskrcnn_benchmark.tasks.task import enabled_tasks

    check_options(cfg)
    _check_tasks(cfg)
    tasks = enabled_tasks(cfg)
    backbone = build_backbone(cfg)
    if cfg.MODEL.COMPILE:
        compile_backbone(backbone)
    rpn = roi_heads = None
    if cfg.MODEL.DETECTION_ON:
        if cfg.MODEL.RETINANET_ON:
            check_levels(cfg, backbone.strides)
        rpn = build_rpn(cfg, backbone.out_channels)
        if not cfg.MODEL.RPN_ONLY and not cfg.MODEL.RETINANET_ON:
            roi_heads = build_roi_heads(cfg, backbone.out_channels, vocabulary, tasks)
    fpn_heads = build_fpn_heads(cfg, backbone.out_channels, tasks, vocabulary, backbone.strides)
    normalize = PixelNormalizer(cfg.INPUT.PIXEL_MEAN, cfg.INPUT.PIXEL_STD, cfg.INPUT.TO_BGR255)
    model = GeneralizedRCNN(backbone, rpn, roi_heads, fpn_heads, cfg.MODEL.CHANNELS_LAST, normalize)
    _check_own_parameters(model, tasks)
    return model


def compile_backbone(backbone: nn.Module, **options: Any) -> None:
    """Have the parts of a backbone compiled by torch.compile when they first run. Names of parameters stay.

    The backbone itself is left as it is, so that hooks on it, such as the one that takes gradients by task, run as
    ever; the heads' shapes differ from step to step and would be compiled again and again.

    Args:
        backbone: a module whose children are the parts.
        options: of `torch.compile`.
    """
    # a backward pass through the backbone for each task needs what the first one has used
    torch._functorch.config.donated_buffer = False
    for part in backbone.children():
        nn.Module.compile(part, **options)


def _check_own_parameters(model: nn.Module, tasks: Iterable[Any]) -> None:
    """Raise `UserError` where an added task's prefixes are those of no parameter: its learning rate would not count."""
    names = [name for name, _ in model.named_parameters()]
    for task in tasks:
        prefixes = tuple(task.parameter_prefixes)
        if task.is_added and prefixes and not any(name.startswith(prefixes) for name in names):
            raise UserError(
                f"the task {task.key!r} has the parameter_prefixes {prefixes}, with which no parameter of the network "
                f"begins; those of its head begin with 'fpn_heads.heads.NAME.' or 'roi_heads.NAME.', where NAME is "
                f"its `head_name`, by default {task.key!r}"
            )


def _check_tasks(cfg: CfgNode) -> None:
    """Raise `UserError` where no task is on, or one that others need is off."""
    from maskrcnn_benchmark.tasks.task import TASKS, enabled_tasks  # late: tasks are above this room

    tasks = enabled_tasks(cfg)
    if not tasks:
        raise UserError("no task is turned on; set at least one of the switches MODEL.*_ON")
    on = {task.key for task in tasks}
    for needed in TASKS.values():
        by = [task.chosen_by(cfg) for task in tasks if needed.key in task.requirements(cfg)]
        if by and needed.key not in on:
            raise UserError(
                f"MODEL.{needed.switch} is False, but needed for {' and '.join(by)}; turn it on, or turn those off"
            )
    on_regions = [task.chosen_by(cfg) for task in tasks if task.per == "region" and task.requirements(cfg)]
    if on_regions and cfg.MODEL.RETINANET_ON:
        raise UserError(
            "RetinaNet (MODEL.RETINANET_ON) has none of the regions of a two-stage detector, which are needed for "
            f"{' and '.join(on_regions)}; turn it off, or turn those off"
        )
