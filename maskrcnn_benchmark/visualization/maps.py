"""Paint for values as they are, whatever they mean: maps of one or several channels, vectors, values of objects."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from maskrcnn_benchmark.structures.dense_map import IGNORE_INDEX
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.visualization.canvas import ENTRIES_SHOWN, Canvas, canvas_size, enlarge_labels, text_strip
from maskrcnn_benchmark.visualization.palette import class_colours, colours_of

FILL = 0.5  # share of a map's colours on a photograph
DARKEST = 0.2  # share of the image's light where a map of one channel is 0
OUTLINE = (255, 176, 0)  # around what reaches the threshold in such a map
SCALE_STEPS = 5  # of the legend of a heat map
RGB = ((255, 0, 0), (0, 255, 0), (0, 0, 255))
FEW_VALUES = 4  # of an object, that are written out

Colour = tuple[int, int, int]
Colours = Mapping[str, Colour]


def enlarge_edges(edges: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Edges uint8 [H, W] at canvas size (w, h), bool [h, w]; none is lost where the canvas is the smaller one."""
    if size[0] < edges.shape[1]:
        return cv2.resize((edges > 0).astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0
    return cv2.resize((edges > 0).astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0


def paint_map(canvas: Canvas, content: Any, threshold: float, names: Sequence[str] = (), strength: float = 0.7) -> None:
    """Paint a map by what its values look like; pixels without a value stay as they are.

    Numbered labels get a colour each. One channel of 0..1 becomes light and dark, with an outline where it reaches the
    threshold; one of other values a heat map with a scale; several are false colours.

    Args:
        canvas: painted in place.
        content: a label with `labels` or `edges` uint8 [H, W]; or what its method `resize` brings to a size (w, h),
            with `scores` or `values` float [C, h, w] or [h, w] then, such as a `ScoreMap`.
        threshold: of a map of one channel.
        names: of the labels or channels, for the legend; without any they are numbered there.
        strength: share of the colours, 0..1.
    """
    if not hasattr(content, "scores") and (hasattr(content, "labels") or hasattr(content, "edges")):
        labels = content.labels if hasattr(content, "labels") else content.edges
        labels = enlarge_labels(labels.cpu().numpy(), canvas.size)
        present = [k for k in np.unique(labels).tolist() if k != IGNORE_INDEX]
        if max(present, default=0) > 1:
            words, colours = _entries(names, present[-1] + 1)
            canvas.tint_labels(labels, {k: colours[k] for k in present}, strength)
            canvas.legend([(words[k], colours[k]) for k in present], names)
            return
        planes = np.where(labels == IGNORE_INDEX, np.nan, labels).astype(np.float32)[None]
    else:
        planes = _planes(content, canvas.size)
    known: Any = np.isfinite(planes).all(axis=0)
    if len(planes) > 1:
        _paint_channels(canvas, planes, known, names, strength)
    elif not known.any() or (planes[0, known].min() >= 0 and planes[0, known].max() <= 1):
        light = np.where(known, planes[0], 1)
        canvas.pixels = np.round(canvas.pixels * (DARKEST + (1 - DARKEST) * light[:, :, None])).astype(np.uint8)
        canvas.outline(known & (planes[0] >= threshold), OUTLINE)
    else:
        paint_heat(canvas, planes[0], known, strength)


def paint_heat(
    canvas: Canvas,
    values: np.ndarray,
    known: np.ndarray,
    strength: float = 0.7,
    span: tuple[float, float] | None = None,
    text: Callable[[float], str] = "{:.3g}".format,
    colour_map: int = cv2.COLORMAP_VIRIDIS,
) -> None:
    """Paint values by a colour map, with a scale of them; pixels without a value stay as they are.

    Args:
        canvas: painted in place.
        values: float [h, w].
        known: bool [h, w], where there is a value.
        strength: share of the colours, 0..1.
        span: the values of the first and the last colour, beyond which there are no others; by default their range.
        text: how a value is written on the scale.
        colour_map: one of OpenCV's.
    """
    if span is None:
        span = (float(values[known].min()), float(values[known].max())) if known.any() else (0.0, 1.0)
    low, spread = span[0], max(span[1] - span[0], 1e-12)
    levels = np.linspace(1, 0, SCALE_STEPS)
    shades = np.rint(255 * ((np.where(known, values, low) - low) / spread).clip(0, 1)).astype(np.uint8)
    mix(canvas, heat(shades, colour_map), known, strength)
    colours = heat(np.rint(255 * levels[None]).astype(np.uint8), colour_map)[0].tolist()
    canvas.legend([(text(low + level * spread), colour) for level, colour in zip(levels, colours)])


def heat(shades: np.ndarray, colour_map: int = cv2.COLORMAP_VIRIDIS) -> np.ndarray:
    """uint8 [h, w, 3] RGB of uint8 [h, w]."""
    return cv2.cvtColor(cv2.applyColorMap(shades, colour_map), cv2.COLOR_BGR2RGB)


def mix(canvas: Canvas, colour: np.ndarray, where: np.ndarray, strength: float) -> None:
    """Mix colours uint8 [h, w, 3] into the pixels of a bool mask [h, w]."""
    mixed = cv2.addWeighted(canvas.pixels, 1 - strength, colour, strength, 0)
    canvas.pixels = cv2.copyTo(mixed, where.view(np.uint8), canvas.pixels)


def text_of(value: Any, names: Sequence[str] = ()) -> str:
    """A value of an object in a word: a number, the name of a label or of the largest of many scores."""
    value = torch.as_tensor(value)
    if value.numel() == 1:
        number = value.item()
        return f"{number:.2f}" if value.is_floating_point() else _name(names, number)
    if value.numel() <= FEW_VALUES and not names:
        return ", ".join(text_of(part) for part in value.flatten())
    best = int(value.argmax())
    return f"{_name(names, best)} {value.flatten()[best].item():.2f}"


def vector_panel(
    image: np.ndarray,
    values: torch.Tensor,
    names: Sequence[str],
    vocabulary: Vocabulary,
    predicted: bool,
    scale: float | None,
) -> np.ndarray:
    """The entries of a vector, the largest first: bars, or of a label of 0 and 1 those that hold, ticked.

    Args:
        image: uint8 [H, W, 3], for the size.
        values: float [K].
        names: of the entries; those without one are numbered.
        vocabulary: `Vocabulary`; what has the name of a class has its colour.
        predicted: whether a network said it.
        scale: as `Canvas` takes it.

    Returns:
        uint8 [h, w, 3].
    """
    width, height = canvas_size(image, scale)
    values = values.detach().float().cpu()
    ticked = not predicted and bool(((values == 0) | (values == 1)).all())
    order = values.argsort(descending=True, stable=True)[: int((values > 0).sum()) if ticked else ENTRIES_SHOWN]
    row = max(1, min(height // max(6, len(order) + 1), round(max(width, height) / 16)))
    words, colours = _entries(names, len(values), class_colours(vocabulary))
    limit = max(1.0, values.abs().max().item()) if len(values) else 1.0
    rows = [
        _tick_row(words[k], colours[k], width, row)
        if ticked
        else _bar_row(words[k], values[k].item(), limit, colours[k], width, row)
        for k in order.tolist()
    ]
    panel = np.full((height, width, 3), 255, np.uint8)
    stack = np.concatenate(rows or [text_strip(width, row, "none of the labels", round(row * 0.6))])[:height]
    top = (height - len(stack)) // 2
    panel[top : top + len(stack)] = stack
    return panel


def paint_vector(
    canvas: Canvas,
    values: torch.Tensor,
    names: Sequence[str],
    vocabulary: Vocabulary,
    predicted: bool,
    threshold: float,
) -> None:
    """List the entries that reach a threshold in a legend, the largest first. Arguments as in `vector_panel`."""
    values = values.detach().float().cpu()
    order = values.argsort(descending=True, stable=True)[:ENTRIES_SHOWN].tolist()
    words, colours = _entries(names, len(values), class_colours(vocabulary))
    texts = [f"{word} {value:.2f}" for word, value in zip(words, values)] if predicted else words
    canvas.legend([(texts[k], colours[k]) for k in order if values[k] >= threshold], texts if canvas.steady else ())


def _name(names: Sequence[str], k: int) -> str:
    return names[k] if 0 <= k < len(names) else str(k)


def _entries(names: Sequence[str], count: int, known: Colours | None = None) -> tuple[list[str], list[Colour]]:
    """The words for numbers 0..count - 1 and a colour for each, that of `known` {word: colour} where it has one."""
    known, words = known or {}, [_name(names, k) for k in range(count)]
    colours = {**colours_of(word for word in words if word not in known), **known}
    return words, [colours[word] for word in words]


def _planes(content: Any, size: tuple[int, int]) -> np.ndarray:
    """float32 [C, h, w] of a map at a size (w, h)."""
    content = content.resize(size)
    planes = (content.scores if hasattr(content, "scores") else content.values).detach().float().cpu()
    planes = planes[None] if planes.ndim == 2 else planes
    if tuple(planes.shape[1:]) != size[::-1]:
        planes = F.interpolate(planes[None], size=size[::-1], mode="bilinear")[0]
    return planes.numpy()


def _paint_channels(
    canvas: Canvas, planes: np.ndarray, known: np.ndarray, names: Sequence[str], strength: float
) -> None:
    """Two or three channels as red, green and blue; more by a colour each, mixed by what they are of their sum."""
    planes = np.where(known, planes, 0)
    lowest, most = planes.min(), max(np.abs(planes).max(), 1e-12)
    if len(planes) <= len(RGB):
        colours: Sequence[Colour] = RGB[: len(planes)]
        shares = (planes + most) / (2 * most) if lowest < 0 else planes / most
    else:
        words, colours = _entries(names, len(planes))
        weights = np.exp(planes - planes.max(axis=0)) if lowest < 0 else planes
        shares = weights / np.maximum(weights.sum(axis=0), 1e-12)
        largest = sorted(np.argsort(-shares.mean(axis=(1, 2)), kind="stable")[:ENTRIES_SHOWN].tolist())
        canvas.legend([(words[k], colours[k]) for k in largest], words)
    mixed = np.einsum("chw,ck->hwk", shares, np.array(colours, np.float32), optimize=True)
    mix(canvas, np.rint(mixed).astype(np.uint8), known, strength)


def _name_row(name: str, left: int, width: int, height: int) -> np.ndarray:
    row = np.full((height, width, 3), 255, np.uint8)
    row[:, left:] = text_strip(width - left, height, name, round(height * 0.6), anchor="lm")
    return row


def _tick_row(name: str, colour: Colour, width: int, height: int) -> np.ndarray:
    row = _name_row(name, round(height * 1.7), width, height)
    tick = np.array([(0.7, 0.5), (0.9, 0.72), (1.3, 0.25)]) * height
    cv2.polylines(row, [np.round(tick * 16).astype(np.int32)], False, colour, max(2, height // 8), cv2.LINE_AA, shift=4)
    return row


def _bar_row(name: str, value: float, limit: float, colour: Colour, width: int, height: int) -> np.ndarray:
    """A name, a bar of a length of |value| / limit, and the value."""
    row = _name_row(name, round(height * 0.4), width, height)
    left, right = round(width * 0.42), round(width * 0.85)
    top, bottom = round(height * 0.22), round(height * 0.78)
    cv2.rectangle(row, (left, top), (right, bottom), (233, 236, 241), -1)
    if value:
        cv2.rectangle(row, (left, top), (left + round((right - left) * abs(value) / limit), bottom), colour, -1)
    number = right + height // 4
    words = f"{value:.2f}" if limit == 1 else f"{value:.3g}"
    row[:, number:] = text_strip(width - number, height, words, round(height * 0.55))
    return row
