"""Textures and colours of mini_detail: stuff and objects are told apart by their form and not by their colour."""

import colorsys
from functools import cache

import cv2
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike

BANK_SIDE = 768

# Hue, saturation and value ranges, several per class: they overlap between classes on purpose.
PALETTES = {
    "sky": [
        ((0.52, 0.65), (0.15, 0.6), (0.6, 1.0)),
        ((0.0, 1.0), (0.0, 0.12), (0.55, 0.95)),
        ((0.02, 0.12), (0.2, 0.5), (0.7, 1)),
    ],
    "mountain": [
        ((0.5, 0.7), (0.1, 0.35), (0.3, 0.65)),
        ((0.05, 0.12), (0.15, 0.45), (0.3, 0.65)),
        ((0.25, 0.4), (0.1, 0.4), (0.3, 0.6)),
    ],
    "tree": [
        ((0.2, 0.4), (0.3, 0.75), (0.25, 0.6)),
        ((0.02, 0.15), (0.4, 0.8), (0.4, 0.75)),
        ((0.9, 1.0), (0.2, 0.6), (0.4, 0.7)),
    ],
    "building": [
        ((0.0, 0.1), (0.2, 0.6), (0.35, 0.75)),
        ((0.0, 1.0), (0.0, 0.2), (0.4, 0.85)),
        ((0.1, 0.16), (0.15, 0.4), (0.5, 0.85)),
    ],
    "grass": [((0.18, 0.38), (0.3, 0.75), (0.35, 0.75)), ((0.1, 0.17), (0.3, 0.6), (0.5, 0.8))],
    "road": [((0.0, 1.0), (0.0, 0.12), (0.25, 0.65)), ((0.05, 0.12), (0.1, 0.3), (0.3, 0.6))],
    "water": [
        ((0.48, 0.65), (0.25, 0.7), (0.35, 0.75)),
        ((0.3, 0.48), (0.15, 0.4), (0.3, 0.6)),
        ((0.0, 0.1), (0.05, 0.25), (0.45, 0.7)),
    ],
    "wall": [((0.0, 1.0), (0.05, 0.4), (0.55, 0.95))],
    "floor": [((0.04, 0.12), (0.25, 0.65), (0.3, 0.75)), ((0.0, 1.0), (0.0, 0.15), (0.35, 0.8))],
    "curtain": [((0.0, 1.0), (0.2, 0.7), (0.35, 0.85))],
    "any": [((0.0, 1.0), (0.15, 0.9), (0.25, 0.95))],
    "fur": [((0.03, 0.11), (0.1, 0.65), (0.2, 0.9)), ((0.0, 1.0), (0.0, 0.08), (0.15, 0.95))],
    "wool": [((0.08, 0.14), (0.0, 0.25), (0.7, 1.0)), ((0.0, 1.0), (0.0, 0.08), (0.35, 0.6))],
    "metal": [((0.0, 1.0), (0.0, 0.3), (0.55, 1.0)), ((0.0, 1.0), (0.3, 0.8), (0.5, 0.9))],
    "skin": [((0.03, 0.09), (0.25, 0.6), (0.35, 1.0))],
    "hair": [((0.03, 0.13), (0.2, 0.8), (0.1, 0.75)), ((0.0, 1.0), (0.0, 0.1), (0.05, 0.7))],
    "leaf": [((0.2, 0.42), (0.35, 0.8), (0.3, 0.75))],
    "clay": [((0.0, 0.1), (0.2, 0.75), (0.35, 0.85)), ((0.0, 1.0), (0.0, 0.4), (0.3, 0.95))],
    "dark": [((0.0, 1.0), (0.0, 0.3), (0.05, 0.25))],
    "glass": [((0.5, 0.65), (0.05, 0.4), (0.3, 0.9))],
}


def pick_colour(rng: np.random.Generator, palette: str) -> np.ndarray:
    """An RGB colour, float32 [3] in 0..255, from one of the named palette's ranges."""
    ranges = PALETTES[palette][rng.integers(len(PALETTES[palette]))]
    hue, saturation, value = (low + (high - low) * rng.random() for low, high in ranges)
    return np.array(colorsys.hsv_to_rgb(hue, saturation, value), np.float32) * 255


def shade(colour: ArrayLike, factor: float) -> np.ndarray:
    """The colour made darker (factor < 1) or lighter (factor > 1), still within 0..255."""
    return np.clip(np.asarray(colour, np.float32) * factor, 0, 255)


@cache
def noise_bank() -> dict[str, np.ndarray]:
    """Noise fields float32 [BANK_SIDE, BANK_SIDE], zero mean and unit deviation, that random windows are cut from.

    Drawn once from a fixed seed: cutting windows is many times cheaper than filtering fresh noise for each picture.
    """
    rng = np.random.default_rng(20170718)
    white = rng.standard_normal((BANK_SIDE, BANK_SIDE)).astype(np.float32)
    kernels = {
        "grain": (0.6, 0.6),
        "leaf": (3.0, 3.0),
        "wool": (2.2, 2.2),
        "patch": (7.0, 7.0),
        "cloud": (26.0, 14.0),
        "wide": (50.0, 50.0),
        "stroke": (0.9, 5.0),
        "ripple": (9.0, 1.3),
        "fold": (6.0, 60.0),
    }
    bank = {}
    for name, (sigma_x, sigma_y) in kernels.items():
        field = cv2.GaussianBlur(white, (0, 0), sigmaX=sigma_x, sigmaY=sigma_y)
        bank[name] = (field - field.mean()) / field.std()
    return bank


def noise(rng: np.random.Generator, name: str, shape: tuple[int, int]) -> np.ndarray:
    """A random window [h, w] of the named noise field (read-only view)."""
    height, width = shape
    top, left = rng.integers(0, BANK_SIDE - height), rng.integers(0, BANK_SIDE - width)
    return noise_bank()[name][top : top + height, left : left + width]


def _grid(shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    height, width = shape
    return np.arange(height, dtype=np.float32)[:, None], np.arange(width, dtype=np.float32)[None]


def _sky(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    rows, _ = _grid(shape)
    return 0.2 + 0.5 * rows / shape[0] + 0.22 * noise(rng, "cloud", shape)


def _mountain(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    ridges = 1 - np.abs(noise(rng, "patch", shape))
    return 0.5 + 0.45 * ridges + 0.1 * noise(rng, "grain", shape)


def _tree(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    return 0.5 + 0.45 * np.clip(1.6 * noise(rng, "leaf", shape), -1.3, 1.3)


def _building(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    rows, columns = _grid(shape)
    if rng.random() < 0.5:  # courses of bricks, each shifted by half a brick
        course = rng.uniform(7, 9)
        length = 2.2 * course
        odd = np.floor(rows / course) % 2 == 1
        joint = (rows % course < 2) | np.where(odd, (columns + 0.5 * length) % length < 2, columns % length < 2)
        field = 0.9 * joint
    else:  # rows of windows
        pitch_x, pitch_y = rng.uniform(15, 20), rng.uniform(18, 24)
        window = (rows % pitch_y > 0.4 * pitch_y) & (columns % pitch_x > 0.45 * pitch_x)
        field = window.astype(np.float32)
    return field + 0.08 * noise(rng, "grain", shape)


def _grass(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    return 0.5 + 0.4 * noise(rng, "stroke", shape) + 0.1 * noise(rng, "wide", shape)


def _road(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    return 0.25 + 0.1 * noise(rng, "grain", shape) + 0.1 * noise(rng, "wide", shape)


def _water(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    rows, _ = _grid(shape)
    phase = 2 * np.pi * 9 * np.log1p(3 * rows / shape[0]) + 0.9 * noise(rng, "cloud", shape)
    return 0.45 + 0.3 * np.sin(phase) + 0.16 * noise(rng, "ripple", shape)


def _wall(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    rows, columns = _grid(shape)
    kind = rng.integers(3)
    field = 0.15 * noise(rng, "wide", shape) + 0.03 * noise(rng, "grain", shape)
    if kind == 0:  # wallpaper with dots
        pitch = rng.uniform(14, 20)
        dots = (rows % pitch - pitch / 2) ** 2 + (columns % pitch - pitch / 2) ** 2 < 10
        return field + 0.55 * dots
    if kind == 1:  # diamonds
        pitch = rng.uniform(16, 24)
        line = np.arange(sum(shape), dtype=np.float32) % pitch < 2.2
        falling = sliding_window_view(line, shape[1])[: shape[0]]
        return field + 0.35 * (falling | falling[:, ::-1])
    return field


def _floor(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    rows, columns = _grid(shape)
    depth = (rows + 12) / (shape[0] + 12)
    across = (columns - shape[1] * rng.uniform(0.3, 0.7)) / depth
    if rng.random() < 0.6:  # planks running away from the viewer
        width = rng.uniform(26, 40)
        plank = np.floor(across / width)
        seam = (across - plank * width) * depth < 2.2
        tone = plank * 0.618
        return 0.3 + 0.35 * (tone - np.floor(tone)) - 0.5 * seam + 0.08 * noise(rng, "grain", shape)
    along = np.log(depth) * rng.uniform(5, 7)
    tiles = (np.floor(along).astype(np.int32) + np.floor(across / rng.uniform(36, 52)).astype(np.int32)) & 1
    return 0.15 + 0.7 * tiles + 0.06 * noise(rng, "grain", shape)


def _curtain(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    _, columns = _grid(shape)
    pitch = rng.uniform(11, 17)
    folds = np.sin(2 * np.pi * columns / pitch + 0.7 * noise(rng, "fold", shape))
    return 0.5 + 0.55 * folds


SURFACES = {
    "sky": (_sky, 1.25),
    "mountain": (_mountain, 0.6),
    "tree": (_tree, 0.5),
    "building": (_building, 0.55),
    "grass": (_grass, 0.6),
    "road": (_road, 0.75),
    "water": (_water, 1.5),
    "wall": (_wall, 0.75),
    "floor": (_floor, 0.6),
    "curtain": (_curtain, 0.55),
}


def stuff_surface(rng: np.random.Generator, name: str, shape: tuple[int, int]) -> np.ndarray:
    """A picture float32 [h, w, 3] in 0..255 or a little beyond, of the named stuff class filling the shape (h, w)."""
    field, contrast = SURFACES[name]
    base = pick_colour(rng, name)
    second = base * contrast + rng.uniform(-15, 15, 3).astype(np.float32)
    mix = np.asarray(field(rng, shape), np.float32)
    return cv2.transform(mix, np.stack((second - base, base), 1))


def figure_pattern(rng: np.random.Generator, name: str, shape: tuple[int, int]) -> np.ndarray:
    """Brightness factors float32 [h, w] of an object surface: plain, stripes, checks, wool, fur or leaves."""
    rows, columns = _grid(shape)
    if name == "plain":
        return 1 + 0.04 * noise(rng, "grain", shape)
    if name == "stripes":
        return np.broadcast_to(np.where(rows % 11 < 5, 1.12, 0.7), shape)
    if name == "checks":
        return np.where((rows % 12 < 6) ^ (columns % 12 < 6), 1.1, 0.75)
    if name == "wool":
        return 1 + 0.16 * noise(rng, "wool", shape)
    if name == "fur":
        return 1 + 0.08 * noise(rng, "stroke", shape)
    if name == "leaves":
        return 1 + 0.3 * np.clip(noise(rng, "leaf", shape), -1.5, 1.5)
    raise ValueError(f"unknown pattern {name!r}")
