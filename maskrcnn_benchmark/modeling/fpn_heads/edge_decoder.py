"""The fine decoder that boundary and occlusion share: the dense features joined with those of a shallow stem."""

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from maskrcnn_benchmark.modeling.fpn_heads.dense_decoder import DENSE_STRIDE, DenseFeatures, conv_block
from maskrcnn_benchmark.modeling.make_layers import init_small
from maskrcnn_benchmark.modeling.utils import LabelFunction


class EdgeDecoder(nn.Module):
    """Dense features at stride 4 and the image -> features at a finer stride.

    A boundary counts as found within 0.0075 of the image diagonal, 4.7 pixels at 500x375, which features at stride 4
    alone miss; the two-layer stem on the image brings the position back (the shallow side of OPNet and OFNet).

    Args:
        in_channels: channels of the dense features.
        stride: 1, 2 or 4 image pixels per output pixel.
        stem_channels: channels of the stem on the image; with stride 4 it is left out.
        channels: channels of the result.
        norm: "GN", "BN" or "".
    """

    def __init__(
        self, in_channels: int, stride: int = 2, stem_channels: int = 16, channels: int = 32, norm: str = "GN"
    ) -> None:
        super().__init__()
        if stride not in (1, 2, DENSE_STRIDE):
            raise ValueError(f"the edge decoder's stride must be 1, 2 or 4, not {stride}")
        self.stride = stride
        self.out_channels = channels
        self.reduce = conv_block(in_channels, channels, norm, kernel_size=1)
        self.stem = None
        if stride < DENSE_STRIDE:
            self.stem = nn.Sequential(
                conv_block(3, stem_channels, norm, stride=stride), conv_block(stem_channels, stem_channels, norm)
            )
        self.join = conv_block(channels + (stem_channels if self.stem is not None else 0), channels, norm)

    def forward(self, dense: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
        """[N, in_channels, H/4, W/4] and the padded batch [N, 3, H, W] -> [N, channels, H/stride, W/stride]."""
        x = self.reduce(dense)
        if self.stem is None:
            return self.join(x)
        fine = self.stem(images)
        x = F.interpolate(x, size=fine.shape[-2:], mode="bilinear", align_corners=False)
        return self.join(torch.cat([x, fine], dim=1))


class EdgePredictor(nn.Module):
    """One prediction per image pixel by a 3x3 sub-pixel convolution (Shi et al. 2016).

    Args:
        in_channels: channels of the edge decoder.
        out_channels: maps to predict.
        stride: the decoder's stride; the output is this many times larger.
        prior: initial probability of the first map, which is an edge probability: rare, so that training starts calm.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int, prior: float = 0.05) -> None:
        super().__init__()
        self.stride = stride
        self.predict = nn.Conv2d(in_channels, out_channels * stride * stride, 3, padding=1)
        init_small(self.predict)
        with torch.no_grad():  # pixel_shuffle takes each map's stride^2 channels side by side
            self.predict.bias[: stride * stride] = -torch.log(torch.tensor((1 - prior) / prior))  # type: ignore[index]

    def forward(self, fine: torch.Tensor) -> torch.Tensor:
        """[N, in_channels, H/stride, W/stride] -> logits [N, out_channels, H, W]."""
        return F.pixel_shuffle(self.predict(fine), self.stride)


class EdgeHead(nn.Module):
    """What the heads on the edge decoder's features share: an `EdgePredictor`, whose output may be there already.

    Args:
        in_channels: channels of the edge decoder.
        out_channels: maps to predict.
        stride: stride of the edge decoder.
        label_of: function from `ImageAnnotations` to the map that the head learns from, or to None.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int, label_of: LabelFunction) -> None:
        super().__init__()
        self.predictor = EdgePredictor(in_channels, out_channels, stride)
        self.label_of = label_of

    def subpixels(self, features: DenseFeatures) -> torch.Tensor:
        """`DenseFeatures` -> the predictor's output before its cells are spread: [N, out_channels * s^2, H/s, W/s]."""
        made = features.subpixels.get(self.predictor)
        return self.predictor.predict(features.fine) if made is None else made


def predict_together(predictors: Sequence[EdgePredictor], fine: torch.Tensor) -> dict[nn.Module, torch.Tensor]:
    """{predictor: its subpixels} of several `EdgePredictor`s, in one convolution.

    Convolutions of few output channels take about as long as one of all of them.

    Args:
        predictors: list of `EdgePredictor`s, not empty.
        fine: float [N, in_channels, H/stride, W/stride].
    """
    layers = [predictor.predict for predictor in predictors]
    weight, bias = (torch.cat([getattr(layer, name) for layer in layers]) for name in ("weight", "bias"))
    parts = F.conv2d(fine, weight, bias, padding=layers[0].padding)
    return dict(zip(predictors, parts.split([layer.out_channels for layer in layers], dim=1)))
