"""Transforms of an image together with its annotations."""

from maskrcnn_benchmark.data.transforms.build import build_byte_transforms, build_transforms, build_view_transforms
from maskrcnn_benchmark.data.transforms.transforms import (
    AsBytes,
    ColorJitter,
    Compose,
    NativeSize,
    Normalize,
    PhotometricDistortion,
    RandomCrop,
    RandomHorizontalFlip,
    RandomRotation,
    RandomVerticalFlip,
    Resize,
    ScaleJitter,
    Squash,
    SquashJitter,
    ToTensor,
)

__all__ = [
    "AsBytes",
    "ColorJitter",
    "Compose",
    "NativeSize",
    "Normalize",
    "PhotometricDistortion",
    "RandomCrop",
    "RandomHorizontalFlip",
    "RandomRotation",
    "RandomVerticalFlip",
    "Resize",
    "ScaleJitter",
    "Squash",
    "SquashJitter",
    "ToTensor",
    "build_byte_transforms",
    "build_transforms",
    "build_view_transforms",
]
