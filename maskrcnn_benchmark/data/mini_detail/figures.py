"""Figures of mini_detail as layers of flat shapes with part names, and the articulated person among them."""

# ruff: noqa: RUF005 -- points are arrays here: adding (x, y) shifts them, nothing is concatenated

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import ArrayLike

from maskrcnn_benchmark.data.mini_detail.textures import figure_pattern, pick_colour, shade
from maskrcnn_benchmark.structures.keypoint import DETAIL_JOINTS

# Pictures are drawn at twice their size and filtered down; the sample at (2x, 2y) is the centre of pixel (x, y).
OVERSAMPLING = 2
_SUBPIXEL_BITS = 4
_CIRCLE = np.stack([f(np.linspace(0, 2 * np.pi, 20, endpoint=False)) for f in (np.cos, np.sin)], 1).astype(np.float32)
_HALF_CIRCLE = np.stack([f(np.linspace(np.pi / 2, 3 * np.pi / 2, 9)) for f in (np.cos, np.sin)], 1).astype(np.float32)


# Parts on which a joint is seen; on any other part of the body it is hidden behind it.
_JOINT_PARTS = {
    "head": ("head", "hair"),
    "neck": ("neck", "torso", "head"),
    **{f"{s}sho": (f"{s}uarm", "torso") for s in "lr"},
    **{f"{s}elb": (f"{s}uarm", f"{s}larm") for s in "lr"},
    **{f"{s}wri": (f"{s}larm", f"{s}hand") for s in "lr"},
    **{f"{s}hip": (f"{s}uleg", "torso") for s in "lr"},
    **{f"{s}knee": (f"{s}uleg", f"{s}lleg") for s in "lr"},
    **{f"{s}ank": (f"{s}lleg", f"{s}foot") for s in "lr"},
}
JOINT_PARTS = tuple(_JOINT_PARTS[name] for name in DETAIL_JOINTS.names)


@dataclass
class Figure:
    """An object as shapes painted one over the other.

    Attributes:
        category: a category's name.
        shapes: (points float32 [N, 2] in pixels, colour [3], part name or "", pattern name), later ones in front.
        joints: float32 [14, 2] in pixels for a person, else None.
        flies: whether it is up in the air.
    """

    category: str
    shapes: list[tuple[np.ndarray, ArrayLike, str, str]] = field(default_factory=list)
    joints: np.ndarray | None = None
    flies: bool = False

    def polygon(self, points: ArrayLike, colour: ArrayLike, part: str = "", pattern: str = "plain") -> None:
        """A filled polygon through points [N, 2]."""
        self.shapes.append((np.asarray(points, np.float32), colour, part, pattern))

    def ellipse(
        self,
        centre: ArrayLike,
        radii: ArrayLike,
        colour: ArrayLike,
        part: str = "",
        pattern: str = "plain",
        angle: float = 0.0,
    ) -> None:
        """A filled ellipse; the angle turns it clockwise on the screen, in radians."""
        turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]], np.float32)
        self.polygon(
            (_CIRCLE * np.asarray(radii, np.float32)) @ turn + np.asarray(centre, np.float32), colour, part, pattern
        )

    def limb(
        self,
        start: ArrayLike,
        stop: ArrayLike,
        start_radius: float,
        stop_radius: float,
        colour: ArrayLike,
        part: str = "",
        pattern: str = "plain",
    ) -> None:
        """A tapering limb with round ends."""
        start, stop = np.asarray(start, np.float32), np.asarray(stop, np.float32)
        x, y = (stop - start) / max(float(np.hypot(*(stop - start))), 1e-6)
        cap = _HALF_CIRCLE @ np.array([[x, y], [-y, x]], np.float32)
        self.polygon(np.concatenate((start + start_radius * cap, stop - stop_radius * cap)), colour, part, pattern)

    def box(self) -> tuple[float, float, float, float]:
        """The shapes' extent (x1, y1, x2, y2) in pixels."""
        points = np.concatenate([shape[0] for shape in self.shapes])
        return (*points.min(0).tolist(), *points.max(0).tolist())

    def moved(self, dx: float, dy: float, scale: float = 1.0) -> "Figure":
        """A copy scaled about (0, 0), then shifted."""
        factor = np.float32(scale)
        offset = np.array([dx, dy], np.float32)
        shapes = [(points * factor + offset, *rest) for points, *rest in self.shapes]
        joints = None if self.joints is None else self.joints * factor + offset
        return Figure(self.category, shapes, joints, self.flies)

    def rasterise(self, shape: tuple[int, int]) -> np.ndarray:
        """The number (from 1) of the shape on top at each sample, 0 outside the figure: uint8 of the given shape."""
        layers = np.zeros(shape, np.uint8)
        scale = OVERSAMPLING * (1 << _SUBPIXEL_BITS)
        for number, (points, *_) in enumerate(self.shapes, 1):
            cv2.fillPoly(layers, [np.rint(points * scale).astype(np.int32)], number, cv2.LINE_8, _SUBPIXEL_BITS)
        return layers

    def part_names(self) -> list[str]:
        """The part name of each layer number, "" for none; index 0 is outside."""
        return ["", *(shape[2] for shape in self.shapes)]


def paint_figure(
    rng: np.random.Generator, figure: Figure, layers: np.ndarray, canvas: np.ndarray, light: tuple[float, float, float]
) -> None:
    """Paints a rasterised figure on the canvas float32 [h, w, 3], in place.

    Args:
        layers: uint8 [h, w] of `Figure.rasterise`.
        light: (from the right -1..1, outline brightness 0..1, overall brightness).
    """
    left, top, width, height = cv2.boundingRect(layers)
    window = (slice(top, top + height), slice(left, left + width))
    numbers = layers[window]
    inside = (numbers > 0).astype(np.uint8)
    colours = np.array([(0, 0, 0), *(shape[1] for shape in figure.shapes)], np.float32)
    patterns = ["plain", *(shape[3] for shape in figure.shapes)]
    gain = np.array(figure_pattern(rng, "plain", numbers.shape), np.float32)
    for name in sorted(set(patterns) - {"plain"}):
        chosen = np.array([pattern == name for pattern in patterns])[numbers]
        gain = np.where(chosen, figure_pattern(rng, name, numbers.shape), gain)
    side, outline, brightness = light
    rim = np.clip(
        cv2.distanceTransform(cv2.copyMakeBorder(inside, 1, 1, 1, 1, cv2.BORDER_CONSTANT), cv2.DIST_L2, 3) / 9, 0, 1
    )
    gain *= (0.8 + 0.25 * rim[1:-1, 1:-1]) * brightness
    gain *= 1 + 0.18 * side * np.linspace(-1, 1, width, dtype=np.float32)
    seams = (
        cv2.morphologyEx(numbers, cv2.MORPH_GRADIENT, np.ones((2, 2), np.uint8), borderType=cv2.BORDER_REPLICATE) > 0
    )
    gain[seams] *= outline
    gain = gain.astype(np.float32, copy=False)
    cv2.copyTo(cv2.multiply(colours[numbers], cv2.merge((gain, gain, gain))), inside, canvas[window])


ARM_POSES = {  # angles from straight down, outwards, in degrees: upper arm, lower arm
    "down": ((6, 28), (-4, 26)),
    "akimbo": ((38, 55), (-65, -40)),
    "raised": ((115, 155), (140, 185)),
    "out": ((60, 95), (55, 105)),
    "wave": ((65, 95), (150, 185)),
    "folded": ((8, 22), (-80, -55)),
}
ARM_SHARES = (0.36, 0.12, 0.16, 0.12, 0.12, 0.12)


def _reach(start, length, side, degrees):
    angle = np.deg2rad(degrees)
    return start + length * np.array([side * np.sin(angle), np.cos(angle)], np.float32)


def _pose(rng, facing, sitting):
    """Joints {name: [2]} for a person of height 1 with the hips' middle at (0, 0), and each arm's pose name."""
    turn = rng.uniform(0.8, 1.0)
    lean = np.deg2rad(rng.uniform(-7, 7))
    joints = {"neck": np.float32([0, -0.335]), "head": np.float32([rng.uniform(-0.012, 0.012), -0.435])}
    arms = {}
    stride = rng.choice(["stand", "walk", "wide"], p=[0.45, 0.35, 0.2])
    lifted = rng.choice(["l", "r"])
    for name in "lr":
        side = facing if name == "l" else -facing  # a person who faces us has the left hand on the image's right
        joints[f"{name}sho"] = np.float32([side * 0.118 * turn, -0.305])
        arms[name] = str(rng.choice(list(ARM_POSES), p=ARM_SHARES))
        upper, lower = (rng.uniform(*span) for span in ARM_POSES[arms[name]])
        joints[f"{name}elb"] = _reach(joints[f"{name}sho"], 0.165, side, upper)
        joints[f"{name}wri"] = _reach(joints[f"{name}elb"], 0.15, side, lower)
    tilt = np.array([[np.cos(lean), np.sin(lean)], [-np.sin(lean), np.cos(lean)]], np.float32)
    joints = {name: point @ tilt for name, point in joints.items()}
    for name in "lr":
        side = facing if name == "l" else -facing
        hip = joints[f"{name}hip"] = np.float32([side * 0.068 * turn, 0.0])
        if sitting:  # thighs come towards us: short, and spread
            knee = _reach(hip, 0.14, side, rng.uniform(25, 60))
            ankle = _reach(knee, 0.205, side, rng.uniform(-10, 8))
        elif stride == "walk" and name == lifted:
            knee = _reach(hip, 0.2, side, rng.uniform(8, 28))
            ankle = _reach(knee, 0.15, side, rng.uniform(-12, 8))
        else:
            spread = rng.uniform(14, 26) if stride == "wide" else rng.uniform(1, 9)
            knee = _reach(hip, 0.235, side, spread)
            ankle = _reach(knee, 0.215, side, spread + rng.uniform(-8, 2))
        joints[f"{name}knee"], joints[f"{name}ank"] = knee, ankle
    return joints, arms


def _draw_leg(figure, joints, name, look, facing):
    side = facing if name == "l" else -facing
    hip, knee, ankle = (joints[f"{name}{joint}"] for joint in ("hip", "knee", "ank"))
    figure.limb(hip, knee, 0.06, 0.046, look["trousers"], f"{name}uleg")
    figure.limb(knee, ankle, 0.045, 0.033, look["shin"], f"{name}lleg")
    toe = ankle + np.float32([side * 0.03, 0.032 if facing > 0 else 0.012])
    figure.limb(
        ankle + np.float32([0, 0.012]), toe, 0.032, 0.034 if facing > 0 else 0.028, look["shoes"], f"{name}foot"
    )


def _draw_arm(figure, joints, name, look):
    shoulder, elbow, wrist = (joints[f"{name}{joint}"] for joint in ("sho", "elb", "wri"))
    figure.limb(shoulder, elbow, 0.044, 0.036, look["sleeve"], f"{name}uarm", look["pattern"])
    figure.limb(elbow, wrist, 0.035, 0.027, look["forearm"], f"{name}larm")
    reach = (wrist - elbow) / np.linalg.norm(wrist - elbow)
    figure.ellipse(wrist + 0.026 * reach, (0.034, 0.034), look["skin"], f"{name}hand")


def _draw_torso(figure, joints, look, facing):
    left, right, neck = joints["lsho"], joints["rsho"], joints["neck"]
    hips = np.float32([joints["lhip"], joints["rhip"]])
    across = np.float32([np.sign(left[0] - right[0]), 0])
    waist = 0.45 * (left + right) / 2 + 0.55 * hips.mean(0)
    outline = [
        neck + (0.03, 0) * across,
        left + (0.025, -0.02) * across + (0, -0.02),
        left + (0.03, 0) * across + (0, 0.03),
        waist + 0.085 * across,
        hips[0] + 0.05 * across + (0, 0.02),
        hips[1] - 0.05 * across + (0, 0.02),
        waist - 0.085 * across,
        right - (0.03, 0) * across + (0, 0.03),
        right - (0.025, 0) * across + (0, -0.02),
        neck - (0.03, 0) * across,
    ]
    figure.polygon(outline, look["shirt"], "torso", look["pattern"])
    if facing > 0:  # a shirt opens at the front: skin at the throat, a row of buttons
        figure.polygon([neck + (-0.03, 0), neck + (0.03, 0), neck + (0, 0.075)], look["skin"], "torso")
        figure.limb(neck + (0, 0.09), hips.mean(0), 0.011, 0.011, look["buttons"], "torso")
    else:  # braces cross on the back
        figure.limb(left + (0, 0.01), hips[1], 0.016, 0.016, look["braces"], "torso")
        figure.limb(right + (0, 0.01), hips[0], 0.016, 0.016, look["braces"], "torso")


def _draw_head(figure, joints, look, facing):
    head, neck = joints["head"], joints["neck"]
    if facing > 0:
        if look["long_hair"]:
            figure.ellipse(head + (0, 0.03), (0.085, 0.1), look["hair"], "hair")
        figure.limb(head, neck + (0, 0.015), 0.034, 0.036, look["skin"], "neck")
        figure.ellipse(head, (0.068, 0.084), look["skin"], "head")
        angles = np.linspace(np.pi, 2 * np.pi, 9)
        fringe = np.stack((0.074 * np.cos(angles), -0.012 + 0.085 * np.sin(angles)), 1)
        figure.polygon(np.concatenate((fringe, [[0.045, -0.04], [-0.045, -0.04]])) + head, look["hair"], "hair")
        for dx in (-0.028, 0.028):
            figure.ellipse(head + (dx, -0.005), (0.011, 0.013), (25, 20, 20), "head")
        figure.limb(head + (-0.014, 0.046), head + (0.014, 0.046), 0.007, 0.007, look["lips"], "head")
    else:
        figure.limb(head, neck + (0, 0.015), 0.034, 0.036, look["skin"], "neck")
        figure.ellipse(head, (0.074, 0.07), look["skin"], "head")
        figure.ellipse(
            head + (0, -0.008 if not look["long_hair"] else 0.022),
            (0.07, 0.085 if not look["long_hair"] else 0.11),
            look["hair"],
            "hair",
        )


def _person_look(rng):
    skin, shirt, trousers = pick_colour(rng, "skin"), pick_colour(rng, "any"), pick_colour(rng, "any")
    bare_arms, bare_legs = rng.random() < 0.5, rng.random() < 0.25
    light = shirt.mean() > 120
    return {
        "skin": skin,
        "shirt": shirt,
        "sleeve": shade(shirt, 0.85),
        "forearm": skin if bare_arms else shade(shirt, 0.95),
        "trousers": trousers,
        "shin": skin if bare_legs else shade(trousers, 0.88),
        "shoes": pick_colour(rng, "dark") if rng.random() < 0.7 else pick_colour(rng, "any"),
        "hair": pick_colour(rng, "hair"),
        "lips": skin * np.float32([0.85, 0.5, 0.5]),
        "buttons": shade(shirt, 0.45) if light else shade(shirt, 1.9) + 25,
        "braces": shade(shirt, 0.35) if light else shade(shirt, 2.2) + 40,
        "pattern": str(rng.choice(["plain", "stripes", "checks"], p=[0.6, 0.25, 0.15])),
        "long_hair": rng.random() < 0.45,
    }


def draw_person(rng: np.random.Generator) -> Figure:
    """A person of height about 1 with the feet at y = 0, facing us or away, and the 14 joints in Detail's order."""
    facing = 1 if rng.random() < 0.68 else -1
    sitting = rng.random() < 0.15
    joints, arms = _pose(rng, facing, sitting)
    look = _person_look(rng)
    figure = Figure("person")
    # Folded arms are before the body; seen from behind, the body hides them.
    behind = [name for name in "lr" if facing < 0 and arms[name] in ("folded", "akimbo")]
    for name in behind:
        _draw_arm(figure, joints, name, look)
    legs_in_front = sitting and facing > 0
    if not legs_in_front:
        for name in "lr":
            _draw_leg(figure, joints, name, look, facing)
    _draw_torso(figure, joints, look, facing)
    if legs_in_front:
        for name in "lr":
            _draw_leg(figure, joints, name, look, facing)
    _draw_head(figure, joints, look, facing)
    for name in "lr":
        if name not in behind:
            _draw_arm(figure, joints, name, look)
    figure.joints = np.stack([joints[name] for name in DETAIL_JOINTS.names]).astype(np.float32)
    return figure.moved(0, -figure.box()[3])
