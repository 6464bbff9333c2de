"""Transforms of an image together with its annotations."""

from maskrcnn_benchmark.data.transforms.build import build_byte_transforms, build_transforms, build_view_transforms
from maskrcnn_benchmark.data.transforms.transforms import (
    AsBytes,
    ColorJitter,
    Compose,
    Normalize,
    RandomHorizontalFlip,
    RandomRotation,
    RandomVerticalFlip,
    Resize,
    ScaleJitter,
    ToTensor,
)

__all__ = [
    "AsBytes",
    "ColorJitter",
    "Compose",
    "Normalize",
    "RandomHorizontalFlip",
    "RandomRotation",
    "RandomVerticalFlip",
    "Resize",
    "ScaleJitter",
    "ToTensor",
    "build_byte_transforms",
    "build_transforms",
    "build_view_transforms",
]
