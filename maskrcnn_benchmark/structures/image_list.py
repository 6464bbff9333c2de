"""A batch of images of different sizes, padded into one tensor that remembers the sizes."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch

from maskrcnn_benchmark.utils.tensor_cache import TensorCache
from maskrcnn_benchmark.utils.text import an


class ImageSizes(list):
    """The sizes of a batch's images, (height, width) each, which are brought to a device once for all who read them."""

    def __init__(self, sizes: Iterable[Sequence[int]] = ()) -> None:
        super().__init__(sizes)
        self._tensors = TensorCache(maxsize=8)

    def on(self, device: torch.device) -> torch.Tensor:
        """int64 [N, 2] on a device. Not to be written to, nor are the sizes to be changed afterwards."""
        return self._tensors.get(device, lambda: _sizes_tensor(self, device))


def sizes_on(image_sizes: Sequence[tuple[int, int]], device: torch.device) -> torch.Tensor:
    """Pairs (height, width) as int64 [N, 2] on a device: those of an `ImageList` are brought there once."""
    if isinstance(image_sizes, ImageSizes):
        return image_sizes.on(device)
    return _sizes_tensor(image_sizes, device)


def _sizes_tensor(sizes, device):
    # sides are not made plain numbers: an export keeps them open
    rows = [[height, width] for height, width in sizes]
    return torch.tensor(rows, dtype=torch.int64, device=device).reshape(-1, 2)


def valid_mask(
    sizes: Sequence[tuple[int, int]], height: int, width: int, stride: int, device: torch.device
) -> torch.Tensor:
    """Which cells of a padded map lie in their image: bool [N, height, width] for cells of `stride` pixels.

    Args:
        sizes: N pairs (height, width); those of an `ImageList` are on the device already or are brought there once.
    """
    limits = sizes_on(sizes, device)
    rows = torch.arange(0, height * stride, stride, device=device)[None, :] < limits[:, :1]
    columns = torch.arange(0, width * stride, stride, device=device)[None, :] < limits[:, 1:]
    return rows[:, :, None] & columns[:, None, :]


class ImageList:
    """Images in one tensor, with the size that each had.

    Args:
        tensors: [N, C, H, W], each image in the upper left corner and zeros beyond it: normalised floats, or uint8 RGB,
            which the network normalises itself.
        image_sizes: N pairs (height, width) before padding; kept as `ImageSizes`.
    """

    def __init__(self, tensors: torch.Tensor, image_sizes: Iterable[Sequence[int]]) -> None:
        self.tensors = tensors
        self.image_sizes = image_sizes if isinstance(image_sizes, ImageSizes) else ImageSizes(image_sizes)

    def to(self, *args: Any, **kwargs: Any) -> "ImageList":
        return ImageList(self.tensors.to(*args, **kwargs), self.image_sizes)

    def pin_memory(self) -> "ImageList":
        """The batch in pinned memory, from which a GPU can copy while the host goes on."""
        return ImageList(self.tensors.pin_memory(), self.image_sizes)

    def __len__(self) -> int:
        return len(self.image_sizes)


def to_image_list(
    tensors: ImageList | torch.Tensor | Sequence[torch.Tensor],
    size_divisible: int = 0,
    memory: Callable[..., torch.Tensor] = torch.zeros,
) -> ImageList:
    """Pad images to one size and stack them.

    Args:
        tensors: an `ImageList` (returned as it is), one image [C, H, W], a batch [N, C, H, W], or a list of images.
        size_divisible: height and width of the batch become multiples of this; 0 or 1 for no rounding.
        memory: what makes the batch's memory where a new batch is made, a function with the arguments of `torch.zeros`.

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
        raise TypeError(f"a batch is made of tensors, not of {an(type(tensors).__name__)}")
    channels, height, width = (max(sides) for sides in zip(*(image.shape for image in tensors)))
    if size_divisible > 1:
        height, width = (math.ceil(side / size_divisible) * size_divisible for side in (height, width))
    first, count = tensors[0], len(tensors)
    batch = memory(count * channels * height * width, dtype=first.dtype, device=first.device)
    if first.stride(0) == 1 and not first.is_contiguous():
        # the channels of a pixel lie side by side, as decoders leave them: then rows are copied, not numbers
        batch = batch.view(count, height, width, channels).permute(0, 3, 1, 2)
    else:
        batch = batch.view(count, channels, height, width)
    for padded, image in zip(batch, tensors):
        padded[: image.shape[0], : image.shape[1], : image.shape[2]].copy_(image)
    return ImageList(batch, [image.shape[-2:] for image in tensors])
