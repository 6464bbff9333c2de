"""The regions that a training step samples, with what is known of them without asking the device."""

import torch

from maskrcnn_benchmark.structures.bounding_box import BoxList


class SampledRegions(BoxList):
    """A `BoxList` of which the first `num_positives` boxes have an object (field "labels" above 0), and no others.

    So the heads that train on positives take a slice: to look for them would be to wait for the device in each head.
    """

    num_positives: int

    @classmethod
    def of(cls, boxes: BoxList, num_positives: int) -> "SampledRegions":
        """Boxes in that order, sharing their tensors and fields."""
        regions = cls(boxes.bbox, boxes.size, boxes.mode, boxes.is_continuous)
        regions.extra_fields = dict(boxes.extra_fields)
        regions.num_positives = num_positives
        return regions


def positives_of(boxes: BoxList) -> BoxList:
    """The boxes whose field "labels" is above 0, in their order."""
    if isinstance(boxes, SampledRegions):
        return boxes[: boxes.num_positives]
    return boxes[torch.nonzero(boxes.get_field("labels") > 0).squeeze(1)]
