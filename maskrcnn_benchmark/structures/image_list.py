"""A batch of images of different sizes, padded into one tensor that remembers the sizes."""

import math
from collections.abc import Iterable, Sequence

import torch


class ImageSizes(list):
    """The sizes of a batch's images, (height, width) each, which are brought to a device once for all who read them."""

    def __init__(self, sizes: Iterable[tuple[int, int]] = ()):
        super().__init__(sizes)
        self._tensors = {}

    def on(self, device: torch.device) -> torch.Tensor:
        """int64 [N, 2] on a device. Not to be written to, nor are the sizes to be changed afterwards."""
        if device not in self._tensors:
            with torch.inference_mode(False):
                self._tensors[device] = _sizes_tensor(self, device)
        return self._tensors[device]

    def __getstate__(self):
        return {"_tensors": {}}


def sizes_on(image_sizes: Sequence[tuple[int, int]], device: torch.device) -> torch.Tensor:
    """Pairs (height, width) as int64 [N, 2] on a device: those of an `ImageList` are brought there once."""
    if isinstance(image_sizes, ImageSizes):
        return image_sizes.on(device)
    return _sizes_tensor(image_sizes, device)


def _sizes_tensor(sizes, device):
    return torch.tensor([[int(height), int(width)] for height, width in sizes], device=device).reshape(-1, 2)


class ImageList:
    """Images in one tensor, with the size that each had.

    Args:
        tensors: [N, C, H, W], each image in the upper left corner and zeros beyond it.
        image_sizes: N pairs (height, width) before padding; kept as `ImageSizes`.
    """

    def __init__(self, tensors, image_sizes):
        self.tensors = tensors
        self.image_sizes = image_sizes if isinstance(image_sizes, ImageSizes) else ImageSizes(image_sizes)

    def to(self, *args, **kwargs):
        return ImageList(self.tensors.to(*args, **kwargs), self.image_sizes)

    def __len__(self):
        return len(self.image_sizes)


def to_image_list(tensors, size_divisible=0):
    """Pad images to one size and stack them.

    Args:
        tensors: an `ImageList` (returned as it is), one image [C, H, W], a batch [N, C, H, W], or a list of images.
        size_divisible: height and width of the batch become multiples of this; 0 or 1 for no rounding.

    Raises:
        TypeError: for anything else.
    """
    if isinstance(tensors, ImageList):
        return tensors
    if isinstance(tensors, torch.Tensor):
        if tensors.ndim not in (3, 4):
            raise TypeError(f"an image has 3 dimensions and a batch 4, but this tensor has {tensors.ndim}")
        batch = tensors[None] if tensors.ndim == 3 else tensors
        if size_divisible <= 1:
            return ImageList(batch, [image.shape[-2:] for image in batch])
        tensors = list(batch)
    if not isinstance(tensors, list | tuple) or not all(isinstance(image, torch.Tensor) for image in tensors):
        raise TypeError(f"a batch is made of tensors, not of a {type(tensors).__name__}")
    channels, height, width = (max(sides) for sides in zip(*(image.shape for image in tensors)))
    if size_divisible > 1:
        height, width = (math.ceil(side / size_divisible) * size_divisible for side in (height, width))
    batch = tensors[0].new_zeros((len(tensors), channels, height, width))
    for padded, image in zip(batch, tensors):
        padded[: image.shape[0], : image.shape[1], : image.shape[2]].copy_(image)
    return ImageList(batch, [image.shape[-2:] for image in tensors])
