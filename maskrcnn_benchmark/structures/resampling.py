"""Where the pixels of a resized map or of a region come from: index arithmetic that the maps and masks share."""

from dataclasses import dataclass, replace
from functools import lru_cache

import torch
import torch.nn.functional as F

from maskrcnn_benchmark.structures.exact_mirror import FLIP_LEFT_RIGHT, check_flip


def nearest_index(source, target, device=None):
    """For each of `target` pixels, the one of `source` pixels that its centre falls in: int64 [target]."""
    centres = torch.arange(source, 2 * target * source, 2 * source, device=device)
    return centres // (2 * target)


def resize_nearest(maps, size):
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
    def plain(cls, source):
        return cls(source, source, 0, source)

    @property
    def is_plain(self):
        return self == _Axis.plain(self.source)

    def cut(self, first, end):
        start = self.start + (self.length - end if self.mirrored else first)
        return replace(self, start=start, length=end - first)

    def index(self, device):
        """int64 [length]: the pixel of the source behind each pixel. It is cached: not to be written to."""
        return _index_of(self, device)


# The maps of an image have their axes in common, and so have many images; 1 KiB to 10 KiB each
@lru_cache(maxsize=256)
def _index_of(axis, device):
    with torch.inference_mode(False):
        seen = nearest_index(axis.source, axis.target, device)[axis.start : axis.start + axis.length]
        return seen.flip(0) if axis.mirrored else seen


class NearestMaps:
    """Maps that are resized, mirrored and cut only when they are looked at: until then, two axes remember what to do.

    A sample of a large image then costs, and takes from the loader's worker to the device, what its maps have in
    the original pixels; and whoever samples a region never makes the large map at all. Values are those of
    `resize_nearest`, of mirrors and of cuts, in the order in which they were asked for.

    Args:
        source: [..., h, w], of any type.
    """

    def __init__(self, source, axes=None):
        self._source = source
        self._axes = axes or (_Axis.plain(source.shape[-1]), _Axis.plain(source.shape[-2]))

    @property
    def size(self):
        """(width, height)."""
        return self._axes[0].length, self._axes[1].length

    @property
    def tensor(self):
        """The maps themselves, [..., H, W]."""
        for dim, axis in zip((-1, -2), self._axes):  # columns first, see `resize_nearest`
            if not axis.is_plain:
                self._source = self._source.index_select(dim, axis.index(self._source.device))
        self._axes = tuple(_Axis.plain(axis.length) for axis in self._axes)
        return self._source

    def resize(self, size):
        if not all(axis.is_plain for axis in self._axes):
            return NearestMaps(self.tensor).resize(size)
        axes = (_Axis(axis.source, side, 0, side) for axis, side in zip(self._axes, size))
        return NearestMaps(self._source, tuple(axes))

    def transpose(self, method):
        check_flip(method)
        columns, rows = self._axes
        if method == FLIP_LEFT_RIGHT:
            columns = replace(columns, mirrored=not columns.mirrored)
        else:
            rows = replace(rows, mirrored=not rows.mirrored)
        return NearestMaps(self._source, (columns, rows))

    def crop(self, window):
        """Within (x1, y1, x2, y2), x2 and y2 excluded, inside of the maps."""
        x1, y1, x2, y2 = window
        return NearestMaps(self._source, (self._axes[0].cut(x1, x2), self._axes[1].cut(y1, y2)))

    def pad(self, size, value):
        """Enlarged to (width, height) to the right and below by pixels of `value`."""
        width, height = self.size
        return NearestMaps(F.pad(self.tensor, (0, size[0] - width, 0, size[1] - height), value=value))

    def to(self, *args, **kwargs):
        return NearestMaps(self._source.to(*args, **kwargs), self._axes)

    def map(self, function):
        """The maps after a function of each pixel alone, or of all the pixels at one place: [..., h, w] -> the same."""
        return NearestMaps(function(self._source), self._axes)

    def at(self, which, y, x):
        """Values of the maps [M, H, W] at int64 indices that broadcast together, without making the maps."""
        x, y = (
            place if axis.is_plain else axis.index(self._source.device)[place]
            for axis, place in zip(self._axes, (x, y))
        )
        return self._source[which, y, x]


def region_grid(boxes, resolution, size, inclusive):
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


def at_most(values, limit):
    """Values clamped to a number, or to a tensor that broadcasts with them."""
    return torch.minimum(values, limit) if isinstance(limit, torch.Tensor) else values.clamp(max=limit)
