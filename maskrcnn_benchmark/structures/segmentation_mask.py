"""Instance masks, whatever their encoding was: polygons, run-length encodings or bitmaps, behind one interface."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from maskrcnn_benchmark.structures.mask_forms import (
    BinaryMaskList,
    PolygonList,
    crop_and_resize_bitmaps,
    crop_and_resize_polygons,
)
from maskrcnn_benchmark.structures.mask_windows import MaskWindows
from maskrcnn_benchmark.structures.run_length import RunLengths
from maskrcnn_benchmark.structures.tensors import FLIP_LEFT_RIGHT, FLIP_TOP_BOTTOM, Index, TensorHolder
from maskrcnn_benchmark.utils.text import an

__all__ = ["FLIP_LEFT_RIGHT", "FLIP_TOP_BOTTOM", "SegmentationMask"]


class SegmentationMask(TensorHolder):
    """The masks of the N objects of one image.

    Moved to a GPU, polygons keep their points in the host's memory, since only the host can draw them; bitmaps and
    targets made of them are on the GPU.

    Args:
        instances: one of
            a tensor [N, H, W] or [H, W] of zeros and ones;
            a list with, for each object, a list of polygons [x1, y1, x2, y2, ...], a run-length encoding (COCO's
            dict of size and counts, compressed or not) or a bitmap [H, W];
            a list of `SegmentationMask`; a `SegmentationMask`, `PolygonList` or `BinaryMaskList`.
        size: (width, height) of the image.
        mode: the form in which they are kept: "poly" (coordinates, exact under resizing) or "mask" (bitmaps).

    Raises:
        ValueError: for a malformed mask (with its index) or mode.
        TypeError: for another kind of instances.
    """

    def __init__(self, instances: Any, size: Sequence[int], mode: str = "poly") -> None:
        if mode not in ("poly", "mask"):
            raise ValueError(f"the mode of masks is 'poly' or 'mask', not {mode!r}")
        self.size = size[0], size[1]
        forms = _read(instances, self.size, mode)
        self.instances = forms.to_polygons() if mode == "poly" else forms.to_bitmaps()
        self.mode = mode

    @classmethod
    def of_windows(cls, windows: MaskWindows) -> "SegmentationMask":
        """The masks of `mask_windows.MaskWindows`, in the form "mask"."""
        return cls(BinaryMaskList.of_windows(windows), windows.size, "mask")

    @classmethod
    def cat(cls, masks: Sequence["SegmentationMask"]) -> "SegmentationMask":
        """Join the masks of one image."""
        return cls(list(masks), masks[0].size, masks[0].mode)

    def convert(self, mode: str) -> "SegmentationMask":
        """The masks in the form "poly" or "mask"."""
        return self if mode == self.mode else SegmentationMask(self.instances, self.size, mode)

    def crop(self, box: Sequence[float]) -> "SegmentationMask":
        """The masks within the window (x1, y1, x2, y2), x2, y2 excluded, clamped to the image; at least one pixel."""
        return self._wrap(self.instances.crop(box))

    def resize(self, size: int | Sequence[int], *args: Any, **kwargs: Any) -> "SegmentationMask":
        """The masks of the image resized to (width, height), or to a square of one side."""
        return self._wrap(self.instances.resize((size, size) if isinstance(size, int) else tuple(size)))

    def pad(self, size: Sequence[int]) -> "SegmentationMask":
        """The masks of the image enlarged to (width, height) by empty pixels to the right and below."""
        return self._wrap(self.instances.pad(tuple(size)))

    def transpose(self, method: int) -> "SegmentationMask":
        """The masks of the mirrored image. Twice gives back the masks bit for bit."""
        return self._wrap(self.instances.transpose(method))

    def rotate(self, angle: float) -> "SegmentationMask":
        """The masks of the image rotated about its centre by degrees, counter-clockwise on the screen; the size stays.

        Corners of polygons move, pixels of bitmaps take the nearest one.
        """
        return self._wrap(self.instances.rotate(angle))

    def cover(self, mask: torch.Tensor) -> "SegmentationMask":
        """What is seen of the objects where something else covers the image, as bitmaps; mask: bool [H, W]."""
        return SegmentationMask.of_windows(self.instances.windows().cover(mask))

    def bounds(self) -> torch.Tensor:
        """float [N, 4], xyxy, last pixel included: the box of each object's mask, 0, 0, -1, -1 where it is empty."""
        return self.instances.bounds()

    def areas(self) -> torch.Tensor:
        """int64 [N]: pixels of each mask."""
        return self.instances.windows().counts()

    def in_windows(self) -> "SegmentationMask":
        """The masks as bitmaps, of which only the windows that hold them are kept."""
        return SegmentationMask.of_windows(self.instances.windows())

    def union(self) -> torch.Tensor:
        """bool [H, W]: the pixels of any object."""
        return self.instances.windows().paint([1] * len(self), 0).bool()

    def get_mask_tensor(self) -> torch.Tensor:
        """uint8 [N, H, W] of 0 and 1, or [H, W] if there is one object."""
        masks = self.instances.to_bitmaps().masks
        return masks[0] if len(masks) == 1 else masks

    def crop_and_resize(self, boxes: torch.Tensor, size: int) -> torch.Tensor:
        """The mask of each object within its box, as training targets of a mask head.

        Values are those of cropping [x1, x2) x [y1, y2), resizing bilinearly (polygons: scaling, then drawing) and
        cutting at a half. All objects at once; bitmaps are sampled in place, not copied.

        Args:
            boxes: float [N, 4] tensor, xyxy, one per object.
            size: side M of the targets.

        Returns:
            float32 [N, M, M] of 0 and 1, on the device of `boxes`.
        """
        if boxes.shape != (len(self), 4):
            raise ValueError(f"{len(self)} masks need {len(self)} boxes of 4 numbers, not {list(boxes.shape)}")
        return self.instances.crop_and_resize(boxes, size)

    def __len__(self) -> int:
        return len(self.instances)

    def __getitem__(self, item: Index) -> "SegmentationMask":
        """The masks at an index, slice, index tensor or boolean mask; bitmaps are selected without being copied."""
        return self._wrap(self.instances[item])

    def __iter__(self) -> Iterator["SegmentationMask"]:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        return f"SegmentationMask(num_instances={len(self)}, size={self.size}, mode={self.mode})"

    def _wrap(self, instances: BinaryMaskList | PolygonList) -> "SegmentationMask":
        wrapped = SegmentationMask.__new__(SegmentationMask)
        wrapped.instances, wrapped.size, wrapped.mode = instances, instances.size, self.mode
        return wrapped


def crop_and_resize_masks(
    masks: Sequence[SegmentationMask], objects: list[torch.Tensor], boxes: list[torch.Tensor], size: int
) -> torch.Tensor:
    """`SegmentationMask.crop_and_resize` for the regions of several images at once.

    Args:
        masks: one `SegmentationMask` per image.
        objects: one int64 [R_i] per image, whose mask each region is of.
        boxes: one float [R_i, 4] per image, xyxy.
        size: side M of the targets.

    Returns:
        float32 [R, M, M] of 0 and 1, image after image.
    """
    forms: list[Any] = [of_image.instances for of_image in masks]
    targets: list[Any] = [None] * len(forms)
    for kind, crop_and_resize in ((BinaryMaskList, crop_and_resize_bitmaps), (PolygonList, crop_and_resize_polygons)):
        images = [k for k, form in enumerate(forms) if isinstance(form, kind)]
        if images:
            of_kind = crop_and_resize(*([rows[k] for k in images] for rows in (forms, objects, boxes)), size)  # type: ignore[call-arg, arg-type]
            for k, target in zip(images, of_kind.split([len(boxes[k]) for k in images])):
                targets[k] = target
    return torch.cat(targets)


def _read(instances: Any, size: tuple[int, int], mode: str) -> BinaryMaskList | PolygonList:
    """Any accepted kind of instances as a `PolygonList` or a `BinaryMaskList`."""
    if isinstance(instances, SegmentationMask):
        return instances.instances
    if isinstance(instances, PolygonList | BinaryMaskList):
        return instances
    if isinstance(instances, torch.Tensor):
        return BinaryMaskList(instances if instances.ndim == 3 else instances[None], size)
    if not isinstance(instances, list | tuple):
        raise TypeError(f"masks are a tensor or a list, not {an(type(instances).__name__)}")
    if len(instances) == 0:
        return PolygonList.from_lists([], size) if mode == "poly" else BinaryMaskList.empty(size)
    if not any(isinstance(item, dict | torch.Tensor | SegmentationMask) for item in instances):
        return PolygonList.from_lists(instances, size)
    forms: list[Any] = [_read_one(item, index, size) for index, item in enumerate(instances)]
    if all(isinstance(form, PolygonList) for form in forms):
        return PolygonList.cat(forms)
    return BinaryMaskList.cat([form.to_bitmaps() for form in forms])


def _read_one(item: Any, index: int, size: tuple[int, int]) -> BinaryMaskList | PolygonList:
    if isinstance(item, SegmentationMask):
        if tuple(item.size) != size:
            raise ValueError(f"mask {index} is for an image of {item.size}, not {size} (width, height)")
        return item.instances
    if isinstance(item, torch.Tensor):
        return BinaryMaskList(item[None] if item.ndim == 2 else item, size)
    if isinstance(item, dict):
        bitmap = RunLengths([item], size, lambda _: f"mask {index}").masks([0])
        return BinaryMaskList(torch.from_numpy(bitmap), size)
    return PolygonList.from_lists([item], size)
