"""Colours: one per name, the same in every picture, apart for colour-blind readers as far as their number allows."""

import colorsys
import hashlib
from collections.abc import Iterable, Sequence
from functools import lru_cache

import numpy as np

from maskrcnn_benchmark.structures.vocabulary import Vocabulary

INK = (24, 28, 36)  # lines and text on light ground
PAPER = (255, 255, 255)
GREY = (226, 229, 234)  # ground of a panel without a picture

# Names whose colour a reader expects, light and dark within each hue
FAMILIAR = {
    "person": (235, 84, 62),
    "sky": (132, 198, 250),
    "water": (24, 104, 196),
    "snow": (214, 232, 244),
    "grass": (142, 204, 66),
    "tree": (34, 122, 62),
    "mountain": (124, 132, 92),
    "ground": (168, 120, 72),
    "rock": (120, 110, 108),
    "road": (142, 118, 168),
    "sidewalk": (206, 170, 214),
    "building": (176, 92, 84),
    "wall": (232, 206, 150),
    "floor": (150, 116, 98),
}
PALETTE_SIZE = 64
DRAWS = 12  # places that a name's hash draws

# Linear sRGB -> cone response -> OKLab (Ottosson 2020, "A perceptual color space for image processing")
_RGB_TO_LMS = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_LMS_TO_LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)
# What a person without red or without green cones sees, on linear sRGB (Machado, Oliveira, Fernandes 2009, severity 1)
_SIGHT = (
    np.eye(3),
    np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]),
    np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]),
)


def colours_of(names: Iterable[str]) -> dict[str, tuple[int, int, int]]:
    """A colour for each name.

    The names of `FAMILIAR` have their own. Any other name's hash draws a few places of the palette, and the name gets
    the one that looks least like the colours given before. Colours repeat only beyond `PALETTE_SIZE` names.

    Args:
        names: iterable of str; repeated names count once.
    Returns:
        dict name -> (red, green, blue) of 0..255.
    """
    return dict(_assign_colours(tuple(dict.fromkeys(names))))


def class_colours(vocabulary: Vocabulary) -> dict[str, tuple[int, int, int]]:
    """Colours of the classes of a `Vocabulary`, shared by objects, regions and image labels of the same name."""
    return colours_of((*vocabulary.thing_names, *vocabulary.semantic_names, *vocabulary.image_label_names))


def part_colours(vocabulary: Vocabulary) -> np.ndarray:
    """Colours of part labels 1..P as uint8 [P + 1, 3]; row 0, the background, is black and never painted."""
    labels = vocabulary.parts.labels  # type: ignore[union-attr]
    colours = colours_of(labels)
    return np.array([(0, 0, 0), *(colours[label] for label in labels)], dtype=np.uint8)


def direction_colours(theta: np.ndarray) -> np.ndarray:
    """Colours of directions on a wheel of even lightness.

    Args:
        theta: float array [...], radians.
    Returns:
        uint8 [..., 3].
    """
    wheel = _direction_wheel()
    index = np.round(np.asarray(theta) * len(wheel) / (2 * np.pi)).astype(np.int64) % len(wheel)
    return wheel[index]


def ink_on(colour: Sequence[int]) -> tuple[int, int, int]:
    """Black or white, whichever reads better on a ground of `colour` (red, green, blue)."""
    luminance = _to_linear(np.array(colour) / 255) @ np.array([0.2126, 0.7152, 0.0722])  # ITU-R BT.709
    return INK if luminance > 0.26 else PAPER


@lru_cache(maxsize=64)
def _assign_colours(names):
    palette = _palette()
    given = {name: FAMILIAR[name] for name in names if name in FAMILIAR}
    nearest = np.full(PALETTE_SIZE, np.inf)  # of each place of the palette, the distance to the colours given so far
    if given:
        nearest = _difference(palette, list(given.values())).min(1)
    for name in names:
        if name in given:
            continue
        digest = hashlib.md5(name.encode(), usedforsecurity=False).digest()
        drawn = list(dict.fromkeys(byte % PALETTE_SIZE for byte in digest[:DRAWS]))
        if nearest[drawn].max() < 1e-6:  # all are taken
            drawn = list(range(PALETTE_SIZE))
        place = drawn[int(nearest[drawn].argmax())]
        nearest = np.minimum(nearest, _difference(palette, palette[place : place + 1])[:, 0])
        given[name] = tuple(int(c) for c in palette[place])
    return tuple((name, given[name]) for name in names)


@lru_cache(maxsize=1)
def _palette():
    """uint8 [PALETTE_SIZE, 3]: each colour is the candidate that looks least like all before it."""
    tones = ((0.78, 0.95), (0.5, 1.0), (0.9, 0.72), (0.6, 0.6), (0.35, 0.85))  # saturation and value
    candidates = np.array([colorsys.hsv_to_rgb(hue / 36, s, v) for hue in range(36) for s, v in tones]) * 255
    lightness = _lab(_to_linear(candidates / 255))[:, 0]
    candidates = candidates[(lightness > 0.5) & (lightness < 0.92)]  # against shadows, and against paper
    difference = _difference(candidates, candidates)
    chosen = [0]
    while len(chosen) < PALETTE_SIZE:
        chosen.append(int(difference[chosen].min(0).argmax()))
    return np.round(candidates[chosen]).astype(np.uint8)


def _difference(some, others):
    """How different colours [n, 3] and [m, 3] of 0..255 look to the kind of eyes that sees least: float [n, m]."""
    some, others = (
        np.stack([_lab(np.clip(_to_linear(np.asarray(rgb) / 255) @ sight.T, 0, 1)) for sight in _SIGHT])
        for rgb in (some, others)
    )
    # The colour-blind tell colours apart in two dimensions only; weighed equally they would decide everything
    weight = np.array([1.0, 1.6, 1.6])[:, None, None]
    return (np.linalg.norm(some[:, :, None] - others[:, None], axis=3) * weight).min(0)


@lru_cache(maxsize=1)
def _direction_wheel():
    angle = np.arange(360) * (np.pi / 180)
    lab = np.stack([np.full(360, 0.66), 0.17 * np.cos(angle), 0.17 * np.sin(angle)], axis=1)
    linear = ((lab @ np.linalg.inv(_LMS_TO_LAB).T) ** 3) @ np.linalg.inv(_RGB_TO_LMS).T
    linear = np.clip(linear, 0, 1)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.round(encoded * 255).astype(np.uint8)


def _to_linear(rgb):
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def _lab(linear):
    return np.cbrt(linear @ _RGB_TO_LMS.T) @ _LMS_TO_LAB.T
