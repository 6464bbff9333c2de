"""Where the pixels of a resized map or of a region come from: index arithmetic that the maps and masks share."""

import torch


def nearest_index(source, target, device=None):
    """For each of `target` pixels, the one of `source` pixels that its centre falls in: int64 [target]."""
    centres = 2 * torch.arange(target, device=device) + 1
    return centres * source // (2 * target)


def resize_nearest(maps, size):
    """Maps [..., H, W] of any type resized to `size` (width, height): each pixel takes the value under its centre."""
    columns = nearest_index(maps.shape[-1], size[0], maps.device)
    rows = nearest_index(maps.shape[-2], size[1], maps.device)
    # Columns first: then whole rows are copied, which is several times faster than the other way round
    return maps.index_select(-1, columns).index_select(-2, rows)


def region_grid(boxes, resolution, size, inclusive):
    """Centres of the cells of a `resolution` x `resolution` grid laid over each box.

    Args:
        boxes: float [N, 4], xyxy, clamped to the image first.
        resolution: cells per side.
        size: (width, height) of the image.
        inclusive: whether a box includes its last pixel (x1 .. x2 + 1), or ends at x2 as mask targets have it.

    Returns:
        x [N, resolution] and y [N, resolution] in continuous coordinates: pixel k spans k .. k + 1.
    """
    steps = (torch.arange(resolution, device=boxes.device, dtype=torch.float32) + 0.5) / resolution
    boxes = boxes.float()
    grids = []
    for axis, extent in enumerate(size):
        start = boxes[:, axis].clamp(0, extent - 1)
        end = (boxes[:, axis + 2] + int(inclusive)).clamp(0, extent)
        grids.append(start[:, None] + steps[None] * (end - start).clamp(min=1)[:, None])
    return grids
