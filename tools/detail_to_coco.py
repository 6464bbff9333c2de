"""Write PASCAL in Detail as COCO JSON, which any COCO tool reads.

python tools/detail_to_coco.py --out detail_as_coco

Instances, joints of people, and (as PNG) semantic maps. Only images that were annotated for a kind are in its file,
for in COCO an image without a record holds no object.
"""

import io
import json
from collections import Counter
from pathlib import Path

from maskrcnn_benchmark.experiments import dataset_arguments
from maskrcnn_benchmark.utils.cli import ToolParser, parse_early, run_tool
from maskrcnn_benchmark.utils.errors import UserError

KINDS = ("instances", "keypoints", "semantic")
COCO_VISIBILITY = {0: 0, 1: 2, 2: 1}  # Detail: 1 visible, 2 occluded; COCO: 1 occluded, 2 visible
PERSON = "person"


def parse_arguments(arguments=None):
    parser = ToolParser(__doc__)
    parser.add_argument(
        "--annotations",
        default="datasets/detail/annotations.json",
        metavar="FILE",
        help="JSON file of PASCAL in Detail (default: %(default)s)",
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="folder to write to; it is made if need be")
    parser.add_argument("--images", metavar="DIR", help="check that the images are there, with the sizes of the file")
    splits = dataset_arguments.SPLITS
    parser.add_argument("--split", choices=splits, help="write only this one; by default train and val, each")
    parser.add_argument(
        "--what",
        nargs="+",
        choices=KINDS,
        default=["instances", "keypoints"],
        help="instances_SPLIT.json, person_keypoints_SPLIT.json, semantic_SPLIT.json with a folder of PNG "
        "(default: instances keypoints)",
    )
    return parser.parse_args(arguments)


# A question for help and a mistyped option need not wait for what follows
parse_early(__name__, parse_arguments)

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask
from tqdm import tqdm

from maskrcnn_benchmark.data.detail.categories import in_official_order
from maskrcnn_benchmark.data.detail.dataset import SPLITS
from maskrcnn_benchmark.data.detail.file import open_detail_file
from maskrcnn_benchmark.data.image_file import check_image_size
from maskrcnn_benchmark.structures.dense_map import IGNORE_INDEX
from maskrcnn_benchmark.structures.keypoint import DETAIL_JOINTS
from maskrcnn_benchmark.structures.run_length import RunLengths, row_major
from maskrcnn_benchmark.utils.files import atomic_write, mkdir
from maskrcnn_benchmark.utils.text import counted


class Exporter:
    """Turns the records of a `DetailIndex` into COCO's.

    Args:
        file: the `DetailIndex`.

    Attributes:
        skipped: Counter of what was left out, by reason.
    """

    def __init__(self, file):
        self.file = file
        self.skipped = Counter()
        names = in_official_order([row["name"] for row in file.categories.values()])
        ids = {row["name"]: key for key, row in file.categories.items()}
        self.semantic = {ids[name]: value for value, name in enumerate(names)}
        self.things = [key for key in self.semantic if not file.categories[key]["onlysemantic"]]
        self.person = ids.get(PERSON)

    def categories(self, kind):
        """The rows of a file's "categories"."""
        keys = {"instances": self.things, "keypoints": [self.person], "semantic": list(self.semantic)}[kind]
        rows = [
            {"id": key, **{name: self.file.categories[key][name] for name in ("name", "supercategory")}} for key in keys
        ]
        if kind == "keypoints":
            skeleton = [[a + 1, b + 1] for a, b in DETAIL_JOINTS.skeleton]
            rows[0] |= {"keypoints": list(DETAIL_JOINTS.names), "skeleton": skeleton}
        if kind == "semantic":
            rows = [dict(row, value=value, isthing=int(row["id"] in self.things)) for value, row in enumerate(rows)]
        return rows

    def image(self, image_id):
        """An image's row of COCO."""
        row = self.file.images[image_id]
        return {"id": image_id, **{key: row[key] for key in ("file_name", "width", "height")}}

    def annotations(self, kind, image_id):
        """The image's rows of "annotations" without ids, or None if nobody annotated it for this kind."""
        records = self.file.records("annos_segmentation", image_id)
        if kind == "keypoints":
            people = self.file.records("annos_joints", image_id)
            if not people and not records:
                return self._skip("images without any annotation of people")
            if not people and any(record.get("category_id") == self.person for record in records):
                return self._skip("images with people but no joints")
            return [self._person(record) for record in people]
        if not records:
            return self._skip("images without segmentation")
        return self._instances(records) if kind == "instances" else []

    def semantic_map(self, image_id):
        """uint8 [H, W]: the position of each pixel's category in the official order, 255 where nobody labelled it."""
        records = self.file.records("annos_segmentation", image_id)
        runs = self._runs(records)
        canvas = np.full((1, *runs.size), IGNORE_INDEX, np.uint8)
        values = [self.semantic[self._category(record)] for record in records]
        runs.paint(canvas, range(len(records)), np.zeros(len(records)), values)
        return row_major(canvas)[0]

    def _instances(self, records):
        records = [record for record in records if self._category(record) in self.things]
        if not records:
            return []
        runs = self._runs(records)
        rows = []
        for record, area, corners in zip(records, runs.areas.tolist(), runs.bounding_boxes().tolist()):
            if not area:
                self._skip("instances without any pixel")
                continue
            x1, y1, x2, y2 = corners
            box = record.get("bbox")
            if box is None or len(box) != 4 or min(box[2:]) <= 0:
                box = [x1, y1, x2 - x1 + 1, y2 - y1 + 1]
            rows.append(
                {
                    "image_id": record["image_id"],
                    "category_id": record["category_id"],
                    "bbox": list(box),
                    "area": area,
                    "segmentation": _as_text(record["segmentation"]),
                    "iscrowd": int(bool(record.get("iscrowd", 0))),
                }
            )
        return rows

    def _person(self, record):
        numbers = self.file.field(record, "keypoints", "joint")
        name = self.file.name_of(record, "joint")
        if len(numbers) != 3 * len(DETAIL_JOINTS):
            raise UserError(f"{name} has {len(numbers)} numbers in 'keypoints', not {3 * len(DETAIL_JOINTS)}")
        if not set(numbers[2::3]) <= set(COCO_VISIBILITY):
            raise UserError(f"{name} has a visibility that is not 0, 1 or 2: {sorted(set(numbers[2::3]))}")
        codes = [COCO_VISIBILITY[code] for code in numbers[2::3]]
        places = zip(numbers[::3], numbers[1::3], codes)
        joints = [number for x, y, code in places for number in ((x, y, code) if code else (0, 0, 0))]
        x, y, width, height = self.file.field(record, "bbox", "joint")
        return {
            "image_id": record["image_id"],
            "category_id": self.person,
            "bbox": [x, y, width, height],
            "area": width * height,
            "iscrowd": 0,
            "keypoints": joints,
            "num_keypoints": sum(code > 0 for code in codes),
        }

    def _category(self, record):
        key = self.file.field(record, "category_id", "segmentation")
        if key not in self.file.categories:
            name = self.file.name_of(record, "segmentation")
            raise UserError(f"{name} has category {key!r}, which 'categories' does not list")
        return key

    def _runs(self, records):
        image = self.file.images[records[0]["image_id"]]
        encodings = [self.file.field(record, "segmentation", "segmentation") for record in records]
        size = (image["width"], image["height"])
        return RunLengths(encodings, size, lambda i: self.file.name_of(records[i], "segmentation"))

    def _skip(self, reason):
        self.skipped[reason] += 1


def export(file, split, kind, out, images=None):
    """Write one kind of one split.

    Args:
        file: the `DetailIndex`.
        split: "train", "val" or "trainval".
        kind: one of `KINDS`.
        out: the folder.
        images: folder of the images, to check them; None does not.

    Returns:
        one line that says what was written and left out.
    """
    exporter = Exporter(file)
    if kind == "keypoints" and exporter.person is None:
        raise UserError(f"{file.path} has no category {PERSON!r}, so it has no joints to export; leave keypoints out")
    ids = [key for key, row in file.images.items() if row.get("phase") in SPLITS[split]]
    if not ids:
        raise UserError(f"{file.path} has no image of split {split!r}; choose another --split")
    path = out / {"keypoints": f"person_keypoints_{split}.json"}.get(kind, f"{kind}_{split}.json")
    content = {
        "info": {"description": f"PASCAL in Detail, {kind} of {split}, exported from {file.path.name}"},
        "licenses": [],
        "images": [],
        "annotations": [],
        "categories": exporter.categories(kind),
    }
    for image_id in tqdm(ids, desc=path.name, unit="image", disable=None):
        rows = exporter.annotations(kind, image_id)
        if rows is None:
            continue
        image = exporter.image(image_id)
        if images is not None:
            check_image_size(images / image["file_name"], (image["width"], image["height"]))
        if kind == "semantic":
            image["semantic_file_name"] = f"semantic_{split}/{Path(image['file_name']).stem}.png"
            _write_png(exporter.semantic_map(image_id), out / image["semantic_file_name"])
        content["images"].append(image)
        first = len(content["annotations"]) + 1  # from 1: pycocotools takes the id 0 for no object
        content["annotations"] += [{"id": number, **row} for number, row in enumerate(rows, first)]
    try:
        text = json.dumps(content, allow_nan=False)
    except ValueError:
        raise UserError(f"{file.path}: a number in the {kind} of {split} is not finite; mend it") from None
    with atomic_write(path) as target:
        target.write(text.encode())
    number = f", {len(content['annotations'])} annotations" if kind != "semantic" else ""
    skipped = "".join(f"; left out: {count} {reason}" for reason, count in exporter.skipped.items())
    return f"{path}: {counted(len(content['images']), 'image')}{number}{skipped}"


def _write_png(labels, path):
    mkdir(path.parent)
    buffer = io.BytesIO()
    Image.fromarray(labels).save(buffer, "png")
    with atomic_write(path, durable=False) as file:
        file.write(buffer.getvalue())


def _as_text(code):
    """A run-length code whose counts are COCO's compressed text, whatever they were."""
    height, width = code["size"]
    counts = code["counts"]
    if isinstance(counts, list):
        counts = coco_mask.frPyObjects({"size": [height, width], "counts": counts}, height, width)["counts"].decode()
    return {"size": [height, width], "counts": counts}


def main():
    arguments = parse_arguments()
    file = open_detail_file(arguments.annotations)
    images = None if arguments.images is None else Path(arguments.images)
    phases = {row.get("phase") for row in file.images.values()}
    splits = [arguments.split] if arguments.split else [split for split in ("train", "val") if split in phases]
    if not splits:
        raise UserError(f"{file.path} has no image of phase 'train' or 'val'; is it an annotation file of Detail?")
    mkdir(arguments.out)
    for split in splits:
        for kind in dict.fromkeys(arguments.what):
            print(export(file, split, kind, Path(arguments.out), images), flush=True)


if __name__ == "__main__":
    run_tool(main)
