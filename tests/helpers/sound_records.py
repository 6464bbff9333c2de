"""The records of one image of PASCAL in Detail without a fault, and what the checks make of changed ones."""

import copy

import numpy as np
from pycocotools import mask as coco_mask

from maskrcnn_benchmark.data.detail.checks import Tables, check_image

WIDTH, HEIGHT = 20, 12


ROW = {"image_id": 7, "file_name": "a.jpg", "width": WIDTH, "height": HEIGHT, "phase": "train"}


TABLES = Tables(
    categories={
        284: {"name": "person", "supercategory": "animal", "onlysemantic": False, "parts": []},
        59: {"name": "car", "supercategory": "object", "onlysemantic": False, "parts": []},
        360: {"name": "sky", "supercategory": "background", "onlysemantic": True, "parts": []},
    },
    parts={21: "head", 79: "torso"},
    occlusion_base=0,
)


def encode(x1, y1, x2, y2, size=(WIDTH, HEIGHT)):
    """Run-length code of a rectangle, last row and column included."""
    mask = np.zeros((size[1], size[0]), np.uint8, order="F")
    mask[y1 : y2 + 1, x1 : x2 + 1] = 1
    code = coco_mask.encode(mask)
    return {"size": [size[1], size[0]], "counts": code["counts"].decode()}


def part(part_id, *box):
    return {"part_id": part_id, "segmentation": encode(*box)}


def pixel(column, row):
    return column * HEIGHT + row


def sound():
    """The records of one image without a fault."""
    return {
        "annos_segmentation": [
            {
                "id": 1,
                "image_id": 7,
                "category_id": 284,
                "segmentation": encode(2, 1, 7, 10),
                "area": 60,
                "bbox": [2, 1, 6, 10],
                "iscrowd": 0,
                "parts": [part(21, 3, 1, 5, 3), part(79, 2, 4, 7, 8), part(255, 2, 1, 7, 10)],
            },
            {
                "id": 2,
                "image_id": 7,
                "category_id": 360,
                "segmentation": encode(10, 0, 19, 2),
                "area": 30,
                "bbox": [10, 0, 10, 3],
                "iscrowd": 1,
                "parts": [],
            },
        ],
        "annos_boundary": [{"image_id": 7, "boundary_mask": encode(2, 1, 2, 10)}],
        "annos_occlusion": [
            {
                "image_id": 7,
                "ne": 2,
                "imsize": [HEIGHT, WIDTH],
                "edges": {
                    "indices": [[pixel(3, 2), pixel(4, 3), pixel(4, 4)], [pixel(0, 0), pixel(19, 11)][:1]],
                    "edgelabel": [1, 2],
                },
            }
        ],
        "annos_joints": [
            {
                "image_id": 7,
                "person_id": 1,
                "category_id": 284,
                "bbox": [2.0, 1.0, 6.0, 9.5],
                "num_keypoints": 2,
                "keypoints": [4.5, 2.0, 1, 4.5, 3.9, 2, *([0] * 36)],
            }
        ],
    }


def check(records, **changes):
    """(records kept, [(what, where, action)]) of the image; what goes in is not changed."""
    before = copy.deepcopy(records)
    kept, problems = check_image({**ROW, **changes}, records, TABLES)
    assert records == before
    assert all(problem.image_id == 7 for problem in problems)
    return kept, [(problem.what, problem.where, problem.action) for problem in problems]


def changed(section, position=0, **values):
    """The sound records with some values of one of them replaced; `...` removes a key."""
    records = sound()
    record = {**records[section][position], **values}
    records[section][position] = {key: value for key, value in record.items() if value is not ...}
    return records


def changed_region(position=0, **values):
    return changed("annos_segmentation", position, **values)


PERSON = "annos_segmentation 1 of image 7"


GOOD = encode(2, 1, 7, 10)


def coco_counts(x1, y1, x2, y2):
    mask = np.zeros((WIDTH, HEIGHT), bool)
    mask[x1 : x2 + 1, y1 : y2 + 1] = True
    steps = np.flatnonzero(np.diff(mask.ravel(), prepend=False, append=not mask[-1, -1]))
    return np.diff(steps, prepend=0).tolist()
