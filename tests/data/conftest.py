"""A tiny data set in PASCAL in Detail's layout, small enough to know every pixel of it."""

import json

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from maskrcnn_benchmark.config import cfg as default_cfg

CATEGORIES = [
    {"category_id": 9, "name": "sky", "onlysemantic": True},
    {"category_id": 1, "name": "zebra", "onlysemantic": "false"},
    {"category_id": 7, "name": "person", "onlysemantic": False, "parts": [40, 59]},
    {"category_id": 5, "name": "wall", "onlysemantic": 1},
    {"category_id": 3, "name": "dog", "onlysemantic": 0},
]
PARTS = [
    {"part_id": 21, "name": "head", "superpart": "none"},
    {"part_id": 34, "name": "leye", "superpart": "head"},
    {"part_id": 59, "name": "reye", "superpart": "head"},
    {"part_id": 40, "name": "ruarm", "superpart": "none"},
    {"part_id": 255, "name": "silh", "superpart": "none"},
]
JOINTS = [3.0, 2.0, 1, 0, 0, 0, 4.0, 4.5, 2, *([0] * 30), 5.0, 8.0, 1]


def rectangle(size, x1, y1, x2, y2):
    """A filled rectangle, last row and column included: bool [H, W]."""
    mask = np.zeros((size[1], size[0]), bool)
    mask[y1 : y2 + 1, x1 : x2 + 1] = True
    return mask


def encode(mask):
    """COCO's compressed run-length code with text instead of bytes, as it stands in JSON."""
    code = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": [int(side) for side in code["size"]], "counts": code["counts"].decode()}


def region(number, image, category_id, box, iscrowd, **more):
    """One segmentation record of a rectangle."""
    size = (image["width"], image["height"])
    x1, y1, x2, y2 = box
    return {
        "id": number,
        "image_id": image["image_id"],
        "category_id": category_id,
        "segmentation": encode(rectangle(size, *box)),
        "bbox": [x1, y1, x2 - x1 + 1, y2 - y1 + 1],
        "iscrowd": iscrowd,
        **more,
    }


def part(image, part_id, box):
    """One part record of a rectangle."""
    return {"part_id": part_id, "segmentation": encode(rectangle((image["width"], image["height"]), *box))}


def tiny_content():
    """The annotation file as a dictionary: five images, of which the first carries all tasks and the third none."""
    images = [
        {"image_id": 11, "file_name": "a.jpg", "width": 20, "height": 12, "phase": "train"},
        {"image_id": 12, "file_name": "b.jpg", "width": 12, "height": 20, "phase": "train"},
        {"image_id": 13, "file_name": "c.jpg", "width": 20, "height": 12, "phase": "train"},
        {"image_id": 14, "file_name": "d.jpg", "width": 16, "height": 16, "phase": "val"},
        {"image_id": 15, "file_name": "e.jpg", "width": 16, "height": 10, "phase": "val"},
    ]
    a, b, _, d, e = images
    # image a, column-major numbers: a chain going down column 10 with the occluder on its left, which is to the right
    # in the image; another going right along row 6, columns 13..18, with the occluder on its right, which is below
    down = [10 * 12 + row for row in range(1, 9)]
    right = [column * 12 + 6 for column in range(13, 19)]
    boundary = np.zeros((10, 6), bool)
    boundary[4, :] = True
    return {
        "info": {"version": "3.0"},
        "images": images,
        "categories": CATEGORIES,
        "parts": PARTS,
        "annos_segmentation": [
            region(
                1,
                a,
                7,
                (2, 1, 7, 9),
                0,
                parts=[part(a, 34, (3, 2, 3, 2)), part(a, 21, (2, 1, 7, 3)), part(a, 255, (2, 1, 7, 9))],
            ),
            region(2, a, 5, (0, 8, 19, 11), 1, parts=[]),
            region(3, a, 9, (10, 0, 19, 1), 1),
            region(4, b, 3, (1, 5, 10, 15), 0),
            region(5, b, 1, (4, 0, 8, 6), 0, parts=[]),
            region(6, d, 7, (0, 0, 3, 3), 0, parts=[]),
            region(7, d, 7, (8, 8, 15, 15), 1, parts=[]),
            region(8, e, 9, (0, 0, 15, 4), 1),
        ],
        "annos_boundary": [
            {"image_id": 11, "boundary_mask": encode(rectangle((20, 12), 10, 0, 10, 11))},
            {"image_id": 12, "boundary_mask": encode(boundary)},
        ],
        "annos_occlusion": [
            {"image_id": 11, "ne": 2, "imsize": [12, 20], "edges": {"indices": [down, right], "edgelabel": [1, 2]}},
            {"image_id": 15, "ne": 0, "imsize": [10, 16], "edges": {"indices": [], "edgelabel": []}},
        ],
        "annos_joints": [
            {
                "image_id": 11,
                "person_id": 1,
                "category_id": 7,
                "bbox": [2.0, 1.0, 6.0, 9.0],
                "num_keypoints": 3,
                "keypoints": JOINTS,
            }
        ],
    }


def write_detail(folder, content):
    """Write `content` and a JPEG for each of its images below `folder`, in the layout that the catalog expects."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    (folder / "annotations.json").write_text(json.dumps(content))
    generator = np.random.default_rng(0)
    for image in content["images"]:
        pixels = generator.integers(0, 256, (image["height"], image["width"], 3), np.uint8)
        Image.fromarray(pixels).save(folder / "images" / image["file_name"])
    return folder


@pytest.fixture
def tiny(tmp_path):
    """Folder DATA_DIR/tiny with annotations.json and images."""
    return write_detail(tmp_path / "data" / "tiny", tiny_content())


@pytest.fixture
def tiny_cfg(tiny):
    """A config that trains all tasks on the tiny data set, two images a batch."""
    cfg = default_cfg.clone()
    switches = ("MASK", "KEYPOINT", "PART", "SEMANTIC", "BOUNDARY", "OCCLUSION", "CLASSIFICATION")
    for switch in switches:
        cfg.MODEL[f"{switch}_ON"] = True
    cfg.MODEL.DEVICE = "cpu"
    cfg.DATASETS.DATA_DIR = str(tiny.parent)
    cfg.DATASETS.TRAIN = ("tiny_train",)
    cfg.DATASETS.TEST = ("tiny_val",)
    cfg.DATALOADER.NUM_WORKERS = 0
    cfg.INPUT.MIN_SIZE_TRAIN, cfg.INPUT.MAX_SIZE_TRAIN = (24, 32), 64
    cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.MAX_SIZE_TEST = 24, 64
    cfg.SOLVER.IMS_PER_BATCH = 2
    cfg.SOLVER.MAX_ITER = 7
    cfg.TEST.IMS_PER_BATCH = 2
    return cfg


@pytest.fixture
def content(tiny):
    """The annotation file of the tiny data set as a dictionary."""
    return json.loads((tiny / "annotations.json").read_text())
