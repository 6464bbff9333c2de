"""Makes mini_detail, the embedded data set: drawn scenes with all tasks' labels in PASCAL in Detail's JSON layout.

python -m maskrcnn_benchmark.data.mini_detail --out datasets/mini_detail --train 2000 --val 100 --seed 0
"""

import json
import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from pycocotools import mask as run_length
from tqdm import tqdm

from maskrcnn_benchmark.data.mini_detail.edges import boundary_map, occlusion_chains
from maskrcnn_benchmark.data.mini_detail.scene import Scene, draw_scene
from maskrcnn_benchmark.data.mini_detail.surfaces import lit, surfaces_of
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.files import mkdir, open_output, workshop, writing
from maskrcnn_benchmark.utils.small_json import read_small_json

GENERATOR_VERSION = 3  # raise it with every change to what is drawn or written: old folders are then made anew
JPEG_QUALITY = 92
PERSON = "person"
MAPS = ("saliency", "normals", "depth")  # folders beside that of the images, see `surfaces.Surfaces.files`

# Real ids, names and supercategories of PASCAL in Detail: (id, name, supercategory, onlysemantic).
CATEGORIES = (
    (2, "aeroplane", "object", False),
    (25, "bird", "animal", False),
    (34, "bottle", "object", False),
    (44, "building", "object", True),
    (59, "car", "object", False),
    (65, "cat", "animal", False),
    (72, "chair", "object", False),
    (105, "curtain", "object", True),
    (158, "floor", "background", True),
    (187, "grass", "background", True),
    (207, "horse", "animal", False),
    (259, "mountain", "object", True),
    (284, "person", "object", False),
    (308, "pottedplant", "object", False),
    (324, "road", "background", True),
    (347, "sheep", "animal", False),
    (360, "sky", "background", True),
    (420, "tree", "background", True),
    (427, "tvmonitor", "object", False),
    (440, "wall", "object", True),
    (445, "water", "background", True),
)
CATEGORY_IDS = {name: number for number, name, *_ in CATEGORIES}

# The parts that each thing is drawn with, by their real names.
THING_PARTS = {
    "aeroplane": ("body", "engine", "lwing", "rwing", "stern", "tail"),
    "bird": ("beak", "head", "lfoot", "lleg", "lwing", "rfoot", "rleg", "rwing", "tail", "torso"),
    "bottle": ("body", "cap"),
    "car": ("door", "headlight", "leftside", "rightside", "wheel", "window"),
    "cat": ("head", "lbleg", "lear", "lfleg", "rbleg", "rear", "rfleg", "tail", "torso"),
    "chair": (),
    "horse": (
        "head", "lblleg", "lbuleg", "lflleg", "muzzle", "neck",
        "rblleg", "rbuleg", "rflleg", "rfuleg", "tail", "torso",
    ),
    "person": (
        "hair", "head", "lfoot", "lhand", "llarm", "llleg", "luarm", "luleg", "neck",
        "rfoot", "rhand", "rlarm", "rlleg", "ruarm", "ruleg", "torso",
    ),
    "pottedplant": ("plant", "pot"),
    "sheep": (
        "head", "lblleg", "lbuleg", "lear", "lflleg", "rblleg",
        "rbuleg", "rear", "rflleg", "rfuleg", "tail", "torso",
    ),
    "tvmonitor": ("framescreen",),
}  # fmt: skip

# Real part ids (the numbering of trainval_withkeypoints.json).
PART_IDS = {
    "beak": 2, "body": 4, "cap": 6, "door": 12, "engine": 13, "framescreen": 16, "hair": 19, "head": 21,
    "headlight": 22, "lbleg": 27, "lblleg": 28, "lbuleg": 29, "lear": 30, "leftside": 33, "lfleg": 36, "lflleg": 37,
    "lfoot": 38, "lhand": 39, "llarm": 41, "lleg": 42, "llleg": 43, "luarm": 44, "luleg": 45, "lwing": 46,
    "muzzle": 48, "neck": 49, "plant": 51, "pot": 52, "rbleg": 54, "rblleg": 55, "rbuleg": 56, "rear": 57,
    "rfleg": 61, "rflleg": 62, "rfoot": 63, "rfuleg": 64, "rhand": 65, "rightside": 68, "rlarm": 69, "rleg": 70,
    "rlleg": 71, "ruarm": 73, "ruleg": 74, "rwing": 75, "stern": 77, "tail": 78, "torso": 79, "wheel": 80,
    "window": 81,
}  # fmt: skip
SUPERPARTS = {
    **dict.fromkeys(("lear", "rear", "hair"), "head"),
    **dict.fromkeys(("luarm", "llarm", "lhand"), "leftarm"),
    **dict.fromkeys(("ruarm", "rlarm", "rhand"), "rightarm"),
    **dict.fromkeys(("luleg", "llleg"), "leftleg"),
    **dict.fromkeys(("ruleg", "rlleg"), "rightleg"),
}

# How often an image lacks a section, as many real ones do; validation images keep more.
MISSING = {
    "train": {"boundary": 0.15, "occlusion": 0.15, "joints": 0.15, "parts": 0.15, "segmentation": 0.04},
    "val": {"boundary": 0.04, "occlusion": 0.04, "joints": 0.04, "parts": 0.04, "segmentation": 0.0},
}


def _encode(masks):
    """RLE dictionaries of bool masks [N, H, W], ready for JSON."""
    if not len(masks):
        return []
    stacked = np.empty((len(masks), *masks[0].shape[::-1]), np.uint8)
    np.stack([mask.T for mask in masks], out=stacked, casting="unsafe")
    encoded = run_length.encode(stacked.transpose(2, 1, 0))  # column-major, as pycocotools wants it
    return [{"size": rle["size"], "counts": rle["counts"].decode("ascii")} for rle in encoded]


def _annotation(image_id, category, rle, iscrowd, parts):
    """One entry of annos_segmentation, still without its id."""
    return {
        "image_id": image_id,
        "category_id": CATEGORY_IDS[category],
        "segmentation": rle,
        "area": int(run_length.area(rle)),
        "bbox": [int(edge) for edge in run_length.toBbox(rle)],
        "iscrowd": iscrowd,
        "parts": parts,
    }


def instance_annotations(scene: Scene, image_id: int, with_parts: bool = True) -> list[dict[str, Any]]:
    """annos_segmentation entries of the scene's objects (iscrowd 0), far to near."""
    annotations = []
    for instance in scene.instances:
        masks = instance.parts() if with_parts else {}
        rle, *part_rles = _encode([scene.regions == instance.region, *masks.values()])
        parts = [{"part_id": PART_IDS[name], "segmentation": part} for name, part in zip(masks, part_rles)]
        annotations.append(_annotation(image_id, instance.category, rle, 0, parts))
    return annotations


def stuff_annotations(scene: Scene, image_id: int) -> list[dict[str, Any]]:
    """annos_segmentation entries of the scene's stuff: one merged region a class (iscrowd 1)."""
    things = {instance.region for instance in scene.instances}
    names = sorted({name for n, name in enumerate(scene.categories) if n not in things})
    number_of_region = np.array(
        [0 if n in things else 1 + names.index(name) for n, name in enumerate(scene.categories)]
    )
    labelled = np.where(scene.unlabelled, 0, number_of_region[scene.regions])
    seen = np.bincount(labelled.ravel(), minlength=len(names) + 1)
    found = {name: labelled == n for n, name in enumerate(names, 1) if seen[n]}
    return [_annotation(image_id, name, rle, 1, []) for name, rle in zip(found, _encode(list(found.values())))]


def joint_annotations(scene: Scene, image_id: int) -> list[dict[str, Any]]:
    """annos_joints entries of the scene's persons, still without their person_id."""
    entries = []
    for instance in scene.instances:
        if instance.joints is None or not instance.joints[:, 2].any():
            continue
        x, y, width, height = cv2.boundingRect((scene.regions == instance.region).view(np.uint8))
        keypoints = [value for x_, y_, v in instance.joints.tolist() for value in (x_, y_, int(v))]
        entries.append(
            {
                "image_id": image_id,
                "category_id": CATEGORY_IDS[PERSON],
                "bbox": [x, y, width, height],
                "num_keypoints": int(np.count_nonzero(instance.joints[:, 2])),
                "keypoints": keypoints,
            }
        )
    return entries


def boundary_annotation(scene: Scene, image_id: int) -> dict[str, Any]:
    """The annos_boundary entry of the scene."""
    return {
        "image_id": image_id,
        "boundary_mask": _encode(boundary_map(scene.regions, scene.depths)[None].view(bool))[0],
    }


def occlusion_annotation(scene: Scene, image_id: int, rng: np.random.Generator) -> dict[str, Any]:
    """The annos_occlusion entry of the scene; every chain runs one way or the other, with the label that fits."""
    height, width = scene.regions.shape
    indices, labels = [], []
    for chain in occlusion_chains(scene.regions, scene.depths):
        linear = chain[:, 0] * height + chain[:, 1]  # column-major, from 0
        backwards = rng.random() < 0.5
        indices.append((linear[::-1] if backwards else linear).tolist())
        labels.append(2 if backwards else 1)
    edges = {"indices": indices, "edgelabel": labels}
    return {"image_id": image_id, "ne": len(labels), "imsize": [height, width], "edges": edges}


def _draw_image(folder, seed, with_maps, split, index, first_number):
    """Draws one image into the folder and returns its entries by section of the JSON."""
    rng = np.random.default_rng([seed, ("train", "val").index(split), index])
    scene = draw_scene(rng)
    number = first_number + index
    image_id = 2008 * 10**6 + number
    name = f"2008_{number:06d}.jpg"
    picture = scene.picture
    if with_maps:
        surfaces = surfaces_of(scene)
        picture = lit(picture, surfaces.normals, np.random.default_rng([seed, ("train", "val").index(split), index, 1]))
        for kind, values in surfaces.files().items():
            _, encoded = cv2.imencode(".png", values[..., ::-1] if values.ndim == 3 else values)
            _write(folder.parent / kind / f"2008_{number:06d}.png", encoded.tobytes())
    _, encoded = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    _write(folder / name, encoded.tobytes())
    height, width = scene.regions.shape
    occlusion = occlusion_annotation(scene, image_id, rng)
    lacks = {section: rng.random() < share for section, share in MISSING[split].items()}
    # An image without objects and joints would read as one without persons: of the two, only one is ever left out.
    lacks["joints"] = lacks["joints"] and not lacks["segmentation"]
    return {
        "image": {
            "file_name": name, "image_id": image_id, "width": width, "height": height, "phase": split,
            "date_captured": "31-May-2015 17:44:04",
        },
        "instances": [] if lacks["segmentation"] else instance_annotations(scene, image_id, not lacks["parts"]),
        "stuff": [] if lacks["segmentation"] else stuff_annotations(scene, image_id),
        "boundary": [] if lacks["boundary"] else [boundary_annotation(scene, image_id)],
        "occlusion": [] if lacks["occlusion"] else [occlusion],
        "joints": [] if lacks["joints"] else joint_annotations(scene, image_id),
    }  # fmt: skip


def header() -> dict[str, Any]:
    """The JSON's sections that are the same for every set."""
    part_names = sorted({name for names in THING_PARTS.values() for name in names}, key=PART_IDS.__getitem__)
    return {
        "info": {
            "description": "mini_detail: drawn scenes in the layout of PASCAL in Detail",
            "version": "3.0",
            "year": 2017,
            "contributor": "maskrcnn_benchmark",
            "date_created": "2017-07-18",
        },
        "categories": [
            {
                "category_id": number, "name": name, "supercategory": kind, "onlysemantic": onlysemantic,
                "parts": [PART_IDS[part] for part in THING_PARTS.get(name, ())],
            }
            for number, name, kind, onlysemantic in CATEGORIES
        ],
        "parts": [{"part_id": PART_IDS[n], "name": n, "superpart": SUPERPARTS.get(n, "none")} for n in part_names],
    }  # fmt: skip


def _write_set(folder, num_train, num_val, seed, with_maps):
    """Writes images, maps if they are asked for, and annotations.json into an empty folder."""
    images = folder / "images"
    images.mkdir()
    for kind in MAPS if with_maps else ():
        (folder / kind).mkdir()
    jobs = [("train", n, 1) for n in range(num_train)] + [("val", n, 1 + num_train) for n in range(num_val)]
    drawn = [
        _draw_image(images, seed, with_maps, *job) for job in tqdm(jobs, desc="mini_detail", unit="image", disable=None)
    ]

    def section(name):
        return [entry for image in drawn for entry in image[name]]

    joints = section("joints")
    content = {
        **header(),
        "images": [image["image"] for image in drawn],
        "annos_segmentation": [
            {"id": n, **entry} for n, entry in enumerate(section("instances") + section("stuff"), 1)
        ],
        "annos_boundary": section("boundary"),
        "annos_occlusion": section("occlusion"),
        "annos_joints": [{"person_id": n, **entry} for n, entry in enumerate(joints, 1)],
    }
    _write(folder / "annotations.json", json.dumps(content, separators=(",", ":")).encode())


def _write(path, data):
    with open_output(path) as file:
        file.write(data)


def _is_complete(root, recipe):
    """Whether the folder holds a finished set made by this recipe."""
    note = root / "generator.json"
    if not note.is_file() or not (root / "annotations.json").is_file() or not (root / "images").is_dir():
        return False
    try:
        made_by = read_small_json(note)
    except UserError:
        return False
    folders = [root / name for name in ("images", *(MAPS if recipe.get("maps") else ()))]
    number = recipe["num_train"] + recipe["num_val"]
    return made_by == recipe and all(folder.is_dir() and len(os.listdir(folder)) == number for folder in folders)


def _put_in_place(finished, root, recipe):
    """Moves the finished folder to root, in the place of an older set, which its workshop takes up."""
    if _is_complete(root, recipe):
        return  # another process was faster
    try:
        if root.exists():
            root.rename(finished.parent / "old")
        finished.rename(root)
    except OSError:
        if not _is_complete(root, recipe):
            raise


def write_mini_detail(
    root: str | os.PathLike, num_train: int = 2000, num_val: int = 100, seed: int = 0, maps: bool = False
) -> Path:
    """Makes the mini_detail data set: root/annotations.json and root/images/*.jpg.

    The same arguments give the same bytes. The set is made in a temporary folder beside root and moved there when it is
    whole. If root already holds a complete set of the same recipe, nothing is done.

    Args:
        root: the folder to make; an older mini_detail in it is replaced.
        num_train, num_val: images of phase "train" and "val".
        seed: a number from 0.
        maps: also write the true saliency, normals and depth of every scene, see `surfaces`, into the folders
            root/saliency, root/normals and root/depth. The pictures are then lit, so that these can be learnt from
            them; everything else is as without.

    Returns:
        Path of root.

    Raises:
        UserError: root exists and is not a mini_detail folder, a number is out of range, or the disk takes no more.
    """
    root = Path(root)
    for name, number in (("num_train", num_train), ("num_val", num_val), ("seed", seed)):
        if number < 0:
            raise UserError(f"{name} is {number}: mini_detail needs a number from 0")
    recipe = {"generator_version": GENERATOR_VERSION, "num_train": num_train, "num_val": num_val, "seed": seed}
    if maps:
        recipe["maps"] = True
    if _is_complete(root, recipe):
        return root
    if root.exists() and not (root / "generator.json").is_file() and (not root.is_dir() or any(root.iterdir())):
        raise UserError(f"{root}: exists and was not made by mini_detail; choose another folder or remove this one")
    mkdir(root.parent)
    with workshop(root) as finished, writing(root):
        finished.mkdir()
        _write_set(finished, num_train, num_val, seed, maps)
        _write(finished / "generator.json", json.dumps(recipe).encode())
        _put_in_place(finished, root, recipe)
    return root
