"""The two forms in which instance masks are kept: bitmaps and polygons. `SegmentationMask` is their public face."""

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from pycocotools import mask as coco_mask

from maskrcnn_benchmark.structures.mask_windows import MaskWindows, enclosing_window, sample_bilinear
from maskrcnn_benchmark.structures.resampling import region_grid
from maskrcnn_benchmark.structures.rotation import rotate_maps, rotate_points
from maskrcnn_benchmark.structures.tensors import FLIP_LEFT_RIGHT, Index, LeafFunction, TensorHolder, check_flip, sent

Side = TypeVar("Side", int, float)


class BinaryMaskList(TensorHolder):
    """Bitmaps of N objects.

    Selecting objects keeps the bitmaps and a list of which are meant, since training repeats each object for every
    region that matches it: 64 regions of a large image would otherwise cost 64 copies.

    Args:
        masks: [M, H, W] tensor of zeros and ones (or booleans).
        size: (width, height).
        index: int64 [N], the bitmap of each object; None for all in order.
    """

    def __init__(self, masks: torch.Tensor, size: Sequence[int], index: torch.Tensor | None = None) -> None:
        if masks.ndim != 3 or (masks.shape[2], masks.shape[1]) != tuple(size):
            raise ValueError(f"bitmaps for an image of {tuple(size)} (width, height) cannot be {list(masks.shape)}")
        self._windows = MaskWindows.of_frames(masks if masks.dtype == torch.uint8 else (masks != 0).to(torch.uint8))
        self._index = index

    @classmethod
    def empty(cls, size: Sequence[int]) -> "BinaryMaskList":
        return cls(torch.zeros((0, size[1], size[0]), dtype=torch.uint8), size)

    @classmethod
    def cat(cls, parts: Sequence["BinaryMaskList"]) -> "BinaryMaskList":
        return cls.of_windows(MaskWindows.cat([part.windows() for part in parts]))

    @classmethod
    def of_windows(cls, windows: MaskWindows) -> "BinaryMaskList":
        """From `MaskWindows`, in place of whole bitmaps."""
        return cls._of(windows, None)

    @property
    def masks(self) -> torch.Tensor:
        """uint8 [N, H, W]."""
        frames = self._windows.frames()
        return frames if self._index is None else frames[self._index]

    @property
    def size(self) -> tuple[int, int]:
        """(width, height)."""
        return self._windows.size

    def windows(self) -> MaskWindows:
        """The bitmaps of the N objects in their order, each in the window that holds it."""
        windows = self._windows if self._index is None else self._windows.pick(self._index)
        whole = (0, 0, *self.size)
        return MaskWindows.cut_out(windows.frames()) if whole in windows.windows else windows

    def bounds(self) -> torch.Tensor:
        """float [N, 4], xyxy, last pixel included; 0, 0, -1, -1 for a bitmap without a pixel."""
        bounds = self._windows.bounds()
        return bounds if self._index is None else bounds[self._index]

    def to_bitmaps(self) -> "BinaryMaskList":
        return self

    def to_polygons(self) -> "PolygonList":
        """Outlines along the edges of the pixels, holes included: drawing them gives the bitmaps back."""
        lists = [outline_polygons(mask) for mask in self.masks.cpu().numpy()]
        return PolygonList.from_lists(lists, self.size)

    def crop(self, box: Sequence[float]) -> "BinaryMaskList":
        x1, y1, x2, y2 = clamp_window([round(float(side)) for side in box], self.size)
        return BinaryMaskList(self.masks[:, y1:y2, x1:x2].contiguous(), (x2 - x1, y2 - y1))

    def resize(self, size: Sequence[int]) -> "BinaryMaskList":
        """Bilinear, cut at a half."""
        return self._of(self._windows.resize(size), self._index)

    def pad(self, size: Sequence[int]) -> "BinaryMaskList":
        masks = self.masks
        return BinaryMaskList(F.pad(masks, (0, size[0] - self.size[0], 0, size[1] - self.size[1])), size)

    def transpose(self, method: int) -> "BinaryMaskList":
        return self._of(self._windows.transpose(method), self._index)

    def rotate(self, angle: float) -> "BinaryMaskList":
        """Each pixel takes the one under its centre."""
        frames = rotate_maps(self._windows.frames(), angle, 0)
        return self._of(MaskWindows.cut_out(frames), self._index)

    def cover(self, mask: torch.Tensor) -> "BinaryMaskList":
        return self._of(self._windows.cover(mask), self._index)

    def crop_and_resize(self, boxes: torch.Tensor, resolution: int) -> torch.Tensor:
        return crop_and_resize_bitmaps([self], [torch.arange(len(self), device=boxes.device)], [boxes], resolution)

    def __len__(self) -> int:
        return len(self._windows) if self._index is None else len(self._index)

    def __getitem__(self, item: Index) -> "BinaryMaskList":
        index = self._index_of_all() if self._index is None else self._index
        picked = index[item.to(index.device) if isinstance(item, torch.Tensor) else item]
        return self._of(self._windows, picked.reshape(-1))

    def _index_of_all(self) -> torch.Tensor:
        return torch.arange(len(self._windows), device=self._windows.device)

    @classmethod
    def _of(cls, windows: MaskWindows, index: torch.Tensor | None) -> "BinaryMaskList":
        made = cls.__new__(cls)
        made._windows, made._index = windows, index
        return made


def crop_and_resize_bitmaps(
    bitmaps: Sequence[BinaryMaskList], objects: list[torch.Tensor], boxes: list[torch.Tensor], resolution: int
) -> torch.Tensor:
    """`SegmentationMask.crop_and_resize` for the regions of several images with bitmaps at once.

    Args:
        bitmaps: one `BinaryMaskList` per image.
        objects: one int64 [R_i] per image, whose mask each region is of.
        boxes: one float [R_i, 4] per image, xyxy.
        resolution: side M of the targets.

    Returns:
        float32 [R, M, M] of 0 and 1, image after image.
    """
    objects = [
        of_image if masks._index is None else masks._index.to(of_image.device)[of_image]
        for masks, of_image in zip(bitmaps, objects)
    ]
    corners = torch.cat(boxes)
    samples = sample_bilinear(
        [masks._windows for masks in bitmaps],
        objects,
        lambda width, height: region_grid(corners, resolution, (width, height), inclusive=False),
    )
    return (samples >= 0.5).float()


class PolygonList(TensorHolder):
    """Outlines of N objects, each of any number of polygons, all in one tensor.

    Coordinates are continuous: pixel k spans k .. k + 1, as COCO draws them. So the mirror of x is width - x, while
    that of a box's x, which is the index of a pixel, is width - 1 - x: then a polygon and its bitmap have the same
    mirror image.

    Only the host can draw polygons, so the points stay in its memory wherever the list is moved to. Bitmaps made of it
    are on the device that it was moved to.

    Args:
        points: float32 [T, 2] (x, y), polygon after polygon.
        lengths: for each object a tuple with the number of points of each of its polygons.
        size: (width, height).

    Attributes:
        points: as above, on the CPU.
    """

    def __init__(self, points: torch.Tensor, lengths: Iterable[tuple[int, ...]], size: Sequence[float]) -> None:
        self.points = points.cpu()
        self.lengths = tuple(lengths)
        self.size: Any = size[0], size[1]
        self._place = torch.empty(0, dtype=torch.uint8, device=points.device)

    @classmethod
    def from_lists(cls, objects: Iterable[Iterable[Any]], size: Sequence[float]) -> "PolygonList":
        """From a list (objects) of lists (polygons) of flat x, y, x, y, ...

        Polygons of fewer than three points enclose nothing and are left out. Raises `ValueError` for an odd number of
        coordinates.
        """
        points, lengths = [], []
        for index, polygons in enumerate(objects):
            arrays: list[np.ndarray] = [np.asarray(polygon, dtype=np.float32).reshape(-1) for polygon in polygons]
            if any(len(array) % 2 for array in arrays):
                raise ValueError(f"mask {index} has a polygon with an odd number of coordinates")
            arrays = [array.reshape(-1, 2) for array in arrays if len(array) >= 6]
            points += arrays
            lengths.append(tuple(len(array) for array in arrays))
        stacked = np.concatenate(points) if points else np.zeros((0, 2), dtype=np.float32)
        return cls(torch.from_numpy(stacked), lengths, size)

    @classmethod
    def cat(cls, parts: Sequence["PolygonList"]) -> "PolygonList":
        lengths = [length for part in parts for length in part.lengths]
        return parts[0]._with(torch.cat([part.points for part in parts]), lengths, parts[0].size)

    @property
    def polygons(self) -> list[list[torch.Tensor]]:
        """For each object a list of its polygons, flat float tensors x, y, x, y, ..."""
        flat = iter(self.points.split([n for lengths in self.lengths for n in lengths]))
        return [[next(flat).reshape(-1) for _ in lengths] for lengths in self.lengths]

    def to_polygons(self) -> "PolygonList":
        return self

    def to_bitmaps(self) -> BinaryMaskList:
        width, height = (max(round(side), 1) for side in self.size)
        masks = draw_polygons(self.points, self.lengths, (width, height))
        return BinaryMaskList(masks.to(self._place.device), (width, height))

    def windows(self) -> MaskWindows:
        """The bitmaps of the objects, each drawn in the window that holds it."""
        size = width, height = max(round(self.size[0]), 1), max(round(self.size[1]), 1)
        patches, windows = [torch.empty(0, dtype=torch.uint8)], []
        for points, lengths in zip(self.points.split([sum(counts) for counts in self.lengths]), self.lengths):
            low = points.amin(dim=0).floor().int().tolist() if len(points) else (0, 0)
            high = points.amax(dim=0).ceil().int().tolist() if len(points) else (0, 0)
            left, top = min(max(low[0], 0), width - 1), min(max(low[1], 0), height - 1)
            right, bottom = min(max(high[0], left + 1), width), min(max(high[1], top + 1), height)
            window = enclosing_window(left, top, right - left, bottom - top, size)
            patches.append(draw_polygons(points - points.new_tensor(window[:2]), [lengths], window[2:]).reshape(-1))
            windows.append(window)
        return MaskWindows(torch.cat(patches).to(self._place.device), windows, size)

    def crop(self, box: Sequence[float]) -> "PolygonList":
        x1, y1, x2, y2 = clamp_window([_plain(side) for side in box], self.size)
        return self._with(self.points - self.points.new_tensor([x1, y1]), self.lengths, (x2 - x1, y2 - y1))

    def resize(self, size: Sequence[float]) -> "PolygonList":
        ratios = [float(new) / float(old) for new, old in zip(size, self.size)]
        return self._with(self.points * self.points.new_tensor(ratios), self.lengths, size)

    def pad(self, size: Sequence[float]) -> "PolygonList":
        # What a crop left beyond the old border must not become visible
        within = self._clipped()
        return within._with(within.points, within.lengths, size)

    def _clipped(self) -> "PolygonList":
        """What of the polygons lies within the image."""
        beyond = ((self.points < 0) | (self.points > self.points.new_tensor(self.size))).any(dim=1)
        if not beyond.any():
            return self
        where = iter(beyond.split([n for lengths in self.lengths for n in lengths]))
        clipped = [
            [clip_polygon(polygon.reshape(-1, 2), self.size) if next(where).any() else polygon for polygon in each]
            for each in self.polygons
        ]
        return PolygonList.from_lists(clipped, self.size).to(self._place.device)

    def transpose(self, method: int) -> "PolygonList":
        check_flip(method)
        x, y = self.points.unbind(-1)
        x, y = (self.size[0] - x, y) if method == FLIP_LEFT_RIGHT else (x, self.size[1] - y)
        return self._with(torch.stack((x, y), -1), self.lengths, self.size)

    def rotate(self, angle: float) -> "PolygonList":
        """What a crop left beyond the border does not come into sight."""
        within = self._clipped()
        return within._with(rotate_points(within.points, angle, self.size, inclusive=False), within.lengths, self.size)

    def bounds(self) -> torch.Tensor:
        """float [N, 4], xyxy, last pixel included, of what lies in the image; 0, 0, -1, -1 where nothing does."""
        rows = []
        for polygons in self._clipped().polygons:
            if not polygons:
                rows.append(self.points.new_tensor([0, 0, -1, -1]))
                continue
            points = torch.cat([polygon.reshape(-1, 2) for polygon in polygons])
            low, high = points.amin(dim=0), points.amax(dim=0) - 1
            rows.append(torch.cat((low, torch.maximum(low, high))))
        return torch.cat([self.points.new_empty(0), *rows]).reshape(-1, 4).to(self._place.device)

    def crop_and_resize(self, boxes: torch.Tensor, resolution: int) -> torch.Tensor:
        return crop_and_resize_polygons([self], [torch.arange(len(self), device=boxes.device)], [boxes], resolution)

    def map_tensors(self, function: LeafFunction, on_host: LeafFunction | None = None) -> "PolygonList":
        mapped = self._map(on_host or function, self.lengths)
        mapped._place = function(self._place)
        return mapped

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, item: Index) -> "PolygonList":
        item = item.cpu() if isinstance(item, torch.Tensor) else item
        chosen = torch.arange(len(self))[item].reshape(-1).numpy()
        rows = torch.from_numpy(_rows_of_objects(self.lengths, chosen))
        return self._map(lambda points: points[rows], [self.lengths[i] for i in chosen])

    def _map(self, function, lengths):
        return self._with(function(self.points), lengths, self.size)

    def _with(self, points, lengths, size):
        """Other polygons, for the same device."""
        made = PolygonList.__new__(PolygonList)
        made.points, made.lengths, made.size = points, tuple(lengths), (size[0], size[1])
        made._place = self._place
        return made


def crop_and_resize_polygons(
    polygons: Sequence[PolygonList], objects: list[torch.Tensor], boxes: list[torch.Tensor], resolution: int
) -> torch.Tensor:
    """`SegmentationMask.crop_and_resize` for the regions of several images with polygons at once.

    The host draws: it waits for the device once, and sends what it has drawn in one copy.

    Args:
        polygons: one `PolygonList` per image.
        objects: one int64 [R_i] per image, whose polygons each region is of.
        boxes: one float [R_i, 4] per image, xyxy.
        resolution: side M of the targets.

    Returns:
        float32 [R, M, M] of 0 and 1, image after image, on the device of the boxes.
    """
    device = boxes[0].device
    # Double precision holds boxes and indices alike
    regions = torch.cat((torch.cat(objects).to(device).double()[:, None], torch.cat(boxes).double()), 1).cpu().numpy()
    counts = [len(of_image) for of_image in boxes]
    firsts = np.cumsum([0, *(len(form) for form in polygons[:-1])])
    chosen = regions[:, 0].astype(np.int64) + np.repeat(firsts, counts)
    corners = regions[:, 1:].astype(np.float32)
    sizes = np.repeat(np.array([form.size for form in polygons], dtype=np.float64), counts, axis=0)
    starts = np.minimum(np.maximum(corners[:, :2], 0), (sizes - 1).astype(np.float32))
    ends = np.minimum(np.maximum(corners[:, 2:], 0), sizes.astype(np.float32))
    # Rounded from double precision as the original does, so that the same cells are drawn
    ratios = (resolution / np.maximum((ends - starts).astype(np.float64), 1)).astype(np.float32)
    lengths = [of_object for form in polygons for of_object in form.lengths]
    points = torch.cat([form.points for form in polygons]).numpy()[_rows_of_objects(lengths, chosen)]
    drawn = [lengths[i] for i in chosen]
    owner = np.repeat(np.arange(len(drawn)), [sum(of_object) for of_object in drawn])
    points = (points - starts[owner]) * ratios[owner]
    masks = draw_polygons(torch.from_numpy(points), drawn, (resolution, resolution))
    return sent(masks, device).float()


def _rows_of_objects(lengths: Sequence[tuple[int, ...]], chosen: np.ndarray) -> np.ndarray:
    """Where the points of the chosen objects, int64 array [C], lie among those of all: int64 array."""
    counts = np.array([sum(of_object) for of_object in lengths], dtype=np.int64)
    sizes = counts[chosen]
    shifts = (counts.cumsum() - counts)[chosen] - (sizes.cumsum() - sizes)
    return np.repeat(shifts, sizes) + np.arange(sizes.sum())


def clamp_window(box: Sequence[Side], size: Sequence[Side]) -> tuple[Side, Side, Side, Side]:
    """A window (x1, y1, x2, y2), x2 and y2 excluded, moved into an image of `size`; at least one pixel is left."""
    x1, y1, x2, y2 = box
    if x2 < x1 or y2 < y1:
        raise ValueError(f"a window must not end before it begins: {tuple(box)}")
    x1, y1 = (min(max(start, 0), extent - 1) for start, extent in zip((x1, y1), size))
    x2, y2 = (max(min(max(end, 0), extent), start + 1) for end, extent, start in zip((x2, y2), size, (x1, y1)))
    return x1, y1, x2, y2


def draw_polygons(points: torch.Tensor, lengths: Sequence[tuple[int, ...]], size: tuple[int, int]) -> torch.Tensor:
    """Fill polygons by COCO's rule, those of one object joined: uint8 [N, height, width]."""
    width, height = size
    masks = np.zeros((len(lengths), height, width), dtype=np.uint8)
    ends = 2 * np.cumsum([n for counts in lengths for n in counts], dtype=np.int64)
    if len(ends):
        polygons = np.split(points.double().numpy().reshape(-1), ends[:-1])
        codes = iter(coco_mask.frPyObjects(polygons, height, width))
        for mask, counts in zip(masks, lengths):
            if counts:
                mask[:] = coco_mask.decode(coco_mask.merge([next(codes) for _ in counts]))
    return torch.from_numpy(masks)


def clip_polygon(points: torch.Tensor, size: Sequence[float]) -> np.ndarray:
    """The part of a polygon [T, 2] within an image of `size`: float32 array [S, 2] (Sutherland and Hodgman 1974)."""
    corners = points.cpu().double().numpy()
    for axis, extent in enumerate(size):
        for sign, limit in ((1.0, 0.0), (-1.0, float(extent))):
            depth = sign * (corners[:, axis] - limit)
            following, next_depth = np.roll(corners, -1, 0), np.roll(depth, -1)
            crosses = (depth >= 0) != (next_depth >= 0)
            share = depth / np.where(crosses, depth - next_depth, 1)
            border = corners + share[:, None] * (following - corners)
            kept = np.stack((depth >= 0, crosses), 1)
            corners = np.stack((corners, border), 1)[kept]
    return corners.astype(np.float32)


def outline_polygons(mask: np.ndarray) -> list[np.ndarray]:
    """Polygons along the pixel edges of a bitmap [H, W]: a float32 array x, y, x, y, ... per connected region.

    A region's holes are joined to its outline by a line there and back, which encloses nothing.
    """
    # Three cells a pixel: the outermost cell of a pixel then tells on which of its sides the outline runs
    fine = np.repeat(np.repeat(mask, 3, 0), 3, 1)
    contours, hierarchy = cv2.findContours(fine, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    rings = [_corners_of((contour[:, 0] + 1) // 3) for contour in contours]
    polygons = []
    for index, ring in enumerate(rings):
        if hierarchy[0][index][3] >= 0:
            continue
        path, hole = [ring], hierarchy[0][index][2]
        while hole >= 0:
            path += [rings[hole], rings[hole][:1], ring[:1]]
            hole = hierarchy[0][hole][0]
        if len(path) > 1:
            path.insert(1, ring[:1])
        polygons.append(np.concatenate(path).astype(np.float32).reshape(-1))
    return polygons


def _corners_of(ring: np.ndarray) -> np.ndarray:
    """A closed ring of points without repetitions and without points inside a straight run."""
    ring = ring[(ring != np.roll(ring, 1, 0)).any(1)]
    before, after = ring - np.roll(ring, 1, 0), np.roll(ring, -1, 0) - ring
    return ring[before[:, 0] * after[:, 1] != before[:, 1] * after[:, 0]]


def _plain(number: float) -> float:
    number = float(number)
    return int(number) if number.is_integer() else number
