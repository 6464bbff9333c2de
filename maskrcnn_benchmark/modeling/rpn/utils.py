"""What the dense heads over anchors, the RPN's and RetinaNet's, have in common."""

from collections.abc import Sequence
from typing import Any

import torch

from maskrcnn_benchmark.modeling.rpn.anchor_generator import AnchorGrid
from maskrcnn_benchmark.modeling.rpn.loss import SampledAnchors
from maskrcnn_benchmark.modeling.utils import cat
from maskrcnn_benchmark.structures.bounding_box import BoxList


def permute_and_flatten(layer: torch.Tensor, num_anchors: int) -> torch.Tensor:
    """A head's output as rows that follow the anchors of its level: position by position, anchor by anchor.

    Args:
        layer: [N, num_anchors * C, H, W].

    Returns:
        [N, H * W * num_anchors, C].
    """
    n, channels, height, width = layer.shape
    values = channels // num_anchors
    layer = layer.reshape(n, num_anchors, values, height, width).permute(0, 3, 4, 1, 2)
    return layer.reshape(n, height * width * num_anchors, values)


def rows_of_levels(maps: Sequence[torch.Tensor], counts: Sequence[int]) -> list[torch.Tensor]:
    """`permute_and_flatten` of each level's map, given its anchors per position, in single precision.

    In mixed precision a head runs in half; boxes need single.
    """
    return [permute_and_flatten(level.float(), count) for level, count in zip(maps, counts)]


def anchors_as_boxes(anchors: torch.Tensor, image_sizes: Sequence[tuple[int, int]]) -> list[BoxList]:
    """Anchors float [A, 4] as one `BoxList` per image (height, width): in place of proposals, where none are read."""
    return [BoxList(anchors, (int(width), int(height))) for height, width in image_sizes]


def patches_of_levels(
    features: Sequence[torch.Tensor],
    sizes: Sequence[int],
    image: torch.Tensor,
    row: torch.Tensor,
    column: torch.Tensor,
    side: int,
) -> torch.Tensor:
    """The cells around some positions of a pyramid's maps; those beyond an edge are zero, as a convolution pads them.

    Args:
        features: maps [N, C, H_l, W_l]. In the channels-last layout they are read, and their gradients written, without
            a copy.
        sizes: number of positions on each level, P in all; positions come level after level.
        image, row, column: int64 [P].
        side: odd number of cells.

    Returns:
        [P, side * side * C]: cell after cell in rows, all channels of each.
    """
    reach = torch.arange(side, device=row.device) - side // 2
    rows, columns = row[:, None] + reach, column[:, None] + reach
    patches, inside = [], []
    pieces = (part.split(sizes) for part in (image, rows, columns))
    for level, level_image, level_rows, level_columns in zip(features, *pieces):
        if not len(level_image):
            continue
        height, width = level.shape[2:]
        level_row, level_column = level_rows.clamp(0, height - 1), level_columns.clamp(0, width - 1)
        inside.append((level_row == level_rows)[:, :, None] & (level_column == level_columns)[:, None])
        cells = torch.add(level_row, level_image[:, None], alpha=height)[:, :, None] * width + level_column[:, None]
        patches.append(level.permute(0, 2, 3, 1).flatten(0, 2).index_select(0, cells.flatten()))
    return (cat(patches).view(len(row), side * side, -1) * cat(inside).flatten(1)[:, :, None]).flatten(1)


def predict_at_anchors(
    head: Any, features: Sequence[torch.Tensor], grid: AnchorGrid, sampled: SampledAnchors
) -> tuple[torch.Tensor, torch.Tensor]:
    """A head's predictions for some anchors.

    Args:
        head: has `side`, the cells on a side that it reads around a position, and `at_patches` (see `RPNHead`).
        features: maps [N, C, H_l, W_l].
        grid: `AnchorGrid` of these maps.
        sampled: `SampledAnchors` of S anchors, level after level.

    Returns:
        float logits [S] and offsets [S, 4].
    """
    level = grid.level_of(sampled.anchor)
    count, width = grid.counts[level], grid.widths[level]
    place = sampled.anchor - grid.begins[level]
    position, which = place.div(count, rounding_mode="floor"), place % count
    row, column = position.div(width, rounding_mode="floor"), position % width
    patches = patches_of_levels(features, sampled.per_level, sampled.image, row, column, head.side)
    logits, offsets = head.at_patches(patches)
    logits = logits.gather(1, which[:, None]).squeeze(1)
    offsets = offsets.unflatten(1, (-1, 4)).gather(1, which[:, None, None].expand(-1, 1, 4)).squeeze(1)
    return logits.float(), offsets.float()
