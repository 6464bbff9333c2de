"""Every option refuses what is out of its range, by a merge and by attribute, and options that contradict are named."""

import math
from pathlib import Path

import pytest
from yacs.config import CfgNode

from maskrcnn_benchmark.config import cfg as default_cfg
from maskrcnn_benchmark.config.check import check_options
from maskrcnn_benchmark.config.options import Option
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.ranges import Choice, Either, Flag, Integer, Number, Row, Sequence, Text

OPTIONS = default_cfg.records()
CONFIGS = sorted((Path(__file__).resolve().parents[2] / "configs").rglob("*.yaml"))


CASCADE = "MODEL.ROI_BOX_HEAD.CASCADE"
IN_A_ROW = [f"{CASCADE}.ENABLED", True, "MODEL.CLS_AGNOSTIC_BBOX_REG", True]


def outside(range_):
    """Values of the right type, or nearly, that a range does not hold: list."""
    if isinstance(range_, Integer):
        return [range_.low - 1, range_.high + 1, 2**200, -(2**200), 16**5000]
    if isinstance(range_, Number):
        near = [range_.low - 1e-3, range_.high * 1.001 + 1e-3, *([range_.low] if range_.above else [])]
        return [*near, *([range_.high] if range_.below else []), math.nan, math.inf, -math.inf]
    if isinstance(range_, Text):
        return ["x\n", "\0", "x" * (range_.longest + 1), *([] if range_.empty else [""])]
    if isinstance(range_, Choice):
        return [max(v for v in range_.values) * 2 + ("?" if isinstance(range_.values[0], str) else 1)]
    if isinstance(range_, Flag):
        return []
    if isinstance(range_, Either):
        return [value for value in outside(range_.ranges[0]) if not range_.holds(value)]
    if isinstance(range_, Row):
        return [(), ("a",) * 9, 5]
    inner = inside(range_.of)
    wrong = [(value,) * max(1, range_.least) for value in outside(range_.of)]
    return [*wrong, (inner,) * (range_.most + 1), *([(inner,) * (range_.least - 1)] if range_.least else [])]


def inside(range_):
    """A value of a range."""
    if isinstance(range_, Flag):
        return True
    if isinstance(range_, Choice):
        return range_.values[0]
    if isinstance(range_, Text):
        return "x"
    if isinstance(range_, Sequence):
        return (inside(range_.of),) * range_.least
    if isinstance(range_, Either):
        return inside(range_.ranges[0])
    if isinstance(range_, Row):
        return tuple(inside(column) for _, column in range_.columns)
    return range_.high if not range_.below else range_.low


def set_value(config, key, value):
    group, _, name = key.rpartition(".")
    (config.value_of(group) if group else config)[name] = value


def test_every_option_refuses_values_out_of_its_range_in_one_line_that_names_it():
    config, tried = default_cfg.clone(), 0
    for option in OPTIONS:
        for value in outside(option.range):
            for source, refuse in (
                ("the command line", lambda: config.merge_from_list([option.key, value])),  # noqa: B023
                ("a.yaml", lambda: config.merge_from_tree(nested(option.key, value), "a.yaml")),  # noqa: B023
                ("the config", lambda: checked(config, option, value)),  # noqa: B023
            ):
                with pytest.raises(UserError) as error:
                    refuse()
                said = str(error.value)
                assert said.startswith(f"{source}: {option.key} "), said
                assert "\n" not in said and len(said) < 800
                tried += 1
    assert config == default_cfg
    assert tried > 3 * len(OPTIONS)


def nested(key, value):
    for name in reversed(key.split(".")):
        value = {name: value}
    return value


def checked(config, option, value):
    """Check a config in which a program has set a value by attribute."""
    set_value(config, option.key, value)
    try:
        check_options(config)
    finally:
        set_value(config, option.key, default_cfg.value_of(option.key))


@pytest.mark.parametrize(
    "option", [option for option in OPTIONS if isinstance(option.range, Flag)], ids=lambda o: o.key
)
def test_a_switch_takes_no_number(option):
    config = default_cfg.clone()
    with pytest.raises(UserError, match=f"the config: {option.key} is 1, but must be True or False"):
        checked(config, option, 1)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("SOLVER.LOG_PERIOD", 0),
        ("SOLVER.BASE_LR", math.nan),
        ("SOLVER.BASE_LR", -0.1),
        ("DATALOADER.NUM_WORKERS", -1),
        ("SOLVER.SEED", 2**70),
        ("INPUT.MIN_SIZE_TRAIN", ()),
        ("INPUT.MIN_SIZE_TRAIN", (-800,)),
        ("DATASETS.TRAIN", (1,)),
        ("SOLVER.MAX_ITER", -5),
        ("SOLVER.WEIGHT_DECAY", -1.0),
        ("SOLVER.CLIP_GRADIENT_NORM", math.nan),
        ("SOLVER.GAMMA", math.nan),
        ("MODEL.RPN.NMS_THRESH", -1.0),
        ("MODEL.ROI_HEADS.POSITIVE_FRACTION", 2.0),
        ("SOLVER.ACCUMULATE_STEPS", 0),
        ("MODEL.BACKBONE.FREEZE_CONV_BODY_AT", 999),
        ("MODEL.BACKBONE.FREEZE_CONV_BODY_AT", -1),
        ("MULTITASK.LOSS_WEIGHTS.SEMANTIC", -4.0),
        ("MODEL.RPN.ANCHOR_SIZES", (0,)),
        ("MODEL.ROI_BOX_HEAD.POOLER_SAMPLING_RATIO", 100_000),
        ("DATALOADER.SIZE_DIVISIBILITY", 60_000),
        ("INPUT.PIXEL_STD", [0.0, 0.0, 0.0]),
        ("TEST.EXPECTED_RESULTS", [["bbox", "AP"]]),
        ("TEST.EXPECTED_RESULTS", [["bbox", "AP", [math.nan, 0.1]]]),
    ],
)
def test_nonsense_is_refused(key, value):
    with pytest.raises(UserError, match=f"^the command line: {key} is .*, but must be "):
        default_cfg.clone().merge_from_list([key, value])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["MODEL.RPN.BG_IOU_THRESHOLD", 0.8],
            r"MODEL\.RPN\.BG_IOU_THRESHOLD 0\.8 is above MODEL\.RPN\.FG_IOU_THRESHOLD",
        ),
        (["MODEL.ROI_HEADS.FG_IOU_THRESHOLD", 0.4], r"MODEL\.ROI_HEADS\.BG_IOU_THRESHOLD 0\.5 is above"),
        (["MODEL.RETINANET.FG_IOU_THRESHOLD", 0.3], r"MODEL\.RETINANET\.BG_IOU_THRESHOLD 0\.4 is above"),
        (
            ["MODEL.RPN.ASPECT_RATIOS", (100.0,), "MODEL.RPN.ANCHOR_STRIDE", (4,)],
            "100.0 at the stride 4 .* without an area",
        ),
        (
            ["MODEL.RETINANET.ASPECT_RATIOS", (0.01,), "MODEL.RETINANET.ANCHOR_STRIDES", (4,)],
            "0.01 at the stride 4 .* an area",
        ),
        (
            ["MODEL.ROI_BOX_HEAD.POOLER_SCALES", (0.25, 0.125)],
            "has 2 scales, but .*CONV_BODY R-50-C4 gives 1 feature map;",
        ),
        (
            ["MODEL.BACKBONE.CONV_BODY", "R-50-FPN", "MODEL.ROI_BOX_HEAD.POOLER_SCALES", (0.25, 0.0625)],
            r"POOLER_SCALES is \(0\.25, 0\.0625\), but each scale must be half of the one before",
        ),
        (
            [
                *("MODEL.BACKBONE.CONV_BODY", "R-50-FPN", "MODEL.MASK_ON", True),
                *("MODEL.ROI_MASK_HEAD.POOLER_SCALES", tuple(0.5**k for k in range(2, 8))),
            ],
            r"ROI_MASK_HEAD\.POOLER_SCALES has 6 scales, but .* gives 5 feature maps",
        ),
        (["MODEL.BACKBONE.CONV_BODY", "R-50-FPN", "MODEL.RESNETS.RES5_DILATION", 2], "RES5_DILATION is 2, .* pyramid"),
        (
            ["MODEL.RESNETS.STAGE_WITH_DCN", (False, True, False, False), "MODEL.RESNETS.DEFORMABLE_GROUPS", 3],
            "DEFORMABLE_GROUPS is 3, into which the 128 channels of stage 3 do not divide",
        ),
        (
            ["MODEL.ROI_BOX_HEAD.FEATURE_EXTRACTOR", "FPN2MLPFeatureExtractor", "MODEL.KEYPOINT_ON", True],
            r"ROI_KEYPOINT_HEAD\.SHARE_BOX_FEATURE_EXTRACTOR is True, but FPN2MLP.*; set it to False",
        ),
        ([f"{CASCADE}.ENABLED", True], r"MODEL\.CLS_AGNOSTIC_BBOX_REG is False, .*; set it to True"),
        (
            [*IN_A_ROW, "MODEL.RETINANET_ON", True],
            r"CASCADE\.ENABLED is True, but MODEL\.RETINANET_ON leaves no box head",
        ),
        ([*IN_A_ROW, "MODEL.RPN_ONLY", True], r"MODEL\.RPN_ONLY leaves no box head; turn one of them off"),
        ([*IN_A_ROW, f"{CASCADE}.IOUS", (0.5, 0.6)], r"IOUS makes 2 heads, .*BBOX_REG_WEIGHTS 3; give as many of both"),
        (
            [*IN_A_ROW, f"{CASCADE}.IOUS", (0.4, 0.5, 0.6)],
            r"ROI_HEADS\.FG_IOU_THRESHOLD is 0\.5, but .*CASCADE\.IOUS begins with 0\.4",
        ),
        (
            [*IN_A_ROW, "MODEL.ROI_HEADS.BG_IOU_THRESHOLD", 0.3],
            r"ROI_HEADS\.BG_IOU_THRESHOLD is 0\.3, but .*CASCADE\.IOUS begins with 0\.5",
        ),
        (
            [*IN_A_ROW, "MODEL.ROI_HEADS.BBOX_REG_WEIGHTS", (1.0, 1.0, 1.0, 1.0)],
            r"BBOX_REG_WEIGHTS is \(1\.0, .*CASCADE\.BBOX_REG_WEIGHTS begins with \(10\.0",
        ),
        (["INPUT.SCALE_JITTER", (2.0, 0.5)], r"SCALE_JITTER is \(2\.0, 0\.5\), but the smaller factor comes first"),
        (["SOLVER.STEPS", (5, 3)], r"SOLVER\.STEPS must be increasing iterations, not \(5, 3\)"),
    ],
)
def test_options_that_contradict_one_another_are_named(options, message):
    config = default_cfg.clone()
    config.merge_from_list(options)
    with pytest.raises(UserError, match=f"^the config: .*{message}") as error:
        check_options(config)
    assert "\n" not in str(error.value)


def test_a_cascade_is_no_matter_of_a_network_without_detection():
    config = default_cfg.clone()
    config.merge_from_list([f"{CASCADE}.ENABLED", True, "MODEL.DETECTION_ON", False, "MODEL.SEMANTIC_ON", True])
    check_options(config)


@pytest.mark.parametrize("switch", ["MODEL.RPN_ONLY", "MODEL.RETINANET_ON"])
def test_what_a_network_does_not_have_may_have_any_scales(switch):
    config = default_cfg.clone()
    config.merge_from_list([switch, True, "MODEL.ROI_BOX_HEAD.POOLER_SCALES", (0.25, 0.0625)])
    check_options(config)


def test_the_defaults_and_every_config_of_the_repository_pass():
    check_options(default_cfg)
    assert CONFIGS
    for file in CONFIGS:
        config = default_cfg.clone()
        config.merge_from_file(file)
        check_options(config)


def test_an_option_without_a_record_has_any_value_and_one_with_a_record_its_range():
    config = default_cfg.clone()
    config.MODEL.SALIENCY_HEAD = type(config)({"WEIGHT": 0.6})
    config.add(Option("MODEL.FLOW_HEAD.CHANNELS", 8, Integer(1, 64), "Channels of the head"))
    config.merge_from_list(["MODEL.SALIENCY_HEAD.WEIGHT", -5.0, "MODEL.FLOW_HEAD.CHANNELS", "16"])
    check_options(config)
    assert (config.MODEL.SALIENCY_HEAD.WEIGHT, config.MODEL.FLOW_HEAD.CHANNELS) == (-5.0, 16)
    with pytest.raises(UserError, match=r"the command line: MODEL\.FLOW_HEAD\.CHANNELS is 65, but must be an integer"):
        config.merge_from_list(["MODEL.FLOW_HEAD.CHANNELS", "65"])
    config.MODEL.FLOW_HEAD.CHANNELS = 0
    with pytest.raises(UserError, match=r"the config: MODEL\.FLOW_HEAD\.CHANNELS is 0, but must be an integer"):
        check_options(config)
    assert "FLOW_HEAD" not in default_cfg.MODEL


def test_a_plain_tree_of_a_program_of_ones_own_has_no_ranges_and_the_rules_of_all():
    plain = CfgNode(dict(default_cfg.clone()))
    plain.SOLVER.BASE_LR = -1.0
    check_options(plain)
    plain.INPUT.SCALE_JITTER = (2.0, 1.0)
    with pytest.raises(UserError, match="the smaller factor comes first"):
        check_options(plain)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("SOLVER.BEST.METRIC", "AP"), r'BEST\.METRIC is \'AP\'; give "gain" or TASK/METRIC.*that are on: detection'),
        (("SOLVER.BEST.METRIC", "semantic/mIoU"), "that are on: detection"),
        (
            ("SOLVER.BEST.PATIENCE", 3, "SOLVER.TEST_PERIOD", 5),
            r"nothing says what is better; set SOLVER\.BEST\.METRIC",
        ),
        (
            ("SOLVER.BEST.PATIENCE", 3, "SOLVER.BEST.METRIC", "gain"),
            r"no evaluation on the way; set SOLVER\.TEST_PERIOD",
        ),
    ],
)
def test_what_decides_on_the_best_network_goes_together(options, message):
    cfg = default_cfg.clone()
    cfg.merge_from_list(["SOLVER.BEST.METRIC", "detection/AP", "SOLVER.TEST_PERIOD", 5, "SOLVER.BEST.PATIENCE", 2])
    check_options(cfg)
    cfg = default_cfg.clone()
    cfg.merge_from_list(options)
    with pytest.raises(UserError, match=message):
        check_options(cfg)
