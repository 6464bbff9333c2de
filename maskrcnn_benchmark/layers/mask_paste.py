"""From small maps per box to the image: instance masks and part labels pasted for all boxes at once."""

import torch

# Cells of the largest intermediate tensor: bounds the memory to about 64 MiB whatever the image and the number of boxes
CHUNK_CELLS = 1 << 24


def paste_masks(masks, boxes, size, threshold=0.5, padding=1):
    """Binary masks in the image.

    The numbers are those of maskrcnn-benchmark's `Masker`: the map gets a border of zeros, the box grows by the same
    share about its centre, its corners are cut to integers, and the map is resized bilinearly to the integer box.

    Args:
        masks: float [N, 1, M, M] or [N, M, M], probabilities.
        boxes: float [N, 4], xyxy, inclusive pixels.
        size: (width, height) of the image.
        threshold: pixels above it belong to the object; at least 0.
        padding: width of the border of zeros in cells of the map, so that a mask can end inside its box's edge.

    Returns:
        bool [N, height, width].
    """
    if threshold < 0:
        raise ValueError(f"a threshold of {threshold} would make every pixel of the image part of every object")
    width, height = size
    pasted = torch.zeros((len(boxes), height, width), dtype=torch.bool, device=masks.device)
    for chunk, soft in _paste_in_chunks(masks, boxes, size, padding):
        torch.gt(soft[:, 0], threshold, out=pasted[chunk])
    return pasted


def paste_soft_masks(masks, boxes, size, padding=1):
    """As `paste_masks`, but the probabilities themselves, as uint8 [N, height, width] in 0..255."""
    width, height = size
    pasted = torch.zeros((len(boxes), height, width), dtype=torch.uint8, device=masks.device)
    for chunk, soft in _paste_in_chunks(masks, boxes, size, padding):
        pasted[chunk] = (soft[:, 0] * 255).to(torch.uint8)
    return pasted


def paste_parts(parts, boxes, scores, size):
    """One part map of the image, in which the detection with the higher score lies on top.

    Args:
        parts: float [N, P + 1, R, R], probabilities per part label, channel 0 is background.
        boxes: float [N, 4], xyxy, inclusive pixels.
        scores: float [N].
        size: (width, height) of the image.

    Returns:
        uint8 [height, width], 0 background, else the part label.
    """
    width, height = size
    painted = torch.zeros((height, width), dtype=torch.uint8, device=parts.device)
    # Most boxes of a busy image own no parts; a map that is background in every cell stays so when it is enlarged
    speaks = (parts[:, 1:] > parts[:, :1]).flatten(1).any(dim=1)
    order = torch.argsort(scores, descending=True, stable=True)
    order = order[speaks[order]]
    for _, soft in _paste_in_chunks(parts[order], boxes[order], size, padding=0):
        labels = soft.argmax(dim=1).to(torch.uint8)
        first = (labels > 0).to(torch.uint8).argmax(dim=0, keepdim=True)
        painted = torch.where(painted > 0, painted, labels.gather(0, first)[0])
    return painted


def integer_boxes(boxes, scale):
    """Boxes grown by `scale` about their centres with corners cut towards zero, int64 [N, 4], xyxy inclusive."""
    centre = (boxes[:, :2] + boxes[:, 2:]) * 0.5
    half = (boxes[:, 2:] - boxes[:, :2]) * 0.5 * scale
    return torch.cat((centre - half, centre + half), dim=1).to(torch.int64)


def _paste_in_chunks(maps, boxes, size, padding):
    """Yield (slice of boxes, float [n, C, height, width]): the maps resized to their boxes, 0 outside."""
    width, height = size
    if maps.dim() == 3:
        maps = maps[:, None]
    count, channels = maps.shape[:2]
    if count != len(boxes):
        raise ValueError(f"{count} maps for {len(boxes)} boxes")
    side = maps.shape[-1]
    maps = torch.nn.functional.pad(maps.detach().float(), (padding,) * 4)
    corners = integer_boxes(boxes.detach().float(), (side + 2 * padding) / side)
    step = max(1, CHUNK_CELLS // (channels * height * width))
    for start in range(0, count, step):
        chunk = slice(start, min(start + step, count))
        rows = _bilinear_weights(corners[chunk, 1], corners[chunk, 3], height, maps.shape[-2])
        columns = _bilinear_weights(corners[chunk, 0], corners[chunk, 2], width, maps.shape[-1])
        yield chunk, torch.matmul(torch.matmul(rows[:, None], maps[chunk]), columns[:, None].transpose(2, 3))


def _bilinear_weights(first, last, length, side):
    """Weights [N, length, side] that resize `side` cells to the pixels first..last (inclusive) of a line.

    Half-pixel centres and clamped borders, as `interpolate(align_corners=False)`; rows of pixels outside are zero, and
    so are all rows of a line that ends before it begins.
    """
    extent = (last - first + 1).clamp(min=1)[:, None]
    offset = torch.arange(length, device=first.device)[None, :] - first[:, None]
    source = ((offset + 0.5) * (side / extent) - 0.5).clamp(0, side - 1)
    cells = torch.arange(side, device=first.device, dtype=source.dtype)
    weights = (1 - (source[:, :, None] - cells).abs()).clamp(min=0)
    return weights * ((offset >= 0) & (offset <= (last - first)[:, None]))[:, :, None]
