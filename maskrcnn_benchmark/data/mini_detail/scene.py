"""Scenes of mini_detail: a layout of stuff, objects placed in it by depth, and the exact labels of what is seen."""

from dataclasses import dataclass

import cv2
import numpy as np

from maskrcnn_benchmark.data.mini_detail.figures import (
    JOINT_PARTS,
    OVERSAMPLING,
    Figure,
    draw_person,
    paint_figure,
)
from maskrcnn_benchmark.data.mini_detail.objects import OBJECTS, draw_tree
from maskrcnn_benchmark.data.mini_detail.textures import noise, stuff_surface

# Depths of stuff, larger is nearer. Surfaces that meet without one hiding the other share a depth. Figures start at 10.
STUFF_DEPTHS = {
    "sky": 0, "mountain": 1, "tree": 2, "building": 2, "grass": 3, "road": 3, "water": 3, "wall": 3, "floor": 3,
    "curtain": 4,
}  # fmt: skip
FIRST_FIGURE_DEPTH = 10
OUTDOOR_OBJECTS = {
    "car": 0.2,
    "aeroplane": 0.16,
    "bird": 0.16,
    "horse": 0.17,
    "sheep": 0.17,
    "cat": 0.06,
    "pottedplant": 0.04,
    "chair": 0.04,
}
INDOOR_OBJECTS = {"tvmonitor": 0.24, "bottle": 0.22, "pottedplant": 0.18, "chair": 0.18, "cat": 0.18}
PERSON_SIZES = (56, 108)
LEAST_SEEN_PIXELS, LEAST_SEEN_SHARE = 50, 0.35


@dataclass
class Instance:
    """One object as it is seen.

    Attributes:
        region: its number in Scene.regions.
        category: its category's name.
        part_map: uint8 [H, W], 0 where it has no part, else an index into part_names.
        part_names: names of the parts; the first, of number 0, is "".
        joints: float [14, 3] (x, y, v) in pixels for a person, else None.
    """

    region: int
    category: str
    part_map: np.ndarray
    part_names: list[str]
    joints: np.ndarray | None

    def parts(self) -> dict[str, np.ndarray]:
        """The visible parts {name: bool [H, W]}."""
        seen = np.bincount(self.part_map.ravel(), minlength=len(self.part_names))
        return {name: self.part_map == n for n, name in enumerate(self.part_names) if name and seen[n]}


@dataclass
class Scene:
    """A picture and its labels.

    Attributes:
        picture: uint8 [H, W, 3] RGB.
        regions: int32 [H, W], the region seen at each pixel.
        depths: float32 [R], larger is nearer.
        categories: R category names.
        instances: the objects, far to near.
        unlabelled: bool [H, W], stuff that the annotators left out.
        outdoors: whether it is under the sky.
        horizon: row where the ground ends: at the horizon, or at the foot of the wall.
        standing: (figure in pixels, its silhouette bool [H, W], hidden parts included) of the last of the regions.
    """

    picture: np.ndarray
    regions: np.ndarray
    depths: np.ndarray
    categories: list[str]
    instances: list[Instance]
    unlabelled: np.ndarray
    outdoors: bool
    horizon: float
    standing: list[tuple[Figure, np.ndarray]]


class _Backdrop:
    """Stuff painted far to near at the oversampled size: region numbers and colours."""

    def __init__(self, rng: np.random.Generator, height: int, width: int) -> None:
        self.rng = rng
        self.shape = (height * OVERSAMPLING, width * OVERSAMPLING)
        self.regions = np.zeros(self.shape, np.int32)
        self.canvas = np.zeros((*self.shape, 3), np.float32)
        self.names: list[str] = []
        self.rows = np.arange(self.shape[0], dtype=np.float32)[:, None]

    def add(self, name: str, mask: np.ndarray) -> None:
        """Paints stuff where mask [h, w] holds."""
        mask = np.ascontiguousarray(np.broadcast_to(mask, self.shape)).view(np.uint8)
        left, top, width, height = cv2.boundingRect(mask)
        if width == 0:
            return
        window = (slice(top, top + height), slice(left, left + width))
        cv2.copyTo(stuff_surface(self.rng, name, (height, width)).astype(np.float32), mask[window], self.canvas[window])
        self.regions[mask.view(bool)] = len(self.names)
        self.names.append(name)

    def below(self, curve: np.ndarray) -> np.ndarray:
        """The mask under a curve [w] of row positions."""
        return self.rows >= curve[None]

    def wave(self, level: float, amplitude: float) -> np.ndarray:
        """A gently swinging curve [w] about a level, both in rows."""
        columns = np.linspace(0, 1, self.shape[1], dtype=np.float32)
        rng = self.rng
        swings = sum(
            np.sin(columns * f + rng.uniform(0, 6.3)) / n
            for n, f in enumerate((rng.uniform(1, 5), rng.uniform(6, 14)), 1)
        )
        return level + amplitude * swings

    def crags(self, level: float, height: float, count: int) -> np.ndarray:
        """A broken line [w] of random peaks between `level` and `level - height`."""
        places = np.sort(self.rng.uniform(-0.1, 1.1, count)) * self.shape[1]
        peaks = level - height * self.rng.uniform(0.15, 1.0, count)
        return np.interp(np.arange(self.shape[1]), places, peaks)

    def crowns(self, level: float, height: float) -> np.ndarray:
        """The ragged top [w] of a row of trees."""
        start, pitch = self.rng.uniform(0, 6.3), self.rng.uniform(24, 44)
        columns = np.arange(self.shape[1])
        lumps = np.abs(np.sin(columns * np.pi / pitch + start)) ** 0.6
        ragged = noise(self.rng, "leaf", (1, self.shape[1]))[0]
        return level - height * (0.55 + 0.45 * lumps) + 2.2 * ragged

    def skyline(self, level: float, height: float) -> np.ndarray:
        """The flat roofs [w] of a row of houses."""
        columns = np.arange(self.shape[1])
        walls = np.cumsum(self.rng.uniform(40, 110, 10))
        roofs = self.rng.uniform(0.5, 1.0, 11)
        return level - height * roofs[np.searchsorted(walls, columns)]


def _span(rng, width):
    """A mask [1, w] of a stretch of columns that covers between two fifths and all of the width."""
    length = rng.uniform(0.4, 1.15)
    start = rng.uniform(-0.15, max(1.1 - length, -0.1))
    columns = np.linspace(0, 1, width)
    return ((columns >= start) & (columns <= start + length))[None]


def _outdoors(backdrop):
    """Paints an outdoor scene; returns the rows of the horizon and of the nearest shore, oversampled."""
    rng, (height, width) = backdrop.rng, backdrop.shape
    horizon = height * rng.uniform(0.38, 0.6)
    everywhere = np.ones(backdrop.shape, bool)
    backdrop.add("sky", everywhere)
    if rng.random() < 0.45:
        backdrop.add(
            "mountain", backdrop.below(backdrop.crags(horizon, height * rng.uniform(0.15, 0.34), rng.integers(5, 9)))
        )
    trees, houses = rng.random() < 0.4, rng.random() < 0.42
    if houses:
        roofs = backdrop.skyline(horizon, height * rng.uniform(0.18, 0.36))
        backdrop.add("building", backdrop.below(roofs) & _span(rng, width))
    if trees:
        crowns = backdrop.crowns(horizon, height * rng.uniform(0.1, 0.26))
        backdrop.add("tree", backdrop.below(crowns) & _span(rng, width))
    ground = rng.choice(["grass", "road", "water"], p=[0.52, 0.3, 0.18])
    line = backdrop.wave(horizon, height * rng.uniform(0.005, 0.035))
    backdrop.add(str(ground), backdrop.below(line))
    shore = horizon
    if ground == "water":  # a lake or the sea, seen from the bank
        shore = horizon + (height - horizon) * rng.uniform(0.3, 0.6)
        backdrop.add(
            str(rng.choice(["grass", "road"], p=[0.7, 0.3])), backdrop.below(backdrop.wave(shore, height * 0.025))
        )
    elif ground == "road":  # a street with a verge, on this side or the other
        verge = backdrop.wave(horizon + (height - horizon) * rng.uniform(0.25, 0.75), height * 0.012)
        mask = backdrop.below(verge) if rng.random() < 0.4 else backdrop.below(line) & ~backdrop.below(verge)
        backdrop.add("grass", mask)
    elif rng.random() < 0.45:  # a way that runs towards the horizon
        near, far = rng.uniform(0.1, 0.9) * width, rng.uniform(0.2, 0.8) * width
        half = width * rng.uniform(0.16, 0.3)
        mask = np.zeros(backdrop.shape, np.uint8)
        corners = [
            (near - half, height),
            (near + half, height),
            (far + 0.12 * half, horizon),
            (far - 0.12 * half, horizon),
        ]
        cv2.fillPoly(mask, [np.rint(corners).astype(np.int32)], 1)
        backdrop.add("road", mask.view(bool) & backdrop.below(line))
    return horizon, shore


def _indoors(backdrop):
    """Paints a room; returns the rows of the wall's foot, twice, oversampled."""
    rng, (height, width) = backdrop.rng, backdrop.shape
    foot = height * rng.uniform(0.5, 0.72)
    backdrop.add("wall", np.ones(backdrop.shape, bool))
    slope = height * rng.uniform(-0.06, 0.06)
    corner = rng.uniform(-0.3, 1.3) * width
    columns = np.arange(width, dtype=np.float32)
    backdrop.add("floor", backdrop.below(foot + slope * np.abs(columns - corner) / width))
    if rng.random() < 0.6:
        left = rng.uniform(-0.1, 0.75) * width
        right = left + rng.uniform(0.18, 0.4) * width
        hem = foot + height * rng.uniform(-0.06, 0.06) + 2.5 * np.sin(columns / 4)
        backdrop.add("curtain", (columns >= left)[None] & (columns <= right)[None] & ~backdrop.below(hem))
    return foot, foot


def _choose_objects(rng, outdoors):
    """Category names for one scene: persons most often, one to four objects in all, now and then none."""
    if rng.random() < 0.03:
        return []
    persons = rng.choice([0, 1, 2, 3], p=[0.19, 0.5, 0.26, 0.05])
    others = rng.choice([0, 1, 2], p=[0.25, 0.5, 0.25]) if persons else rng.choice([1, 2, 3], p=[0.45, 0.4, 0.15])
    table = OUTDOOR_OBJECTS if outdoors else INDOOR_OBJECTS
    names = [str(name) for name in rng.choice(list(table), size=min(others, 4 - persons), p=list(table.values()))]
    if outdoors and rng.random() < 0.22:
        names.append("tree")
    return ["person"] * int(persons) + names


def _draw(rng, name):
    """The named figure and its size in pixels."""
    if name == "person":
        return draw_person(rng), rng.uniform(*PERSON_SIZES)
    if name == "tree":
        return draw_tree(rng), rng.uniform(50, 100)
    draw, sizes = OBJECTS[name]
    return draw(rng), rng.uniform(*sizes)


def _stand(rng, figure, size, shape, horizon, shore):
    """Where the figure's (0, 0), its foot's middle, comes to lie: (x, y) in pixels."""
    height, width = shape
    x = rng.uniform(0.06, 0.94) * width
    if figure.flies:
        return x, rng.uniform(min(0.5 * size, 0.8 * horizon), max(0.95 * horizon, 0.6 * size))
    if figure.category == "tvmonitor" and rng.random() < 0.6:  # hangs on the wall
        return x, rng.uniform(min(0.7 * size, 0.9 * horizon), 0.95 * horizon)
    if rng.random() < 0.1:  # stands so near that the picture's lower edge cuts it off
        return x, height + rng.uniform(0.06, 0.3) * size
    low = min(max(shore + 0.08 * (height - shore), 0.93 * size), height - 3)
    return x, rng.uniform(low, height - 1)


def _overlap(box, other):
    """The intersection of two boxes (x1, y1, x2, y2) over the smaller one's area."""
    w, h = min(box[2], other[2]) - max(box[0], other[0]), min(box[3], other[3]) - max(box[1], other[1])
    smaller = min((b[2] - b[0]) * (b[3] - b[1]) for b in (box, other))
    return max(w, 0) * max(h, 0) / smaller


def _place(rng, names, shape, horizon, shore):
    """Figures that do not hide each other too much, as (figure, y of the foot), far to near."""
    placed, boxes = [], []
    for name in names:
        figure, size = _draw(rng, name)
        x1, y1, x2, y2 = (size * edge for edge in figure.box())
        for _ in range(10):
            x, y = _stand(rng, figure, size, shape, horizon, shore)
            box = (x + x1, y + y1, x + x2, y + y2)
            inside = _overlap(box, (0, 0, shape[1] - 1, shape[0] - 1))
            if inside > 0.66 and all(_overlap(box, other) < 0.42 for other in boxes):
                placed.append((figure.moved(x, y, size), y))
                boxes.append(box)
                break
    return sorted(placed, key=lambda pair: pair[1])


def _seen(layers):
    """Which figures can be made out: not so hidden by nearer ones or so cut off that nobody would annotate them."""
    top = np.zeros(layers[0].shape, np.int32)
    for number, layer in enumerate(layers, 1):
        top[layer > 0] = number
    counts = np.bincount(top.ravel(), minlength=len(layers) + 1)[1:]
    whole = np.array([np.count_nonzero(layer) for layer in layers])
    return (counts >= LEAST_SEEN_PIXELS) & (counts >= LEAST_SEEN_SHARE * whole)


def _label_instance(figure, layer, region, regions):
    """The Instance of a figure that is rasterised in `layer` uint8 [H, W] and seen where `regions` [H, W] says so."""
    shape_parts = figure.part_names()
    names = sorted({*shape_parts})
    number_of_shape = np.array([names.index(name) for name in shape_parts], np.uint8)
    part_map = number_of_shape[np.where(regions == region, layer, 0)]
    return Instance(region, figure.category, part_map, names, _label_joints(figure, part_map, names))


def _label_joints(figure, shown, names):
    """Joints float [14, 3]: v = 0 outside the picture, 1 where the limb is seen there, 2 where something hides it.

    Args:
        shown: uint8 [H, W], the number in `names` of the part seen at each pixel.
    """
    if figure.joints is None:
        return None
    height, width = shown.shape
    joints = np.zeros((len(figure.joints), 3), np.float64)
    for row, (x, y), seen_on in zip(joints, np.round(figure.joints.astype(np.float64), 1), JOINT_PARTS):
        column, line = int(np.floor(x + 0.5)), int(np.floor(y + 0.5))
        if 0 <= column < width and 0 <= line < height:
            row[:] = x, y, 1 if names[shown[line, column]] in seen_on else 2
    return joints


def _cast_shadow(canvas, figure, y, strength):
    """Darkens the ground under a figure, in place."""
    x1, _, x2, _ = figure.box()
    centre = (int((x1 + x2) / 2 * OVERSAMPLING), int(y * OVERSAMPLING))
    radii = (max(int((x2 - x1) * 0.55 * OVERSAMPLING), 2), max(int((x2 - x1) * 0.12 * OVERSAMPLING), 2))
    top, bottom = max(centre[1] - 2 * radii[1], 0), min(centre[1] + 2 * radii[1], canvas.shape[0])
    left, right = max(centre[0] - 2 * radii[0], 0), min(centre[0] + 2 * radii[0], canvas.shape[1])
    if top >= bottom or left >= right:
        return
    rows = (np.arange(top, bottom, dtype=np.float32)[:, None] - centre[1]) / radii[1]
    columns = (np.arange(left, right, dtype=np.float32)[None] - centre[0]) / radii[0]
    gain = 1 - np.float32(strength) * (np.exp(-(rows**2)) * np.exp(-(columns**2)))
    window = canvas[top:bottom, left:right]
    window[:] = cv2.multiply(window, cv2.merge((gain, gain, gain)))


def _develop(rng, canvas):
    """The camera: filters the canvas down to a picture uint8 [H, W, 3] with uneven light, tint, blur and noise."""
    tent = np.float32([0.25, 0.5, 0.25])
    picture = cv2.sepFilter2D(canvas, -1, tent, tent)[::OVERSAMPLING, ::OVERSAMPLING]
    height, width = picture.shape[:2]
    across, down = np.linspace(-1, 1, width)[None], np.linspace(-1, 1, height)[:, None]
    light = 1 + rng.uniform(-0.15, 0.15) * across + rng.uniform(-0.12, 0.12) * down
    tint = rng.uniform(0.85, 1.12) * (1 + rng.uniform(-0.06, 0.06, 3))
    picture = cv2.multiply(picture, cv2.transform(light.astype(np.float32), tint[:, None].astype(np.float32)))
    if rng.random() < 0.5:
        picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.3, 0.7))
    picture += rng.uniform(2, 7) * rng.standard_normal(picture.shape, dtype=np.float32)
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


def _leave_unlabelled(rng, regions, figures_from):
    """Stuff pixels bool [H, W] that stay without a label, as annotators leave them: a patch, or seams in the stuff."""
    height, width = regions.shape
    missed = np.zeros(regions.shape, np.uint8)
    if rng.random() < 0.45:
        centre = (int(rng.integers(width)), int(rng.integers(height)))
        cv2.ellipse(
            missed,
            centre,
            (int(rng.integers(5, 15)), int(rng.integers(4, 11))),
            float(rng.uniform(0, 180)),
            0,
            360,
            1,
            -1,
        )
    if rng.random() < 0.35:
        seams = cv2.morphologyEx(regions.astype(np.uint8), cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
        missed |= (seams > 0).astype(np.uint8)
    return missed.astype(bool) & (regions < figures_from)


def draw_scene(rng: np.random.Generator) -> Scene:
    """Draws one Scene with all its random choices from the generator `rng`."""
    height, width = int(rng.integers(14, 19)) * 8, int(rng.integers(18, 23)) * 8
    if rng.random() < 0.2:
        height, width = width, height
    else:
        height = min(height, 144)
    backdrop = _Backdrop(rng, height, width)
    outdoors = rng.random() < 0.66
    horizon, shore = (edge / OVERSAMPLING for edge in (_outdoors if outdoors else _indoors)(backdrop))
    placed = _place(rng, _choose_objects(rng, outdoors), (height, width), horizon, shore)
    layers = [figure.rasterise(backdrop.shape) for figure, _ in placed]
    step = (slice(None, None, OVERSAMPLING), slice(None, None, OVERSAMPLING))
    if placed:
        kept = np.flatnonzero(_seen([layer[step] for layer in layers])).tolist()
        placed, layers = [placed[i] for i in kept], [layers[i] for i in kept]
    regions = backdrop.regions[step].copy()
    figures_from = len(backdrop.names)
    light = (rng.uniform(-1, 1), rng.uniform(0.45, 0.75))
    for number, ((figure, y), layer) in enumerate(zip(placed, layers), figures_from):
        if y > horizon:
            _cast_shadow(backdrop.canvas, figure, min(y, figure.box()[3]), rng.uniform(0.25, 0.5))
        paint_figure(rng, figure, layer, backdrop.canvas, (*light, rng.uniform(0.85, 1.1)))
        regions[layer[step] > 0] = number
    depths = [STUFF_DEPTHS[name] for name in backdrop.names] + [FIRST_FIGURE_DEPTH + n for n in range(len(placed))]
    instances = [
        _label_instance(figure, layer[step], number, regions)
        for number, ((figure, _), layer) in enumerate(zip(placed, layers), figures_from)
        if figure.category not in STUFF_DEPTHS
    ]
    categories = backdrop.names + [figure.category for figure, _ in placed]
    unlabelled = _leave_unlabelled(rng, regions, figures_from)
    return Scene(
        _develop(rng, backdrop.canvas),
        regions,
        np.array(depths, np.float32),
        categories,
        instances,
        unlabelled,
        outdoors,
        horizon,
        [(figure, layer[step] > 0) for (figure, _), layer in zip(placed, layers)],
    )
