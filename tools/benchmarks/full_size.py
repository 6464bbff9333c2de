"""A made-up file of the size of PASCAL in Detail: drawn scenes, repeated, streamed to disk section by section."""

import io
import json
import os
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from pycocotools import mask as run_length
from tqdm import tqdm

from benchmarks.detail_tables import CATEGORY_IDS, PART_IDS, STUFF, category_rows, part_rows
from benchmarks.photograph_scenes import SIZE, photograph_like
from maskrcnn_benchmark.data.mini_detail import writing as mini_detail
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.files import copy_file, mkdir, open_output, workshop, writing

VERSION = 1  # raise it with every change to what is drawn or written: older folders are then refused
JPEG_QUALITY = 92
RECIPE_FILE = "recipe.json"
SECTIONS = ("annos_segmentation", "annos_boundary", "annos_occlusion", "annos_joints")


@dataclass
class _Drawing:
    """One scene's records, each as JSON text without the ids that differ between its repetitions."""

    instances: list
    stuff: list
    boundary: list
    occlusion: list
    joints: list


def write_full_size(folder, images=10100, seed=0, unique=200):
    """Make folder/annotations.json in PASCAL in Detail's layout and folder/images/*.jpg.

    Half of the images are of phase "train", half "val". Image k shows scene k modulo `unique`, and its picture is a
    hard link to (or, where there are none, a copy of) that scene's. It is made beside the folder and moved there when
    whole. Where the folder holds what the same arguments made, nothing is done.

    Args:
        folder: to be made; empty if it exists.
        images: number of images.
        seed: the same seed gives the same bytes.
        unique: number of different scenes.

    Returns:
        {"images", "regions", "objects", "parts", "people", "bytes"}: what was written.

    Raises `UserError` if the folder holds anything else.
    """
    folder = Path(folder)
    recipe = {"version": VERSION, "images": images, "seed": seed, "unique": unique}
    if (folder / RECIPE_FILE).is_file():
        made = json.loads((folder / RECIPE_FILE).read_text(encoding="utf-8"))
        if made.items() >= recipe.items():
            return made["counts"]
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} holds something else; remove it or choose another --out")
    mkdir(folder.absolute().parent)
    with workshop(folder.absolute()) as finished, writing(folder):
        (finished / "images").mkdir(parents=True)
        counts = _write(finished, images, seed, unique)
        with open_output(finished / RECIPE_FILE) as file:
            file.write(json.dumps({**recipe, "counts": counts}).encode())
        finished.rename(folder)  # an empty folder gives way
    return counts


def _write(folder, images, seed, unique):
    names = [f"2008_{number:06d}.jpg" for number in range(1, images + 1)]
    scenes = tqdm(range(min(unique, images)), desc="scenes", unit="scene", disable=None)
    drawings = [_draw(folder / "images" / names[n], np.random.default_rng([seed, n])) for n in scenes]
    for number in range(len(drawings), images):
        _link(folder / "images" / names[number % len(drawings)], folder / "images" / names[number])
    path = folder / "annotations.json"
    with open_output(path) as file:
        text = io.TextIOWrapper(file, "ascii")
        counts = _write_sections(text, names, drawings)
        text.flush()
        text.detach()
    return {**counts, "bytes": path.stat().st_size}


def _link(source, target):
    try:
        os.link(source, target)
    except OSError:  # the file system has no hard links, or no more of them for this file
        copy_file(source, target)


def _draw(path, rng):
    """Draw a scene, write its picture and return its records."""
    scene = photograph_like(rng)
    _, encoded = cv2.imencode(".jpg", scene.picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    with open_output(path) as file:
        file.write(encoded.tobytes())
    boundary, occlusion = mini_detail.boundary_annotation(scene, 0), mini_detail.occlusion_annotation(scene, 0, rng)
    joints = mini_detail.joint_annotations(scene, 0)
    sections = (_instances(scene), _stuff(scene), [boundary], [occlusion], joints)
    return _Drawing(*([_open_ended(record) for record in records] for records in sections))


def _open_ended(record):
    """A record as JSON text from after its ids on."""
    return json.dumps({key: value for key, value in record.items() if key != "image_id"})[1:]


def _instances(scene):
    """annos_segmentation records of the objects that have a class, without ids."""
    records = []
    for instance in scene.instances:
        shown = {name: mask for name, mask in instance.parts().items() if name}
        own, *parts = _encode([scene.regions == instance.region, *shown.values()])
        rows = [{"part_id": PART_IDS[name], "segmentation": code} for name, code in zip(shown, parts)]
        records.append(_record(instance.category, own, 0, rows))
    return records


def _stuff(scene):
    """annos_segmentation records of the stuff, one merged region a class, without ids."""
    present = {scene.categories[region] for region in np.unique(scene.regions)}
    names = [name for name in STUFF if name in present]
    masks = []
    for name in names:
        regions = [n for n, category in enumerate(scene.categories) if category == name]
        masks.append(np.isin(scene.regions, regions) & ~scene.unlabelled)
    seen = [(name, mask) for name, mask in zip(names, masks) if mask.any()]
    return [_record(name, code, 1, []) for (name, _), code in zip(seen, _encode([mask for _, mask in seen]))]


def _encode(masks):
    codes = [run_length.encode(np.asfortranarray(mask, dtype=np.uint8)) for mask in masks]
    return [{"size": code["size"], "counts": code["counts"].decode("ascii")} for code in codes]


def _record(category, code, iscrowd, parts):
    return {
        "category_id": CATEGORY_IDS[category],
        "segmentation": code,
        "area": int(run_length.area(code)),
        "bbox": [int(edge) for edge in run_length.toBbox(code)],
        "iscrowd": iscrowd,
        "parts": parts,
    }


def _write_sections(file, names, drawings):
    """Write the whole JSON, record by record. Returns how many there are of which kind."""
    image_ids = [int(name[:4] + name[5:11]) for name in names]
    counts = {"images": len(names), "regions": 0, "objects": 0, "parts": 0, "people": 0}
    info = {
        "description": "drawn scenes of the size and in the layout of PASCAL in Detail",
        "version": "3.0",
        "year": 2017,
        "contributor": "tools/make_full_size.py",
        "date_created": "2017-07-18",
    }
    file.write(f'{{"info": {json.dumps(info)}, "images": [')
    for n, (name, image_id) in enumerate(zip(names, image_ids)):
        row = {
            "file_name": name,
            "image_id": image_id,
            "width": SIZE[0],
            "height": SIZE[1],
            "phase": "train" if n % 2 == 0 else "val",
            "date_captured": "31-May-2015 17:44:04",
        }
        file.write(f"{', ' if n else ''}{json.dumps(row)}")
    file.write(f'], "categories": {json.dumps(category_rows())}, "parts": {json.dumps(part_rows())}')
    passes = (
        ("annos_segmentation", "id", ("instances", "stuff")),
        ("annos_boundary", None, ("boundary",)),
        ("annos_occlusion", None, ("occlusion",)),
        ("annos_joints", "person_id", ("joints",)),
    )
    bar = tqdm(total=len(names) * 5, desc="annotations", unit="record", unit_scale=True, disable=None)
    for section, key, kinds in passes:
        file.write(f', "{section}": [')
        number = 0
        for kind in kinds:  # all objects of the file come before all stuff, as in the real one
            for n, image_id in enumerate(image_ids):
                records = getattr(drawings[n % len(drawings)], kind)
                for record in records:
                    own = f'"{key}": {number + 1}, ' if key else ""
                    file.write(f'{", " if number else ""}{{{own}"image_id": {image_id}, {record}')
                    number += 1
                if kind == "instances":
                    counts["objects"] += len(records)
                    counts["parts"] += sum(record.count('"part_id"') for record in records)
                bar.update()
        counts |= {"annos_segmentation": {"regions": number}, "annos_joints": {"people": number}}.get(section, {})
        file.write("]")
    bar.close()
    file.write("}")
    return counts
