"""Samples of a data set -> one batch."""

import torch
from torch.utils.data import get_worker_info

from maskrcnn_benchmark.structures.image_list import to_image_list
from maskrcnn_benchmark.structures.target_batch import TargetBatch


class BatchCollator:
    """Pads images into one tensor and puts the annotations' tensors into one buffer.

    Args:
        size_divisible: the padded height and width are multiples of this; 0 pads only to the largest image.
    """

    def __init__(self, size_divisible=0):
        self.size_divisible = size_divisible

    def __call__(self, batch):
        """[(image [3, H, W], annotations, id), ...] -> (`ImageList`, `TargetBatch`, list of ids)."""
        images, annotations, ids = zip(*batch)
        memory = batch_memory()
        return to_image_list(images, self.size_divisible, memory), TargetBatch.of(annotations, memory), list(ids)


class BBoxAugCollator:
    """Leaves images as they are, for test-time augmentation, which resizes and flips them itself."""

    def __call__(self, batch):
        """[(PIL image, annotations, id), ...] -> (list of images, `TargetBatch`, list of ids)."""
        images, annotations, ids = zip(*batch)
        return list(images), TargetBatch.of(annotations, batch_memory()), list(ids)


def batch_memory():
    """What makes a batch's memory: in a loader's worker it is shared from the start, so that nothing is copied later.

    Returns:
        a function with the arguments of `torch.zeros`.
    """
    return torch.zeros if get_worker_info() is None else _shared


def _shared(count, dtype, device="cpu"):
    # as torch.utils.data.default_collate does it: torch offers nothing public that does not copy. The pages of a new
    # shared file are zeros
    storage = torch.UntypedStorage._new_shared(count * dtype.itemsize, device=device)
    return torch.empty(0, dtype=dtype, device=device).set_(storage, 0, (count,))
