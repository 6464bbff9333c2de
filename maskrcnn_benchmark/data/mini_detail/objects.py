"""The animals and things of mini_detail, each a figure of width or height about 1 standing on y = 0."""

# ruff: noqa: RUF005 -- points are arrays here: adding (x, y) shifts them, nothing is concatenated
# NumPy's stubs do not know that `np.float32` makes arrays of lists.
# mypy: disable-error-code="arg-type"

from itertools import pairwise

import numpy as np

from maskrcnn_benchmark.data.mini_detail.figures import Figure
from maskrcnn_benchmark.data.mini_detail.textures import pick_colour, shade


def _near_far(direction):
    """Which side of an animal or vehicle is nearer to us: who faces the image's left shows us the left side."""
    return ("l", "r") if direction < 0 else ("r", "l")


def _quadruped_legs(figure, near_far, colour, fronts, backs, top, radius, upper_share, swing):
    """Four legs, the far pair darker; fronts and backs are x positions of (near, far)."""
    for which in (1, 0):
        letter = near_far[which]
        tint = shade(colour, 0.68 if which else 1.0)
        for end, places in (("f", fronts), ("b", backs)):
            x, dx = places[which], swing[which] * (1 if end == "f" else -1)
            knee = (x + 0.5 * dx, top * (1 - upper_share))
            # PASCAL in Detail's part list has no "lfuleg"; that limb has no part of its own there, nor here.
            upper = "" if (letter, end) == ("l", "f") else f"{letter}{end}uleg"
            figure.limb((x, top), knee, 1.35 * radius, radius, tint, upper, "fur")
            figure.limb(knee, (x + dx, -radius), radius, 0.8 * radius, tint, f"{letter}{end}lleg", "fur")


def draw_horse(rng: np.random.Generator) -> Figure:
    direction = -1 if rng.random() < 0.5 else 1
    coat = pick_colour(rng, "fur")
    mane = shade(coat, 0.4) if coat.mean() > 90 else shade(coat, 2.2) + 20
    figure = Figure("horse")
    d = np.float32([direction, 1])
    figure.limb((-0.36, -0.58) * d, (-0.47, -0.25) * d, 0.035, 0.05, mane, "tail", "fur")
    x = direction
    _quadruped_legs(
        figure,
        _near_far(direction),
        coat,
        (0.27 * x, 0.2 * x),
        (-0.3 * x, -0.22 * x),
        -0.48,
        0.04,
        0.5,
        (x * rng.uniform(-0.08, 0.1), x * rng.uniform(-0.1, 0.08)),
    )
    figure.ellipse((0, -0.55) * d, (0.38, 0.155), coat, "torso", "fur")
    head = (0.5 + rng.uniform(-0.03, 0.03), -0.9 + rng.uniform(-0.04, 0.14)) * d
    figure.limb((0.24, -0.6) * d, head, 0.13, 0.07, coat, "neck", "fur")
    figure.limb((0.17, -0.7) * d, head + (-0.06, -0.05) * d, 0.045, 0.04, mane, "neck")
    figure.polygon([head + (-0.06, -0.04) * d, head + (-0.03, -0.15) * d, head + (0.02, -0.05) * d], coat, "head")
    figure.limb(head, head + (0.13, 0.11) * d, 0.075, 0.05, coat, "head", "fur")
    figure.limb(head + (0.13, 0.11) * d, head + (0.17, 0.15) * d, 0.05, 0.042, shade(coat, 0.6), "muzzle")
    figure.ellipse(head + (0.02, -0.005) * d, (0.016, 0.016), (15, 15, 15), "head")
    return figure


def draw_sheep(rng: np.random.Generator) -> Figure:
    direction = -1 if rng.random() < 0.5 else 1
    wool, face = pick_colour(rng, "wool"), pick_colour(rng, "dark" if rng.random() < 0.7 else "fur")
    figure = Figure("sheep")
    d = np.float32([direction, 1])
    x = direction
    _quadruped_legs(
        figure, _near_far(direction), face, (0.22 * x, 0.15 * x), (-0.25 * x, -0.17 * x), -0.22, 0.034, 0.4, (0, 0)
    )
    figure.ellipse((-0.42, -0.42) * d, (0.07, 0.08), wool, "tail", "wool")
    angles = np.arange(0, 2 * np.pi, 2 * np.pi / 11) + rng.uniform(0, 1)
    bumps = 1 + 0.09 * np.cos(11 * np.linspace(0, 2 * np.pi, 110))
    turn = np.linspace(0, 2 * np.pi, 110) + angles[0]
    outline = np.stack((0.38 * bumps * np.cos(turn), -0.43 + 0.26 * bumps * np.sin(turn)), 1)
    figure.polygon(outline * d, wool, "torso", "wool")
    head = (0.41, -0.5 + rng.uniform(-0.06, 0.1)) * d
    figure.ellipse(head, (0.125, 0.088), face, "head", angle=0.7 * direction)
    ear = "l" if direction < 0 else "r"
    figure.ellipse(head + (-0.1, -0.05) * d, (0.07, 0.032), shade(face, 1.4), f"{ear}ear", angle=-0.4 * direction)
    figure.ellipse(head + (-0.03, -0.1) * d, (0.09, 0.06), wool, "head", "wool")
    figure.ellipse(head + (0.04, -0.02) * d, (0.016, 0.016), (235, 235, 235), "head")
    return figure


def draw_cat(rng: np.random.Generator) -> Figure:
    """A cat that sits and looks at us; its left is on the image's right."""
    coat = pick_colour(rng, "fur")
    figure = Figure("cat")
    curl = -1 if rng.random() < 0.5 else 1
    tail = np.array([(0.2, -0.07), (0.42, -0.09), (0.5, -0.25), (0.42, -0.42)], np.float32) * (curl, 1)
    for a, b in pairwise(tail):
        figure.limb(a, b, 0.055, 0.05, shade(coat, 0.75), "tail", "stripes")
    figure.polygon(
        [
            (0.13, -0.62),
            (0.24, -0.35),
            (0.3, -0.1),
            (0.24, 0),
            (-0.24, 0),
            (-0.3, -0.1),
            (-0.24, -0.35),
            (-0.13, -0.62),
        ],
        coat,
        "torso",
        "stripes" if rng.random() < 0.5 else "fur",
    )
    figure.ellipse((0, -0.42), (0.1, 0.17), shade(coat, 1.35), "torso", "fur")
    for letter, side in (("l", 1), ("r", -1)):
        figure.limb((side * 0.08, -0.36), (side * 0.085, -0.05), 0.06, 0.055, shade(coat, 1.1), f"{letter}fleg", "fur")
        figure.ellipse((side * 0.22, -0.05), (0.09, 0.055), shade(coat, 0.9), f"{letter}bleg", "fur")
    head = np.float32([rng.uniform(-0.05, 0.05), -0.74])
    for letter, side in (("l", 1), ("r", -1)):
        figure.polygon(
            [head + (side * 0.02, -0.12), head + (side * 0.17, -0.28), head + (side * 0.2, -0.02)], coat, f"{letter}ear"
        )
        figure.polygon(
            [head + (side * 0.08, -0.12), head + (side * 0.15, -0.22), head + (side * 0.16, -0.08)],
            (205, 140, 140),
            f"{letter}ear",
        )
    figure.ellipse(head, (0.21, 0.175), coat, "head", "fur")
    for side in (1, -1):
        figure.ellipse(head + (side * 0.085, -0.03), (0.042, 0.036), (190, 205, 60), "head")
        figure.ellipse(head + (side * 0.085, -0.03), (0.014, 0.034), (10, 10, 10), "head")
    figure.polygon([head + (-0.03, 0.04), head + (0.03, 0.04), head + (0, 0.075)], (190, 110, 110), "head")
    figure.ellipse(head + (0, 0.1), (0.07, 0.045), shade(coat, 1.35), "head")
    return figure


def draw_bird(rng: np.random.Generator) -> Figure:
    direction = -1 if rng.random() < 0.5 else 1
    plumage, beak = pick_colour(rng, "any"), pick_colour(rng, "clay")
    near, far = _near_far(direction)
    figure = Figure("bird")
    d = np.float32([direction, 1])
    flying = figure.flies = rng.random() < 0.4
    lift = rng.uniform(0.8, 1.15)
    if flying:
        figure.polygon(
            np.float32([(0.1, -0.45), (-0.05, -0.85 * lift), (-0.22, -0.8 * lift), (-0.15, -0.42)]) * d,
            shade(plumage, 0.6),
            f"{far}wing",
            "stripes",
        )
    else:
        for letter, x, tint in ((far, 0.08, 0.7), (near, -0.02, 1.0)):
            figure.limb(
                (x * direction, -0.24), ((x + 0.02) * direction, -0.02), 0.024, 0.02, shade(beak, tint), f"{letter}leg"
            )
            figure.limb(
                (x * direction, -0.02), ((x + 0.1) * direction, -0.02), 0.022, 0.018, shade(beak, tint), f"{letter}foot"
            )
    figure.polygon(
        np.float32([(-0.25, -0.44), (-0.62, -0.47), (-0.6, -0.32), (-0.2, -0.27)]) * d,
        shade(plumage, 0.7),
        "tail",
        "stripes",
    )
    figure.ellipse((-0.03, -0.38) * d, (0.32, 0.185), plumage, "torso", angle=-0.25 * direction)
    figure.ellipse((0.06, -0.32) * d, (0.2, 0.11), shade(plumage, 1.4) + 20, "torso", angle=-0.25 * direction)
    head = np.float32([0.3, -0.6]) * d
    figure.polygon([head + (0.1, -0.06) * d, head + (0.3, 0.01) * d, head + (0.1, 0.07) * d], beak, "beak")
    figure.ellipse(head, (0.15, 0.135), shade(plumage, 0.85), "head")
    figure.ellipse(head + (0.05, -0.02) * d, (0.034, 0.034), (245, 245, 245), "head")
    figure.ellipse(head + (0.055, -0.02) * d, (0.018, 0.018), (5, 5, 5), "head")
    if flying:
        figure.polygon(
            np.float32([(0.12, -0.42), (0.1, -0.95 * lift), (-0.1, -1.0 * lift), (-0.24, -0.4)]) * d,
            shade(plumage, 0.8),
            f"{near}wing",
            "stripes",
        )
    else:
        figure.ellipse(
            (-0.1, -0.41) * d, (0.23, 0.11), shade(plumage, 0.65), f"{near}wing", "stripes", angle=-0.3 * direction
        )
    return figure


def _wheel(figure, x, radius, part="wheel"):
    figure.ellipse((x, -radius), (radius, radius), (30, 30, 32), part)
    figure.ellipse((x, -radius), (0.5 * radius, 0.5 * radius), (165, 165, 170), part)


def draw_car(rng: np.random.Generator) -> Figure:
    direction = -1 if rng.random() < 0.5 else 1
    paint, glass = pick_colour(rng, "metal"), pick_colour(rng, "glass")
    side = "leftside" if direction < 0 else "rightside"
    roof = -rng.uniform(0.36, 0.46)
    back = rng.uniform(-0.44, -0.3)
    figure = Figure("car")
    d = np.float32([direction, 1])
    body = [
        (-0.5, -0.09),
        (-0.5, -0.24),
        (back, -0.27),
        (back + 0.1, roof),
        (0.12, roof),
        (0.26, -0.27),
        (0.47, -0.22),
        (0.5, -0.09),
    ]
    figure.polygon(np.float32(body) * d, paint, side)
    rear = [(back + 0.06, -0.265), (back + 0.125, roof + 0.035), (-0.1, roof + 0.035), (-0.1, -0.265)]
    front = [(-0.06, -0.265), (-0.06, roof + 0.035), (0.1, roof + 0.035), (0.2, -0.265)]
    for window in (rear, front):
        figure.polygon(np.float32(window) * d, glass, "window")
    figure.polygon(
        np.float32([(-0.08, -0.245), (0.2, -0.245), (0.18, -0.1), (-0.08, -0.1)]) * d, shade(paint, 0.85), "door"
    )
    figure.limb((0.0, -0.215) * d, (-0.045, -0.215) * d, 0.01, 0.01, (40, 40, 40), "door")
    figure.ellipse((0.465, -0.185) * d, (0.03, 0.028), (250, 245, 190), "headlight")
    figure.limb((-0.48, -0.1) * d, (0.48, -0.1) * d, 0.018, 0.018, shade(paint, 0.45), side)
    for x in (-0.29, 0.29):
        _wheel(figure, x * direction, 0.105)
    return figure


def draw_aeroplane(rng: np.random.Generator) -> Figure:
    direction = -1 if rng.random() < 0.5 else 1
    paint, band = pick_colour(rng, "metal"), pick_colour(rng, "any")
    near, far = _near_far(direction)
    figure = Figure("aeroplane", flies=True)
    d = np.float32([direction, 1])
    figure.polygon(
        np.float32([(0.1, -0.2), (-0.1, -0.36), (-0.2, -0.36), (-0.08, -0.2)]) * d, shade(paint, 0.65), f"{far}wing"
    )
    figure.polygon(np.float32([(-0.34, -0.24), (-0.5, -0.46), (-0.4, -0.46), (-0.22, -0.24)]) * d, band, "tail")
    figure.polygon(
        np.float32(
            [
                (0.5, -0.19),
                (0.44, -0.245),
                (0.34, -0.27),
                (-0.3, -0.27),
                (-0.52, -0.23),
                (-0.3, -0.14),
                (0.36, -0.12),
                (0.46, -0.14),
            ]
        )
        * d,
        paint,
        "body",
    )
    figure.limb((-0.28, -0.165) * d, (0.4, -0.15) * d, 0.014, 0.014, band, "body")
    figure.polygon(
        np.float32([(0.37, -0.245), (0.44, -0.225), (0.44, -0.195), (0.36, -0.205)]) * d, (45, 55, 70), "body"
    )
    for x in np.arange(-0.2, 0.3, 0.1):
        figure.ellipse((x, -0.22) * d, (0.018, 0.018), (45, 55, 70), "body")
    figure.polygon(
        np.float32([(-0.32, -0.2), (-0.5, -0.28), (-0.54, -0.25), (-0.42, -0.19)]) * d, shade(paint, 0.8), "stern"
    )
    figure.polygon(
        np.float32([(0.12, -0.18), (-0.16, 0.02), (-0.27, 0.02), (-0.1, -0.18)]) * d, shade(paint, 0.8), f"{near}wing"
    )
    figure.limb((0.04, -0.075) * d, (-0.06, -0.075) * d, 0.03, 0.026, shade(band, 0.8), "engine")
    return figure


def draw_bottle(rng: np.random.Generator) -> Figure:
    glass, label, cap = pick_colour(rng, "any"), pick_colour(rng, "clay"), pick_colour(rng, "any")
    half, neck, top = rng.uniform(0.13, 0.18), rng.uniform(0.05, 0.065), rng.uniform(-0.68, -0.58)
    figure = Figure("bottle")
    figure.polygon(
        [
            (-half, 0),
            (-half, top),
            (-neck, top - 0.15),
            (-neck, -0.95),
            (neck, -0.95),
            (neck, top - 0.15),
            (half, top),
            (half, 0),
        ],
        glass,
        "body",
    )
    figure.polygon([(-half, -0.2), (-half, -0.48), (half, -0.48), (half, -0.2)], shade(label, 1.2), "body")
    figure.polygon([(-half, -0.31), (-half, -0.37), (half, -0.37), (half, -0.31)], shade(label, 0.5), "body")
    figure.limb((-0.55 * half, -0.53), (-0.55 * half, top), 0.018, 0.018, shade(glass, 1.8) + 50, "body")
    figure.polygon([(-1.25 * neck, -0.9), (-1.25 * neck, -1.0), (1.25 * neck, -1.0), (1.25 * neck, -0.9)], cap, "cap")
    return figure


def draw_pottedplant(rng: np.random.Generator) -> Figure:
    clay, leaf = pick_colour(rng, "clay"), pick_colour(rng, "leaf")
    figure = Figure("pottedplant")
    for angle in np.deg2rad(np.linspace(-75, 75, rng.integers(6, 9)) + rng.uniform(-7, 7)):
        length = rng.uniform(0.42, 0.62)
        tip = np.float32([length * np.sin(angle), -0.4 - length * np.cos(angle)])
        bend = np.float32([-np.cos(angle), -np.sin(angle)]) * 0.075
        middle = 0.45 * np.float32([0, -0.38]) + 0.55 * tip
        figure.polygon(
            [(-0.02, -0.34), middle + bend, tip, middle - bend, (0.02, -0.34)],
            shade(leaf, rng.uniform(0.6, 1.35)),
            "plant",
            "fur",
        )
    figure.polygon([(-0.2, -0.32), (0.2, -0.32), (0.13, 0), (-0.13, 0)], clay, "pot")
    figure.polygon([(-0.24, -0.38), (0.24, -0.38), (0.22, -0.29), (-0.22, -0.29)], shade(clay, 1.15), "pot")
    return figure


def draw_tvmonitor(rng: np.random.Generator) -> Figure:
    frame, glow = pick_colour(rng, "dark"), pick_colour(rng, "any")
    high = rng.uniform(0.58, 0.72)
    figure = Figure("tvmonitor")
    figure.polygon([(-0.05, -0.2), (0.05, -0.2), (0.06, -0.03), (-0.06, -0.03)], shade(frame, 0.8))
    figure.polygon([(-0.2, -0.05), (0.2, -0.05), (0.24, 0), (-0.24, 0)], frame)
    figure.polygon([(-0.5, -0.13), (0.5, -0.13), (0.5, -0.13 - high), (-0.5, -0.13 - high)], frame)
    low, top = -0.19, -0.07 - high
    figure.polygon([(-0.44, low), (0.44, low), (0.44, top), (-0.44, top)], glow, "framescreen")
    figure.polygon([(-0.44, top), (0.1, top), (-0.2, low), (-0.44, low)], shade(glow, 1.35) + 15, "framescreen")
    figure.ellipse((0.42, -0.155), (0.014, 0.014), (90, 230, 90))
    return figure


def draw_chair(rng: np.random.Generator) -> Figure:
    wood, cushion = pick_colour(rng, "floor"), pick_colour(rng, "any")
    direction = -1 if rng.random() < 0.5 else 1
    figure = Figure("chair")
    d = np.float32([direction, 1])
    for x, y in ((-0.17, -0.1), (0.33, -0.1)):
        figure.limb((x, -0.42) * d, (x, y) * d, 0.032, 0.028, shade(wood, 0.6))
    for y in (-0.62, -0.76, -0.9):
        figure.limb((-0.3, y) * d, (-0.14, y - 0.06) * d, 0.034, 0.034, wood)
    figure.limb((-0.14, -0.48) * d, (-0.17, -1.02) * d, 0.032, 0.03, shade(wood, 0.8))
    figure.limb((-0.3, -0.44) * d, (-0.34, -0.97) * d, 0.036, 0.032, wood)
    figure.polygon(np.float32([(-0.33, -0.4), (-0.14, -0.51), (0.36, -0.51), (0.24, -0.4)]) * d, cushion)
    figure.polygon(
        np.float32([(-0.33, -0.4), (0.24, -0.4), (0.36, -0.51), (0.36, -0.45), (0.24, -0.33), (-0.33, -0.33)]) * d,
        shade(cushion, 0.6),
    )
    for x in (-0.3, 0.22):
        figure.limb((x, -0.33) * d, (x, -0.03) * d, 0.036, 0.03, wood)
    return figure


def draw_tree(rng: np.random.Generator) -> Figure:
    """A tree or bush that stands among the objects: stuff without instances, yet with a depth like theirs."""
    leaf = pick_colour(rng, "tree")
    figure = Figure("tree")
    turn = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    rough = 1 + sum(rng.uniform(0.02, 0.09) * np.cos(k * turn + rng.uniform(0, 6.3)) for k in (3, 5, 8, 13))
    half = rng.uniform(0.26, 0.36)
    figure.limb((0, -0.45), (0, -0.03), 0.045, 0.06, pick_colour(rng, "hair"), "", "fur")
    figure.polygon(np.stack((half * rough * np.cos(turn), -0.66 + 0.33 * rough * np.sin(turn)), 1), leaf, "", "leaves")
    return figure


# Name -> (drawing function, smallest and largest size in pixels that a unit of the drawing gets).
OBJECTS = {
    "bird": (draw_bird, (30, 52)),
    "cat": (draw_cat, (32, 62)),
    "horse": (draw_horse, (50, 80)),
    "sheep": (draw_sheep, (42, 72)),
    "aeroplane": (draw_aeroplane, (55, 90)),
    "bottle": (draw_bottle, (36, 64)),
    "car": (draw_car, (58, 95)),
    "chair": (draw_chair, (42, 70)),
    "pottedplant": (draw_pottedplant, (34, 62)),
    "tvmonitor": (draw_tvmonitor, (38, 66)),
}
