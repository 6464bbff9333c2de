"""A config as a whole: every value in its option's range, however it was set, and values that go together.

Merging checks what files and the command line say. A value that a program sets by attribute, and what only two options
together show, is found here, before anything is made of the config.
"""

from collections.abc import Callable, Iterator
from itertools import pairwise

import numpy as np
from yacs.config import CfgNode

from maskrcnn_benchmark.config.node import ConfigNode
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.text import counted

# Feature extractors of the box head that end in one vector per region
EXTRACTORS_OF_VECTORS = ("FPN2MLPFeatureExtractor", "FPNXconv1fcFeatureExtractor")


def check_options(cfg: CfgNode) -> None:
    """Raise `UserError` in one line that names an option, its value, what is right and the remedy.

    Options without a record, which somebody added by setting an attribute, may have any value; those of a plain yacs
    tree, which a program of one's own may have made, have none. Many rooms call this with a config alone, so it looks
    up in the registry what the tasks that are on say of their options.
    """
    for option in cfg.records() if isinstance(cfg, ConfigNode) else ():
        option.check(cfg.value_of(option.key), "the config")
    for rule in RULES:
        for problem in rule(cfg):
            raise UserError(f"the config: {problem}")


def _thresholds(cfg: CfgNode) -> Iterator[str]:
    """What is background overlaps less than what is an object."""
    for group in ("RPN", "ROI_HEADS", "RETINANET"):
        low, high = cfg.MODEL[group].BG_IOU_THRESHOLD, cfg.MODEL[group].FG_IOU_THRESHOLD
        if low > high:
            yield (
                f"MODEL.{group}.BG_IOU_THRESHOLD {low} is above MODEL.{group}.FG_IOU_THRESHOLD {high}, so that a box "
                "would be background and an object; lower the first or raise the second"
            )


def _anchors(cfg: CfgNode) -> Iterator[str]:
    """Anchors have an area: `anchor_generator.generate_anchors` rounds their sides at the size of the stride."""
    for group, strides in (("RPN", "ANCHOR_STRIDE"), ("RETINANET", "ANCHOR_STRIDES")):
        for stride in cfg.MODEL[group][strides]:
            for ratio in cfg.MODEL[group].ASPECT_RATIOS:
                width = round((stride * stride / ratio) ** 0.5)
                if round(width * ratio) < 1:
                    yield (
                        f"MODEL.{group}.ASPECT_RATIOS {ratio} at the stride {stride} of MODEL.{group}.{strides} makes "
                        "anchors without an area; take a ratio nearer to 1 or a larger stride"
                    )


def _heads_on_regions(cfg: CfgNode) -> dict[str, CfgNode]:
    """{name of the group under MODEL: the group} of the heads on regions that the config turns on."""
    from maskrcnn_benchmark.tasks.task import region_heads  # late: tasks are above this room

    groups = [group for _, group in region_heads(cfg)]
    return {name: node for name, node in cfg.MODEL.items() if any(node is group for group in groups)}


def _strides(cfg: CfgNode) -> tuple[int, ...]:
    """Of the backbone's maps, finest first; () where its builder does not say."""
    from maskrcnn_benchmark.modeling.backbone import promised_strides  # late: backbones are above this room

    return promised_strides(cfg.MODEL.BACKBONE.CONV_BODY) or ()


def _pooling(cfg: CfgNode) -> Iterator[str]:
    """Region features are pooled from levels that there are, each half as large as the one before."""
    body, strides = cfg.MODEL.BACKBONE.CONV_BODY, _strides(cfg)
    for name, head in _heads_on_regions(cfg).items():
        scales = head.POOLER_SCALES
        if any(abs(finer - 2 * coarser) > 1e-6 * finer for finer, coarser in pairwise(scales)):
            yield f"MODEL.{name}.POOLER_SCALES is {scales}, but each scale must be half of the one before; correct it"
        if strides and len(scales) > len(strides):
            yield (
                f"MODEL.{name}.POOLER_SCALES has {len(scales)} scales, but MODEL.BACKBONE.CONV_BODY {body} gives "
                f"{counted(len(strides), 'feature map')}; leave some out"
            )


def _shared_features(cfg: CfgNode) -> Iterator[str]:
    """Masks and keypoints are read from maps, which the box heads with fully connected layers do not hand on."""
    extractor = cfg.MODEL.ROI_BOX_HEAD.FEATURE_EXTRACTOR
    for name, head in _heads_on_regions(cfg).items():
        if head.get("SHARE_BOX_FEATURE_EXTRACTOR") and extractor in EXTRACTORS_OF_VECTORS:
            yield (
                f"MODEL.{name}.SHARE_BOX_FEATURE_EXTRACTOR is True, but {extractor} of MODEL.ROI_BOX_HEAD makes no "
                "maps that others could read; set it to False"
            )


def _cascade(cfg: CfgNode) -> Iterator[str]:
    """Box heads in a row are as many as their thresholds and factors, and the first is the one that samples."""
    cascade, heads = cfg.MODEL.ROI_BOX_HEAD.CASCADE, cfg.MODEL.ROI_HEADS
    name = "MODEL.ROI_BOX_HEAD.CASCADE"
    if not cascade.ENABLED or not cfg.MODEL.DETECTION_ON:
        return
    for switch in ("RETINANET_ON", "RPN_ONLY"):
        if cfg.MODEL[switch]:
            yield f"{name}.ENABLED is True, but MODEL.{switch} leaves no box head; turn one of them off"
    if not cfg.MODEL.CLS_AGNOSTIC_BBOX_REG:
        yield (
            f"{name}.ENABLED is True, but MODEL.CLS_AGNOSTIC_BBOX_REG is False, so that a region would have a box for "
            "each class; set it to True"
        )
    if len(cascade.IOUS) != len(cascade.BBOX_REG_WEIGHTS):
        yield (
            f"{name}.IOUS makes {counted(len(cascade.IOUS), 'head')}, {name}.BBOX_REG_WEIGHTS "
            f"{len(cascade.BBOX_REG_WEIGHTS)}; give as many of both"
        )
    for option, first in (
        ("FG_IOU_THRESHOLD", cascade.IOUS[0]),
        ("BG_IOU_THRESHOLD", cascade.IOUS[0]),
        ("BBOX_REG_WEIGHTS", cascade.BBOX_REG_WEIGHTS[0]),
    ):
        if not np.array_equal(heads[option], first):
            group = "BBOX_REG_WEIGHTS" if option == "BBOX_REG_WEIGHTS" else "IOUS"
            yield (
                f"MODEL.ROI_HEADS.{option} is {heads[option]}, but {name}.{group} begins with {first}, and both are of "
                "the first head; set one to the other"
            )


def _pyramid(cfg: CfgNode) -> Iterator[str]:
    """A pyramid adds levels of which each is twice as large as the next, which a dilated last stage is not."""
    body, dilation = cfg.MODEL.BACKBONE.CONV_BODY, cfg.MODEL.RESNETS.RES5_DILATION
    if dilation > 1 and len(_strides(cfg)) > 1:
        yield (
            f"MODEL.RESNETS.RES5_DILATION is {dilation}, which keeps the last stage as large as the one before, but "
            f"MODEL.BACKBONE.CONV_BODY {body} makes a pyramid of both; set it to 1 or take a -C5 backbone"
        )


def _deformable(cfg: CfgNode) -> Iterator[str]:
    """The channels of a deformable convolution divide into its groups."""
    resnets = cfg.MODEL.RESNETS
    for stage, used in enumerate(resnets.STAGE_WITH_DCN):
        width = resnets.NUM_GROUPS * resnets.WIDTH_PER_GROUP * 2**stage
        if used and resnets.TRANS_FUNC.startswith("Bottleneck") and width % resnets.DEFORMABLE_GROUPS:
            yield (
                f"MODEL.RESNETS.DEFORMABLE_GROUPS is {resnets.DEFORMABLE_GROUPS}, into which the {width} channels of "
                f"stage {stage + 2} do not divide; take a divisor of them"
            )


def _input(cfg: CfgNode) -> Iterator[str]:
    """Ranges of factors are ranges, and images are scaled in one way."""
    for name in ("SCALE_JITTER", "CROP_SCALES"):
        low, high = cfg.INPUT[name]
        if low > high:
            yield f"INPUT.{name} is {cfg.INPUT[name]}, but the smaller factor comes first; exchange them"
    if cfg.INPUT.CROP and (cfg.INPUT.SQUASH or tuple(cfg.INPUT.SCALE_JITTER) != (1.0, 1.0)):
        yield "INPUT.CROP scales by CROP_SCALES alone; set INPUT.SQUASH to () and INPUT.SCALE_JITTER to (1.0, 1.0)"
    if cfg.TEST.BBOX_AUG.ENABLED and (cfg.INPUT.CROP or cfg.INPUT.SQUASH):
        name = "CROP" if cfg.INPUT.CROP else "SQUASH"
        yield f"TEST.BBOX_AUG scales by INPUT.MIN_SIZE_TEST, but INPUT.{name} does not; turn one of them off"


def _schedule(cfg: CfgNode) -> Iterator[str]:
    """Steps come one after the other."""
    steps = list(cfg.SOLVER.STEPS)
    if steps != sorted(steps):
        yield f"SOLVER.STEPS must be increasing iterations, not {tuple(steps)}; sort them"


def _best(cfg: CfgNode) -> Iterator[str]:
    """What decides on the best network is measured, and as often as is waited for it."""
    from maskrcnn_benchmark.tasks.task import evaluated_tasks  # late: tasks are above this room

    metric, patience = cfg.SOLVER.BEST.METRIC, cfg.SOLVER.BEST.PATIENCE
    key, _, name = metric.partition("/")
    keys = [task.key for task in evaluated_tasks(cfg)]
    if metric not in ("", "gain") and (key not in keys or not name):
        yield (
            f'SOLVER.BEST.METRIC is {metric!r}; give "gain" or TASK/METRIC, such as "detection/AP", with one of the '
            f"tasks that are on: {', '.join(keys)}"
        )
    if patience and not metric:
        yield f"SOLVER.BEST.PATIENCE is {patience}, but nothing says what is better; set SOLVER.BEST.METRIC"
    if patience and not cfg.SOLVER.TEST_PERIOD:
        yield f"SOLVER.BEST.PATIENCE is {patience}, but there is no evaluation on the way; set SOLVER.TEST_PERIOD"


def _boundary_protocol(cfg: CfgNode) -> Iterator[str]:
    """A protocol that is named decides itself on what others decide by options."""
    name = cfg.TEST.get("BOUNDARY_PROTOCOL")
    records = cfg.records() if isinstance(cfg, ConfigNode) and name else ()
    for option in records:
        if option.key in ("TEST.EDGE_THRESHOLDS", "TEST.EDGE_NMS", "TEST.EDGE_CONVENTIONS"):
            value = cfg.value_of(option.key)
            if value != option.default and not cfg.MODEL.OCCLUSION_ON:
                yield (
                    f"{option.key} is {value}, but TEST.BOUNDARY_PROTOCOL {name!r} decides on that itself; leave one "
                    "of them out"
                )


def _of_tasks(cfg: CfgNode) -> Iterator[str]:
    """What the tasks that are on say of their own options."""
    from maskrcnn_benchmark.tasks.task import enabled_tasks  # late: tasks are above this room

    for task in enabled_tasks(cfg):
        yield from task.check(cfg)


RULES: tuple[Callable[[CfgNode], Iterator[str]], ...] = (
    _thresholds,
    _anchors,
    _pooling,
    _shared_features,
    _cascade,
    _pyramid,
    _deformable,
    _input,
    _schedule,
    _best,
    _boundary_protocol,
    _of_tasks,
)
