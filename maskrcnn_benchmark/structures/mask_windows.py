"""Maps of the objects of one image, of each only the window that holds it: most objects are small."""

from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any, TypeVar

import cv2
import numpy as np
import torch

from maskrcnn_benchmark.structures.tensors import FLIP_LEFT_RIGHT, TensorHolder, check_flip
from maskrcnn_benchmark.utils.compiled import compiled

# x, y, width and height in pixels
Window = tuple[int, int, int, int]
Kind = TypeVar("Kind", bound="ObjectWindows")


class ObjectWindows(TensorHolder):
    """Maps of M objects in an image of `size` (width, height), of bytes that are 0 away from the object.

    A window ends one pixel outside of its object, unless the image ends there: so whoever asks for a pixel beyond the
    window finds the right value in the nearest pixel of the window.

    Args:
        pixels: uint8 [T], the windows one after the other, each row by row.
        windows: M tuples (x, y, width, height) of whole numbers; no side is 0.
        size: (width, height) of the image.
    """

    def __init__(self, pixels: torch.Tensor, windows: Sequence[Window], size: tuple[int, int]) -> None:
        self._pixels: Any = pixels
        self.windows = windows
        self.size = size[0], size[1]
        starts = accumulate((w * h for _, _, w, h in windows), initial=0)
        rows = [(*window, start, *self.size) for window, start in zip(windows, starts)]
        # it travels with the pixels, so that whoever samples them on a device need not bring it there
        self._table = torch.tensor(rows, dtype=torch.int64, device=pixels.device).reshape(-1, 7)

    @classmethod
    def of_frames(cls: type[Kind], frames: torch.Tensor) -> Kind:
        """From whole maps uint8 [M, H, W], which are not copied."""
        height, width = frames.shape[1:]
        return cls(frames.reshape(-1), [(0, 0, width, height)] * len(frames), (width, height))

    @classmethod
    def cut_out(cls: type[Kind], frames: torch.Tensor) -> Kind:
        """From whole maps uint8 [M, H, W], of which only the windows are kept."""
        height, width = frames.shape[1:]
        whole, size = (0, 0, width, height), (width, height)
        cut = [_tight(frame, whole, size) for frame in frames.cpu().numpy()]
        pixels = np.concatenate([np.empty(0, np.uint8), *(patch.reshape(-1) for patch, _ in cut)])
        return cls(torch.from_numpy(pixels).to(frames.device), [window for _, window in cut], size)

    @classmethod
    def cat(cls: type[Kind], parts: "Sequence[Kind]") -> Kind:
        """Join the maps of one image."""
        windows = [window for part in parts for window in part.windows]
        return cls(torch.cat([part.pixels for part in parts]), windows, parts[0].size)

    @property
    def pixels(self) -> torch.Tensor:
        """uint8 [T], the windows one after the other, each row by row."""
        return self._pixels

    def frames(self) -> torch.Tensor:
        """uint8 [M, H, W]; not a copy where the windows are whole images."""
        width, height = self.size
        if all(window == (0, 0, width, height) for window in self.windows):
            return self.pixels.reshape(len(self), height, width)
        frames = self.pixels.new_zeros((len(self), height, width))
        for frame, patch, (x, y, w, h) in zip(frames, self.patches(), self.windows):
            frame[y : y + h, x : x + w] = patch
        return frames

    def patches(self) -> list[torch.Tensor]:
        """The windows as M tensors uint8 [h, w]."""
        parts = self.pixels.split([w * h for _, _, w, h in self.windows]) if self.windows else ()
        return [part.reshape(h, w) for part, (_, _, w, h) in zip(parts, self.windows)]

    def bounds(self) -> torch.Tensor:
        """float [M, 4], xyxy, last pixel included: the box around what is not 0; of a map of zeros 0, 0, -1, -1."""
        found = [cv2.boundingRect(patch.cpu().numpy()) for patch in self.patches()]
        rows = [
            (x + left, y + top, x + left + w - 1, y + top + h - 1) if w else (0, 0, -1, -1)
            for (left, top, w, h), (x, y, _, _) in zip(found, self.windows)
        ]
        return torch.tensor(rows, dtype=torch.float32, device=self.device).reshape(-1, 4)

    def counts(self) -> torch.Tensor:
        """int64 [M]: pixels that are not 0."""
        counts = [cv2.countNonZero(patch.cpu().numpy()) for patch in self.patches()]
        return torch.tensor(counts, dtype=torch.int64, device=self.device)

    def paint(self, values: Sequence[int], background: int) -> torch.Tensor:
        """A map uint8 [H, W] in which each object has its value, the later in front, and the rest another."""
        painted = self.pixels.new_full(self.size[::-1], background)
        for patch, (x, y, w, h), value in zip(self.patches(), self.windows, values):
            painted[y : y + h, x : x + w][patch > 0] = value
        return painted

    def cover(self: Kind, mask: torch.Tensor) -> Kind:
        """The maps with 0 where `mask`, bool [H, W], is True."""
        open_ = [~mask[y : y + h, x : x + w].reshape(-1) for x, y, w, h in self.windows]
        return type(self)(self.pixels * torch.cat(open_) if open_ else self.pixels, self.windows, self.size)

    def pick(self: Kind, index: torch.Tensor) -> Kind:
        """The maps at an index int64 [N]."""
        patches, chosen = self.patches(), index.tolist()
        pixels = torch.cat([self.pixels[:0], *(patches[k].reshape(-1) for k in chosen)])
        return type(self)(pixels, [self.windows[k] for k in chosen], self.size)

    def at(self, places: torch.Tensor) -> torch.Tensor:
        """The numbers at places among the pixels, int64 of any shape: uint8 of the same."""
        return self.pixels[places]

    def rows(self, index: torch.Tensor) -> torch.Tensor:
        """int64 [N, 7], of the objects `index` [N] x, y, width and height of the window, its first pixel among all, and
        width and height of the image.
        """
        return self._table.to(index.device)[index]

    def map(self: Kind, function: Callable[[torch.Tensor], torch.Tensor]) -> Kind:
        """The maps after a function of each pixel alone that leaves 0 as it is: uint8 [T] -> the same."""
        return type(self)(function(self.pixels), self.windows, self.size)

    @property
    def device(self) -> torch.device:
        """Where the maps are."""
        return self._table.device

    def __len__(self) -> int:
        return len(self.windows)


class MaskWindows(ObjectWindows):
    """Bitmaps of M objects: `ObjectWindows` of 0 and 1.

    What was resized keeps eight pixels in a byte, since then masks are most of what a sample of training takes along
    from the loader's worker to the device.
    """

    _bits: torch.Tensor | None = None

    @classmethod
    def of_bits(cls, bits: torch.Tensor, windows: Sequence[Window], size: tuple[int, int]) -> "MaskWindows":
        """From uint8 [(T + 7) // 8], eight pixels in a byte, the first in its lowest bit."""
        made = cls(bits, windows, size)
        made._pixels, made._bits = None, bits
        return made

    @property
    def pixels(self) -> torch.Tensor:
        """uint8 [T] of 0 and 1, the windows one after the other, each row by row."""
        if self._bits is None:
            return self._pixels
        return unpack_bits(self._bits, sum(w * h for _, _, w, h in self.windows))

    def at(self, places: torch.Tensor) -> torch.Tensor:
        """The numbers at places among the pixels, int64 of any shape: uint8 of the same."""
        if self._bits is None:
            return self._pixels[places]
        return (self._bits[places >> 3] >> (places & 7).to(torch.uint8)) & 1

    def packed(self) -> "MaskWindows":
        """The same bitmaps with eight pixels in a byte."""
        bits = np.packbits(self.pixels.cpu().numpy(), bitorder="little")
        return MaskWindows.of_bits(torch.from_numpy(bits).to(self.device), self.windows, self.size)

    def resize(self, size: Sequence[int]) -> "MaskWindows":
        """The bitmaps resized to (width, height), bilinear and cut at a half."""
        size = size[0], size[1]
        columns, rows = (_bilinear_axis(old, new) for old, new in zip(self.size, size))
        patches, windows = [np.empty(0, np.uint8)], []
        for patch, window in zip(self.patches(), self.windows):
            patch, window = _tight(patch.cpu().numpy(), window, self.size)
            target = enclosing_window(*_scaled(window, self.size, size), size)
            resized = _resize_window(patch, window, target, size, *columns, *rows)
            patch, window = _tight(resized, target, size)
            patches.append(patch.reshape(-1))
            windows.append(window)
        bits = np.packbits(np.concatenate(patches), bitorder="little")
        return MaskWindows.of_bits(torch.from_numpy(bits).to(self.device), windows, size)

    def transpose(self, method: int) -> "MaskWindows":
        check_flip(method)
        width, height = self.size
        if method == FLIP_LEFT_RIGHT:
            axis, windows = 1, [(width - x - w, y, w, h) for x, y, w, h in self.windows]
        else:
            axis, windows = 0, [(x, height - y - h, w, h) for x, y, w, h in self.windows]
        flipped = [cv2.flip(patch.cpu().numpy(), axis).reshape(-1) for patch in self.patches()]
        pixels = np.concatenate([np.empty(0, np.uint8), *flipped])
        if self._bits is None:
            return MaskWindows(torch.from_numpy(pixels).to(self.device), windows, self.size)
        bits = torch.from_numpy(np.packbits(pixels, bitorder="little"))
        return MaskWindows.of_bits(bits.to(self.device), windows, self.size)


def unpack_bits(bits: torch.Tensor, count: int) -> torch.Tensor:
    """uint8 [(count + 7) // 8], eight numbers in a byte, the first in its lowest bit -> uint8 [count] of 0 and 1."""
    if bits.is_cpu:
        return torch.from_numpy(np.unpackbits(bits.numpy(), count=count, bitorder="little"))
    places = torch.arange(8, dtype=torch.uint8, device=bits.device)
    return ((bits[:, None] >> places) & 1).reshape(-1)[:count]


def within(place: torch.Tensor, first: torch.Tensor, length: torch.Tensor) -> torch.Tensor:
    """Pixels [N, R] of an image, counted within windows that begin at `first` [N] and have `length` [N] pixels.

    Those beyond a window become its nearest one.
    """
    return torch.minimum((place - first[:, None]).clamp(min=0), (length - 1)[:, None])


def enclosing_window(x: int, y: int, width: int, height: int, size: tuple[int, int]) -> Window:
    """A window (x, y, width, height) and one pixel around it, as far as an image of `size` has it."""
    left, top = max(x - 1, 0), max(y - 1, 0)
    return left, top, min(x + width + 1, size[0]) - left, min(y + height + 1, size[1]) - top


def at_most(values: torch.Tensor, limit: float | torch.Tensor) -> torch.Tensor:
    """Values clamped to a number, or to a tensor that broadcasts with them."""
    return torch.minimum(values, limit) if isinstance(limit, torch.Tensor) else values.clamp(max=limit)


def values_at(
    sources: Sequence[ObjectWindows], objects: Sequence[torch.Tensor], y: torch.Tensor, x: torch.Tensor
) -> torch.Tensor:
    """What maps of several images have at pixels, of each object a grid of its own.

    Args:
        sources: one `ObjectWindows` per image.
        objects: one int64 [N_i] per image: the object that each grid is of.
        y, x: int64 [N, S] and [N, R], rows and columns of the images.

    Returns:
        uint8 [N, S, R], image after image.
    """
    left, top, width, height, start, _, _ = _rows_of(sources, objects)
    places = start[:, None] + within(y, top, height) * width[:, None]
    places = places[:, :, None] + within(x, left, width)[:, None, :]
    return torch.cat([source.at(p) for source, p in zip(sources, places.split([len(i) for i in objects]))])


def sample_bilinear(
    sources: Sequence[ObjectWindows], objects: Sequence[torch.Tensor], grid: Callable[..., Sequence[torch.Tensor]]
) -> torch.Tensor:
    """Bilinear samples of the bitmaps of several images, each at a grid of its own.

    Coordinates are continuous (pixel k spans k .. k + 1); beyond the outermost pixel centres the edge is repeated.

    Args:
        sources: one `MaskWindows` per image.
        objects: one int64 [N_i] per image: the object that each grid is laid on.
        grid: function from the sizes of the grids' images, width and height float [N], to x [N, R] and y [N, S].

    Returns:
        float [N, S, R], image after image.
    """
    left, top, width, height, start, *size = _rows_of(sources, objects)
    x, y = grid(*(side.float() for side in size))
    x0, x1, wx = _neighbours(x, size[0], left, width)
    y0, y1, wy = _neighbours(y, size[1], top, height)
    above, below = ((start[:, None] + row * width[:, None])[:, :, None] for row in (y0, y1))
    x0, x1, wx, wy = x0[:, None, :], x1[:, None, :], wx[:, None, :], wy[:, :, None]
    corners = torch.stack((above + x0, above + x1, below + x0, below + x1)).split([len(i) for i in objects], dim=1)
    above0, above1, below0, below1 = torch.cat([source.at(p) for source, p in zip(sources, corners)], dim=1)
    above = above0 * (1 - wx) + above1 * wx
    below = below0 * (1 - wx) + below1 * wx
    return above * (1 - wy) + below * wy


def _rows_of(sources, objects):
    """`ObjectWindows.rows` of several images' objects, column by column: seven int64 [N]."""
    return torch.cat([source.rows(index) for source, index in zip(sources, objects)]).unbind(1)


def _neighbours(coordinate, extent, first, length):
    """The pixels to either side of coordinates [N, R], counted within windows [N], and the weight of the latter."""
    last = extent[:, None] - 1
    coordinate = at_most((coordinate - 0.5).clamp(min=0), last)
    low = coordinate.floor()
    below = within(low.long(), first, length)
    above = within(at_most(low.long() + 1, last), first, length)
    return below, above, coordinate - low


def _tight(patch, window, size):
    """A map uint8 [h, w] of 0 and 1 in its window, cut down to the pixels that are 1 and one around them."""
    x, y, width, height = enclosing_window(*cv2.boundingRect(patch), patch.shape[::-1])
    return patch[y : y + height, x : x + width], (window[0] + x, window[1] + y, width, height)


def _bilinear_axis(source, target):
    """For each of `target` pixels, the two of `source` between which its centre lies and the weight of the second.

    Returns:
        three int64 [target]; weights are in parts of 2 * target.
    """
    centres = np.clip((2 * np.arange(target) + 1) * source - target, 0, 2 * target * (source - 1))
    low = centres // (2 * target)
    return low, np.minimum(low + 1, source - 1), centres % (2 * target)


def _scaled(window: Window, size: Sequence[int], new_size: Sequence[int]) -> Window:
    """The window of the resized image in which a window of the image comes to lie: whole pixels, at least one."""
    x, y = (place * new // old for place, old, new in zip(window[:2], size, new_size))
    ends = [-(-(place + side) * new // old) for place, side, old, new in zip(window[:2], window[2:], size, new_size)]
    return x, y, max(ends[0] - x, 1), max(ends[1] - y, 1)


@compiled
def _resize_window(patch, window, target, size, x0, x1, wx, y0, y1, wy):
    """The window `target` of a resized bitmap, cut at a half: uint8 [h, w].

    In whole numbers, so that a half is a half wherever the window lies; 32 bits hold them for up to 2.6e8 pixels.

    Args:
        patch: uint8 [h, w] of 0 and 1, which lies in `window`; beyond it the nearest pixel goes on.
        window, target: (x, y, width, height).
        size: (width, height) of the resized image.
        x0, x1, wx, y0, y1, wy: `_bilinear_axis` of its columns and rows.
    """
    left, top, width, height = window
    first, above, columns, rows = target
    wide = np.empty((height, columns), np.int32)
    for j in range(columns):
        a = min(max(x0[first + j] - left, 0), width - 1)
        b = min(max(x1[first + j] - left, 0), width - 1)
        share = np.int32(wx[first + j])
        rest = np.int32(2 * size[0]) - share
        for i in range(height):
            wide[i, j] = patch[i, a] * rest + patch[i, b] * share
    resized = np.empty((rows, columns), np.uint8)
    half = np.int32(2 * size[0] * size[1])
    for i in range(rows):
        upper = wide[min(max(y0[above + i] - top, 0), height - 1)]
        lower = wide[min(max(y1[above + i] - top, 0), height - 1)]
        share = np.int32(wy[above + i])
        rest = np.int32(2 * size[1]) - share
        row = resized[i]
        for j in range(columns):
            row[j] = upper[j] * rest + lower[j] * share >= half
    return resized
