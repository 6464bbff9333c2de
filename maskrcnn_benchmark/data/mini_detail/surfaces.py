"""The space of a drawn scene: depth, surface normals and what is salient, and light on it that shows them.

A pinhole camera stands 1.5 m above level ground. Things stand where their feet are, each a flat figure whose rim is
round; a wall is 5 m away and the horizon 40 m. x is to the right, y down and z towards the camera.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from maskrcnn_benchmark.data.mini_detail.scene import STUFF_DEPTHS, Scene
from maskrcnn_benchmark.structures.dense_map import NO_NORMAL

CAMERA_HEIGHT = 1.5  # metres
FOCAL_LENGTH = 1.2  # heights of the picture
WALL, HORIZON, NEAREST = 5.0, 40.0, 0.5  # metres
FLYING = {"aeroplane": 9.0, "bird": 0.7}  # metres across, of what tells its distance by its size
RIM = 9  # pixels over which the outline of a figure is round
GROUND = ("grass", "road", "water", "floor")
UPRIGHT = (0.0, 0.0, 1.0)
STUFF_NORMALS = {
    **dict.fromkeys(GROUND, (0.0, -1.0, 0.0)),
    **dict.fromkeys(("wall", "building", "curtain"), UPRIGHT),
    "mountain": (0.0, -0.6, 0.8),
    "tree": (0.0, -0.28, 0.96),
}
SALIENT = 0.5  # of the pixels that the largest object shows: what shows as many is salient
DARK, BRIGHT = 0.45, 0.75  # of the light of a surface: what comes from everywhere, and what the lamp adds


@dataclass
class Surfaces:
    """What is seen at each pixel of a scene.

    Attributes:
        depth: float32 [H, W] in metres, 0 in the sky.
        normals: float32 [H, W, 3], unit vectors (x, y, z), zeros in the sky.
        salient: bool [H, W].
    """

    depth: np.ndarray
    normals: np.ndarray
    salient: np.ndarray

    def files(self) -> dict[str, np.ndarray]:
        """{folder: what a PNG holds}: uint8 [H, W] and [H, W, 3] RGB, and millimetres uint16 [H, W]."""
        codes = np.rint((self.normals + 1) * 127.5).astype(np.uint8)
        codes[~self.normals.any(axis=2)] = NO_NORMAL
        return {
            "saliency": self.salient.astype(np.uint8) * 255,
            "normals": codes,
            "depth": np.rint(self.depth * 1000).astype(np.uint16),
        }


def surfaces_of(scene: Scene) -> Surfaces:
    """The surfaces of a scene."""
    height, width = scene.regions.shape
    focal = FOCAL_LENGTH * height
    far = HORIZON if scene.outdoors else WALL
    eye_level = scene.horizon - CAMERA_HEIGHT * focal / far

    def of_row(row):
        """The depth of ground that is seen in a row; above the end of the ground that of its end."""
        return CAMERA_HEIGHT * focal / np.maximum(row - eye_level, CAMERA_HEIGHT * focal / far)

    ground = np.broadcast_to(of_row(np.arange(height, dtype=np.float32))[:, None], (height, width))
    depth = np.zeros((height, width), np.float32)
    normals = np.zeros((height, width, 3), np.float32)
    number_of_stuff = len(scene.categories) - len(scene.standing)
    for region, name in enumerate(scene.categories[:number_of_stuff]):
        seen = scene.regions == region
        if name in STUFF_NORMALS and seen.any():
            normals[seen] = STUFF_NORMALS[name]
            depth[seen] = ground[seen] if name in GROUND else far - 0.5 * (STUFF_DEPTHS[name] - 3)
    for region, (figure, silhouette) in enumerate(scene.standing, number_of_stuff):
        seen = scene.regions == region
        if not seen.any():
            continue
        left, _, right, bottom = figure.box()
        if figure.flies:
            distance = focal * FLYING.get(figure.category, 1.0) / max(right - left, 1)
        elif bottom <= scene.horizon:  # it hangs on the wall
            distance = far - 0.1
        else:
            distance = of_row(bottom)
        relief = _relief(silhouette)
        slope_y, slope_x = np.gradient(relief)
        vectors = np.stack((-slope_x, -slope_y, np.ones_like(relief)), axis=2)
        normals[seen] = (vectors / np.linalg.norm(vectors, axis=2, keepdims=True))[seen]
        distance = np.clip(distance, NEAREST, far)
        depth[seen] = (distance - relief * (distance / focal))[seen]
    return Surfaces(depth, normals, _salient(scene))


def lit(picture: np.ndarray, normals: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A picture uint8 [H, W, 3] under a lamp, from above on either side, that falls on normals float32 [H, W, 3].

    What has no normal stays as it is.
    """
    lamp = np.array([rng.uniform(-0.8, 0.8), -rng.uniform(0.5, 0.9), rng.uniform(0.5, 0.9)], np.float32)
    light = DARK + BRIGHT * np.clip(normals @ (lamp / np.linalg.norm(lamp)), 0, None)
    light[~normals.any(axis=2)] = 1
    return np.clip(np.rint(picture * light[:, :, None]), 0, 255).astype(np.uint8)


def _relief(silhouette: np.ndarray) -> np.ndarray:
    """How far a figure bool [H, W] bulges towards the camera, in pixels: float32 [H, W]."""
    inside = cv2.copyMakeBorder(silhouette.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    distance = cv2.distanceTransform(inside, cv2.DIST_L2, 5)[1:-1, 1:-1]
    radius = min(RIM, max(float(distance.max()), 1))
    share = np.minimum(distance / radius, 1)
    return cv2.GaussianBlur(radius * np.sqrt(1 - (1 - share) ** 2), (0, 0), 1)


def _salient(scene: Scene) -> np.ndarray:
    counts = [np.count_nonzero(scene.regions == instance.region) for instance in scene.instances]
    chosen = [i.region for i, count in zip(scene.instances, counts) if count >= SALIENT * max(counts)]
    return np.isin(scene.regions, chosen)
