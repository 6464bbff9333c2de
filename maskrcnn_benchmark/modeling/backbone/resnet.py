"""ResNets and ResNeXts with the original library's parameter names and conventions."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from maskrcnn_benchmark.layers import BatchNorm2d, Conv2d, DFConv2d, FrozenBatchNorm2d, SyncBatchNorm2d, conv_norm
from maskrcnn_benchmark.modeling.make_layers import MakeNorm, group_norm
from maskrcnn_benchmark.utils.errors import UserError

BLOCKS = ("Bottleneck", "BasicBlock")
NORMS = ("FixedBatchNorm", "GN", "BatchNorm", "SyncBatchNorm")
MakeConv = Callable[..., nn.Module]


class StageSpec(NamedTuple):
    """One stage: `index` 1 is layer1 (res2), of `block_count` blocks; `return_features` makes its output a result."""

    index: int  # type: ignore[assignment]
    block_count: int
    return_features: bool


@dataclass(frozen=True)
class BlockStyle:
    """What the blocks of a ResNet have in common.

    Attributes:
        kind: "Bottleneck" (1x1, 3x3, 1x1 convolutions) or "BasicBlock" (3x3, 3x3).
        norm: one of `NORMS`; "SyncBatchNorm" has the statistics of all processes.
        num_groups, width_per_group: groups of a bottleneck's 3x3 convolution and channels of each in layer1.
        stride_in_1x1: a bottleneck's stride lies in its first 1x1 convolution rather than in its 3x3.
        group_norm: function channels -> module, for "GN".
    """

    kind: str = "Bottleneck"
    norm: str = "FixedBatchNorm"
    num_groups: int = 1
    width_per_group: int = 64
    stride_in_1x1: bool = True
    group_norm: MakeNorm = group_norm

    def make_norm(self, channels: int) -> nn.Module:
        """The normalisation layer after a convolution with that many output channels."""
        makers: tuple[MakeNorm, ...] = FrozenBatchNorm2d, self.group_norm, BatchNorm2d, SyncBatchNorm2d
        return dict(zip(NORMS, makers))[self.norm](channels)

    def init(self, conv: nn.Conv2d) -> nn.Conv2d:
        """Fill a convolution's weights: for training from scratch with batch norm as He et al. 2015, else as Caffe2."""
        if self.norm in ("BatchNorm", "SyncBatchNorm"):
            nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
        else:
            nn.init.kaiming_uniform_(conv.weight, a=1)
        return conv


def parse_module_name(name: str, option: str, kinds: Sequence[str] = BLOCKS) -> tuple[str, str]:
    """Split "BottleneckWithGN" into ("Bottleneck", "GN"). Raises `UserError` that names the option if it is unknown."""
    kind, _, norm = name.partition("With")
    if kind not in kinds or norm not in NORMS:
        known = ", ".join(f"{k}With{n}" for k in kinds for n in NORMS)
        raise UserError(f"{option}: there is no {name!r}; known: {known}")
    return kind, norm


class Stem(nn.Module):
    """7x7 convolution at stride 2 and 3x3 max pooling at stride 2.

    Args:
        out_channels: channels of the result.
        style: `BlockStyle`; its norm is used.
        input_spread: standard deviation of the images' values. A frozen norm leaves activations as large as they are,
            so random weights are divided by it then: on pixels of 0..255 the first steps would diverge otherwise.
    """

    def __init__(self, out_channels: int, style: BlockStyle, input_spread: float = 1.0) -> None:
        super().__init__()
        self.conv1 = style.init(Conv2d(3, out_channels, 7, stride=2, padding=3, bias=False))
        if style.norm == "FixedBatchNorm":
            with torch.no_grad():
                self.conv1.weight /= input_spread
        self.bn1 = style.make_norm(out_channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, 3, H, W] -> [N, out_channels, H / 4, W / 4]."""
        return F.max_pool2d(F.relu_(conv_norm(self.conv1, self.bn1, x)), 3, stride=2, padding=1)


class Bottleneck(nn.Module):
    """1x1 to fewer channels, 3x3, 1x1 back, added to the input (He et al. 2016).

    `dcn` is None, or a function of a convolution's arguments that makes the 3x3 deformable. A dilated block has no
    stride.
    """

    def __init__(
        self,
        in_channels: int,
        bottleneck_channels: int,
        out_channels: int,
        style: BlockStyle,
        stride: int = 1,
        dilation: int = 1,
        dcn: MakeConv | None = None,
    ) -> None:
        super().__init__()
        stride = stride if dilation == 1 else 1
        stride_1x1, stride_3x3 = (stride, 1) if style.stride_in_1x1 else (1, stride)
        width = bottleneck_channels
        self.downsample = _shortcut(in_channels, out_channels, stride, style)
        self.conv1 = style.init(Conv2d(in_channels, width, 1, stride_1x1, bias=False))
        self.bn1 = style.make_norm(width)
        self.conv2 = _conv3x3(width, width, stride_3x3, dilation, style.num_groups, style, dcn)
        self.bn2 = style.make_norm(width)
        self.conv3 = style.init(Conv2d(width, out_channels, 1, bias=False))
        self.bn3 = style.make_norm(out_channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        identity = x if self.downsample is None else conv_norm(self.downsample[0], self.downsample[1], x)
        out = F.relu_(conv_norm(self.conv1, self.bn1, x))
        out = F.relu_(conv_norm(self.conv2, self.bn2, out))
        return F.relu_(conv_norm(self.conv3, self.bn3, out).add_(identity))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions, added to the input: the block of ResNet-18 and -34 (He et al. 2016)."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        style: BlockStyle,
        stride: int = 1,
        dilation: int = 1,
        dcn: MakeConv | None = None,
    ) -> None:
        super().__init__()
        stride = stride if dilation == 1 else 1
        self.downsample = _shortcut(in_channels, out_channels, stride, style)
        self.conv1 = _conv3x3(in_channels, out_channels, stride, dilation, 1, style, None)
        self.bn1 = style.make_norm(out_channels)
        self.conv2 = _conv3x3(out_channels, out_channels, 1, dilation, 1, style, dcn)
        self.bn2 = style.make_norm(out_channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        identity = x if self.downsample is None else conv_norm(self.downsample[0], self.downsample[1], x)
        out = F.relu_(conv_norm(self.conv1, self.bn1, x))
        return F.relu_(conv_norm(self.conv2, self.bn2, out).add_(identity))


class ResNet(nn.Module):
    """Stem and stages.

    Args:
        stages: tuple of `StageSpec`, from index 1 on.
        style: `BlockStyle` of the stages.
        stem_norm: norm of the stem, which may differ from that of the stages.
        stem_channels, res2_channels: output channels of the stem and of layer1; each stage has twice those before it.
        last_dilation: dilation of layer4, which then has no stride.
        dcn: per stage, None or a function that makes a deformable convolution (see `Bottleneck`).
        input_spread: see `Stem`.
    """

    def __init__(
        self,
        stages: Sequence[StageSpec],
        style: BlockStyle,
        stem_norm: str,
        stem_channels: int = 64,
        res2_channels: int = 256,
        last_dilation: int = 1,
        dcn: Sequence[MakeConv | None] = (None,) * 4,
        input_spread: float = 1.0,
    ) -> None:
        super().__init__()
        self.stem = Stem(stem_channels, BlockStyle(norm=stem_norm, group_norm=style.group_norm), input_spread)
        self.stages: list[str] = []
        self.return_features: dict[str, bool] = {}
        channels = stem_channels
        for spec in stages:
            name = f"layer{spec.index}"
            out_channels = res2_channels * 2 ** (spec.index - 1)
            dilation = last_dilation if spec.index == 4 else 1
            stride = 1 if spec.index == 1 else 2
            stage = make_stage(style, spec, channels, out_channels, stride, dilation, dcn[spec.index - 1])
            self.add_module(name, stage)
            self.stages.append(name)
            self.return_features[name] = spec.return_features
            channels = out_channels

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """[N, 3, H, W] -> list of the features of the stages that return them, finest first."""
        x = self.stem(x)
        outputs = []
        for name in self.stages:
            x = getattr(self, name)(x)
            if self.return_features[name]:
                outputs.append(x)
        return outputs


class ResNetHead(nn.Module):
    """Late stages as the head of a region: layer4 on pooled C4 features.

    Args:
        block_module: a TRANS_FUNC such as "BottleneckWithFixedBatchNorm".
        stages: tuple of `StageSpec`.
        stride_init: stride of the first stage; None is 2, or 1 if it is layer1.
        group_norm: function channels -> module for the GN variants.
    The other arguments are those of `BlockStyle` and `ResNet`. `out_channels` tells the width of the output.
    """

    def __init__(
        self,
        block_module: str,
        stages: Sequence[StageSpec],
        num_groups: int = 1,
        width_per_group: int = 64,
        stride_in_1x1: bool = True,
        stride_init: int | None = None,
        res2_out_channels: int = 256,
        dilation: int = 1,
        group_norm: MakeNorm = group_norm,
    ) -> None:
        super().__init__()
        kind, norm = parse_module_name(block_module, "MODEL.RESNETS.TRANS_FUNC")
        style = BlockStyle(kind, norm, num_groups, width_per_group, stride_in_1x1, group_norm)
        self.out_channels = res2_out_channels * 2 ** (stages[0].index - 1)
        channels = self.out_channels // 2
        self.stages: list[str] = []
        for spec in stages:
            name = f"layer{spec.index}"
            self.out_channels = res2_out_channels * 2 ** (spec.index - 1)
            stride = stride_init or (1 if spec.index == 1 else 2)
            self.add_module(name, make_stage(style, spec, channels, self.out_channels, stride, dilation))
            self.stages.append(name)
            channels, stride_init = self.out_channels, None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[R, C, H, W] -> [R, out_channels, H / stride, W / stride]."""
        for name in self.stages:
            x = getattr(self, name)(x)
        return x


def make_stage(
    style: BlockStyle,
    spec: StageSpec,
    in_channels: int,
    out_channels: int,
    stride: int,
    dilation: int = 1,
    dcn: MakeConv | None = None,
) -> nn.Sequential:
    """The blocks of one stage, as `nn.Sequential`; the first block has the stride."""
    if style.kind == "Bottleneck":
        width = style.num_groups * style.width_per_group * 2 ** (spec.index - 1)
        block: Callable[..., nn.Module] = partial(Bottleneck, bottleneck_channels=width)
    else:
        block = BasicBlock
    make = partial(block, out_channels=out_channels, style=style, dilation=dilation, dcn=dcn)
    first = make(in_channels, stride=stride)
    return nn.Sequential(first, *(make(out_channels) for _ in range(spec.block_count - 1)))


def _conv3x3(in_channels, out_channels, stride, dilation, groups, style, dcn):
    if dcn is not None:
        return dcn(in_channels, out_channels, kernel_size=3, stride=stride, groups=groups, dilation=dilation)
    return style.init(
        Conv2d(in_channels, out_channels, 3, stride, padding=dilation, dilation=dilation, groups=groups, bias=False)
    )


def _shortcut(in_channels, out_channels, stride, style):
    """The projection of a block's input to its output's shape, or None where both agree."""
    if in_channels == out_channels and stride == 1:
        return None
    conv = style.init(Conv2d(in_channels, out_channels, 1, stride, bias=False))
    return nn.Sequential(conv, style.make_norm(out_channels))


def make_dcn(modulated: bool, deformable_groups: int) -> Callable[..., DFConv2d]:
    """A function that makes the deformable 3x3 convolution of a block (see `Bottleneck`)."""
    return partial(DFConv2d, with_modulated_dcn=modulated, deformable_groups=deformable_groups, bias=False)
