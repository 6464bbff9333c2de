"""Samples of a data set -> one batch."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from PIL.Image import Image
from torch.utils.data import get_worker_info

from maskrcnn_benchmark.data.handover import shared_zeros
from maskrcnn_benchmark.structures.image_list import ImageList, to_image_list
from maskrcnn_benchmark.structures.target_batch import HostTargets, TargetBatch


class BatchCollator:
    """Pads images into one tensor and puts the annotations' tensors into one buffer.

    Args:
        size_divisible: the padded height and width are multiples of this; 0 pads only to the largest image.
        kind: `TargetBatch`, for targets that go to a device, or `HostTargets`.
    """

    def __init__(self, size_divisible: int = 0, kind: type[TargetBatch] = TargetBatch) -> None:
        self.size_divisible = size_divisible
        self.kind = kind

    def __call__(self, batch: Sequence[tuple[torch.Tensor, Any, int]]) -> tuple[ImageList, TargetBatch, list[int]]:
        """[(image [3, H, W], annotations, id), ...] -> (`ImageList`, targets of the `kind`, list of ids)."""
        images, annotations, ids = zip(*batch)
        memory = batch_memory()
        return to_image_list(images, self.size_divisible, memory), self.kind.of(annotations, memory), list(ids)


class BBoxAugCollator:
    """Leaves images as they are, for test-time augmentation, which resizes and flips them itself."""

    def __call__(self, batch: Sequence[tuple[Image, Any, int]]) -> tuple[list[Image], TargetBatch, list[int]]:
        """[(PIL image, annotations, id), ...] -> (list of images, `HostTargets`, list of ids)."""
        images, annotations, ids = zip(*batch)
        return list(images), HostTargets.of(annotations, batch_memory()), list(ids)


def batch_memory() -> Callable[..., torch.Tensor]:
    """What makes a batch's memory: in a loader's worker it is shared from the start, so that nothing is copied later.

    Returns:
        a function with the arguments of `torch.zeros`.
    """
    return torch.zeros if get_worker_info() is None else shared_zeros
