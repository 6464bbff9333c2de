"""Bitmaps of the objects of one image, of each only the window that holds it: most objects are small."""

from itertools import accumulate

import cv2
import numpy as np
import torch

from maskrcnn_benchmark.structures.exact_mirror import FLIP_LEFT_RIGHT, check_flip
from maskrcnn_benchmark.structures.tensors import TensorHolder


class MaskWindows(TensorHolder):
    """Bitmaps of M objects in an image of `size` (width, height).

    A window ends one pixel outside of its object, unless the image ends there: so whoever asks for a pixel beyond the
    window finds the right value in the nearest pixel of the window.

    Args:
        pixels: uint8 [T] of 0 and 1, the windows one after the other, each row by row.
        windows: M tuples (x, y, width, height).
        size: (width, height) of the image.
    """

    def __init__(self, pixels, windows, size):
        self.pixels = pixels
        self.windows = windows
        self.size = tuple(size)

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

    def sample_bilinear(self, index, x, y):
        """Bilinear samples of the objects `index` [N] at x [N, R], y [N, S]: float [N, S, R].

        Coordinates are continuous (pixel k spans k .. k + 1); beyond the outermost pixel centres the edge is repeated.
        """
        areas = [w * h for _, _, w, h in self.windows]
        starts = accumulate(areas, initial=0)
        table = [(*window, start) for window, start in zip(self.windows, starts)]
        table = torch.tensor(table, dtype=torch.int64, device=self.pixels.device).reshape(-1, 5)
        left, top, width, height, start = table[index].unbind(1)
        x0, x1, wx = _neighbours(x, self.size[0], left, width)
        y0, y1, wy = _neighbours(y, self.size[1], top, height)
        y0, y1 = ((start[:, None] + rows * width[:, None])[:, :, None] for rows in (y0, y1))
        x0, x1, wx, wy = x0[:, None, :], x1[:, None, :], wx[:, None, :], wy[:, :, None]
        above = self.pixels[y0 + x0] * (1 - wx) + self.pixels[y0 + x1] * wx
        below = self.pixels[y1 + x0] * (1 - wx) + self.pixels[y1 + x1] * wx
        return above * (1 - wy) + below * wy

    def __len__(self):
        return len(self.windows)

    def _patches(self):
        """The windows as uint8 [h, w]."""
        parts = self.pixels.split([w * h for _, _, w, h in self.windows]) if self.windows else ()
        return [part.reshape(h, w) for part, (_, _, w, h) in zip(parts, self.windows)]


def _neighbours(coordinate, extent, first, length):
    """The pixels to either side of coordinates [N, R], counted within windows [N], and the weight of the latter."""
    coordinate = (coordinate - 0.5).clamp(0, extent - 1)
    low = coordinate.floor()
    first, last = first[:, None], (length - 1)[:, None]
    below, above = (
        torch.minimum((place - first).clamp(min=0), last)
        for place in (low.long(), (low.long() + 1).clamp(max=extent - 1))
    )
    return below, above, coordinate - low
