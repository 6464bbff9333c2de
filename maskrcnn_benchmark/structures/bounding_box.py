"""BoxList: the boxes of one image, each with any number of fields, that are transformed together."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch

from maskrcnn_benchmark.structures.rotation import rotate_points
from maskrcnn_benchmark.structures.tensors import FLIP_LEFT_RIGHT, FLIP_TOP_BOTTOM, Index, TensorHolder, check_flip

__all__ = ["FLIP_LEFT_RIGHT", "FLIP_TOP_BOTTOM", "TO_REMOVE", "BoxList"]

# Boxes include their last pixel: width = x2 - x1 + TO_REMOVE
TO_REMOVE = 1


class BoxList(TensorHolder):
    """Boxes of one image in pixels, last pixel included, with per-box fields.

    A field is a tensor [N, ...] or any object of length N. Fields that know how to `resize`, `transpose`, `crop`, `pad`
    or move `to` a device (masks, keypoints, parts) follow the boxes; plain tensors stay as they are.

    Args:
        bbox: float [N, 4] tensor or nested list.
        image_size: (width, height) of the image.
        mode: "xyxy" (x1, y1, x2, y2) or "xywh" (x1, y1, width, height).
        is_continuous: the boxes are those of a network that counts in edges rather than in pixels, as torchvision's and
            detectron2's. Coordinates are the same, so that the box from edge x1 to edge x2 is (x1, x2 - 1), and so are
            areas, overlaps and flips; but the edges are what `resize` scales, and regions end on them.

    Raises:
        ValueError: for another shape or mode.
    """

    def __init__(
        self,
        bbox: torch.Tensor | Sequence[Any],
        image_size: tuple[int, int],
        mode: str = "xyxy",
        is_continuous: bool = False,
    ) -> None:
        device = bbox.device if isinstance(bbox, torch.Tensor) else torch.device("cpu")
        bbox = torch.as_tensor(bbox, dtype=torch.float32, device=device)
        if bbox.ndim != 2 or bbox.shape[-1] != 4:
            if bbox.shape != (0,):
                raise ValueError(f"boxes must have shape [N, 4], but have {list(bbox.shape)}")
            bbox = bbox.reshape(0, 4)
        _check_mode(mode)
        self.bbox = bbox
        self.size = image_size
        self.mode = mode
        self.is_continuous = is_continuous
        self.extra_fields: dict[str, Any] = {}

    def add_field(self, field: str, field_data: Any) -> None:
        self.extra_fields[field] = field_data

    def get_field(self, field: str) -> Any:
        """The data of a field. Raises `KeyError` that names the fields there are."""
        if field not in self.extra_fields:
            raise KeyError(f"no field {field!r} among the fields of these boxes: {sorted(self.extra_fields)}")
        return self.extra_fields[field]

    def has_field(self, field: str) -> bool:
        return field in self.extra_fields

    def fields(self) -> list[str]:
        """Names of the fields: list of str."""
        return list(self.extra_fields)

    def copy_with_fields(self, fields: str | Iterable[str], skip_missing: bool = False) -> "BoxList":
        """The same boxes with only the named fields (a name or several); a missing one is a `KeyError` or skipped."""
        boxes = self._like(self.bbox, self.size, self.mode)
        for field in [fields] if isinstance(fields, str) else fields:
            if self.has_field(field) or not skip_missing:
                boxes.add_field(field, self.get_field(field))
        return boxes

    def convert(self, mode: str) -> "BoxList":
        """The same boxes in the mode "xyxy" or "xywh"."""
        _check_mode(mode)
        if mode == self.mode:
            return self
        x, y, third, fourth = self.bbox.unbind(-1)
        if mode == "xywh":
            bbox = torch.stack((x, y, third - x + TO_REMOVE, fourth - y + TO_REMOVE), -1)
        else:
            bbox = torch.stack((*self._corners(),), -1)
        boxes = self._like(bbox, self.size, mode)
        boxes.extra_fields = dict(self.extra_fields)
        return boxes

    def resize(self, size: tuple[int, int], *args: Any, **kwargs: Any) -> "BoxList":
        """The boxes of the image resized to `size` (width, height): coordinates, or edges, times the sizes' ratio."""
        ratios = self.bbox.new_tensor([float(new) / float(old) for new, old in zip(size, self.size)] * 2)
        if self.is_continuous and self.mode == "xyxy":
            beyond = self.bbox.new_tensor([0, 0, TO_REMOVE, TO_REMOVE])
            bbox = (self.bbox + beyond) * ratios - beyond
        else:
            bbox = self.bbox * ratios
        return self._transformed(bbox, size, lambda field: field.resize(size, *args, **kwargs), "resize")

    def transpose(self, method: int) -> "BoxList":
        """The boxes of the mirrored image: x' = width - 1 - x, or y' = height - 1 - y.

        Twice gives back every bit of whole, half, ... pixels, and other coordinates up to a rounding.
        """
        check_flip(method)
        bbox = self._reflect(self.bbox, method)
        return self._transformed(bbox, self.size, lambda field: field.transpose(method), "transpose")

    def crop(self, box: Sequence[int]) -> "BoxList":
        """The boxes within the window `box` = (x1, y1, x2, y2), x2 and y2 excluded; the new size is (x2 - x1, y2 - y1).

        All N boxes stay. Corners outside move to the window's nearest pixel.
        """
        width, height = box[2] - box[0], box[3] - box[1]
        x1, y1, x2, y2 = self._corners()
        x1, x2 = ((x - box[0]).clamp(min=0, max=max(width - TO_REMOVE, 0)) for x in (x1, x2))
        y1, y2 = ((y - box[1]).clamp(min=0, max=max(height - TO_REMOVE, 0)) for y in (y1, y2))
        cropped = self._like(torch.stack((x1, y1, x2, y2), -1), (width, height), "xyxy")
        return cropped.convert(self.mode)._with_fields(self, lambda field: field.crop(box), "crop")

    def rotate(self, angle: float) -> "BoxList":
        """The boxes of the image rotated about its centre by degrees, counter-clockwise on the screen; its size stays.

        A box is that of the object's rotated mask or, without one, that around the box's rotated corners, as far as
        the image reaches. Those that leave the image are dropped.
        """
        rotated = self.rotate_all(angle)
        return rotated[rotated.are_there()]

    def rotate_all(self, angle: float) -> "BoxList":
        """As `rotate`, but all N boxes stay; one that leaves the image ends before it begins, see `are_there`."""
        masks = self.extra_fields.get("masks")
        x1, y1, x2, y2 = self._corners()
        x2, y2 = x2 + TO_REMOVE, y2 + TO_REMOVE
        corners = torch.stack((x1, y1, x2, y1, x2, y2, x1, y2), -1).reshape(-1, 4, 2)
        corners = rotate_points(corners, angle, self.size, inclusive=False)
        last = corners.new_tensor(self.size)
        low, high = corners.amin(dim=1).clamp(min=0), torch.minimum(corners.amax(dim=1), last)
        rotated = self._like(torch.cat((low, high - TO_REMOVE), -1), self.size, "xyxy")
        rotated._with_fields(self, lambda field: field.rotate(angle), "rotate")
        if masks is not None:
            drawn = (masks.bounds()[:, 2] >= 0)[:, None]
            rotated.bbox = torch.where(drawn, rotated.get_field("masks").bounds(), rotated.bbox)
        return rotated.convert(self.mode)

    def cover(self, mask: torch.Tensor) -> "BoxList":
        """The boxes of what is seen of the objects where something else covers the image; mask: bool [H, W].

        Where a mask loses its outermost pixels, its box ends with those that are left; a box without a mask shrinks to
        its pixels that are not covered. All N boxes stay; one of which nothing is seen ends before it begins, see
        `are_there`.
        """
        boxes = self.convert("xyxy")
        covered = boxes._like(boxes.bbox.clone(), self.size, "xyxy")
        covered._with_fields(self, lambda field: field.cover(mask), "cover")
        drawn = torch.zeros(len(self), dtype=torch.bool, device=boxes.bbox.device)
        if self.has_field("masks"):
            before, after = self.get_field("masks").in_windows().bounds(), covered.get_field("masks").bounds()
            drawn = before[:, 2] >= 0
            kept = (after == before) & (after[:, 2:] >= 0).all(dim=1, keepdim=True)
            covered.bbox[drawn] = torch.where(kept, boxes.bbox, after)[drawn]
        covered.bbox[~drawn] = _uncovered(boxes.bbox[~drawn], mask)
        return covered.convert(self.mode)

    def pad(self, size: tuple[int, int]) -> "BoxList":
        """The boxes of the image enlarged to `size` (width, height) by pixels to the right and below."""
        return self._transformed(self.bbox, size, lambda field: field.pad(size), "pad")

    def __getitem__(self, item: Index) -> "BoxList":
        """The boxes at an index, slice, index tensor or boolean mask, with their fields; an integer gives one box."""
        if isinstance(item, int):
            if not -len(self) <= item < len(self):
                raise IndexError(f"box {item} of {len(self)}")
            item = slice(item % len(self), item % len(self) + 1)
        boxes = self._like(self.bbox[item], self.size, self.mode)
        for name, field in self.extra_fields.items():
            boxes.add_field(name, _pick(field, item))
        return boxes

    def __len__(self) -> int:
        return self.bbox.shape[0]

    def clip_to_image(self, remove_empty: bool = True) -> "BoxList":
        """Move corners outside the image to its nearest pixel, in this object, and return it.

        With `remove_empty`, returns the boxes that are wider and higher than one pixel, as a new object. The tensor
        itself is replaced, not written to, so gradients flow to the coordinates that stay.
        """
        width, height = self.size
        limits = self.bbox.new_tensor([width - TO_REMOVE, height - TO_REMOVE] * 2)
        corners = torch.stack(self._corners(), -1)
        corners = torch.minimum(corners.clamp(min=0), limits)
        self.bbox = corners if self.mode == "xyxy" else BoxList(corners, self.size).convert(self.mode).bbox
        if not remove_empty:
            return self
        return self[(corners[:, 3] > corners[:, 1]) & (corners[:, 2] > corners[:, 0])]

    def are_there(self) -> torch.Tensor:
        """bool [N]: whether each box ends where it begins or behind that."""
        low, high = self.bbox.split(2, dim=-1)
        return (high >= (low if self.mode == "xyxy" else TO_REMOVE)).all(dim=-1)

    def area(self) -> torch.Tensor:
        """float [N]: width times height, last pixel included."""
        if self.mode == "xywh":
            return self.bbox[:, 2] * self.bbox[:, 3]
        x1, y1, x2, y2 = self.bbox.unbind(-1)
        return (x2 - x1 + TO_REMOVE) * (y2 - y1 + TO_REMOVE)

    def __repr__(self) -> str:
        width, height = self.size
        return f"BoxList(num_boxes={len(self)}, image_width={width}, image_height={height}, mode={self.mode})"

    @property
    def region_end(self) -> int:
        """What is added to a last pixel where features of a box are pooled, its maps pasted and its keypoints read.

        Nothing in the original, whose regions end in the middle of it.
        """
        return TO_REMOVE if self.is_continuous else 0

    def region_corners(self) -> torch.Tensor:
        """float [N, 4], xyxy: where features of the boxes are pooled, and where their maps lie in the image."""
        corners = self.convert("xyxy").bbox
        return torch.cat((corners[:, :2], corners[:, 2:] + self.region_end), 1) if self.region_end else corners

    def _like(self, bbox: torch.Tensor, size: tuple[int, int], mode: str) -> "BoxList":
        return BoxList(bbox, size, mode, self.is_continuous)

    def _corners(self) -> tuple[torch.Tensor, ...]:
        x, y, third, fourth = self.bbox.unbind(-1)
        if self.mode == "xyxy":
            return x, y, third, fourth
        # A negative width would turn the box inside out
        return x, y, x + (third - TO_REMOVE).clamp(min=0), y + (fourth - TO_REMOVE).clamp(min=0)

    def _reflect(self, bbox: torch.Tensor, method: int) -> torch.Tensor:
        x, y, third, fourth = bbox.unbind(-1)
        width, height = self.size
        if self.mode == "xywh":
            x, y = (width - x - third, y) if method == FLIP_LEFT_RIGHT else (x, height - y - fourth)
        elif method == FLIP_LEFT_RIGHT:
            x, third = width - TO_REMOVE - third, width - TO_REMOVE - x
        else:
            y, fourth = height - TO_REMOVE - fourth, height - TO_REMOVE - y
        return torch.stack((x, y, third, fourth), -1)

    def _transformed(self, bbox, size, transform, verb):
        return self._like(bbox, size, self.mode)._with_fields(self, transform, verb)

    def _with_fields(self, source, transform, verb):
        for name, field in source.extra_fields.items():
            follows = hasattr(field, verb) and not isinstance(field, torch.Tensor)
            self.add_field(name, transform(field) if follows else field)
        return self


def _check_mode(mode: str) -> None:
    if mode not in ("xyxy", "xywh"):
        raise ValueError(f"the mode of boxes is 'xyxy' or 'xywh', not {mode!r}")


def _uncovered(boxes: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """xyxy boxes [N, 4], cut down to the pixels where `mask` is False; 0, 0, -1, -1 where there are none."""
    rows = []
    for box in boxes:
        left, top = (int(side) for side in box[:2].clamp(min=0).floor())
        right, bottom = (int(side) + 1 for side in box[2:].ceil())
        free = ~mask[top:bottom, left:right]
        y, x = (free.any(dim=axis).nonzero() for axis in (1, 0))
        if not len(x):
            rows.append(box.new_tensor([0, 0, -1, -1]))
            continue
        seen = box.new_tensor([left + x.min(), top + y.min(), left + x.max(), top + y.max()])
        whole = box.new_tensor([left, top, min(right, mask.shape[1]) - 1, min(bottom, mask.shape[0]) - 1])
        rows.append(torch.where(seen == whole, box, seen))
    return torch.stack(rows) if rows else boxes


def _pick(field, item):
    if not isinstance(field, list | tuple) or isinstance(item, slice):
        return field[item]
    return type(field)(field[i] for i in torch.arange(len(field))[torch.as_tensor(item).cpu()].tolist())
