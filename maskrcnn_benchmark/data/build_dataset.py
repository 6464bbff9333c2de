"""From the name of a data set to the data set: what a catalog says of it, and how a config wants it opened."""

import inspect
import logging
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from yacs.config import CfgNode

from maskrcnn_benchmark.config import paths_catalog
from maskrcnn_benchmark.data.dataset import AnnotatedDataset, as_dataset
from maskrcnn_benchmark.data.datasets import (
    CityScapesDataset,
    COCODataset,
    COCOPanopticDataset,
    ConcatDataset,
    DetailDataset,
    NYUDMTLDataset,
    PascalContextMTLDataset,
    PascalVOCDataset,
)
from maskrcnn_benchmark.data.detail.class_sets import CLASS_SETS
from maskrcnn_benchmark.data.mini_detail import EMBEDDED
from maskrcnn_benchmark.data.preparation.other_files import layout_of
from maskrcnn_benchmark.structures.part_mask import PART_SET_ALIASES, PART_SETS
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.imports import import_file

CITYSCAPES_EVALUATED = 9  # classes of objects that Cityscapes evaluates, and background

logger = logging.getLogger(__name__)


def build_dataset(
    cfg: CfgNode, name: str, transforms: Callable | None, is_train: bool, images: bool = True
) -> AnnotatedDataset:
    """The data set that the config's catalog knows under a name.

    Args:
        cfg: the config.
        name: one of DATASETS.TRAIN or DATASETS.TEST.
        transforms: called as `transforms(image, annotations)`, or None.
        is_train: leave out what training cannot use: crowds, difficult objects, boxes without area and, with
            DATALOADER.FILTER_EMPTY_ANNOTATIONS, images without boxes; images on which no enabled task is annotated.
        images: whether images will be opened; else a set of one annotation file may lack their folder.
    """
    from maskrcnn_benchmark.tasks.task import enabled_tasks  # late, since tasks are above this room

    entry = _look_up(cfg, name, images)
    if not isinstance(entry, dict) or not {"factory", "args"} <= set(entry):
        raise UserError(
            f'{cfg.PATHS_CATALOG}: DatasetCatalog.get({name!r}) must return {{"factory": ..., "args": {{...}}}}, '
            f"not {entry!r}"
        )
    factory, args = entry["factory"], dict(entry["args"])
    if factory not in BUILDERS:
        raise UserError(
            f"{cfg.PATHS_CATALOG}: data set {name!r} has the unknown factory {factory!r}; "
            f"there are {', '.join(BUILDERS)}"
        )

    tasks = {task.key for task in enabled_tasks(cfg)}
    try:
        dataset = BUILDERS[factory](cfg, name, args, {"transforms": transforms, "tasks": tasks}, is_train)
    except _WrongArguments as error:
        raise UserError(f"{cfg.PATHS_CATALOG}: data set {name!r}: {factory} {error}") from None
    try:
        return as_dataset(dataset)
    except UserError as error:
        raise UserError(f"data set {name!r}: {error}") from None


# The arguments of our own factories that are files and folders; what others take, they know best
_PATHS = {
    "COCODataset": ("ann_file", "root"),
    "COCOPanopticDataset": ("ann_file", "panoptic_dir", "root"),
    "PascalVOCDataset": ("data_dir",),
    "CityScapesDataset": ("img_dir", "ann_dir"),
    "DetailDataset": ("ann_file", "root"),
    "PascalContextMTLDataset": ("data_dir",),
    "NYUDMTLDataset": ("data_dir",),
}


def check_files(cfg: CfgNode, names: Iterable[str]) -> None:
    """Raise `UserError` for the first of some data sets of which a file or a folder is not there; none is opened.

    The embedded data set may be missing: it is drawn when a run needs it. What is no entry of a catalog is left to
    `build_dataset`, which says more about it.
    """
    data_dir = Path(cfg.DATASETS.DATA_DIR)
    undrawn = tuple(f"{each}_" for each in EMBEDDED if not (data_dir / each).exists())
    pending, seen = list(names), set[str]()
    for name in pending:  # and those that it is made of
        if name in seen or name.startswith(undrawn):
            continue
        seen.add(name)
        entry = _look_up(cfg, name, images=True)
        factory, args = (entry.get(key) for key in ("factory", "args")) if isinstance(entry, dict) else (None, None)
        if not isinstance(factory, str) or not isinstance(args, dict):
            continue
        paths = [args.get(key) for key in _PATHS.get(factory, ())]
        missing = [path for path in paths if isinstance(path, str | os.PathLike) and not os.path.exists(path)]
        if missing:
            raise UserError(f"data set {name!r} is not there: {missing[0]} does not exist ({cfg.PATHS_CATALOG})")
        if factory == "ConcatDataset" and isinstance(args.get("datasets"), list | tuple):
            pending += args["datasets"]


def _look_up(cfg: CfgNode, name: str, images: bool) -> Any:
    """What the catalog's `get` returns for a name.

    Ours is asked as the module that everyone imports, so that entries put into its DATASETS count. A catalog written
    for the original library has a `get` that takes the name alone and knows by itself where the data lie.
    """
    ours = Path(cfg.PATHS_CATALOG).absolute() == Path(paths_catalog.__file__).absolute()
    module = paths_catalog if ours else import_file("maskrcnn_benchmark.config.users_paths_catalog", cfg.PATHS_CATALOG)
    if not hasattr(module, "DatasetCatalog"):
        raise UserError(f"PATHS_CATALOG: {cfg.PATHS_CATALOG} defines no class DatasetCatalog")
    get = module.DatasetCatalog.get
    # the default leaves it to the class attribute DATA_DIR, which users of the original set
    data_dir = cfg.DATASETS.DATA_DIR if cfg.DATASETS.DATA_DIR != paths_catalog.DEFAULT_DATA_DIR else None
    try:
        known = inspect.signature(get).parameters
        options = {"data_dir": data_dir, "images": images}
        return get(name, **{option: value for option, value in options.items() if option in known})
    except (KeyError, RuntimeError) as error:  # what the original's catalog raises for a name that it does not know
        raise UserError(f"{cfg.PATHS_CATALOG}: unknown data set {name!r} ({error})") from None


class _WrongArguments(Exception):
    """Arguments of a catalog's entry that its factory does not take."""


def _make(cfg: CfgNode, factory: Callable, **args: Any) -> Any:
    try:
        inspect.signature(factory).bind(**args)
    except TypeError as error:
        raise _WrongArguments(error) from None
    dataset = factory(**args)
    dataset.exif = cfg.INPUT.EXIF
    return dataset


def _build_coco(cfg: CfgNode, name: str, args: dict, options: dict, is_train: bool) -> AnnotatedDataset:
    leave_out = is_train and cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS
    args = {"remove_images_without_annotations": leave_out, "keep_crowd": not is_train, **args, **options}
    dataset = _make(cfg, COCODataset, **args)
    alone = len(cfg.DATASETS.TRAIN) <= 1  # of several, others may have them
    if is_train and alone and "instance" in dataset.tasks and not dataset.file.has_masks:
        raise UserError(f"MODEL.MASK_ON is on, but data set {name} has no masks ({dataset.file.path}); turn it off")
    keypoints = dataset.file.keypoints
    if is_train and alone and "keypoint" in dataset.tasks and not keypoints.are_labelled:
        reason, remedy = "has no labelled keypoints", "turn it off"
        if keypoints.conflict:
            reason = f"has different keypoints in its categories {keypoints.conflict}, and a network learns one kind"
            remedy = "make a file of each, take 'keypoints' out of the annotations of the others, or turn it off"
        raise UserError(f"MODEL.KEYPOINT_ON is on, but data set {name} {reason} ({dataset.file.path}); {remedy}")
    if is_train and "keypoint" in dataset.tasks and len(keypoints.joints or ()) > 1 and not keypoints.joints.flip_pairs:
        names = ", ".join(keypoints.joints.names[:3])
        logger.warning(
            "%s: the names of keypoints (%s, ...) tell no left from right: a mirror exchanges none", name, names
        )
    if is_train:
        left_out = dataset.left_out and f"; left out by DATALOADER.FILTER_EMPTY_ANNOTATIONS: {dataset.left_out}"
        logger.info("%s: %d of %d images%s", name, len(dataset), len(dataset.file.images), left_out)
    return dataset


def _build_coco_panoptic(cfg: CfgNode, name: str, args: dict, options: dict, is_train: bool) -> AnnotatedDataset:
    dataset = _make(cfg, COCOPanopticDataset, **{"keep_crowd": not is_train, **args, **options})
    if is_train:
        only_objects = dataset.tasks <= {"detection", "instance"}
        leave_out = cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS and only_objects
        _tell_left_out(name, dataset, dataset.leave_out_empty() if leave_out else dataset.leave_out_unannotated())
    return dataset


def _build_voc(cfg: CfgNode, name: str, args: dict, options: dict, is_train: bool) -> AnnotatedDataset:
    dataset = _make(cfg, PascalVOCDataset, **{"use_difficult": not is_train, **args, **options})
    if is_train:
        _tell_left_out(name, dataset, dataset.leave_out_unannotated())
    return dataset


def _build_cityscapes(cfg: CfgNode, name: str, args: dict, options: dict, is_train: bool) -> AnnotatedDataset:
    """Ten classes as in the original library, or the evaluated eight if the config has outputs for just those."""
    group = cfg.MODEL.RETINANET if cfg.MODEL.RETINANET_ON else cfg.MODEL.ROI_BOX_HEAD
    evaluated_only = group.NUM_CLASSES == CITYSCAPES_EVALUATED
    args = {"keep_crowd": not is_train, "evaluated_only": evaluated_only, **args, **options}
    dataset = _make(cfg, CityScapesDataset, **args)
    only_objects = dataset.tasks <= {"detection", "instance"}
    if is_train and cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS and only_objects:
        _tell_left_out(name, dataset, dataset.leave_out_empty())
    return dataset


# How a data set of the layouts of COCO is built where one of PASCAL in Detail is expected
_OF_COCO = {"coco": _build_coco, "coco_panoptic": _build_coco_panoptic}


def _build_detail(cfg: CfgNode, name: str, args: dict, options: dict, is_train: bool) -> AnnotatedDataset:
    for option, sets in (("PARTS", (*PART_SETS, *PART_SET_ALIASES)), ("CLASSES", CLASS_SETS)):
        if cfg.DATASETS[option] not in sets:
            raise UserError(f"DATASETS.{option} is {cfg.DATASETS[option]!r}, but must be one of {', '.join(sets)}")
    if not is_train:
        from maskrcnn_benchmark.tasks.task import scored_labels  # late: tasks are above this room

        options = {**options, "tasks": scored_labels(options["tasks"])}
    layout = layout_of(args["ann_file"]) if "ann_file" in args else None
    if layout in _OF_COCO:
        words = "%s is in COCO's layout, which has no splits: %s is all of it, images of training and of testing alike"
        logger.warning(words, args["ann_file"], name)
        args = {key: value for key, value in args.items() if key in ("ann_file", "root")}
        return _OF_COCO[layout](cfg, name, args, options, is_train)
    chosen = cfg.DATASETS
    sets = {"parts": chosen.PARTS, "classes": chosen.CLASSES, "protocol": chosen.PROTOCOL}
    dataset = _make(cfg, DetailDataset, **{**sets, "keep_crowd": not is_train, **args, **options})
    if is_train:
        _tell_left_out(name, dataset, dataset.leave_out_unannotated())
    return dataset


def _build_mtl(kind: type[AnnotatedDataset]) -> Callable[..., AnnotatedDataset]:
    def build(cfg: CfgNode, name: str, args: dict, options: dict, is_train: bool) -> AnnotatedDataset:
        dataset = _make(cfg, kind, **args, **options)
        if is_train:
            _tell_left_out(name, dataset, dataset.leave_out_unannotated())
        return dataset

    return build


def _build_concat(cfg: CfgNode, name: str, args: dict, options: dict, is_train: bool) -> AnnotatedDataset:
    """Several data sets of the catalog under one name: args is {"datasets": their names}."""
    names = args.get("datasets")
    if set(args) != {"datasets"} or not names or name in names:
        raise _WrongArguments('takes {"datasets": [names of other data sets]}')
    return ConcatDataset([build_dataset(cfg, each, options["transforms"], is_train) for each in names], names)


def _tell_left_out(name: str, dataset: AnnotatedDataset, number: int) -> None:
    if not len(dataset):
        tasks = ", ".join(sorted(dataset.tasks))
        raise UserError(f"data set {name}: none of its {number} images is annotated for {tasks}")
    logger.info(
        "%s: %d images; %d more are not annotated for any enabled task and are left out", name, len(dataset), number
    )


# What a catalog can name: (config, name, arguments of the entry, options of every data set, is_train) -> data set
BUILDERS = {
    "COCODataset": _build_coco,
    "COCOPanopticDataset": _build_coco_panoptic,
    "PascalVOCDataset": _build_voc,
    "CityScapesDataset": _build_cityscapes,
    "DetailDataset": _build_detail,
    "ConcatDataset": _build_concat,
    "PascalContextMTLDataset": _build_mtl(PascalContextMTLDataset),
    "NYUDMTLDataset": _build_mtl(NYUDMTLDataset),
}
