"""A data set in COCO's files and a network that learns it in fractions of a second: everything real, but small."""

import json

import numpy as np
from PIL import Image

from maskrcnn_benchmark.structures.keypoint import COCO_JOINTS

SIZES = ((96, 80), (80, 96), (96, 96), (110, 80), (96, 80))  # width, height
PERSON, DOG = 1, 18  # COCO's own numbers

# A Mask R-CNN as of the original's files, with a thin trunk and few boxes
YAML = """
MODEL:
  META_ARCHITECTURE: "GeneralizedRCNN"
  DEVICE: "cpu"
  BACKBONE: {CONV_BODY: "R-18-FPN", FREEZE_CONV_BODY_AT: 0}
  RESNETS:
    STEM_FUNC: "StemWithBatchNorm"
    TRANS_FUNC: "BasicBlockWithBatchNorm"
    STEM_OUT_CHANNELS: 8
    RES2_OUT_CHANNELS: 8
    BACKBONE_OUT_CHANNELS: 16
  RPN:
    USE_FPN: True
    ANCHOR_STRIDE: (4, 8, 16, 32, 64)
    ANCHOR_SIZES: (8, 16, 32, 48, 64)
    FPN_POST_NMS_TOP_N_TRAIN: 40
    FPN_POST_NMS_TOP_N_TEST: 30
  ROI_HEADS: {USE_FPN: True, BATCH_SIZE_PER_IMAGE: 16, SCORE_THRESH: 0.0, DETECTIONS_PER_IMG: 8}
  ROI_BOX_HEAD:
    POOLER_RESOLUTION: 7
    POOLER_SCALES: (0.25, 0.125, 0.0625, 0.03125)
    POOLER_SAMPLING_RATIO: 2
    FEATURE_EXTRACTOR: "FPN2MLPFeatureExtractor"
    PREDICTOR: "FPNPredictor"
    MLP_HEAD_DIM: 16
  ROI_MASK_HEAD:
    POOLER_SCALES: (0.25, 0.125, 0.0625, 0.03125)
    FEATURE_EXTRACTOR: "MaskRCNNFPNFeatureExtractor"
    POOLER_SAMPLING_RATIO: 2
    RESOLUTION: 28
    CONV_LAYERS: (8,)
    SHARE_BOX_FEATURE_EXTRACTOR: False
  ROI_KEYPOINT_HEAD:
    POOLER_SCALES: (0.25, 0.125, 0.0625, 0.03125)
    POOLER_SAMPLING_RATIO: 2
    RESOLUTION: 56
    CONV_LAYERS: (8,)
    SHARE_BOX_FEATURE_EXTRACTOR: False
  MASK_ON: True
INPUT:
  MIN_SIZE_TRAIN: (64,)
  MIN_SIZE_TEST: 64
  MAX_SIZE_TEST: 128
DATASETS:
  TRAIN: ("coco_2017_train",)
  TEST: ("coco_2017_val",)
DATALOADER: {SIZE_DIVISIBILITY: 32, NUM_WORKERS: 0}
SOLVER:
  BASE_LR: 0.01
  STEPS: (2,)
  MAX_ITER: 2
  IMS_PER_BATCH: 2
TEST: {IMS_PER_BATCH: 2, NUM_PICTURES: 1}
"""


def write_coco(folder, num_train=3, num_val=5):
    """Write `folder/coco` with instances and person_keypoints of train2017 and val2017; returns `folder` as text.

    Each image has a person and a dog, the last of each split nothing at all. Ids are not in the order of the file.
    """
    (folder / "coco" / "annotations").mkdir(parents=True)
    for split, count in (("train", num_train), ("val", num_val)):
        (folder / "coco" / f"{split}2017").mkdir()
        images, rows = [], []
        for k in range(count):
            width, height = SIZES[k % len(SIZES)]
            image_id = 1000 - 7 * k
            pixels = np.random.default_rng(k).integers(0, 60, (height, width, 3), dtype=np.uint8)
            images.append({"id": image_id, "width": width, "height": height, "file_name": f"{image_id:012d}.jpg"})
            if k < count - 1:
                for category, (x, y, w, h), colour in (
                    (PERSON, (6 + k, 8, 30, 50), (230, 60, 60)),
                    (DOG, (50, 30 + k, 36, 24), (60, 60, 230)),
                ):
                    pixels[y : y + h, x : x + w] = colour
                    rows.append(_row(len(rows) + 1, image_id, category, x, y, w, h))
            Image.fromarray(pixels).save(folder / "coco" / f"{split}2017" / images[-1]["file_name"], quality=95)
        _write(folder, f"instances_{split}2017", images, rows, {PERSON: "person", DOG: "dog"})
        people = [{**row, **_joints(*row["bbox"])} for row in rows if row["category_id"] == PERSON]
        _write(folder, f"person_keypoints_{split}2017", images, people, {PERSON: "person"})
    return str(folder)


def _row(number, image_id, category, x, y, w, h):
    return {
        "id": number,
        "image_id": image_id,
        "category_id": category,
        "bbox": [x, y, w, h],
        "area": w * h,
        "iscrowd": 0,
        "segmentation": [[x, y, x + w, y, x + w, y + h, x, y + h]],
    }


def _joints(x, y, w, h):
    count = len(COCO_JOINTS)
    joints = [[x + w * (k + 0.5) / count, y + h * (k + 0.5) / count, 2] for k in range(count)]
    return {"keypoints": [value for joint in joints for value in joint], "num_keypoints": count}


def _write(folder, name, images, rows, categories):
    content = {
        "info": {},
        "images": images,
        "annotations": rows,
        "categories": [{"id": number, "name": title} for number, title in categories.items()],
    }
    (folder / "coco" / "annotations" / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
