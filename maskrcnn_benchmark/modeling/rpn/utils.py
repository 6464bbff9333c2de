"""What the dense heads over anchors, the RPN's and RetinaNet's, have in common."""

import torch

from maskrcnn_benchmark.modeling.utils import cat
from maskrcnn_benchmark.structures.bounding_box import BoxList


def permute_and_flatten(layer, num_anchors):
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


def rows_of_levels(maps, counts):
    """`permute_and_flatten` of each level's map, given its anchors per position, in single precision.

    In mixed precision a head runs in half; boxes need single.
    """
    return [permute_and_flatten(level.float(), count) for level, count in zip(maps, counts)]


def anchors_as_boxes(anchors, image_sizes):
    """Anchors float [A, 4] as one `BoxList` per image (height, width): what stands for proposals that nobody reads."""
    return [BoxList(anchors, (int(width), int(height))) for height, width in image_sizes]


def patches_at(features, image, row, column, side):
    """The cells around some positions of a map; those beyond its edge are zero, as a convolution pads them.

    Args:
        features: [N, C, H, W]. In the channels-last layout it is read, and its gradient written, without a copy.
        image, row, column: int64 [P].
        side: odd number of cells.

    Returns:
        [P, side * side * C]: cell after cell in rows, all channels of each.
    """
    height, width = features.shape[2:]
    reach = torch.arange(side, device=features.device) - side // 2
    rows, columns = row[:, None] + reach, column[:, None] + reach
    inside = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[:, None]
    rows, columns = rows.clamp(0, height - 1), columns.clamp(0, width - 1)
    cells = ((image[:, None] * height + rows) * width)[:, :, None] + columns[:, None]
    patches = features.permute(0, 2, 3, 1).flatten(0, 2).index_select(0, cells.flatten())
    return (patches.unflatten(0, cells.shape) * inside[..., None]).flatten(1)


def predict_at_anchors(at_positions, features, counts, image, anchor):
    """A head's predictions for some anchors.

    Args:
        at_positions: function (features of a level, image, row, column) -> logits [P, A_l], offsets [P, A_l * 4].
        features: maps [N, C, H_l, W_l].
        counts: anchors A_l per position of each level.
        image, anchor: int64 [S], index of the image and of the anchor in the order of the anchor generator.

    Returns:
        float logits [S] and offsets [S, 4].
    """
    logits, offsets, order, begin = [], [], [], 0
    for level, count in zip(features, counts):
        height, width = level.shape[2:]
        end = begin + height * width * count
        chosen = torch.nonzero((anchor >= begin) & (anchor < end)).squeeze(1)
        position, which = (anchor[chosen] - begin).div(count, rounding_mode="floor"), (anchor[chosen] - begin) % count
        row, column = position.div(width, rounding_mode="floor"), position % width
        if len(chosen):
            level_logits, level_offsets = at_positions(level, image[chosen], row, column)
            index = torch.arange(len(chosen), device=chosen.device)
            logits.append(level_logits[index, which].float())
            offsets.append(level_offsets.unflatten(1, (count, 4))[index, which].float())
            order.append(chosen)
        begin = end
    place = torch.argsort(cat(order))
    return cat(logits)[place], cat(offsets)[place]
