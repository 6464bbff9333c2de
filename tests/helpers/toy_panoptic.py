"""A data set in COCO's panoptic format: three images of 6x3 pixels, of which two are annotated."""

import json

import numpy as np
from PIL import Image

CATEGORIES = [
    {"id": 1, "name": "person", "isthing": 1, "supercategory": "person"},
    {"id": 184, "name": "tree-merged", "isthing": 0},
    {"id": 3, "name": "car", "isthing": 1},
    {"id": 187, "name": "sky-other-merged", "isthing": 0},
]
# void, sky, two persons, a crowd of cars
IDS = np.array([[0, 9, 9, 9, 9, 9], [9, 70_000, 70_000, 300, 9, 9], [9, 70_000, 300, 300, 5, 5]])
SEGMENTS = [
    {"id": 9, "category_id": 187, "iscrowd": 0, "bbox": [0, 0, 6, 3], "area": 10},
    {"id": 300, "category_id": 1, "iscrowd": 0},
    {"id": 5, "category_id": 3, "iscrowd": 1},
    {"id": 70_000, "category_id": 1, "iscrowd": 0},
]


def content():
    images = [{"id": key, "file_name": f"{key}.jpg", "width": 6, "height": 3} for key in (12, 7, 30)]
    rows = [
        {"image_id": 12, "file_name": "12.png", "segments_info": [{**segment} for segment in SEGMENTS]},
        {"image_id": 7, "file_name": "7.png", "segments_info": [{"id": 1, "category_id": 184}]},
    ]
    categories = [dict(row) for row in CATEGORIES]
    return {"info": {}, "images": images, "annotations": rows, "categories": categories}


def save(root, content):
    """The path of the JSON file of a set; the last of its three images is not annotated."""
    (root / "panoptic").mkdir(exist_ok=True)
    (root / "images").mkdir(exist_ok=True)
    for name, ids in (("12", IDS), ("7", np.ones_like(IDS))):
        rgb = np.stack([ids % 256, ids // 256 % 256, ids // 65536], -1).astype(np.uint8)
        Image.fromarray(rgb).save(root / "panoptic" / f"{name}.png")
    (root / "panoptic.json").write_text(json.dumps(content), encoding="utf-8")
    return root / "panoptic.json"
