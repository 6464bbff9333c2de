"""Maps of the objects of one image, of each only the window that holds it: most objects are small."""

from itertools import accumulate

import cv2
import numpy as np
import torch
from numba import njit

from maskrcnn_benchmark.structures.exact_mirror import FLIP_LEFT_RIGHT, check_flip
from maskrcnn_benchmark.structures.tensors import TensorHolder


class ObjectWindows(TensorHolder):
    """Maps of M objects in an image of `size` (width, height), of bytes that are 0 away from the object.

    A window ends one pixel outside of its object, unless the image ends there: so whoever asks for a pixel beyond the
    window finds the right value in the nearest pixel of the window.

    Args:
        pixels: uint8 [T], the windows one after the other, each row by row.
        windows: M tuples (x, y, width, height) of whole numbers; no side is 0.
        size: (width, height) of the image.
    """

    def __init__(self, pixels, windows, size):
        self._pixels = pixels
        self.windows = windows
        self.size = tuple(size)
        starts = accumulate((w * h for _, _, w, h in windows), initial=0)
        rows = [(*window, start) for window, start in zip(windows, starts)]
        self._table = torch.tensor(rows, dtype=torch.int64, device=pixels.device).reshape(-1, 5)

    @classmethod
    def of_frames(cls, frames):
        """From whole maps uint8 [M, H, W], which are not copied."""
        height, width = frames.shape[1:]
        return cls(frames.reshape(-1), [(0, 0, width, height)] * len(frames), (width, height))

    @property
    def pixels(self):
        """uint8 [T], the windows one after the other, each row by row."""
        return self._pixels

    def frames(self):
        """uint8 [M, H, W]; not a copy where the windows are whole images."""
        width, height = self.size
        if all(window == (0, 0, width, height) for window in self.windows):
            return self.pixels.reshape(len(self), height, width)
        frames = self.pixels.new_zeros((len(self), height, width))
        for frame, patch, (x, y, w, h) in zip(frames, self.patches(), self.windows):
            frame[y : y + h, x : x + w] = patch
        return frames

    def patches(self):
        """The windows as M tensors uint8 [h, w]."""
        parts = self.pixels.split([w * h for _, _, w, h in self.windows]) if self.windows else ()
        return [part.reshape(h, w) for part, (_, _, w, h) in zip(parts, self.windows)]

    def at(self, index, y, x):
        """Values of the objects `index` [N] at the pixels x [N, R], y [N, S] of the image: uint8 [N, S, R]."""
        left, top, width, height, start = self._table[index].unbind(1)
        rows = start[:, None] + within(y, top, height) * width[:, None]
        return self.pixels[rows[:, :, None] + within(x, left, width)[:, None, :]]

    def map(self, function):
        """The maps after a function of each pixel alone that leaves 0 as it is: uint8 [T] -> the same."""
        return type(self)(function(self.pixels), self.windows, self.size)

    @property
    def device(self):
        """Where the maps are."""
        return self._table.device

    def __len__(self):
        return len(self.windows)


class MaskWindows(ObjectWindows):
    """Bitmaps of M objects: `ObjectWindows` of 0 and 1.

    What was resized keeps eight pixels in a byte, since then masks are most of what a sample of training takes along
    from the loader's worker to the device.
    """

    _bits = None

    @classmethod
    def of_bits(cls, bits, windows, size):
        """From uint8 [(T + 7) // 8], eight pixels in a byte, the first in its lowest bit."""
        made = cls(bits, windows, size)
        made._pixels, made._bits = None, bits
        return made

    @property
    def pixels(self):
        """uint8 [T] of 0 and 1, the windows one after the other, each row by row."""
        if self._bits is None:
            return self._pixels
        return unpack_bits(self._bits, sum(w * h for _, _, w, h in self.windows))

    def resize(self, size):
        """The bitmaps resized to (width, height), bilinear and cut at a half."""
        size = tuple(size)
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

    def transpose(self, method):
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

    def sample_bilinear(self, index, x, y):
        """Bilinear samples of the objects `index` [N] at x [N, R], y [N, S]: float [N, S, R].

        Coordinates are continuous (pixel k spans k .. k + 1); beyond the outermost pixel centres the edge is repeated.
        """
        pixels = self.pixels
        left, top, width, height, start = self._table[index].unbind(1)
        x0, x1, wx = _neighbours(x, self.size[0], left, width)
        y0, y1, wy = _neighbours(y, self.size[1], top, height)
        y0, y1 = ((start[:, None] + rows * width[:, None])[:, :, None] for rows in (y0, y1))
        x0, x1, wx, wy = x0[:, None, :], x1[:, None, :], wx[:, None, :], wy[:, :, None]
        above = pixels[y0 + x0] * (1 - wx) + pixels[y0 + x1] * wx
        below = pixels[y1 + x0] * (1 - wx) + pixels[y1 + x1] * wx
        return above * (1 - wy) + below * wy


def unpack_bits(bits, count):
    """uint8 [(count + 7) // 8], eight numbers in a byte, the first in its lowest bit -> uint8 [count] of 0 and 1."""
    if bits.is_cpu:
        return torch.from_numpy(np.unpackbits(bits.numpy(), count=count, bitorder="little"))
    places = torch.arange(8, dtype=torch.uint8, device=bits.device)
    return ((bits[:, None] >> places) & 1).reshape(-1)[:count]


def within(place, first, length):
    """Pixels [N, R] of an image, counted within windows that begin at `first` [N] and have `length` [N] pixels.

    Those beyond a window become its nearest one.
    """
    return torch.minimum((place - first[:, None]).clamp(min=0), (length - 1)[:, None])


def enclosing_window(x, y, width, height, size):
    """A window (x, y, width, height) and one pixel around it, as far as an image of `size` has it."""
    left, top = max(x - 1, 0), max(y - 1, 0)
    return left, top, min(x + width + 1, size[0]) - left, min(y + height + 1, size[1]) - top


def _neighbours(coordinate, extent, first, length):
    """The pixels to either side of coordinates [N, R], counted within windows [N], and the weight of the latter."""
    coordinate = (coordinate - 0.5).clamp(0, extent - 1)
    low = coordinate.floor()
    below = within(low.long(), first, length)
    above = within((low.long() + 1).clamp(max=extent - 1), first, length)
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


def _scaled(window, size, new_size):
    """The window of the resized image in which a window of the image comes to lie: whole pixels, at least one."""
    starts = [place * new // old for place, old, new in zip(window[:2], size, new_size)]
    ends = [-(-(place + side) * new // old) for place, side, old, new in zip(window[:2], window[2:], size, new_size)]
    return *starts, *(max(end - start, 1) for start, end in zip(starts, ends))


@njit(cache=True, nogil=True)
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
