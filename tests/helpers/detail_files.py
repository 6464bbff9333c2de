"""Small files in the layout of PASCAL in Detail, and what an index made of them says."""

import contextlib
import json

import numpy as np
from pycocotools import mask as coco_mask

from maskrcnn_benchmark.data.detail.index import SECTIONS, DetailIndex
from maskrcnn_benchmark.data.detail.joint_links import NO_MASK, SEVERAL_FIT
from maskrcnn_benchmark.data.preparation.index_file import connect

PERSON, DOG, SKY = 284, "d", 7  # ids may be texts


CATEGORIES = [
    {"category_id": PERSON, "name": "person", "supercategory": "animal", "onlysemantic": False, "parts": [1, 255]},
    {"category_id": DOG, "name": "dog", "supercategory": "animal", "onlysemantic": 0},
    {"category_id": SKY, "name": "sky", "supercategory": "background", "onlysemantic": True, "parts": []},
]


PARTS = [
    {"part_id": 1, "name": "head", "superpart": "none"},
    {"part_id": 2, "name": "leye", "superpart": "head"},
    {"part_id": 255, "name": "silh", "superpart": "none"},
]


def rectangle(size, box):
    x1, y1, x2, y2 = box
    mask = np.zeros(size, np.uint8, order="F")
    mask[y1 : y2 + 1, x1 : x2 + 1] = 1
    return {"size": list(size), "counts": coco_mask.encode(mask)["counts"].decode()}


def region(number, image, category_id, box, parts=(), iscrowd=0):
    size = (image["height"], image["width"])
    x1, y1, x2, y2 = box
    record = {
        "id": number,
        "image_id": image["image_id"],
        "category_id": category_id,
        "segmentation": rectangle(size, box),
        "area": (x2 - x1 + 1) * (y2 - y1 + 1),
        "bbox": [x1, y1, x2 - x1 + 1, y2 - y1 + 1],
        "iscrowd": iscrowd,
    }
    if parts is not None:
        record["parts"] = [{"part_id": part_id, "segmentation": rectangle(size, inner)} for part_id, inner in parts]
    return record


def person(number, image, box):
    x1, y1, x2, y2 = box
    joints = [x1 + 0.5, y1, 1, 0, 0, 0, x2, y2, 2, *([0] * 33)]
    size = [x2 - x1 + 1, y2 - y1 + 1]
    return {
        "image_id": image["image_id"],
        "person_id": number,
        "category_id": PERSON,
        "bbox": [x1, y1, *size],
        "num_keypoints": 2,
        "keypoints": joints,
    }


def written(folder, content, name="annotations.json"):
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def read_back(index, content):
    """{section: records of all images of the file in file order}, with chains as lists."""
    file = DetailIndex(index)
    found = {section: [] for section in SECTIONS}
    for section in SECTIONS:
        for image_id in file.images:
            for record in file.records(section, image_id):
                if section == "annos_occlusion":
                    record["edges"]["indices"] = [chain.tolist() for chain in record["edges"]["indices"]]
                found[section].append(record)
    return found


def by_image(content):
    """The sections of a file, with the records of an image together."""
    ids = [image["image_id"] for image in content["images"]]
    return {
        section: sorted(content.get(section, []), key=lambda record: ids.index(record["image_id"]))
        for section in SECTIONS
    }


def problems_of(index):
    with contextlib.closing(connect(index)) as connection:
        return connection.execute("SELECT what, place, action, image_id FROM problems ORDER BY position").fetchall()


def of_file(problems):
    """Problems other than those of tying joints to people."""
    return [problem for problem in problems if problem[0] not in (NO_MASK, SEVERAL_FIT)]


def kinds_of(index):
    return {what for what, *_ in of_file(problems_of(index))}
