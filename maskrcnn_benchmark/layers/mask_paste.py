"""From small maps per box to the image: instance masks and part labels pasted for all boxes at once."""

from collections.abc import Iterator, Sequence

import torch
from torch.nn import functional as F

from maskrcnn_benchmark.layers.largest_channel import Places, largest_channel
from maskrcnn_benchmark.utils.precision import float32_precision

# Cells of the largest intermediate tensor: bounds the memory to some tens of MiB whatever the image and number of boxes
CHUNK_CELLS = 1 << 22


def paste_masks(
    masks: torch.Tensor, boxes: torch.Tensor, size: Sequence[int], threshold: float = 0.5, padding: int = 1
) -> torch.Tensor:
    """Binary masks in the image.

    The numbers are those of maskrcnn-benchmark's `Masker`: the map gets a border of zeros, the box grows by the same
    factor about its centre, its corners are cut to integers, and the map is resized bilinearly to the integer box.

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
    for index, rows, soft in _masks_in_chunks(masks, boxes, size, padding):
        pasted[index, rows] = soft > threshold
    return pasted


def masks_in_image(masks: torch.Tensor, boxes: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    """Predicted masks as pixels of the image, whether or not the network has pasted them (POSTPROCESS_MASKS).

    Args:
        masks: [N, 1, height, width] as large as the image, above a half where the object is; or what `paste_masks`
            takes.
        boxes, size: as `paste_masks` takes them.

    Returns:
        bool [N, height, width].
    """
    if tuple(masks.shape[-2:]) == (size[1], size[0]):
        return masks[:, 0] > 0.5
    return paste_masks(masks, boxes, size)


def paste_soft_masks(masks: torch.Tensor, boxes: torch.Tensor, size: Sequence[int], padding: int = 1) -> torch.Tensor:
    """As `paste_masks`, but the probabilities themselves, as uint8 [N, height, width] in 0..255."""
    width, height = size
    pasted = torch.zeros((len(boxes), height, width), dtype=torch.uint8, device=masks.device)
    for index, rows, soft in _masks_in_chunks(masks, boxes, size, padding):
        pasted[index, rows] = (soft * 255).to(torch.uint8)
    return pasted


def paste_parts(parts: torch.Tensor, boxes: torch.Tensor, scores: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    """One part map of the image, in which the detection with the higher score lies on top.

    Args:
        parts: float [N, P + 1, R, R], probabilities per part label, channel 0 is background.
        boxes: float [N, 4], xyxy, inclusive pixels.
        scores: float [N].
        size: (width, height) of the image.

    Returns:
        uint8 [height, width], 0 background, else the part label.
    """
    _check_pairs(parts, boxes)
    width, height = size
    pasted = torch.zeros((height, width), dtype=torch.uint8, device=parts.device)
    # Most boxes of a busy image own no parts; a map that is background in every cell stays so when it is enlarged
    has_parts = (parts[:, 1:] > parts[:, :1]).flatten(1).any(dim=1)
    order = torch.argsort(scores, stable=True, descending=True)
    order = order[has_parts[order]].flip(0)  # the best last, on top
    corners = integer_boxes(boxes[order], 1).tolist()
    # Box by box, of which few have parts: each has its own size and few labels, and stays in the processor's cache
    for part, box in zip(parts[order].detach().float(), corners):
        left, top, right, bottom = (max(side, 0) for side in (box[0], box[1], box[2] + 1, box[3] + 1))
        window = pasted[top:bottom, left:right]
        if window.numel():
            label = part_labels_at(part, box, (left, top, window.shape[1], window.shape[0]))
            torch.where(label > 0, label, window, out=window)
    return pasted


def part_labels_at(part: torch.Tensor, box: Sequence[int], window: Sequence[int]) -> torch.Tensor:
    """The largest channel of a small map that is resized bilinearly to a box, at the pixels of a window of the image.

    Beyond the box the pixel that is nearest in it goes on.

    Args:
        part: float [C, R, R].
        box: (x1, y1, x2, y2) in pixels, the last included.
        window: (x, y, width, height) in pixels, none of them negative.

    Returns:
        uint8 [height, width].
    """
    part = part.detach().float()
    rows, columns = (_places(box[axis], box[axis + 2], window[axis], window[axis + 2], part) for axis in (1, 0))
    # columns before rows, as in `evaluation.parts.runs`
    return largest_channel(part.transpose(1, 2), columns, rows).t()


def integer_boxes(boxes: torch.Tensor, scale: float) -> torch.Tensor:
    """Boxes grown by `scale` about their centres with corners cut towards zero, int64 [N, 4], xyxy inclusive."""
    boxes = boxes.detach().float()
    centre = (boxes[:, :2] + boxes[:, 2:]) * 0.5
    half = (boxes[:, 2:] - boxes[:, :2]) * 0.5 * scale
    return torch.cat((centre - half, centre + half), dim=1).to(torch.int64)


def _masks_in_chunks(
    masks: torch.Tensor, boxes: torch.Tensor, size: Sequence[int], padding: int
) -> Iterator[tuple[torch.Tensor, slice, torch.Tensor]]:
    """Yield the padded masks resized to their boxes, in chunks of boxes at like heights.

    A resize is a product with one matrix per axis. On masks, whose output is the size of the image anyway, two matrix
    products over whole rows beat gathering the pixels of each box.

    Yields:
        indices of n boxes int64 [n], slice of the rows that any of them reaches, float [n, rows, width]: 0 outside of
        the box.
    """
    width, height = size
    masks = masks.detach().reshape(len(masks), *masks.shape[-2:]).float()
    _check_pairs(masks, boxes)
    if len(masks) == 0:
        return
    side = masks.shape[-1]
    masks = F.pad(masks, (padding,) * 4)
    corners = integer_boxes(boxes, (side + 2 * padding) / side)
    step = max(1, CHUNK_CELLS // (height * width))
    order = torch.argsort(corners[:, 1] + corners[:, 3])
    top, bottom = (corners[order, 1].clamp(0, height), (corners[order, 3] + 1).clamp(0, height))
    windows = [(int(y1.min()), int(y2.max())) for y1, y2 in zip(top.cpu().split(step), bottom.cpu().split(step))]
    for index, (start, end) in zip(order.split(step), windows):
        if start >= end:
            continue
        rows = _bilinear_weights(corners[index, 1], corners[index, 3], start, end, masks.shape[-2])
        columns = _bilinear_weights(corners[index, 0], corners[index, 2], 0, width, masks.shape[-1])
        # a pixel near the threshold needs every digit
        with torch.autocast(masks.device.type, enabled=False), float32_precision(False):
            soft = torch.bmm(torch.bmm(rows, masks[index]), columns.transpose(1, 2))
        yield index, slice(start, end), soft


def _bilinear_weights(first, last, start, end, side):
    """Weights [N, end - start, side] that resize `side` cells to the pixels first..last (inclusive) of a line.

    They are for the pixels from `start` up to `end`. Those outside of first..last get zeros, and so does every pixel of
    a line that ends before it begins.
    """
    pixels = torch.arange(start, end, device=first.device)[None, :]
    first, last = first[:, None], last[:, None]
    cells = torch.arange(side, device=first.device, dtype=torch.float32)
    weights = (1 - (_source(pixels, first, last, side)[:, :, None] - cells).abs()).clamp(min=0)
    return weights * ((pixels >= first) & (pixels <= last))[:, :, None]


def _source(pixel, first, last, side):
    """Where in `side` cells a pixel of the line first..last lies: half-pixel centres, clamped borders."""
    return ((pixel - first + 0.5) * (side / (last - first + 1).clamp(min=1)) - 0.5).clamp(0, side - 1)


def _places(first, last, start, count, part):
    """`Places` of `count` pixels from `start` of a line whose pixels first..last span all cells of a map."""
    pixels = torch.arange(start, start + count, device=part.device)
    first, last = torch.tensor([first, last], device=part.device)
    return Places.of(_source(pixels, first, last, part.shape[-1]), part.shape[-1])


def _check_pairs(maps, boxes):
    if len(maps) != len(boxes):
        raise ValueError(f"{len(maps)} maps for {len(boxes)} boxes")
