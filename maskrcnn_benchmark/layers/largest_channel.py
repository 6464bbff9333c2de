"""Which of many channels is the largest at each pixel of an enlarged map, without enlarging every channel."""

from typing import NamedTuple

import torch
from torch.nn import functional as F

# Cells of an intermediate tensor: what stays in a processor's cache, and what keeps a GPU busy
_CHUNK = {"cpu": 1 << 18}
_CHUNK_ELSEWHERE = 1 << 25


class Places(NamedTuple):
    """Where the pixels of one axis lie between cells: cell `low` counts 1 - `weight`, cell `high` counts `weight`.

    Attributes:
        low, high: int64 [n].
        weight: float [n], 0..1.
    """

    low: torch.Tensor
    high: torch.Tensor
    weight: torch.Tensor

    @classmethod
    def of(cls, position: torch.Tensor, cells: int) -> "Places":
        """Of positions float [n] in units of cells, 0 being the centre of the first of `cells` cells."""
        position = position.clamp(0, cells - 1)
        low = position.long()
        return cls(low, (low + 1).clamp(max=cells - 1), position - low)

    @classmethod
    def of_pixels(cls, count: int, extent: float, cells: int, device: torch.device) -> "Places":
        """Of the centres of `count` pixels that cover the first `extent` of `cells` cells."""
        pixels = torch.arange(count, device=device, dtype=torch.float32)
        return cls.of((pixels + 0.5) * (extent / count) - 0.5, cells)


def interpolate_at(values: torch.Tensor, dim: int, places: Places) -> torch.Tensor:
    """Values [..., h, ...] at `places` of an axis, linearly interpolated: [..., n, ...]."""
    shape = [-1 if axis == dim else 1 for axis in range(values.ndim)]
    weight = places.weight.to(values.dtype).reshape(shape)
    return values.index_select(dim, places.low).lerp(values.index_select(dim, places.high), weight)


def largest_channel(scores: torch.Tensor, rows: Places, columns: Places) -> torch.Tensor:
    """The largest channel of a map that is interpolated along its rows' axis first and its columns' axis second.

    The result is that of `interpolate_at` twice and an argmax; the first of equal channels wins. Channels that can win
    nowhere are dropped first, for an interpolated value lies between those of the cells around it, and the rest is
    done in chunks that stay in the processor's cache.

    Args:
        scores: float [C, h, w], C at most 256.
        rows, columns: `Places` of the H rows and W columns of the result.

    Returns:
        uint8 [H, W].
    """
    kept = _may_win(scores)
    # What is gathered should lie together: rows of [h, C, w], then columns of [w, C, H]
    cells = interpolate_at(scores.permute(1, 0, 2)[:, kept], 0, rows).permute(2, 1, 0).contiguous()
    height, width = len(rows.low), len(columns.low)
    step = max(1, _CHUNK.get(scores.device.type, _CHUNK_ELSEWHERE) // max(1, cells[0].numel()))
    best = torch.empty((width, height), dtype=torch.uint8, device=scores.device)
    for start in range(0, width, step):
        chunk = Places(*(part[start : start + step] for part in columns))
        # max is ten times as fast as argmax here, and names the first of equal ones, too
        best[start : start + step] = interpolate_at(cells, 0, chunk).max(dim=1).indices
    best = best.t().contiguous()
    return best if len(kept) == len(scores) else kept.to(torch.uint8).take(best.long())


def _may_win(scores: torch.Tensor) -> torch.Tensor:
    """Channels that are not below another one in all the cells around every pixel: int64 [K], ascending."""
    values = scores.detach()[None].float()
    window = [min(2, side) for side in scores.shape[1:]]
    high = F.max_pool2d(values, window, 1)[0]
    # what a channel must reach in a window to win there: the largest of the channels' smallest values
    floor = (-F.max_pool2d(-values, window, 1))[0].amax(dim=0)
    # an interpolated value may pass the cells' own by a rounding error; comparisons with nan are false and keep all
    slack = 1e-4 * values.abs().amax()
    return (~(high < floor - slack)).flatten(1).any(dim=1).nonzero()[:, 0]
