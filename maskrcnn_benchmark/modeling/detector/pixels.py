"""Images as a loader delivers them, bytes, -> what the network computes with."""

from collections.abc import Sequence

import torch
from torch import nn

from maskrcnn_benchmark.structures.image_list import ImageList, valid_mask


class PixelNormalizer(nn.Module):
    """Subtracts the mean and divides by the deviation of each channel, on the device of the images.

    Bytes are a quarter of the floats that they become, so they are what travels. Values are those of
    `data.transforms.ToTensor` and `Normalize`, which first divide by 255, within 3e-5 in the range 0..255 (1e-6 in
    0..1). State dicts do not hold mean and deviation, which a config says.

    Args:
        mean, std: three numbers each, in the order and range of the result.
        to_bgr255: the result is BGR in 0..255 before mean and deviation, as Caffe2's weights expect; otherwise RGB in
            0..1.
    """

    scale: torch.Tensor
    shift: torch.Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float], to_bgr255: bool = True) -> None:
        super().__init__()
        means, stds = (torch.tensor(numbers, dtype=torch.float64).view(1, -1, 1, 1) for numbers in (mean, std))
        self.is_bgr = to_bgr255
        self.register_buffer("scale", (1 / (stds if to_bgr255 else 255 * stds)).float(), persistent=False)
        self.register_buffer("shift", (-means / stds).float(), persistent=False)

    def forward(self, images: ImageList) -> ImageList:
        """`ImageList` of uint8 RGB [N, 3, H, W] -> of float32 in the same memory layout; padding becomes 0."""
        pixels = images.tensors.flip(1) if self.is_bgr else images.tensors
        normal = torch.addcmul(self.shift, pixels.to(self.scale.dtype), self.scale)
        height, width = pixels.shape[-2:]
        if any((int(h), int(w)) != (height, width) for h, w in images.image_sizes):
            inside = valid_mask(images.image_sizes, height, width, 1, pixels.device)
            normal.masked_fill_(~inside[:, None], 0)
        return ImageList(normal, images.image_sizes)

    def extra_repr(self) -> str:
        return f"to_bgr255={self.is_bgr}"
