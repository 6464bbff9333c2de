"""The backbones that a config can choose, and the function that builds the chosen one."""

from collections import OrderedDict

from torch import nn

from maskrcnn_benchmark.modeling import registry
from maskrcnn_benchmark.modeling.backbone.fpn import FPN, LastLevelMaxPool, LastLevelP6P7
from maskrcnn_benchmark.modeling.backbone.resnet import BlockStyle, ResNet, StageSpec, make_dcn, parse_module_name
from maskrcnn_benchmark.modeling.make_layers import conv_with_kaiming_uniform, group_norm_factory
from maskrcnn_benchmark.utils.errors import UserError

# Blocks of layer1..layer4 (He et al. 2016, table 1)
BLOCK_COUNTS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
BASIC_DEPTHS = (18, 34)
# Of a colour channel in 0..1 over ImageNet's photographs
CHANNEL_DEVIATION = 0.226
# RES2_OUT_CHANNELS defaults to a bottleneck's 256. Basic blocks are four times narrower: for them it stands for 64.
BOTTLENECK_RES2_CHANNELS, BASIC_RES2_CHANNELS = 256, 64


def build_backbone(cfg):
    """The backbone MODEL.BACKBONE.CONV_BODY.

    Its forward takes images [N, 3, H, W] and returns a sequence of feature maps, finest first, each with
    `out_channels` channels (an attribute of the backbone). Raises `UserError` for an unknown name.
    """
    return registry.BACKBONES[cfg.MODEL.BACKBONE.CONV_BODY](cfg)


def res2_channels(cfg, depth):
    """Output channels of layer1 of a ResNet of that depth under this config."""
    channels = cfg.MODEL.RESNETS.RES2_OUT_CHANNELS
    if depth in BASIC_DEPTHS and channels == BOTTLENECK_RES2_CHANNELS:
        return BASIC_RES2_CHANNELS
    return channels


def build_resnet(cfg, depth, returned_stages):
    """The ResNet of a depth whose stages end with, and return, `returned_stages` (indices, 1 is layer1)."""
    options = cfg.MODEL.RESNETS
    kind, norm = parse_module_name(options.TRANS_FUNC, "MODEL.RESNETS.TRANS_FUNC")
    _, stem_norm = parse_module_name(options.STEM_FUNC, "MODEL.RESNETS.STEM_FUNC", ("Stem",))
    if depth in BASIC_DEPTHS:
        # The default TRANS_FUNC names a bottleneck; these depths have none, so only its norm counts.
        kind = "BasicBlock"
    elif kind == "BasicBlock":
        raise UserError(
            f"MODEL.RESNETS.TRANS_FUNC: R-{depth} is made of bottlenecks, not of {options.TRANS_FUNC}; "
            f"choose BottleneckWith{norm}, or R-18 or R-34 as MODEL.BACKBONE.CONV_BODY"
        )
    style = BlockStyle(
        kind,
        norm,
        options.NUM_GROUPS,
        options.WIDTH_PER_GROUP,
        options.STRIDE_IN_1X1,
        group_norm_factory(cfg),
    )
    last = max(returned_stages)
    counts = BLOCK_COUNTS[depth][:last]
    dcn = make_dcn(options.WITH_MODULATED_DCN, options.DEFORMABLE_GROUPS)
    return ResNet(
        tuple(StageSpec(index, count, index in returned_stages) for index, count in enumerate(counts, 1)),
        style,
        stem_norm,
        options.STEM_OUT_CHANNELS,
        res2_channels(cfg, depth),
        options.RES5_DILATION,
        tuple(dcn if used else None for used in options.STAGE_WITH_DCN),
        cfg.MODEL.BACKBONE.FREEZE_CONV_BODY_AT,
        input_spread(cfg.INPUT),
    )


def input_spread(options):
    """Standard deviation of an image's values after the normalisation that INPUT describes."""
    return CHANNEL_DEVIATION * (255 if options.TO_BGR255 else 1) * len(options.PIXEL_STD) / sum(options.PIXEL_STD)


def build_single_map(cfg, depth, stage):
    """ResNet up to one stage, whose output is the only feature map."""
    body = build_resnet(cfg, depth, (stage,))
    return _assemble(res2_channels(cfg, depth) * 2 ** (stage - 1), body=body)


def build_fpn(cfg, depth):
    """ResNet-FPN with levels P2..P6."""
    channels, out_channels = res2_channels(cfg, depth), cfg.MODEL.RESNETS.BACKBONE_OUT_CHANNELS
    fpn = FPN([channels * 2**i for i in range(4)], out_channels, _fpn_conv(cfg), LastLevelMaxPool())
    return _assemble(out_channels, body=build_resnet(cfg, depth, (1, 2, 3, 4)), fpn=fpn)


def build_retinanet_fpn(cfg, depth):
    """ResNet-FPN with levels P3..P7, P6 read from C5 or from P5 (MODEL.RETINANET.USE_C5)."""
    channels, out_channels = res2_channels(cfg, depth), cfg.MODEL.RESNETS.BACKBONE_OUT_CHANNELS
    p6_channels = channels * 8 if cfg.MODEL.RETINANET.USE_C5 else out_channels
    fpn = FPN(
        [0, channels * 2, channels * 4, channels * 8],
        out_channels,
        _fpn_conv(cfg),
        LastLevelP6P7(p6_channels, out_channels),
    )
    return _assemble(out_channels, body=build_resnet(cfg, depth, (1, 2, 3, 4)), fpn=fpn)


def _fpn_conv(cfg):
    return conv_with_kaiming_uniform(cfg.MODEL.FPN.USE_GN, cfg.MODEL.FPN.USE_RELU, group_norm_factory(cfg))


def _assemble(out_channels, **parts):
    model = nn.Sequential(OrderedDict(parts))
    model.out_channels = out_channels
    return model


def _register(name, build, *args):
    registry.BACKBONES.register(name, lambda cfg: build(cfg, *args))


for _depth in (50, 101):
    _register(f"R-{_depth}-C4", build_single_map, _depth, 3)
    _register(f"R-{_depth}-C5", build_single_map, _depth, 4)
    _register(f"R-{_depth}-FPN-RETINANET", build_retinanet_fpn, _depth)
for _depth in BLOCK_COUNTS:
    _register(f"R-{_depth}-FPN", build_fpn, _depth)
