"""The arguments by which a tool is told which annotations to open, without what opens them (`open_dataset`)."""

import argparse
from typing import Any

from maskrcnn_benchmark.config import record_of
from maskrcnn_benchmark.utils.arguments import OptionWords

SPLITS = ("train", "val", "trainval")  # of `data.detail.dataset`; that and the catalog import PyTorch


def add_dataset_arguments(group: argparse._ActionsContainer, split: str, images_help: str) -> None:
    """Add the arguments that name a data set, --config-file to KEY VALUE, to a parser.

    Args:
        group: an `argparse` parser or a group of its arguments; the parser reads with `parse_intermixed_args`.
        split: the default of --split.
        images_help: what the tool wants the images for.
    """
    group.add_argument("--config-file", metavar="FILE", help="a yaml of configs/ or OUTPUT_DIR/config.yml")
    group.add_argument("--dataset", metavar="NAME", help="a name of the catalog; by default the first of DATASETS.TEST")
    group.add_argument("--annotations", metavar="FILE", help="a JSON file, in a config's place")
    group.add_argument("--images", metavar="DIR", help=f"its images, {images_help}")
    group.add_argument(
        "--layout", choices=("detail", "coco", "coco_panoptic"), help="its layout (default: it is recognised)"
    )
    group.add_argument("--split", choices=SPLITS, default=split, help="of Detail's layout (default: %(default)s)")
    keys = ("DATASETS.PARTS", "DATASETS.CLASSES", "INPUT.EXIF")
    ranges: list[Any] = [record_of(key).range for key in keys]
    part_sets, class_sets, exif = (one_of.values for one_of in ranges)
    group.add_argument("--parts", choices=part_sets, help="part labels of Detail's layout (default: person6)")
    group.add_argument("--classes", choices=class_sets, help="classes of Detail's layout (default: all)")
    group.add_argument("--exif", choices=exif, help="whether photographs are turned upright (default: see INPUT.EXIF)")
    group.add_argument(
        "opts", nargs="*", action=OptionWords, metavar="KEY VALUE", help="options of the config to change"
    )
