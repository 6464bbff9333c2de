"""The data set that a command line names: one of a config's catalog, or an annotation file and its images."""

import argparse
from collections.abc import Collection
from typing import Any

from yacs.config import CfgNode

from maskrcnn_benchmark.config import cfg as default_cfg
from maskrcnn_benchmark.data.build_dataset import build_dataset
from maskrcnn_benchmark.data.dataset import AnnotatedDataset
from maskrcnn_benchmark.data.datasets import COCODataset, COCOPanopticDataset, DetailDataset
from maskrcnn_benchmark.data.preparation.other_files import layout_of
from maskrcnn_benchmark.experiments.setup import make_missing_mini_detail
from maskrcnn_benchmark.tasks.task import TASKS, scored_labels
from maskrcnn_benchmark.utils.errors import UserError


def dataset_config(arguments: argparse.Namespace, tasks: Collection[str]) -> CfgNode | None:
    """The config of --config-file with just the given tasks turned on, or None where --annotations is given.

    DATASETS.TEST is the one data set that is wanted.
    """
    if bool(arguments.annotations) == bool(arguments.config_file):
        raise UserError("name the annotations: either --config-file FILE or --annotations FILE")
    if arguments.annotations:
        if arguments.dataset or arguments.opts:
            raise UserError("--dataset and KEY VALUE go with --config-file, not with --annotations")
        return None
    cfg = default_cfg.clone()
    cfg.merge_from_file(arguments.config_file)
    cfg.merge_from_list(arguments.opts)
    for task in TASKS.values():
        cfg.MODEL[task.switch] = task.key in tasks
    if arguments.parts:
        cfg.DATASETS.PARTS = arguments.parts
    if arguments.classes:
        cfg.DATASETS.CLASSES = arguments.classes
    if arguments.exif:
        cfg.INPUT.EXIF = arguments.exif
    if arguments.dataset:
        cfg.DATASETS.TEST = (arguments.dataset,)
    if not cfg.DATASETS.TEST:
        raise UserError("DATASETS.TEST is empty; name a data set with --dataset")
    cfg.DATASETS.TEST = tuple(cfg.DATASETS.TEST[:1])
    cfg.DATASETS.TRAIN = ()
    return cfg


def open_dataset(
    arguments: argparse.Namespace, cfg: CfgNode | None, tasks: Collection[str], images: bool = False
) -> AnnotatedDataset:
    """The data set, every record of it, with the annotations of the given tasks alone.

    Args:
        arguments: of `add_dataset_arguments`.
        cfg: of `dataset_config`.
        tasks: keys of `TASKS`.
        images: whether the images of a config's data set have to be there.
    """
    if cfg is not None:
        make_missing_mini_detail(cfg)
        return build_dataset(cfg, cfg.DATASETS.TEST[0], transforms=None, is_train=False, images=images)
    tasks = scored_labels(tasks)
    layout = arguments.layout or layout_of(arguments.annotations)
    if layout in ("coco", "coco_panoptic") and (arguments.parts or arguments.classes):
        raise UserError(f"--parts and --classes are for PASCAL in Detail's layout, not for --layout {layout}")
    dataset: AnnotatedDataset
    if layout == "coco":
        dataset = COCODataset(arguments.annotations, arguments.images, False, tasks=tasks, keep_crowd=True)
    elif layout == "coco_panoptic":
        dataset = COCOPanopticDataset(arguments.annotations, arguments.images, tasks=tasks, keep_crowd=True)
    else:
        sets: dict[str, Any] = {"parts": arguments.parts or "person6", "classes": arguments.classes or "all"}
        dataset = DetailDataset(arguments.annotations, arguments.images, arguments.split, tasks=tasks, **sets)
    dataset.exif = arguments.exif or dataset.exif
    return dataset


def dataset_name(arguments: argparse.Namespace, cfg: CfgNode | None) -> str:
    """What a page calls the data set: its name in the catalog, or its file."""
    return arguments.annotations if cfg is None else cfg.DATASETS.TEST[0]
