"""Write the ground truth of PASCAL in Detail as labels of PASCAL Panoptic Parts, a TIFF for each image.

python tools/detail_to_ppp.py --split val --out detail_as_ppp

Each pixel has its class, of things its object, and of objects with parts its part (docs/tasks/part_panoptic.md). What
the numbers mean is in classes.json beside the TIFFs' folder.
"""

import json
from pathlib import Path

from maskrcnn_benchmark.config import record_of
from maskrcnn_benchmark.experiments import dataset_arguments
from maskrcnn_benchmark.utils.cli import ToolParser, parse_early, run_tool
from maskrcnn_benchmark.utils.errors import UserError

NUMBERS = ("evaluation", "published")


def parse_arguments(arguments=None):
    parser = ToolParser(__doc__)
    parser.add_argument(
        "--annotations",
        default="datasets/detail/annotations.json",
        metavar="FILE",
        help="JSON file of PASCAL in Detail (default: %(default)s)",
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="folder to write to; it is made if need be")
    parser.add_argument("--split", choices=dataset_arguments.SPLITS, default="val", help="(default: %(default)s)")
    parser.add_argument("--classes", choices=record_of("DATASETS.CLASSES").range.values, default="all")
    parser.add_argument(
        "--parts", choices=record_of("DATASETS.PARTS").range.values, default="ppp57", help="(default: %(default)s)"
    )
    parser.add_argument(
        "--numbers",
        choices=NUMBERS,
        default="evaluation",
        help="of parts: those that predictions have (evaluation), or the finer ones of the published labels, of which "
        "each part has the first (default: %(default)s)",
    )
    return parser.parse_args(arguments)


# A question for help and a mistyped option need not wait for what follows
parse_early(__name__, parse_arguments)

from tqdm import tqdm

from maskrcnn_benchmark.data.detail.dataset import DetailDataset
from maskrcnn_benchmark.prediction_files.layout import CLASSES, describe, image_names
from maskrcnn_benchmark.prediction_files.map_file import write_map
from maskrcnn_benchmark.prediction_files.part_panoptic_maps import encode_codes
from maskrcnn_benchmark.structures.part_codes import PPP_CLASSES, PartCodes
from maskrcnn_benchmark.structures.part_panoptic_map import PartPanopticMap
from maskrcnn_benchmark.tasks.part_panoptic import PART_PANOPTIC
from maskrcnn_benchmark.utils.files import atomic_write, mkdir
from maskrcnn_benchmark.utils.text import counted


def chosen_codes(vocabulary, numbers):
    """The `PartCodes` of a data set's names. Raises `UserError` where these have no such numbers."""
    codes = PartCodes.of(vocabulary) if numbers == "evaluation" else PartCodes.published(vocabulary)
    if codes.problem:
        raise UserError(f"{codes.problem}; choose other --classes or --parts")
    if numbers == "published":
        lacking = [name for name in codes.classes.names if name not in PPP_CLASSES]
        if lacking:
            raise UserError(f"--numbers published has none for the class {lacking[0]!r}; choose --classes context59")
        for name, row, labels in zip(codes.classes.names, codes.parts, codes.classes.labels):
            unnumbered = set(labels).difference(row.tolist())
            if unnumbered:
                part = vocabulary.parts.labels[min(unnumbered) - 1]
                raise UserError(f"--numbers published has none for the part {part!r} of {name}; choose --parts ppp57")
    return codes


def write_labels(dataset, codes, out):
    """Write the labels of the images that have segments, and what they mean; returns a line that says so."""
    names, folder, written = image_names(dataset), out / PART_PANOPTIC.key, 0
    mkdir(folder)
    for index in tqdm(range(len(dataset)), desc=folder.name, unit="image", disable=None):
        target = dataset.get_annotations(index)
        if not PART_PANOPTIC.is_annotated(target):
            continue
        try:
            labels = codes.encode(PartPanopticMap.of_annotations(target, codes.classes))
        except ValueError as error:
            raise UserError(f"image {target.image_id!r} {error}") from None
        write_map(folder / f"{names[index]}.tif", encode_codes(labels))
        written += 1
    with atomic_write(out / CLASSES) as file:
        file.write(json.dumps(describe(dataset, [PART_PANOPTIC]), indent=1).encode())
    left_out = len(dataset) - written
    rest = f"; left out: {counted(left_out, 'image')} without segmentation" if left_out else ""
    return f"{folder}: {counted(written, 'image')}{rest}"


def main():
    arguments = parse_arguments()
    sets = {"parts": arguments.parts, "classes": arguments.classes}
    dataset = DetailDataset(arguments.annotations, None, arguments.split, tasks=[PART_PANOPTIC.key], **sets)
    if not dataset.tasks:
        raise UserError(f"{arguments.annotations} has no parts of part set {arguments.parts!r}; choose other --parts")
    codes = chosen_codes(dataset.vocabulary, arguments.numbers)
    print(write_labels(dataset, codes, Path(arguments.out)), flush=True)


if __name__ == "__main__":
    run_tool(main)
