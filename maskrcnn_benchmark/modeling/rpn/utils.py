"""What the dense heads over anchors, the RPN's and RetinaNet's, have in common."""

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
