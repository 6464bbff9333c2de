"""Drawn scenes at the size and complexity of photographs: mini_detail's, enlarged, joined, roughened and renamed."""

from dataclasses import replace

import cv2
import numpy as np

from benchmarks.detail_tables import CLASS_PARTS, STUFF
from maskrcnn_benchmark.data.mini_detail.scene import draw_scene

SIZE = (500, 375)  # of most images of VOC 2010, in pixels
LEAST_SEEN_PIXELS = 60

# What each drawn class may stand for. Together they are the 20 classes that have instances.
ROLES = {
    "car": ("car", "bus", "train", "bicycle", "motorbike"),
    "cat": ("cat", "dog"),
    "horse": ("horse", "cow"),
    "sheep": ("sheep", "cow"),
    "chair": ("chair", "sofa", "diningtable", "boat"),
}
FURTHER_DRAWINGS = 1  # scenes whose objects are put in front of those of the first
STUFF_SPLITS = (3, 5)  # regions that are cut off the drawn stuff: from .. below
# Contours wander by these many pixels (deviation) over these lengths: then the run-length codes of objects, stuff and
# parts are as long as those of eight real images (about 810, 1120 and 110 characters)
ROUGHNESS = ((40.0, 5.0), (6.0, 1.5), (1.0, 0.34))
GRAIN = 14.5  # deviation of the noise in the picture: a JPEG of about 100 KB


def enlarge(scene, picture=False):
    """A drawn scene at `SIZE`, whatever its proportions; its picture only if asked for."""
    height, width = scene.regions.shape
    scale = np.array([SIZE[0] / width, SIZE[1] / height, 1])

    def nearest(labels):
        return cv2.resize(labels, SIZE, interpolation=cv2.INTER_NEAREST_EXACT)

    instances = [
        replace(
            instance,
            part_map=nearest(instance.part_map),
            joints=None if instance.joints is None else instance.joints * scale,
        )
        for instance in scene.instances
    ]
    return replace(
        scene,
        picture=cv2.resize(scene.picture, SIZE, interpolation=cv2.INTER_CUBIC) if picture else None,
        regions=nearest(scene.regions.astype(np.int16)),
        instances=instances,
        unlabelled=nearest(scene.unlabelled.astype(np.uint8)) > 0,
    )


def photograph_like(rng):
    """A `Scene` of `SIZE` with some five objects and seven kinds of stuff, contours as rough as in photographs.

    Names are those of all 59 categories; of a category with parts, each part has one of that category's names.
    """
    scene = enlarge(draw_scene(rng), picture=True)
    for _ in range(FURTHER_DRAWINGS):
        _put_in_front(scene, enlarge(draw_scene(rng), picture=True))
    _split_stuff(rng, scene)
    scene = _roughen(rng, scene)
    scene.instances = [each for each in scene.instances if (scene.regions == each.region).sum() >= LEAST_SEEN_PIXELS]
    _cast(rng, scene)
    grain = cv2.GaussianBlur(rng.standard_normal((*SIZE[::-1], 3), dtype=np.float32), (0, 0), 0.5)
    scene.picture = np.clip(scene.picture + GRAIN / grain.std() * grain, 0, 255).astype(np.uint8)
    return scene


def _put_in_front(scene, other):
    """Add another scene's objects to a scene, in place: they hide what is behind them."""
    front = scene.depths.max() + 1
    for instance in other.instances:
        mask, region = other.regions == instance.region, len(scene.categories)
        for hidden in scene.instances:
            hidden.part_map[mask] = 0
            if hidden.joints is not None:
                x, y = (hidden.joints[:, axis].astype(int).clip(0, SIZE[axis] - 1) for axis in (0, 1))
                hidden.joints[mask[y, x] & (hidden.joints[:, 2] > 0), 2] = 2
        scene.regions[mask] = region
        scene.unlabelled[mask] = False
        scene.picture[mask] = other.picture[mask]
        scene.instances.append(replace(instance, region=region))
        scene.categories.append(instance.category)
        scene.depths = np.append(scene.depths, np.float32(front + region))


def _split_stuff(rng, scene):
    """Cut regions off the stuff and give them names of their own, in place."""
    things = {instance.region for instance in scene.instances}
    unused = [name for name in STUFF if name not in scene.categories]
    for name in rng.choice(unused, rng.integers(*STUFF_SPLITS), replace=False).tolist():
        stuff = [n for n in np.unique(scene.regions).tolist() if n not in things and scene.categories[n] in STUFF]
        region = stuff[rng.integers(len(stuff))]
        hills = _noise(rng, 40.0) + 0.05 * _noise(rng, 3.0)
        level = np.quantile(hills[scene.regions == region], rng.uniform(0.4, 0.7))
        scene.regions[(scene.regions == region) & (hills > level)] = len(scene.categories)
        scene.categories.append(name)
        scene.depths = np.append(scene.depths, scene.depths[region] + np.float32(rng.uniform(0.1, 0.9)))


def _roughen(rng, scene):
    """The scene warped so that its contours wander."""
    shift = np.stack([sum(a * _noise(rng, sigma) for sigma, a in ROUGHNESS) for _ in range(2)]).astype(np.float32)
    y, x = np.mgrid[: SIZE[1], : SIZE[0]].astype(np.float32)

    def warp(values, interpolation=cv2.INTER_NEAREST):
        return cv2.remap(values, x + shift[0], y + shift[1], interpolation, borderMode=cv2.BORDER_REPLICATE)

    instances = [
        replace(each, part_map=warp(each.part_map), joints=_move(each.joints, shift)) for each in scene.instances
    ]
    return replace(
        scene,
        picture=warp(scene.picture, cv2.INTER_LINEAR),
        regions=warp(scene.regions),
        instances=instances,
        unlabelled=warp(scene.unlabelled.view(np.uint8)) > 0,
    )


def _move(joints, shift):
    """Joints [14, 3] to where the warp takes them; those that leave the image are no longer annotated."""
    if joints is None:
        return None
    x, y = (joints[:, axis].astype(int).clip(0, SIZE[axis] - 1) for axis in (0, 1))
    moved = joints.copy()
    moved[:, :2] = np.round(joints[:, :2] - shift[:, y, x].T, 1)
    inside = (moved[:, :2] >= 0).all(1) & (moved[:, :2] <= np.array(SIZE) - 1).all(1) & (joints[:, 2] > 0)
    return np.where(inside[:, None], moved, 0.0)


def _cast(rng, scene):
    """Let objects stand for any class that may look like that, in place; their parts are renamed with them."""
    for instance in scene.instances:
        name = str(rng.choice(ROLES.get(instance.category, (instance.category,))))
        scene.categories[instance.region] = instance.category = name
        known = CLASS_PARTS.get(name, ())
        spare = iter([part for part in known if part not in instance.part_names])
        instance.part_names = [
            "" if not part else part if part in known else next(spare, "") for part in instance.part_names
        ]


def _noise(rng, sigma):
    """Smooth noise float32 [H, W] of deviation one."""
    step = max(1, int(sigma / 3))  # blurring a small field and enlarging it costs a fraction
    white = rng.standard_normal((SIZE[1] // step + 2, SIZE[0] // step + 2), dtype=np.float32)
    field = cv2.GaussianBlur(white, (0, 0), sigma / step)
    field = cv2.resize(field, SIZE, interpolation=cv2.INTER_CUBIC)
    return field / field.std()
