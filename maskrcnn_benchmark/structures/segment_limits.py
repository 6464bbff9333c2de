"""Within which segment of an image each of its objects ends."""

from collections.abc import Sequence

import numpy as np
import torch

from maskrcnn_benchmark.structures.panoptic_map import VOID, PanopticMap
from maskrcnn_benchmark.structures.tensors import Index, TensorHolder

UNLIMITED = -1  # the number of an object of which nobody decided where it ends


class SegmentLimits(TensorHolder):
    """The segments of N objects, a field of their boxes.

    Args:
        segments: the `PanopticMap` of the image.
        numbers: int64 [N], the value of `segments.ids` on each object's pixels; `VOID` of an object that has none of
            them, `UNLIMITED`.
    """

    def __init__(self, segments: PanopticMap, numbers: torch.Tensor) -> None:
        self.segments, self.numbers = segments, numbers

    @classmethod
    def of(cls, segments: PanopticMap, decided: torch.Tensor) -> "SegmentLimits":
        """Of all objects of an image.

        Args:
            segments: whose `objects` are rows of the objects.
            decided: bool [N], those without a pixel where they have no segment; the others are `UNLIMITED` then.
        """
        numbers = torch.where(decided, VOID, UNLIMITED)
        things = np.flatnonzero(segments.objects >= 0)
        rows = torch.from_numpy(segments.objects[things]).to(numbers.device)
        numbers[rows] = torch.from_numpy(things + 1).to(numbers.device)
        return cls(segments, numbers)

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the image."""
        return self.segments.size

    def are_inside(self, objects: np.ndarray, pixels: np.ndarray) -> np.ndarray:
        """Whether pixels lie where their objects may: bool [P].

        Args:
            objects: int64 [P], rows of the N objects.
            pixels: int64 [P], counted down the columns (column * height + row).
        """
        numbers = self.numbers.cpu().numpy()[objects]
        ids = self.segments.ids.T.reshape(-1)[pixels]
        return (numbers == UNLIMITED) | ((numbers == ids) & (numbers != VOID))

    def resize(self, size: Sequence[int]) -> "SegmentLimits":
        """Of the image resized to (width, height): each pixel takes the segment at its centre."""
        return SegmentLimits(self.segments.resize(size), self.numbers)

    def __getitem__(self, item: Index) -> "SegmentLimits":
        """Those of some of the objects."""
        return SegmentLimits(self.segments, self.numbers[[item] if isinstance(item, int) else item])

    def __len__(self) -> int:
        return len(self.numbers)
