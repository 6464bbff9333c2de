"""Where the pixels of a resized map or of a region come from: index arithmetic that the maps and masks share."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F

from maskrcnn_benchmark.structures.mask_windows import ObjectWindows, at_most
from maskrcnn_benchmark.structures.tensors import FLIP_LEFT_RIGHT, TensorHolder, check_flip
from maskrcnn_benchmark.utils.tensor_cache import TensorCache

# The maps of an image have their axes in common, and so have many images; 1 KiB to 10 KiB each
_INDICES = TensorCache(maxsize=256)


def nearest_index(source: int, target: int, device: torch.device | None = None) -> torch.Tensor:
    """For each of `target` pixels, the one of `source` pixels that its centre falls in: int64 [target]."""
    centres = torch.arange(source, 2 * target * source, 2 * source, device=device)
    return centres // (2 * target)


def resize_nearest(maps: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    """Maps [..., H, W] of any type resized to `size` (width, height): each pixel takes the value under its centre."""
    columns = nearest_index(maps.shape[-1], size[0], maps.device)
    rows = nearest_index(maps.shape[-2], size[1], maps.device)
    # Columns first: then whole rows are copied, which is several times faster than the other way round
    return maps.index_select(-1, columns).index_select(-2, rows)


@dataclass(frozen=True)
class _Axis:
    """Which pixels of `source` one axis shows: resized to `target`, cut to `length` from `start`, mirrored."""

    source: int
    target: int
    start: int
    length: int
    mirrored: bool = False

    @classmethod
    def plain(cls, source: int) -> "_Axis":
        return cls(source, source, 0, source)

    @property
    def is_plain(self) -> bool:
        return self == _Axis.plain(self.source)

    def cut(self, first: int, end: int) -> "_Axis":
        start = self.start + (self.length - end if self.mirrored else first)
        return replace(self, start=start, length=end - first)

    def index(self, device: torch.device) -> torch.Tensor:
        """int64 [length]: the pixel of the source behind each pixel. It is cached: not to be written to."""
        return _INDICES.get((self, device), lambda: _index_of(self, device))


def _index_of(axis: _Axis, device: torch.device) -> torch.Tensor:
    seen = nearest_index(axis.source, axis.target, device)[axis.start : axis.start + axis.length]
    return seen.flip(0) if axis.mirrored else seen


class NearestMaps(TensorHolder):
    """Maps that are resized, mirrored and cut lazily: until they are read, two axes remember what to do.

    A sample of a large image then costs, and takes from the loader's worker to the device, what its maps have in
    the original pixels; and whoever samples a region never makes the large map at all. Values are those of
    `resize_nearest`, of mirrors and of cuts, in the order in which they were called.

    Args:
        source: [..., h, w], of any type.
    """

    def __init__(self, source: torch.Tensor, axes: tuple[_Axis, ...] | None = None) -> None:
        self._source = source
        self._axes = axes or (_Axis.plain(source.shape[-1]), _Axis.plain(source.shape[-2]))

    @property
    def size(self) -> tuple[int, int]:
        """(width, height)."""
        return self._axes[0].length, self._axes[1].length

    @property
    def dtype(self) -> torch.dtype:
        """That of the values."""
        return self._source.dtype

    @property
    def tensor(self) -> torch.Tensor:
        """The maps themselves, [..., H, W]."""
        for dim, axis in zip((-1, -2), self._axes):  # columns first, see `resize_nearest`
            if not axis.is_plain:
                self._source = self._source.index_select(dim, axis.index(self._source.device))
        self._axes = tuple(_Axis.plain(axis.length) for axis in self._axes)
        return self._source

    def resize(self, size: Sequence[int]) -> "NearestMaps":
        if not all(axis.is_plain for axis in self._axes):
            return NearestMaps(self.tensor).resize(size)
        return NearestMaps(self._source, _resized(self._axes, size))

    def transpose(self, method: int) -> "NearestMaps":
        return NearestMaps(self._source, _mirrored(self._axes, method))

    def crop(self, window: Sequence[int]) -> "NearestMaps":
        """Within (x1, y1, x2, y2), x2 and y2 excluded, inside of the maps."""
        return NearestMaps(self._source, _cut(self._axes, window))

    def pad(self, size: Sequence[int], value: float) -> "NearestMaps":
        """Enlarged to (width, height) to the right and below by pixels of `value`."""
        return NearestMaps(_padded(self.tensor, size, value))


class NearestWindows(TensorHolder):
    """`NearestMaps` [M, H, W] of objects of which only the windows are kept.

    Args:
        windows: `mask_windows.ObjectWindows`, whose maps are the source.
    """

    def __init__(self, windows: ObjectWindows, axes: tuple[_Axis, ...] | None = None) -> None:
        self._windows = windows
        self._axes = axes or tuple(_Axis.plain(side) for side in windows.size)

    @property
    def size(self) -> tuple[int, int]:
        """(width, height)."""
        return self._axes[0].length, self._axes[1].length

    @property
    def tensor(self) -> torch.Tensor:
        """The maps themselves, uint8 [M, H, W]."""
        return NearestMaps(self._windows.frames(), self._axes).tensor

    def resize(self, size: Sequence[int]) -> "NearestWindows":
        if not all(axis.is_plain for axis in self._axes):
            return NearestWindows(ObjectWindows.of_frames(self.tensor)).resize(size)
        return NearestWindows(self._windows, _resized(self._axes, size))

    def transpose(self, method: int) -> "NearestWindows":
        return NearestWindows(self._windows, _mirrored(self._axes, method))

    def crop(self, window: Sequence[int]) -> "NearestWindows":
        """Within (x1, y1, x2, y2), x2 and y2 excluded, inside of the maps."""
        return NearestWindows(self._windows, _cut(self._axes, window))

    def pad(self, size: Sequence[int]) -> "NearestWindows":
        """Enlarged to (width, height) to the right and below by pixels of 0."""
        return NearestWindows(ObjectWindows.of_frames(_padded(self.tensor, size, 0)))

    def map(self, function: Callable[[torch.Tensor], torch.Tensor]) -> "NearestWindows":
        """The maps after a function of each pixel alone that leaves 0 as it is."""
        return NearestWindows(self._windows.map(function), self._axes)

    @property
    def is_plain(self) -> bool:
        """Whether the maps are neither resized, mirrored nor cut."""
        return all(axis.is_plain for axis in self._axes)

    @property
    def windows(self) -> ObjectWindows:
        """The `mask_windows.ObjectWindows` of the source."""
        return self._windows

    def in_source(self, y: torch.Tensor, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The pixels of the source behind rows y and columns x of the maps, int64 of any shape each."""
        return tuple(
            place if axis.is_plain else axis.index(place.device)[place] for axis, place in zip(self._axes[::-1], (y, x))
        )

    def __len__(self) -> int:
        return len(self._windows)


class SparseMaps(TensorHolder):
    """Maps that are 0 but at few places, resized, mirrored and cut lazily, as `NearestMaps` are.

    Args:
        places: int32 [E], layer * h * w + row * w + column, each once.
        layers: number L of maps.
        size: (w, h) of them.
    """

    def __init__(self, places: torch.Tensor, layers: int, size: Sequence[int]) -> None:
        self._places = places
        self.layers = layers
        self._axes = tuple(_Axis.plain(side) for side in size)

    @classmethod
    def of_maps(cls, maps: torch.Tensor) -> "SparseMaps":
        """The places of maps [L, h, w] that are not 0."""
        places = maps.reshape(-1).nonzero().squeeze(1).int()
        return cls(places, len(maps), maps.shape[:0:-1])

    @property
    def size(self) -> tuple[int, int]:
        """(width, height)."""
        return self._axes[0].length, self._axes[1].length

    @property
    def is_plain(self) -> bool:
        """Whether the maps are neither resized, mirrored nor cut."""
        return all(axis.is_plain for axis in self._axes)

    def paint(self, values: torch.Tensor) -> torch.Tensor:
        """The maps with values [..., E] or [...] at the places: [..., L, H, W] of their type."""
        columns, rows = (axis.source for axis in self._axes)
        maps = values.new_zeros((*values.shape[:-1], self.layers * rows * columns))
        maps[..., self._places.long()] = values
        return NearestMaps(maps.view(*values.shape[:-1], self.layers, rows, columns), self._axes).tensor

    def ones(self) -> torch.Tensor:
        """The maps with 1 at the places: uint8 [L, H, W]."""
        return self.paint(torch.ones(1, dtype=torch.uint8, device=self._places.device))

    def settled(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(int64 [F], int64 [3, F]): for each pixel that is not 0 now, which of the E places it shows, and where it is.

        The latter is (layer, row, column).
        """
        if self.is_plain:
            columns, rows = self.size
            places = self._places.long()
            layer, place = places // (rows * columns), places % (rows * columns)
            where = torch.stack((layer, place // columns, place % columns))
            return torch.arange(len(places), device=places.device), where
        numbers = torch.arange(1, len(self._places) + 1, dtype=torch.int32, device=self._places.device)
        maps = self.paint(numbers)
        where = maps.nonzero().t()
        return maps[tuple(where)].long() - 1, where

    def resize(self, size: Sequence[int]) -> "SparseMaps":
        """Raises `ValueError` for maps that are resized, mirrored or cut already: place what is `settled` anew."""
        if not self.is_plain:
            raise ValueError("maps that are resized, mirrored or cut already must be settled before they are resized")
        return self._of(_resized(self._axes, size))

    def transpose(self, method: int) -> "SparseMaps":
        return self._of(_mirrored(self._axes, method))

    def crop(self, window: Sequence[int]) -> "SparseMaps":
        """Within (x1, y1, x2, y2), x2 and y2 excluded, inside of the maps."""
        return self._of(_cut(self._axes, window))

    def _of(self, axes: tuple[_Axis, ...]) -> "SparseMaps":
        made = SparseMaps(self._places, self.layers, ())
        made._axes = axes
        return made


def _resized(axes: tuple[_Axis, ...], size: Sequence[int]) -> tuple[_Axis, ...]:
    return tuple(_Axis(axis.source, side, 0, side) for axis, side in zip(axes, size))


def _mirrored(axes: tuple[_Axis, ...], method: int) -> tuple[_Axis, ...]:
    check_flip(method)
    columns, rows = axes
    if method == FLIP_LEFT_RIGHT:
        return replace(columns, mirrored=not columns.mirrored), rows
    return columns, replace(rows, mirrored=not rows.mirrored)


def _cut(axes: tuple[_Axis, ...], window: Sequence[int]) -> tuple[_Axis, ...]:
    x1, y1, x2, y2 = window
    return axes[0].cut(x1, x2), axes[1].cut(y1, y2)


def _padded(maps: torch.Tensor, size: Sequence[int], value: float) -> torch.Tensor:
    return F.pad(maps, (0, size[0] - maps.shape[-1], 0, size[1] - maps.shape[-2]), value=value)


def region_grid(
    boxes: torch.Tensor, resolution: int, size: Sequence[float | torch.Tensor], inclusive: bool
) -> list[torch.Tensor]:
    """Centres of the cells of a `resolution` x `resolution` grid laid over each box.

    Args:
        boxes: float [N, 4], xyxy, clamped to the image first.
        resolution: cells per side.
        size: (width, height) of the image, or of each box's image: two float [N].
        inclusive: whether a box includes its last pixel (x1 .. x2 + 1), or ends at x2 as mask targets have it.

    Returns:
        x [N, resolution] and y [N, resolution] in continuous coordinates: pixel k spans k .. k + 1.
    """
    steps = (torch.arange(resolution, device=boxes.device, dtype=torch.float32) + 0.5) / resolution
    boxes = boxes.float()
    grids = []
    for axis, extent in enumerate(size):
        start = at_most(boxes[:, axis].clamp(min=0), extent - 1)
        end = at_most((boxes[:, axis + 2] + int(inclusive)).clamp(min=0), extent)
        grids.append(start[:, None] + steps[None] * (end - start).clamp(min=1)[:, None])
    return grids
