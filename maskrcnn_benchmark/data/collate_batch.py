"""Samples of a data set -> one batch."""

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
        return to_image_list(images, self.size_divisible), TargetBatch.of(annotations), list(ids)


class BBoxAugCollator:
    """Leaves images as they are, for test-time augmentation, which resizes and flips them itself."""

    def __call__(self, batch):
        """[(PIL image, annotations, id), ...] -> (list of images, `TargetBatch`, list of ids)."""
        images, annotations, ids = zip(*batch)
        return list(images), TargetBatch.of(annotations), list(ids)
