"""Tiny sets in the layouts of multi-task archives, drawn so that every label is known from a formula.

A scene is a wall that faces the camera, a floor that rises towards it, a person of a sphere (the head) on a box, and a
car. The camera looks along z without perspective: of a sphere of radius r about (cx, cy) the normal at (x, y) is
((x - cx) / r, (y - cy) / r, -sqrt(1 - ...)), and the depth is that of its middle less that last number times r.
"""

import json
from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy.io import savemat

from maskrcnn_benchmark.data.detail.categories import CATEGORY_IDS

METRES = 0.01  # per pixel
WALL_DEPTH, HEAD_DEPTH, FLOOR_SLOPE = 4.0, 2.5, 0.5  # the floor comes nearer by so many pixels for each pixel down
PERSON, CAR = 15, 7
FLOOR_NORMAL = np.array([0, -FLOOR_SLOPE, -1], np.float32) / np.hypot(FLOOR_SLOPE, 1)


@dataclass
class Scene:
    """What is known of each pixel of a drawn image.

    Attributes:
        image: uint8 [H, W, 3].
        label_map: uint16 [H, W], PASCAL-Context's classes.
        semantic: uint8 [H, W], 21 classes.
        objects: list of (label, mask, [(name of a part, mask), ...]).
        salient: bool [H, W].
        normals: float32 [3, H, W]; depth: float32 [H, W], metres.
        rooms: uint8 [H, W], NYUD-v2's PNG: 0 unlabelled, else 1 + class.
    """

    image: np.ndarray
    label_map: np.ndarray
    semantic: np.ndarray
    objects: list
    salient: np.ndarray
    normals: np.ndarray
    depth: np.ndarray
    rooms: np.ndarray


def draw_scene(size=(40, 30), shift=0, with_person=True):
    """A `Scene` of (width, height); `shift` moves the person to the right."""
    width, height = size
    y, x = np.mgrid[:height, :width].astype(np.float32)
    floor = y >= 0.7 * height
    radius = 0.15 * height
    cx, cy = 0.3 * width + shift, 0.3 * height
    lift = radius**2 - (x - cx) ** 2 - (y - cy) ** 2
    head = (lift >= 0) & with_person
    torso = (abs(x - cx) <= radius) & (y > cy + radius) & (y < 0.8 * height) & with_person
    car = (x > 0.65 * width) & (x < 0.95 * width) & (y > 0.5 * height) & (y < 0.8 * height)
    down = y - 0.7 * height
    depth = np.where(floor, WALL_DEPTH - METRES * FLOOR_SLOPE * down, WALL_DEPTH)
    depth = np.where(torso, HEAD_DEPTH, np.where(car, 3.0, depth))
    up = np.sqrt(np.maximum(lift, 0))
    depth = np.where(head, HEAD_DEPTH - METRES * up, depth).astype(np.float32)
    normals = np.zeros((3, height, width), np.float32)
    normals[2] = -1
    normals[:, floor & ~torso & ~car] = FLOOR_NORMAL[:, None]
    normals[:, head] = (np.stack((x - cx, y - cy, -up)) / radius)[:, head]
    person = head | torso
    label_map = np.full((height, width), CATEGORY_IDS["sky"], np.uint16)
    label_map[floor] = CATEGORY_IDS["floor"]
    label_map[car] = CATEGORY_IDS["car"]
    label_map[person] = CATEGORY_IDS["person"]
    rooms = np.select([person, car, floor], [31, 5, 2], 1).astype(np.uint8)
    rooms[:, 0] = 0
    objects = [(CAR, car, [])]
    if with_person:
        objects.append((PERSON, person, [("head", head), ("torso", torso)]))
    return Scene(
        image=np.stack([40 + 200 * person, 40 + 150 * car, 40 + 120 * floor], -1).astype(np.uint8),
        label_map=label_map,
        semantic=np.select([person, car], [PERSON, CAR], 0).astype(np.uint8),
        objects=objects,
        salient=person,
        normals=normals,
        depth=depth,
        rooms=rooms,
    )


def normals_png(normals):
    """uint8 [H, W, 3] of unit vectors: v = 255 (n + 1) / 2."""
    return np.rint(255 * (normals.transpose(1, 2, 0) + 1) / 2).astype(np.uint8)


def struct(rows, fields):
    """A MATLAB struct array 1 x n."""
    made = np.empty((1, len(rows)), [(name, object) for name in fields])
    for place, row in enumerate(rows):
        made[0, place] = row
    return made


def write_anno(path, objects, name="2008_000001"):
    """PASCAL-Part's file of objects as `Scene` has them."""
    rows = []
    for label, mask, parts in objects:
        of_parts = struct([(part, np.uint8(of)) for part, of in parts], ("part_name", "mask")) if parts else []
        rows.append(("person" if label == PERSON else "car", label, np.uint8(mask), np.array(of_parts)))
    made = struct(rows, ("class", "class_ind", "mask", "parts")) if rows else np.zeros((0, 0))
    savemat(path, {"anno": struct([(name, made)], ("imname", "objects"))}, do_compression=True)


def write_pascal(root, train, val=None, voc12=()):
    """An archive like PASCAL_MT or PASCALContext.

    Args:
        root: its folder.
        train, val: {name: `Scene`}; `val` by default as `train`.
        voc12: names of the images that have a file in semseg/VOC12 as well, whose border is void.
    """
    splits = {"train": train, "val": train if val is None else val}
    folders = "JPEGImages ImageSets/Context pascal-context/trainval semseg/VOC12 semseg/pascal-context human_parts"
    for folder in (*folders.split(), "normals_distill", "sal_distill"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for split, scenes in splits.items():
        (root / "ImageSets" / "Context" / f"{split}.txt").write_text(
            "".join(f"{name}\n" for name in scenes), encoding="utf-8"
        )
        for name, scene in scenes.items():
            Image.fromarray(scene.image).save(root / "JPEGImages" / f"{name}.jpg", quality=95)
            label_map = {"LabelMap": scene.label_map}
            savemat(root / "pascal-context" / "trainval" / f"{name}.mat", label_map, do_compression=True)
            Image.fromarray(scene.semantic).save(root / "semseg" / "pascal-context" / f"{name}.png")
            if name in voc12:
                bordered = scene.semantic.copy()
                bordered[0] = 255
                Image.fromarray(bordered).save(root / "semseg" / "VOC12" / f"{name}.png")
            write_anno(root / "human_parts" / f"{name}.mat", scene.objects, name)
            Image.fromarray(normals_png(scene.normals)).save(root / "normals_distill" / f"{name}.png")
            Image.fromarray(np.where(scene.salient, np.uint8(200), np.uint8(30))).save(
                root / "sal_distill" / f"{name}.png"
            )
    return root


def write_class_lists(root, split, scenes):
    """The list of objects' classes that other loaders write into an archive."""
    folder = root / "ImageSets" / "Parts"
    folder.mkdir(exist_ok=True)
    lists = {name: [label for label, _, _ in scene.objects] for name, scene in scenes.items()}
    (folder / f"{split}.txt").write_text(json.dumps(lists), encoding="utf-8")


def edges_of(scene):
    """bool [H, W]: pixels whose right or lower neighbour is another class of the room."""
    edges = np.zeros(scene.rooms.shape, bool)
    edges[:, :-1] |= scene.rooms[:, :-1] != scene.rooms[:, 1:]
    edges[:-1] |= scene.rooms[:-1] != scene.rooms[1:]
    return edges


def write_nyud(root, train, val=None, layout="NYUDv2"):
    """An archive like ATRC's "NYUDv2" (PNG of images, edges and normals) or MTI-Net's "NYUD_MT" (JPEG and arrays)."""
    splits = {"train": train, "val": train if val is None else val}
    for folder in ("images", "segmentation", "depth", "normals", "edge", "gt_sets"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for split, scenes in splits.items():
        (root / "gt_sets" / f"{split}.txt").write_text("".join(f"{name}\n" for name in scenes), encoding="utf-8")
        for name, scene in scenes.items():
            Image.fromarray(scene.rooms).save(root / "segmentation" / f"{name}.png")
            np.save(root / "depth" / f"{name}.npy", scene.depth)
            if layout == "NYUDv2":
                Image.fromarray(scene.image).save(root / "images" / f"{name}.png")
                Image.fromarray(np.uint8(255) * edges_of(scene)).save(root / "edge" / f"{name}.png")
                Image.fromarray(normals_png(scene.normals)).save(root / "normals" / f"{name}.png")
            else:
                Image.fromarray(scene.image).save(root / "images" / f"{name}.jpg", quality=95)
                np.save(root / "edge" / f"{name}.npy", edges_of(scene).astype(np.float32))
                np.save(root / "normals" / f"{name}.npy", scene.normals.transpose(1, 2, 0))
    return root
