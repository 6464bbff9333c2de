"""Bringing the maps that a dense head predicts into the order of the anchors."""


def permute_and_flatten(layer, num_anchors):
    """A head's output as rows that follow the anchors of its level: position by position, anchor by anchor.

    Args:
        layer: [N, num_anchors * C, H, W].

    Returns:
        [N, H * W * num_anchors, C].
    """
    n, channels, height, width = layer.shape
    values = channels // num_anchors
    return layer.reshape(n, num_anchors, values, height, width).permute(0, 3, 4, 1, 2).reshape(n, -1, values)
