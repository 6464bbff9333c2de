"""Bitmaps of the objects of one image, of each only the window that holds it: most objects are small."""

from itertools import accumulate

import cv2
import numpy as np
import torch

from maskrcnn_benchmark.structures.exact_mirror import FLIP_LEFT_RIGHT, check_flip
from maskrcnn_benchmark.structures.resampling import at_most


class MaskWindows:
    """Bitmaps of M objects in an image of `size` (width, height).

    A window ends one pixel outside of its object, unless the image ends there: so whoever asks for a pixel beyond the
    window finds the right value in the nearest pixel of the window.

    Args:
        pixels: uint8 [T] of 0 and 1, the windows one after the other, each row by row.
        windows: M tuples (x, y, width, height).
        size: (width, height) of the image.
        table: int64 [M, 7], of each object x, y, width and height of the window, its first pixel among `pixels`, width
            and height of the image; by default it is made of these.
    """

    def __init__(self, pixels, windows, size, table=None):
        self.pixels = pixels
        self.windows = windows
        self.size = tuple(size)
        # it travels with the pixels, so that whoever samples them on a device need not bring it there
        self.table = _table_of(windows, self.size) if table is None else table

    @classmethod
    def of_frames(cls, masks):
        """From whole bitmaps [M, H, W], which are not copied."""
        height, width = masks.shape[1:]
        return cls(masks.reshape(-1), [(0, 0, width, height)] * len(masks), (width, height))

    def frames(self):
        """uint8 [M, H, W]; not a copy where the windows are whole images."""
        width, height = self.size
        if all(window == (0, 0, width, height) for window in self.windows):
            return self.pixels.reshape(len(self), height, width)
        frames = self.pixels.new_zeros((len(self), height, width))
        for frame, patch, (x, y, w, h) in zip(frames, self._patches(), self.windows):
            frame[y : y + h, x : x + w] = patch
        return frames

    def resize(self, size):
        """The bitmaps resized to (width, height), bilinear and cut at a half."""
        patches, windows = [], []
        whole = np.empty((size[1], size[0]), np.uint8)
        # OpenCV on bytes takes a tenth of the time of torch on floats
        for frame in self.frames().cpu().numpy():
            cv2.resize(frame * np.uint8(255), tuple(size), dst=whole, interpolation=cv2.INTER_LINEAR)
            cv2.threshold(whole, 127, 1, cv2.THRESH_BINARY, dst=whole)
            x, y, width, height = cv2.boundingRect(whole)
            left, top, right, bottom = max(x - 1, 0), max(y - 1, 0), x + width + 1, y + height + 1
            patch = whole[top:bottom, left:right]
            windows.append((left, top, patch.shape[1], patch.shape[0]))
            patches.append(patch.reshape(-1).copy())
        pixels = torch.from_numpy(np.concatenate([np.empty(0, np.uint8), *patches]))
        return MaskWindows(pixels.to(self.pixels.device), windows, size)

    def transpose(self, method):
        check_flip(method)
        width, height = self.size
        if method == FLIP_LEFT_RIGHT:
            axis, windows = 1, [(width - x - w, y, w, h) for x, y, w, h in self.windows]
        else:
            axis, windows = 0, [(x, height - y - h, w, h) for x, y, w, h in self.windows]
        flipped = [patch.flip(axis).reshape(-1) for patch in self._patches()]
        return MaskWindows(torch.cat([self.pixels[:0], *flipped]), windows, self.size)

    def to(self, *args, **kwargs):
        return MaskWindows(self.pixels.to(*args, **kwargs), self.windows, self.size, self.table.to(*args, **kwargs))

    def __len__(self):
        return len(self.windows)

    def _patches(self):
        """The windows as uint8 [h, w]."""
        parts = self.pixels.split([w * h for _, _, w, h in self.windows]) if self.windows else ()
        return [part.reshape(h, w) for part, (_, _, w, h) in zip(parts, self.windows)]


def _table_of(windows, size):
    starts = accumulate((w * h for _, _, w, h in windows), initial=0)
    table = [(*window, start, *size) for window, start in zip(windows, starts)]
    return torch.tensor(table, dtype=torch.int64).reshape(-1, 7)


def sample_bilinear(sources, objects, grid):
    """Bilinear samples of the bitmaps of several images, each at a grid of its own.

    Coordinates are continuous (pixel k spans k .. k + 1); beyond the outermost pixel centres the edge is repeated.

    Args:
        sources: one `MaskWindows` per image.
        objects: one int64 [N_i] per image: the object that each grid is laid on.
        grid: function from the sizes of the grids' images, width and height float [N], to x [N, R] and y [N, S].

    Returns:
        float [N, S, R], image after image.
    """
    rows = [source.table.to(index.device)[index] for source, index in zip(sources, objects)]
    left, top, width, height, start, *size = torch.cat(rows).unbind(1)
    x, y = grid(*(side.float() for side in size))
    x0, x1, wx = _neighbours(x, size[0], left, width)
    y0, y1, wy = _neighbours(y, size[1], top, height)
    above, below = ((start[:, None] + row * width[:, None])[:, :, None] for row in (y0, y1))
    x0, x1, wx, wy = x0[:, None, :], x1[:, None, :], wx[:, None, :], wy[:, :, None]
    corners = torch.stack((above + x0, above + x1, below + x0, below + x1)).split([len(i) for i in objects], dim=1)
    values = [source.pixels.to(index.device)[index] for source, index in zip(sources, corners)]
    above0, above1, below0, below1 = torch.cat(values, dim=1)
    above = above0 * (1 - wx) + above1 * wx
    below = below0 * (1 - wx) + below1 * wx
    return above * (1 - wy) + below * wy


def _neighbours(coordinate, extent, first, length):
    """The pixels to either side of coordinates [N, R], counted within windows [N], and the weight of the latter."""
    extent, first, last = extent[:, None], first[:, None], (length - 1)[:, None]
    coordinate = at_most((coordinate - 0.5).clamp(min=0), extent - 1)
    low = coordinate.floor()
    below, above = (
        torch.minimum((place - first).clamp(min=0), last) for place in (low.long(), at_most(low.long() + 1, extent - 1))
    )
    return below, above, coordinate - low
