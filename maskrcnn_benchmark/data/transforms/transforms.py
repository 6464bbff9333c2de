"""Transforms, each called as `image, annotations = transform(image, annotations)`.

Images are PIL RGB images until `ToTensor` or `AsBytes`; what changes their shape takes both these and uint8 tensors
[3, H, W]. Annotations are whatever has `resize`, `transpose`, `crop`, `pad` and `rotate`, or
None where only the image is wanted. All chance comes from Python's `random` module, so that seeding it makes an item
repeatable.
"""

import random
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image
from torch.nn.functional import interpolate
from torchvision.transforms import functional as F

from maskrcnn_benchmark.structures.bounding_box import FLIP_LEFT_RIGHT, FLIP_TOP_BOTTOM
from maskrcnn_benchmark.structures.dense_map import IGNORE_INDEX
from maskrcnn_benchmark.structures.rotation import rotate_array

AnyImage = Image.Image | torch.Tensor  # RGB


class Compose:
    """Several transforms, one after the other."""

    def __init__(self, transforms: Iterable[Callable]) -> None:
        self.transforms = list(transforms)

    def __call__(self, image: Any, annotations: Any = None) -> tuple[Any, Any]:
        for transform in self.transforms:
            image, annotations = transform(image, annotations)
        return image, annotations

    def __repr__(self) -> str:
        return f"Compose({', '.join(repr(t) for t in self.transforms)})"


class Resize:
    """Scale so that the shorter side becomes `min_size` pixels, unless the longer would exceed `max_size`.

    Args:
        min_size: a number, or several of which one is drawn for each image.
        max_size: limit of the longer side, or None.
    """

    def __init__(self, min_size: int | Sequence[int], max_size: int | None = None) -> None:
        self.min_size = tuple(min_size) if isinstance(min_size, list | tuple) else (min_size,)
        self.max_size: Any = max_size  # a number wherever it is calculated with

    def get_size(self, image_size: Sequence[int]) -> tuple[int, int]:
        """The new (width, height) of an image of (width, height)."""
        width, height = image_size
        short, long = min(width, height), max(width, height)
        target = random.choice(self.min_size)
        if self.max_size is not None and long / short * target > self.max_size:
            target = round(self.max_size * short / long)
        if short == target:
            return width, height
        # a side that would vanish keeps one pixel
        target, scaled = (target, int(target * long / short)) if target else (1, self.max_size)
        return (target, scaled) if width < height else (scaled, target)

    def scaled(self, factor: float) -> "Resize":
        """One to sizes that are `factor` times as large."""
        sizes = [max(1, round(factor * size)) for size in self.min_size]
        return Resize(sizes, None if self.max_size is None else max(1, round(factor * self.max_size)))

    def __call__(self, image: AnyImage, annotations: Any = None) -> tuple[AnyImage, Any]:
        return resize_both(image, annotations, self.get_size(size_of(image)))

    def __repr__(self) -> str:
        return f"Resize(min_size={self.min_size}, max_size={self.max_size})"


class ScaleJitter(Resize):
    """`Resize`, then scale by a random factor, then crop (anywhere) or pad (right and below) back to the size before.

    Large-scale jitter (Ghiasi et al., Simple Copy-Paste is a Strong Data Augmentation Method, CVPR 2021), with both
    scalings done at once. Pixels that padding adds are unlabelled in every annotation.

    Args:
        min_size, max_size: as in `Resize`.
        scale_range: (smallest, largest) factor; drawn uniformly.
        fill: (r, g, b) in 0..255 of the pixels that padding adds.
    """

    def __init__(
        self,
        min_size: int | Sequence[int],
        max_size: int | None,
        scale_range: Sequence[float],
        fill: Sequence[int] = (0, 0, 0),
    ) -> None:
        super().__init__(min_size, max_size)
        self.scale_range = tuple(scale_range)
        self.fill = tuple(fill)

    def __call__(self, image: AnyImage, annotations: Any = None) -> tuple[AnyImage, Any]:
        width, height = self.get_size(size_of(image))
        factor = random.uniform(*self.scale_range)
        scaled = max(1, round(width * factor)), max(1, round(height * factor))
        image, annotations = resize_both(image, annotations, scaled)
        left = random.randint(0, max(0, scaled[0] - width))
        top = random.randint(0, max(0, scaled[1] - height))
        box = left, top, min(left + width, scaled[0]), min(top + height, scaled[1])
        if box != (0, 0, *scaled):
            image = _crop(image, box)
            annotations = annotations.crop(box) if annotations is not None else None
        if size_of(image) != (width, height):
            image = _pad(image, (width, height), self.fill)
            annotations = annotations.pad((width, height)) if annotations is not None else None
        return image, annotations

    def __repr__(self) -> str:
        return f"ScaleJitter(min_size={self.min_size}, max_size={self.max_size}, scale_range={self.scale_range})"


class NativeSize(Resize):
    """Leave images in their own pixels, or scale them by one factor.

    Args:
        factor: that of width and height.
    """

    def __init__(self, factor: float = 1.0) -> None:
        super().__init__(1)
        self.factor = factor

    def get_size(self, image_size: Sequence[int]) -> tuple[int, int]:
        width, height = image_size
        return max(1, round(width * self.factor)), max(1, round(height * self.factor))

    def scaled(self, factor: float) -> "NativeSize":
        """One to sizes that are `factor` times as large."""
        return NativeSize(self.factor * factor)

    def __repr__(self) -> str:
        return f"NativeSize({self.factor:g})"


class Squash(Resize):
    """Scale to one size whatever the shape of the image, so that circles become ellipses.

    Args:
        size: (width, height) in pixels.
    """

    def __init__(self, size: Sequence[int]) -> None:
        super().__init__(min(size), max(size))
        self.size = size[0], size[1]

    def get_size(self, image_size: Sequence[int]) -> tuple[int, int]:
        return self.size

    def scaled(self, factor: float) -> "Squash":
        """One to a size that is `factor` times as large."""
        return Squash([max(1, round(factor * side)) for side in self.size])

    def __repr__(self) -> str:
        return f"Squash({self.size})"


class SquashJitter(ScaleJitter):
    """`ScaleJitter` about the size of `Squash`."""

    def __init__(self, size: Sequence[int], scale_range: Sequence[float], fill: Sequence[int] = (0, 0, 0)) -> None:
        super().__init__(min(size), max(size), scale_range, fill)
        self.size = size[0], size[1]

    def get_size(self, image_size: Sequence[int]) -> tuple[int, int]:
        return self.size

    def __repr__(self) -> str:
        return f"SquashJitter({self.size}, scale_range={self.scale_range})"


class RandomCrop:
    """Scale an image by a random factor, then cut out a window wherever it is larger than that; nothing is padded.

    A window of which one semantic class covers more than `max_share` of the labelled pixels is drawn again, at most
    nine times; the last one stays.

    Args:
        size: (width, height) of the window.
        scale_range: (smallest, largest) factor; drawn uniformly.
        max_share: 1 takes the first window.
    """

    TRIES = 10

    def __init__(self, size: Sequence[int], scale_range: Sequence[float] = (1.0, 1.0), max_share: float = 1.0) -> None:
        self.size = size[0], size[1]
        self.scale_range = tuple(scale_range)
        self.max_share = max_share

    def __call__(self, image: AnyImage, annotations: Any = None) -> tuple[AnyImage, Any]:
        width, height = size_of(image)
        factor = random.uniform(*self.scale_range)
        scaled = max(1, round(width * factor)), max(1, round(height * factor))
        image, annotations = resize_both(image, annotations, scaled)
        wide, high = (min(side, limit) for side, limit in zip(scaled, self.size))
        if (wide, high) == scaled:
            return image, annotations
        semantic = getattr(annotations, "semantic", None)
        labels = None if semantic is None or self.max_share >= 1 else semantic.labels.numpy()
        for _ in range(self.TRIES):
            left, top = random.randint(0, scaled[0] - wide), random.randint(0, scaled[1] - high)
            if labels is None or _largest_share(labels[top : top + high, left : left + wide]) <= self.max_share:
                break
        box = left, top, left + wide, top + high
        return _crop(image, box), annotations.crop(box) if annotations is not None else None

    def __repr__(self) -> str:
        return f"RandomCrop({self.size}, scale_range={self.scale_range}, max_share={self.max_share:g})"


class RandomHorizontalFlip:
    """Mirror left and right with probability `prob`."""

    method = FLIP_LEFT_RIGHT

    def __init__(self, prob: float = 0.5) -> None:
        self.prob = prob

    def __call__(self, image: AnyImage, annotations: Any = None) -> tuple[AnyImage, Any]:
        if random.random() < self.prob:
            image = _transpose(image, self.method)
            annotations = annotations.transpose(self.method) if annotations is not None else None
        return image, annotations

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.prob})"


class RandomVerticalFlip(RandomHorizontalFlip):
    """Mirror top and bottom with probability `prob`."""

    method = FLIP_TOP_BOTTOM


class RandomRotation:
    """Rotate about the centre of the image by an angle drawn from [-degrees, degrees]; the size stays.

    The image is sampled bilinearly, see the structures' `rotate` for their labels.

    Args:
        degrees: greatest angle.
        fill: (r, g, b) in 0..255 of the pixels that come from outside of the image.
    """

    def __init__(self, degrees: float, fill: Sequence[int] = (0, 0, 0)) -> None:
        self.degrees = degrees
        self.fill = tuple(fill)

    def __call__(self, image: AnyImage, annotations: Any = None) -> tuple[AnyImage, Any]:
        angle = random.uniform(-self.degrees, self.degrees)
        if not angle:
            return image, annotations
        return _rotate(image, angle, self.fill), annotations.rotate(angle) if annotations is not None else None

    def __repr__(self) -> str:
        return f"RandomRotation({self.degrees:g})"


class ColorJitter:
    """Change brightness, contrast, saturation and hue, in random order.

    Args:
        brightness, contrast, saturation: strength s; the factor is drawn from [max(0, 1 - s), 1 + s].
        hue: strength in 0..0.5; the shift is drawn from [-hue, hue] turns of the colour wheel.
    """

    def __init__(
        self, brightness: float = 0.0, contrast: float = 0.0, saturation: float = 0.0, hue: float = 0.0
    ) -> None:
        scaled = ((F.adjust_brightness, brightness), (F.adjust_contrast, contrast), (F.adjust_saturation, saturation))
        self.changes = [(adjust, max(0.0, 1.0 - s), 1.0 + s) for adjust, s in scaled if s]
        self.changes += [(F.adjust_hue, -hue, hue)] if hue else []

    def __call__(self, image: AnyImage, annotations: Any = None) -> tuple[AnyImage, Any]:
        for adjust, low, high in random.sample(self.changes, len(self.changes)):
            image = adjust(image, random.uniform(low, high))
        return image, annotations

    def __repr__(self) -> str:
        changes = ", ".join(f"{adjust.__name__} {low:g}..{high:g}" for adjust, low, high in self.changes)
        return f"ColorJitter({changes})"


class PhotometricDistortion:
    """Change brightness, contrast, saturation and hue, each with probability 1/2 (Liu et al., SSD, ECCV 2016).

    Brightness moves by at most 32 of 255, contrast and saturation change by a factor in 0.5..1.5, the hue turns by at
    most 18 degrees. Contrast comes before saturation and hue, or after them, as often.
    """

    BRIGHTNESS, FACTORS, HUE = 32 / 255, (0.5, 1.5), 18 / 360

    def __call__(self, image: Image.Image, annotations: Any = None) -> tuple[Image.Image, Any]:
        pixels: Any = np.array(image, np.float32)
        pixels /= 255
        if random.randrange(2):
            pixels += np.float32(random.uniform(-self.BRIGHTNESS, self.BRIGHTNESS))
        contrast = random.uniform(*self.FACTORS) if random.randrange(2) else None
        comes_first = bool(random.randrange(2))
        if contrast is not None and comes_first:
            pixels *= np.float32(contrast)
        saturation = random.uniform(*self.FACTORS) if random.randrange(2) else 1.0
        turn = random.uniform(-self.HUE, self.HUE) if random.randrange(2) else 0.0
        if saturation != 1 or turn:
            hue, strength, value = cv2.split(cv2.cvtColor(pixels.clip(0, 1, out=pixels), cv2.COLOR_RGB2HSV))
            hue += np.float32(360 * turn)  # in degrees, the others in 0..1
            hue += np.float32(360) * (hue < 0) - np.float32(360) * (hue >= 360)
            strength *= np.float32(saturation)
            pixels = cv2.cvtColor(cv2.merge((hue, strength.clip(0, 1, out=strength), value)), cv2.COLOR_HSV2RGB)
        if contrast is not None and not comes_first:
            pixels *= np.float32(contrast)
        pixels.clip(0, 1, out=pixels)
        pixels *= 255
        return Image.fromarray(np.rint(pixels, out=pixels).astype(np.uint8)), annotations

    def __repr__(self) -> str:
        return "PhotometricDistortion()"


class AsBytes:
    """PIL RGB image -> uint8 [3, H, W] tensor, the channels of a pixel side by side in memory as PIL hands them out."""

    def __call__(self, image: Image.Image, annotations: Any = None) -> tuple[torch.Tensor, Any]:
        return torch.from_numpy(np.array(image, dtype=np.uint8)).permute(2, 0, 1), annotations

    def __repr__(self) -> str:
        return "AsBytes()"


class ToTensor:
    """PIL RGB image -> contiguous float32 [3, H, W] tensor in 0..1."""

    def __call__(self, image: Image.Image, annotations: Any = None) -> tuple[torch.Tensor, Any]:
        pixels = torch.from_numpy(np.array(image, dtype=np.uint8))
        tensor = torch.empty(3, *pixels.shape[:2])
        tensor.copy_(pixels.permute(2, 0, 1))
        return tensor.div_(255), annotations

    def __repr__(self) -> str:
        return "ToTensor()"


class Normalize:
    """Subtract the mean and divide by the deviation of each channel, in place.

    Args:
        mean, std: three numbers each, in the order and range of the result.
        to_bgr255: first turn RGB in 0..1 into BGR in 0..255, as Caffe2's weights expect.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float], to_bgr255: bool = True) -> None:
        self.mean = torch.tensor(mean, dtype=torch.float32).view(-1, 1, 1)
        self.std = torch.tensor(std, dtype=torch.float32).view(-1, 1, 1)
        self.to_bgr255 = to_bgr255

    def __call__(self, image: torch.Tensor, annotations: Any = None) -> tuple[torch.Tensor, Any]:
        if self.to_bgr255:
            image = image.flip(0).mul_(255)
        image.sub_(self.mean)
        if (self.std != 1).any():
            image.div_(self.std)
        return image, annotations

    def __repr__(self) -> str:
        return f"Normalize({self.mean.flatten().tolist()}, {self.std.flatten().tolist()}, to_bgr255={self.to_bgr255})"


def resize_both(image: AnyImage, annotations: Any, size: Sequence[int]) -> tuple[AnyImage, Any]:
    """Scale an image, bilinear with antialiasing, and its annotations to `size` = (width, height).

    A tensor's values are those of the PIL image within 1; it takes less than half the time.
    """
    if size_of(image) != tuple(size):
        image = _resize(image, size)
        annotations = annotations.resize(size) if annotations is not None else None
    return image, annotations


def size_of(image: AnyImage) -> tuple[int, int]:
    """(width, height) of a PIL image or of a tensor [3, H, W]."""
    return (image.shape[-1], image.shape[-2]) if isinstance(image, torch.Tensor) else image.size


def _largest_share(labels):
    """The share of the most frequent class among the labelled pixels of a map uint8 [H, W]; 0 without any."""
    counts = np.bincount(labels.reshape(-1), minlength=IGNORE_INDEX + 1)[:IGNORE_INDEX]
    return counts.max() / max(counts.sum(), 1)


def _resize(image, size):
    if isinstance(image, torch.Tensor):
        # by way of [1, H, W, 3], so that PyTorch sees that the channels lie side by side
        batch = image.permute(1, 2, 0)[None].permute(0, 3, 1, 2)
        return interpolate(batch, size[::-1], mode="bilinear", antialias=True)[0]
    return image.resize(size, Image.Resampling.BILINEAR)


def _transpose(image, method):
    if isinstance(image, torch.Tensor):
        return image.flip(-1 if method == FLIP_LEFT_RIGHT else -2)
    return image.transpose(Image.Transpose(method))


def _rotate(image, angle, fill):
    if isinstance(image, torch.Tensor):
        pixels = np.ascontiguousarray(image.permute(1, 2, 0).numpy())
        return torch.from_numpy(rotate_array(pixels, angle, fill, cv2.INTER_LINEAR)).permute(2, 0, 1)
    return Image.fromarray(rotate_array(np.asarray(image), angle, fill, cv2.INTER_LINEAR))


def _crop(image, box):
    if isinstance(image, torch.Tensor):
        x1, y1, x2, y2 = box
        return image[:, y1:y2, x1:x2]
    return image.crop(box)


def _pad(image, size, fill):
    """The image in the upper left corner of one of `size` = (width, height) and of the colour `fill`."""
    if isinstance(image, torch.Tensor):
        padded = torch.tensor(fill, dtype=image.dtype).expand(size[1], size[0], -1).contiguous().permute(2, 0, 1)
        padded[:, : image.shape[1], : image.shape[2]] = image
        return padded
    padded = Image.new(image.mode, size, fill)
    padded.paste(image, (0, 0))
    return padded
