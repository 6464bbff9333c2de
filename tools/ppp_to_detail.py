"""Write the labels of PASCAL Panoptic Parts as a data set in PASCAL in Detail's layout.

python tools/ppp_to_detail.py --labels pascal/labels --images VOCdevkit/VOC2010/JPEGImages --out datasets/ppp

Reads the published TIFFs, LABELS/training/NAME.tif and LABELS/validation/NAME.tif, and makes annotations.json with the
objects, their parts by name, crowds and regions of PASCAL-Context's 59 classes. They hold no keypoints and no edges.
"""

import json
from collections import Counter
from pathlib import Path

from maskrcnn_benchmark.utils.cli import ToolParser, parse_early, run_tool
from maskrcnn_benchmark.utils.errors import UserError

PHASES = {"training": "train", "validation": "val"}


def parse_arguments(arguments=None):
    parser = ToolParser(__doc__)
    parser.add_argument("--labels", required=True, metavar="DIR", help="folder with training and validation")
    parser.add_argument("--images", metavar="DIR", help="folder of the photographs, to which OUT/images is to lead")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder to write to; it is made if need be")
    return parser.parse_args(arguments)


# A question for help and a mistyped option need not wait for what follows
parse_early(__name__, parse_arguments)

import numpy as np
from pycocotools import mask as coco_mask
from tqdm import tqdm

from maskrcnn_benchmark.data.detail.categories import CATEGORY_IDS, OFFICIAL_ORDER, category_rows
from maskrcnn_benchmark.prediction_files.part_panoptic_maps import read_codes
from maskrcnn_benchmark.structures.part_codes import PPP_CLASSES, PPP_PARTS, distinct_codes, split_codes
from maskrcnn_benchmark.utils.files import atomic_write, mkdir
from maskrcnn_benchmark.utils.text import counted

THINGS = OFFICIAL_ORDER[:20]
NAMES = {sid: name for name, sid in PPP_CLASSES.items()}
PARTS = {name: number for number, name in enumerate(sorted({n for own in PPP_PARTS.values() for n in own}), 1)}


def records_of(codes, image_id, skipped):
    """The segmentation records of an image, without ids: stuff and crowds first, which objects lie on.

    Args:
        codes: int32 [H, W], published labels.
        image_id: of the image.
        skipped: Counter of what is left out, by reason.
    """
    found, places = distinct_codes(codes)
    sids, iids, pids = split_codes(found)
    rows = []
    for sid, iid in sorted(set(zip(sids.tolist(), iids.tolist())), key=lambda pair: (pair[1] >= 0, pair)):
        if sid not in NAMES:
            skipped["regions of other classes than PASCAL-Context's 59"] += sid > 0
            continue
        name, own = NAMES[sid], (sids == sid) & (iids == iid)
        mask = own[places]
        numbers = PPP_PARTS.get(name, ())
        parts = {}
        for place in np.flatnonzero(own & (pids > 0) & (iids >= 0)).tolist():
            if pids[place] > len(numbers):
                skipped["parts of numbers that are not published"] += 1
                continue
            parts.setdefault(numbers[pids[place] - 1], []).append(place)
        pixels = {part: np.isin(np.arange(len(found)), own_places)[places] for part, own_places in parts.items()}
        rows.append(
            {
                "image_id": image_id,
                "category_id": CATEGORY_IDS[name],
                "segmentation": _encoded(mask),
                "area": int(np.count_nonzero(mask)),
                "bbox": _box(mask),
                "iscrowd": int(name not in THINGS or iid < 0),
                "parts": [{"part_id": PARTS[part], "segmentation": _encoded(p)} for part, p in pixels.items()],
            }
        )
    return rows


def convert(labels, out):
    """Write annotations.json of a folder of labels; returns a line that says what was written."""
    files = [(path, phase) for folder, phase in PHASES.items() for path in sorted((labels / folder).glob("*.tif"))]
    if not files:
        raise UserError(f"{labels} has no training/*.tif and no validation/*.tif; name the folder that holds both")
    images, records, skipped = [], [], Counter()
    for path, phase in tqdm(files, desc=out.name, unit="image", disable=None):
        codes = read_codes(path)
        digits = path.stem.replace("_", "")
        image_id = int(digits) if digits.isdecimal() else path.stem
        height, width = codes.shape
        images.append(
            {"image_id": image_id, "file_name": f"{path.stem}.jpg", "width": width, "height": height, "phase": phase}
        )
        try:
            records += records_of(codes, image_id, skipped)
        except ValueError as error:
            raise UserError(f"{path} {error}") from None
    own = [{"part_id": number, "name": name, "superpart": "none"} for name, number in PARTS.items()]
    content = {
        "info": {"description": f"PASCAL Panoptic Parts, made of {labels}"},
        "images": images,
        "categories": category_rows(OFFICIAL_ORDER),
        "parts": own,
        "annos_segmentation": [{"id": number, **record} for number, record in enumerate(records, 1)],
    }
    mkdir(out)
    with atomic_write(out / "annotations.json") as file:
        file.write(json.dumps(content).encode())
    left_out = "".join(f"; left out: {number} {reason}" for reason, number in skipped.items() if number)
    return f"{out / 'annotations.json'}: {counted(len(images), 'image')}, {counted(len(records), 'region')}{left_out}"


def _encoded(mask):
    code = coco_mask.encode(np.asfortranarray(mask.view(np.uint8)))
    return {"size": list(mask.shape), "counts": code["counts"].decode()}


def _box(mask):
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    x, y = int(columns[0]), int(rows[0])
    return [x, y, int(columns[-1]) - x + 1, int(rows[-1]) - y + 1]


def main():
    arguments = parse_arguments()
    out = Path(arguments.out)
    if arguments.images is not None and not Path(arguments.images).is_dir():
        raise UserError(f"no such folder of images: {arguments.images}")
    print(convert(Path(arguments.labels), out), flush=True)
    if arguments.images is not None and not (out / "images").exists():
        (out / "images").symlink_to(Path(arguments.images).resolve())


if __name__ == "__main__":
    run_tool(main)
