"""Backbones of timm, by MODEL.BACKBONE.TIMM.NAME, under a feature pyramid.

Networks with maps of strides 4, 8, 16 and 32 get an FPN; plain vision transformers, whose maps have one stride, get
ViTDet's simple feature pyramid. Parameters keep timm's names, after "backbone.body.model.".
"""

import contextlib
import inspect
import math
import sys
from collections.abc import Collection, Sequence
from types import ModuleType
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torchvision.models.convnext import LayerNorm2d
from yacs.config import CfgNode

from maskrcnn_benchmark.modeling import registry
from maskrcnn_benchmark.modeling.backbone.backbone import FPN_STRIDES, RETINANET_STRIDES, Backbone, fpn_conv
from maskrcnn_benchmark.modeling.backbone.fpn import FPN, LastLevelMaxPool, LastLevelP6P7
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.weights.timm_weights import from_efficientnet_pytorch

BODY_STRIDES = (4, 8, 16, 32)
# Of the map that ViTDet's pyramid is made from, where the patches of a transformer have another side
PLAIN_STRIDE = 16
# How timm's families are told that images come in any size
_ANY_SIZE = ("dynamic_img_size", "strict_img_size")


class TimmBody(nn.Module):
    """A network of timm without its classifier: images [N, 3, H, W] -> some of its maps, finest first.

    Args:
        model: made by `timm.create_model`; it has `forward_intermediates`.
        indices: of the maps in `model.feature_info`.
        norm: whether the last norm is applied to the maps, as plain transformers expect it.
    """

    model: Any

    def __init__(self, model: nn.Module, indices: Sequence[int], norm: bool = False) -> None:
        super().__init__()
        self.model = model
        self.indices = list(indices)
        self.norm = norm
        self.model.prune_intermediate_layers(self.indices, prune_norm=not norm, prune_head=True)

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Maps [N, C_i, H / stride_i, W / stride_i]; H and W are multiples of the coarsest stride."""
        options = {"norm": True} if self.norm else {}
        return self.model.forward_intermediates(
            images, indices=self.indices, intermediates_only=True, output_fmt="NCHW", **options
        )


class SimpleFeaturePyramid(nn.Module):
    """Levels of strides 4, 8, 16, 32 from the last map of a plain transformer (Li et al. 2022, ViTDet, section 3).

    The map is enlarged by transposed convolutions or halved by a maximum, then goes through a 1x1 and a 3x3
    convolution, each followed by a layer norm.

    Args:
        in_channels: of the map of stride 16.
        out_channels: of every level.
        top_blocks: as `FPN` takes them; `LastLevelP6P7` replaces the level of stride 4.
    """

    def __init__(self, in_channels: int, out_channels: int, top_blocks: nn.Module) -> None:
        super().__init__()
        half, quarter = in_channels // 2, in_channels // 4
        enlarge = nn.ConvTranspose2d(in_channels, half, 2, 2), LayerNorm2d(half, eps=1e-6), nn.GELU()
        scales: list[tuple[nn.Module, int]] = [
            (nn.Sequential(*enlarge, nn.ConvTranspose2d(half, quarter, 2, 2)), quarter),
            (nn.Sequential(nn.ConvTranspose2d(in_channels, half, 2, 2)), half),
            (nn.Identity(), in_channels),
            (nn.MaxPool2d(2, 2), in_channels),
        ]
        if isinstance(top_blocks, LastLevelP6P7):
            scales = scales[1:]
        self.levels = nn.ModuleList(
            nn.Sequential(
                scale,
                nn.Conv2d(channels, out_channels, 1, bias=False),
                LayerNorm2d(out_channels, eps=1e-6),
                nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
                LayerNorm2d(out_channels, eps=1e-6),
            )
            for scale, channels in scales
        )
        self.top_blocks = top_blocks

    def forward(self, maps: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """List of maps, of which the last [N, in_channels, H, W] is read -> tuple of levels, finest first."""
        levels = [level(maps[-1]) for level in self.levels]
        return (*levels, *self.top_blocks(maps[-1], levels[-1]))


class TimmBackbone(Backbone):
    """A network of timm and a feature pyramid, for images of any size.

    Args:
        body: the maps that the pyramid reads.
        pyramid: list of the body's maps -> levels.
        out_channels: channels of every level.
        strides: of the levels.
        patch: side of a plain transformer's patches; where it is not 16, images are resized so that a patch covers 16
            pixels of them, which leaves the pretrained patches as they are.
        norm_eval: batch norms keep the statistics that they were trained with.
        canvas: (height, width) that images are padded to where the network takes one size only, else None.
    """

    def __init__(
        self,
        body: TimmBody,
        pyramid: nn.Module,
        out_channels: int,
        strides: tuple[int, ...],
        patch: int = PLAIN_STRIDE,
        norm_eval: bool = True,
        canvas: tuple[int, int] | None = None,
    ) -> None:
        super().__init__()
        self.body = body
        self.fpn = pyramid
        self.out_channels = out_channels
        self.strides = strides
        self.patch = patch
        self.norm_eval = norm_eval
        self.canvas = canvas
        self.train(self.training)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """See the class."""
        height, width = images.shape[-2:]
        # whole cells of every map: a transformer's patches and windows, and the pyramid's doubling, want that
        below, right = -height % BODY_STRIDES[-1], -width % BODY_STRIDES[-1]
        if self.canvas is not None:
            below, right = self.canvas[0] - height, self.canvas[1] - width
            if min(below, right) < 0:
                raise UserError(
                    f"an image of {width}x{height} pixels is larger than the {self.canvas[1]}x{self.canvas[0]} that "
                    "this backbone was made for; raise INPUT.MAX_SIZE_TRAIN and INPUT.MAX_SIZE_TEST"
                )
        if below or right:
            images = F.pad(images, (0, right, 0, below))
        if self.patch != PLAIN_STRIDE:
            size = [side // PLAIN_STRIDE * self.patch for side in images.shape[-2:]]
            images = F.interpolate(images, size, mode="bilinear", align_corners=False, antialias=True)
        levels = self.fpn(self.body(images))
        if below or right:
            levels = tuple(
                level[..., : math.ceil(height / stride), : math.ceil(width / stride)]
                for level, stride in zip(levels, self.strides)
            )
        return levels

    def freeze(self, count: int) -> None:
        """Keep the stem and `count` - 1 stages (blocks of a plain transformer) as they are; see `Backbone`."""
        for layer, names in self._groups(coarse=True).items():
            if layer < count:
                for name in names:
                    self.body.model.get_parameter(name).requires_grad_(False)
        self.num_frozen = count
        self.train(self.training)

    def train(self, mode: bool = True) -> "TimmBackbone":
        """As `nn.Module.train`, but what is frozen stays in evaluation, and with `norm_eval` all batch norms do."""
        super().train(mode)
        for module in self.body.modules() if mode else ():
            parameters = list(module.parameters())
            is_frozen = self.num_frozen > 0 and not any(each.requires_grad for each in parameters)
            if (parameters and is_frozen) or (self.norm_eval and isinstance(module, nn.modules.batchnorm._BatchNorm)):
                module.eval()
        return self

    def layers(self) -> dict[str, int]:
        """{name of a parameter of the body: how many layers of the body come before its own}."""
        groups = self._groups(coarse=False)
        return {f"body.model.{name}": layer for layer, names in groups.items() for name in names}

    def without_decay(self) -> set[str]:
        """Names of the body's parameters that timm exempts from weight decay, such as position embeddings."""
        listed: set[str] = getattr(self.body.model, "no_weight_decay", set)()
        own = {name for name, _ in self.body.model.named_parameters()}
        return {f"body.model.{name}" for name in listed if name in own}

    def adapt(self, weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Weights of timm, or of a file of others that timm can read, under this backbone's names.

        Position embeddings of another number of places are resized. What the body has no place for is left out.
        """
        model = self.body.model
        weights = from_efficientnet_pytorch(weights, model.state_dict())
        read = getattr(sys.modules[type(model).__module__], "checkpoint_filter_fn", None)
        if read is not None:
            with contextlib.suppress(KeyError, AttributeError, RuntimeError, ValueError, TypeError, IndexError):
                weights = read(dict(weights), model)  # which fails on files of other networks
        own = model.state_dict()
        adapted = {name: tensor for name, tensor in weights.items() if name in own}
        places, wanted = adapted.get("pos_embed"), own.get("pos_embed")
        if self.canvas is not None and places is not None and wanted is not None and places.shape != wanted.shape:
            is_plain = isinstance(self.fpn, SimpleFeaturePyramid)
            size = [side // (PLAIN_STRIDE if is_plain else BODY_STRIDES[0]) for side in self.canvas]
            prefix = getattr(model, "num_prefix_tokens", 0)
            adapted["pos_embed"] = _timm().layers.resample_abs_pos_embed(places, size, num_prefix_tokens=prefix)
        return {f"body.model.{name}": tensor for name, tensor in adapted.items()}

    def input_options(self) -> dict[str, Any]:
        """{option of INPUT: value} that the pretrained weights of this network expect, by timm's table."""
        known = self.body.model.pretrained_cfg
        return _input_options(known["mean"], known["std"])

    def _groups(self, coarse):
        """{number of a layer, from the input: names of its parameters in the model}."""
        return _timm().models.group_parameters(self.body.model, self.body.model.group_matcher(coarse=coarse))


def build_timm(cfg: CfgNode, is_retinanet: bool = False) -> TimmBackbone:
    """The backbone MODEL.BACKBONE.TIMM with random weights; raises `UserError` where there is none such."""
    options = cfg.MODEL.BACKBONE.TIMM
    model, is_plain, indices, canvas = _create(cfg)
    info = [model.feature_info[index] for index in indices]
    channels = [each["num_chs"] for each in info]
    patch = info[-1]["reduction"] if is_plain else PLAIN_STRIDE
    out_channels = cfg.MODEL.RESNETS.BACKBONE_OUT_CHANNELS
    strides = RETINANET_STRIDES if is_retinanet else FPN_STRIDES
    last: nn.Module = LastLevelMaxPool()
    if is_retinanet:
        # a plain transformer has no map of stride 32
        from_c5 = cfg.MODEL.RETINANET.USE_C5 and not is_plain
        last = LastLevelP6P7(channels[-1] if from_c5 else out_channels, out_channels)
    pyramid: nn.Module
    if is_plain:
        pyramid = SimpleFeaturePyramid(channels[-1], out_channels, last)
    else:
        finest = [0, *channels[1:]] if is_retinanet else channels
        pyramid = FPN(finest, out_channels, fpn_conv(cfg), last)
    if options.GRAD_CHECKPOINTING:
        try:
            model.set_grad_checkpointing(True)
        except (AssertionError, AttributeError):
            raise UserError(f"MODEL.BACKBONE.TIMM.GRAD_CHECKPOINTING: {options.NAME} of timm has none") from None
    body = TimmBody(model, indices, norm=is_plain)
    return TimmBackbone(body, pyramid, out_channels, strides, patch, options.NORM_EVAL, canvas)


def _create(cfg):
    """(the network, whether it is a plain transformer, indices of the maps to take, its canvas or None)."""
    options = cfg.MODEL.BACKBONE.TIMM
    timm, name = _timm(), options.NAME
    if not name:
        raise UserError("MODEL.BACKBONE.TIMM.NAME is empty; name a network of timm, such as convnext_tiny")
    try:
        with torch.device("meta"):  # what it takes and has, without its memory
            probe: Any = timm.create_model(name)
    except (RuntimeError, ValueError, TypeError) as error:
        if timm.is_model(name):
            raise
        similar = timm.list_models(f"*{name.partition('.')[0]}*")[:3]
        hint = f"; similar: {', '.join(similar)}" if similar else "; timm.list_models() lists them"
        raise UserError(f"MODEL.BACKBONE.TIMM.NAME: timm {timm.__version__} has no {name!r}{hint}") from error
    if not hasattr(probe, "forward_intermediates") or not hasattr(probe, "group_matcher"):
        raise UserError(f"MODEL.BACKBONE.TIMM.NAME: {name} of timm gives no maps of its stages; choose another network")
    reductions = [each["reduction"] for each in probe.feature_info]
    is_plain = len(set(reductions)) == 1 and reductions[0] not in (BODY_STRIDES[0], BODY_STRIDES[1])
    last = {stride: index for index, stride in enumerate(reductions)}
    lacking = [stride for stride in BODY_STRIDES if stride not in last]
    if lacking and not is_plain:
        raise UserError(
            f"MODEL.BACKBONE.TIMM.NAME: {name} of timm has maps of the strides "
            f"{', '.join(map(str, sorted(set(reductions))))}; a pyramid needs 4, 8, 16 and 32, or one stride for all"
        )
    accepted = inspect.signature(type(probe).__init__).parameters
    given: dict[str, Any] = {}
    flexible = next((key for key in _ANY_SIZE if key in accepted), None)
    canvas = None
    if flexible is not None:
        given[flexible] = flexible == "dynamic_img_size"
    elif hasattr(probe, "pos_embed"):
        side = -(-max(cfg.INPUT.MAX_SIZE_TRAIN, cfg.INPUT.MAX_SIZE_TEST) // BODY_STRIDES[-1]) * BODY_STRIDES[-1]
        canvas = (side, side)
        given["img_size"] = side // PLAIN_STRIDE * reductions[0] if is_plain else side
    if options.DROP_PATH:
        given["drop_path_rate"] = options.DROP_PATH
    try:
        model = timm.create_model(name, **given)
    except TypeError as error:
        raise UserError(f"MODEL.BACKBONE.TIMM.DROP_PATH: {name} of timm does not take it ({error})") from error
    indices = [len(reductions) - 1] if is_plain else [last[stride] for stride in BODY_STRIDES]
    return model, is_plain, indices, canvas


def _input_options(mean, std):
    return {"INPUT.TO_BGR255": False, "INPUT.PIXEL_MEAN": list(mean), "INPUT.PIXEL_STD": list(std)}


def _options_of_name(cfg):
    """As `TimmBackbone.input_options`, before the network is built; {} for a name that is none."""
    timm, name = _timm(), cfg.MODEL.BACKBONE.TIMM.NAME
    known = timm.get_pretrained_cfg(name) if timm.is_model(name) else None
    return {} if known is None else _input_options(known.mean, known.std)


def _timm() -> ModuleType:
    """The package timm, which is an extra; raises `UserError` where it is not installed."""
    try:
        import timm
    except ImportError as error:
        raise UserError(
            f'MODEL.BACKBONE.CONV_BODY "timm-..." needs timm ({error}); install it with: pip install "timm>=1.0.16"'
        ) from None
    return timm


def _register(name: str, strides: Collection[int], is_retinanet: bool) -> None:
    def builder(cfg):
        return build_timm(cfg, is_retinanet)

    builder.strides = strides  # type: ignore[attr-defined]
    builder.input_options = _options_of_name  # type: ignore[attr-defined]
    registry.BACKBONES.register(name, builder)


_register("timm-FPN", FPN_STRIDES, False)
_register("timm-FPN-RETINANET", RETINANET_STRIDES, True)
