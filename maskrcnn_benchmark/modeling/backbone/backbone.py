"""The backbones that a config can choose, and the function that builds the chosen one."""

import logging
from collections.abc import Callable, Collection, Sequence
from typing import Any

import torch
from torch import nn
from yacs.config import CfgNode

from maskrcnn_benchmark.config.node import ConfigNode
from maskrcnn_benchmark.modeling import registry
from maskrcnn_benchmark.modeling.backbone.fpn import FPN, LastLevelMaxPool, LastLevelP6P7
from maskrcnn_benchmark.modeling.backbone.resnet import BlockStyle, ResNet, StageSpec, make_dcn, parse_module_name
from maskrcnn_benchmark.modeling.make_layers import conv_with_kaiming_uniform, group_norm_factory, norm_factory
from maskrcnn_benchmark.utils.errors import UserError

logger = logging.getLogger(__name__)

# Blocks of layer1..layer4 (He et al. 2016, table 1)
BLOCK_COUNTS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
BASIC_DEPTHS = (18, 34)
# Of a colour channel in 0..1 over ImageNet's photographs
CHANNEL_DEVIATION = 0.226
# Of the levels P2..P6, and of P3..P7
FPN_STRIDES, RETINANET_STRIDES = (4, 8, 16, 32, 64), (8, 16, 32, 64, 128)
# RES2_OUT_CHANNELS defaults to a bottleneck's 256. Basic blocks are four times narrower: for them it stands for 64.
BOTTLENECK_RES2_CHANNELS, BASIC_RES2_CHANNELS = 256, 64


class Backbone(nn.Module):
    """Images [N, 3, H, W] -> feature maps [N, out_channels, H / stride, W / stride], finest first.

    A backbone of one's own needs `forward` and `out_channels`. With `strides` a network that cannot work with its maps
    is refused when it is built, and with `stages` MODEL.BACKBONE.FREEZE_CONV_BODY_AT freezes its first ones.

    Attributes:
        out_channels: channels of every map.
        strides: image pixels per cell of each map, finest first.
    """

    out_channels: int
    strides: tuple[int, ...]
    num_frozen = 0

    def stages(self) -> list[nn.Module]:
        """The parts that can be frozen, in the order in which they are computed."""
        return []

    def freeze(self, count: int) -> None:
        """Keep the first `count` stages as they are: neither weights nor statistics of norms are learnt."""
        self.num_frozen = count
        for stage in self.stages()[:count]:
            stage.requires_grad_(False)
        self.train(self.training)

    def layers(self) -> dict[str, int]:
        """{name of a parameter: how many layers come before its own}, for SOLVER.LAYER_DECAY; those left out come last.

        A stage counts as a layer.
        """
        names = {id(parameter): name for name, parameter in self.named_parameters()}
        return {
            names[id(parameter)]: depth for depth, stage in enumerate(self.stages()) for parameter in stage.parameters()
        }

    def without_decay(self) -> set[str]:
        """Names of parameters, beside norms and biases, that SOLVER.DECAY_NORMS False exempts from weight decay."""
        return set()

    def train(self, mode: bool = True) -> "Backbone":
        """As `nn.Module.train`, but frozen stages stay in evaluation."""
        super().train(mode)
        for stage in self.stages()[: self.num_frozen]:
            stage.eval()
        return self


class ResNetBackbone(Backbone):
    """A ResNet, and a feature pyramid on it.

    Args:
        body: `ResNet`.
        out_channels: channels of every map.
        strides: of the maps.
        fpn: `FPN`; None: the maps of the body.
    """

    def __init__(self, body: ResNet, out_channels: int, strides: tuple[int, ...], fpn: FPN | None = None) -> None:
        super().__init__()
        self.body = body
        if fpn is not None:
            self.fpn = fpn
        self.out_channels = out_channels
        self.strides = strides

    def forward(self, images: torch.Tensor) -> Sequence[torch.Tensor]:
        """See the class; a sequence of maps."""
        for part in self.children():
            images = part(images)
        return images  # type: ignore[return-value]

    def stages(self) -> list[nn.Module]:
        """The stem, layer1, layer2, ..."""
        return [self.body.stem, *(getattr(self.body, name) for name in self.body.stages)]


def build_backbone(cfg: CfgNode) -> Any:
    """The backbone MODEL.BACKBONE.CONV_BODY, its first MODEL.BACKBONE.FREEZE_CONV_BODY_AT stages frozen.

    It is a `Backbone` or a module of one's own, see there. Raises `UserError` for an unknown name.
    """
    name, count = cfg.MODEL.BACKBONE.CONV_BODY, cfg.MODEL.BACKBONE.FREEZE_CONV_BODY_AT
    backbone = registry.BACKBONES[name](cfg)
    if not hasattr(backbone, "strides"):
        backbone.strides = promised_strides(name)
    if count > 0 and hasattr(backbone, "freeze"):
        backbone.freeze(count)
    if count > 0 and all(parameter.requires_grad for parameter in backbone.parameters()):
        logger.warning(
            "MODEL.BACKBONE.FREEZE_CONV_BODY_AT %d freezes nothing of %s, which has no stages to freeze: all of it is "
            "trained; give its class a method freeze(count), as modeling.backbone.Backbone has it, or set the option "
            "to 0",
            count,
            name,
        )
    return backbone


def bind_backbone(cfg: ConfigNode) -> None:
    """Set the options of INPUT that the backbone's pretrained weights expect, in place, frozen or not, unless
    the user gave one.

    They are what the attribute `input_options` of its builder in `registry.BACKBONES`, a function of the config,
    returns: {option: value} of INPUT.PIXEL_MEAN, INPUT.PIXEL_STD and INPUT.TO_BGR255.
    """
    builder: Any = registry.BACKBONES.get(cfg.MODEL.BACKBONE.CONV_BODY)
    options = builder.input_options(cfg) if hasattr(builder, "input_options") else {}
    if any(map(cfg.is_given, options)):
        return
    frozen = cfg.is_frozen()
    cfg.defrost()
    for option, value in options.items():
        cfg.INPUT[option.removeprefix("INPUT.")] = value
    if frozen:
        cfg.freeze()


def promised_strides(name: str) -> tuple[int, ...] | None:
    """Strides of the maps of the backbone MODEL.BACKBONE.CONV_BODY `name`, finest first, before it is built.

    They are the attribute `strides` of its builder in `registry.BACKBONES`; None where that has none, or where there is
    no such backbone. A dilated last stage has half the stride.
    """
    return getattr(registry.BACKBONES.get(name), "strides", None)


def res2_channels(cfg: CfgNode, depth: int) -> int:
    """Output channels of layer1 of a ResNet of that depth under this config."""
    channels = cfg.MODEL.RESNETS.RES2_OUT_CHANNELS
    if depth in BASIC_DEPTHS and channels == BOTTLENECK_RES2_CHANNELS:
        return BASIC_RES2_CHANNELS
    return channels


def build_resnet(cfg: CfgNode, depth: int, returned_stages: Collection[int]) -> ResNet:
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
        input_spread(cfg.INPUT),
    )


def input_spread(options: CfgNode) -> float:
    """Standard deviation of an image's values after the normalisation that INPUT describes."""
    return CHANNEL_DEVIATION * (255 if options.TO_BGR255 else 1) * len(options.PIXEL_STD) / sum(options.PIXEL_STD)


def build_single_map(cfg: CfgNode, depth: int, stage: int) -> ResNetBackbone:
    """ResNet up to one stage, whose output is the only feature map."""
    stride = 16 if stage == 4 and cfg.MODEL.RESNETS.RES5_DILATION > 1 else 2 ** (stage + 1)
    return ResNetBackbone(build_resnet(cfg, depth, (stage,)), res2_channels(cfg, depth) * 2 ** (stage - 1), (stride,))


def build_fpn(cfg: CfgNode, depth: int) -> ResNetBackbone:
    """ResNet-FPN with levels P2..P6."""
    channels, out_channels = res2_channels(cfg, depth), cfg.MODEL.RESNETS.BACKBONE_OUT_CHANNELS
    fpn = FPN([channels * 2**i for i in range(4)], out_channels, fpn_conv(cfg), LastLevelMaxPool())
    return ResNetBackbone(build_resnet(cfg, depth, (1, 2, 3, 4)), out_channels, FPN_STRIDES, fpn)


def build_retinanet_fpn(cfg: CfgNode, depth: int) -> ResNetBackbone:
    """ResNet-FPN with levels P3..P7, P6 read from C5 or from P5 (MODEL.RETINANET.USE_C5)."""
    channels, out_channels = res2_channels(cfg, depth), cfg.MODEL.RESNETS.BACKBONE_OUT_CHANNELS
    p6_channels = channels * 8 if cfg.MODEL.RETINANET.USE_C5 else out_channels
    fpn = FPN(
        [0, channels * 2, channels * 4, channels * 8],
        out_channels,
        fpn_conv(cfg),
        LastLevelP6P7(p6_channels, out_channels),
    )
    return ResNetBackbone(build_resnet(cfg, depth, (1, 2, 3, 4)), out_channels, RETINANET_STRIDES, fpn)


def fpn_conv(cfg: CfgNode) -> Callable[..., nn.Module]:
    """The convolution of a feature pyramid, as MODEL.FPN describes it."""
    norm = norm_factory(cfg, cfg.MODEL.FPN)
    return conv_with_kaiming_uniform(norm is not None, cfg.MODEL.FPN.USE_RELU, norm or group_norm_factory(cfg))


def _register(name: str, strides: tuple[int, ...], build: Callable[..., nn.Module], *args: int) -> None:
    def builder(cfg):
        return build(cfg, *args)

    builder.strides = strides  # type: ignore[attr-defined]
    registry.BACKBONES.register(name, builder)


for _depth in (50, 101):
    _register(f"R-{_depth}-C4", (16,), build_single_map, _depth, 3)
    _register(f"R-{_depth}-C5", (32,), build_single_map, _depth, 4)
    _register(f"R-{_depth}-FPN-RETINANET", RETINANET_STRIDES, build_retinanet_fpn, _depth)
for _depth in BLOCK_COUNTS:
    _register(f"R-{_depth}-FPN", FPN_STRIDES, build_fpn, _depth)
