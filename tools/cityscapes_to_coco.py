"""Write Cityscapes' instances as COCO JSON.

python tools/cityscapes_to_coco.py --root datasets/cityscapes

Makes annotations/instancesonly_filtered_gtFine_{train,val}.json, which the data sets cityscapes_fine_instanceonly_seg_*
_cocostyle read, and images/, a folder of links to the photographs of all cities, in which they are looked for.
"""

import json
import os
from pathlib import Path

from maskrcnn_benchmark.utils.cli import ToolParser, parse_early, run_tool
from maskrcnn_benchmark.utils.errors import UserError


def parse_arguments(arguments=None):
    parser = ToolParser(__doc__)
    parser.add_argument(
        "--root",
        default="datasets/cityscapes",
        metavar="DIR",
        help="folder with leftImg8bit and gtFine as unpacked (default: %(default)s)",
    )
    parser.add_argument("--split", nargs="+", choices=("train", "val"), default=["train", "val"])
    parser.add_argument(
        "--masks",
        choices=("polygons", "rle"),
        default="polygons",
        help="outlines along the edges of the pixels, quick to train from, or run lengths, smaller; both are exact "
        "(default: %(default)s)",
    )
    parser.add_argument("--groups", action="store_true", help="also write groups (cargroup, ...), as crowds")
    return parser.parse_args(arguments)


# A question for help and a mistyped option need not wait for what follows
parse_early(__name__, parse_arguments)

import numpy as np
from pycocotools import mask as coco_mask
from tqdm import tqdm

from maskrcnn_benchmark.data.cityscapes import IMAGE, CityScapesDataset, read_instance_ids
from maskrcnn_benchmark.structures.mask_forms import outline_polygons
from maskrcnn_benchmark.utils.files import atomic_write, mkdir
from maskrcnn_benchmark.utils.text import counted


def convert(root, split, masks="polygons", groups=False):
    """Write one split.

    Args:
        root: folder with leftImg8bit and gtFine.
        split: "train" or "val".
        masks: "polygons" or "rle".
        groups: also write groups, as crowds (always run lengths, as in COCO).

    Returns:
        one line that says what was written.
    """
    root = Path(root)
    dataset = CityScapesDataset(root / "leftImg8bit", root / "gtFine", split, evaluated_only=True)
    content = {
        "info": {"description": f"Cityscapes gtFine {split}, the eight evaluated classes with instances"},
        "images": [],
        "annotations": [],
        "categories": [{"id": i, "name": name} for i, name in enumerate(dataset.CLASSES) if i],
    }
    for idx in tqdm(range(len(dataset)), desc=split, unit="image", disable=None):
        info = dataset.get_img_info(idx)
        number = idx + 1
        content["images"].append(
            {
                "id": number,
                "width": info["width"],
                "height": info["height"],
                "file_name": Path(info["file_name"]).name,
                "seg_file_name": Path(info["ann_path"]).name,
            }
        )
        rows = _rows(dataset, info, masks, groups)
        first = len(content["annotations"]) + 1
        content["annotations"] += [{"id": i, "image_id": number, **row} for i, row in enumerate(rows, first)]
        _link(Path(info["img_path"]), root / "images")
    path = root / "annotations" / f"instancesonly_filtered_gtFine_{split}.json"
    mkdir(path.parent)
    with atomic_write(path) as file:
        file.write(json.dumps(content, allow_nan=False).encode())
    return f"{path}: {counted(len(content['images']), 'image')}, {counted(len(content['annotations']), 'object')}"


def _rows(dataset, info, masks, groups):
    """COCO's annotations of an image without ids."""
    size = (info["width"], info["height"])
    found = read_instance_ids(info["ann_path"], size, dataset.cityscapesID_to_ind)
    columns = zip(found["classes"], found["groups"], found["boxes"], found["masks"])
    return [
        {
            "category_id": dataset.cityscapesID_to_ind[number],
            "iscrowd": int(group),
            "bbox": [x1, y1, x2 - x1 + 1, y2 - y1 + 1],
            "area": int(visible.sum()),
            "segmentation": _rle(window, visible, size) if group or masks == "rle" else _polygons(window, visible),
        }
        for number, group, (x1, y1, x2, y2), (window, visible) in columns
        if groups or not group
    ]


def _polygons(window, visible):
    """Outlines of a mask that is given within a window of the image: list of [x, y, x, y, ...]."""
    corner = np.array([window[1].start, window[0].start])
    outlines = outline_polygons(visible.astype(np.uint8))
    return [(outline.reshape(-1, 2) + corner).ravel().astype(int).tolist() for outline in outlines]


def _rle(window, visible, size):
    mask = np.zeros((size[1], size[0]), np.uint8, order="F")
    mask[window] = visible
    code = coco_mask.encode(mask)
    return {"size": list(code["size"]), "counts": code["counts"].decode()}


def _link(image, folder):
    """Put a link to a photograph into the one folder in which a COCO file looks for all of them."""
    mkdir(folder)
    link = folder / image.name
    if link.exists():
        return
    try:
        link.unlink(missing_ok=True)  # one that leads nowhere any more
        link.symlink_to(os.path.relpath(image, folder))
    except OSError as error:
        raise UserError(f"cannot link {link} to {image}: {error.strerror}; copy all *{IMAGE} there") from None


def main():
    arguments = parse_arguments()
    for split in dict.fromkeys(arguments.split):
        print(convert(arguments.root, split, arguments.masks, arguments.groups), flush=True)


if __name__ == "__main__":
    run_tool(main)
