"""From a config to data sets, their vocabulary, and the loaders of batches."""

import gc
import logging
import resource
import sys
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader
from torch.utils.data.sampler import BatchSampler
from yacs.config import CfgNode

from maskrcnn_benchmark.config.check import check_options
from maskrcnn_benchmark.config.node import ConfigNode
from maskrcnn_benchmark.config.options import ClassCount
from maskrcnn_benchmark.data.build_dataset import build_dataset
from maskrcnn_benchmark.data.collate_batch import BatchCollator, BBoxAugCollator
from maskrcnn_benchmark.data.copy_paste import CopyPasteDataset
from maskrcnn_benchmark.data.dataset import AnnotatedDataset
from maskrcnn_benchmark.data.datasets import ConcatDataset
from maskrcnn_benchmark.data.draws import repeat_factors, task_of_classes
from maskrcnn_benchmark.data.handover import HandedOver
from maskrcnn_benchmark.data.mixing import (
    in_learned_vocabulary,
    learned_vocabulary,
    log_mixture,
    sampling_ratios,
    vocabulary_dataset,
    warn_of_untaught,
)
from maskrcnn_benchmark.data.samplers import (
    DistributedSampler,
    GroupedBatchSampler,
    MixtureSampler,
    PartOfBatchSampler,
    RepeatFactorSampler,
    SeededBatchSampler,
    SeededDataset,
    WholeBatchSampler,
)
from maskrcnn_benchmark.data.transforms import build_byte_transforms
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.target_batch import HostTargets
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.utils.allocator import keep_freed_memory
from maskrcnn_benchmark.utils.comm import get_rank, get_world_size
from maskrcnn_benchmark.utils.devices import names_cuda
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.workers import kill_workers_at_exit, leave_signals_to_parent, start_method

logger = logging.getLogger(__name__)

# Upright images in one group, wide ones in the other
ASPECT_RATIO_BOUNDS = (1.0,)


def make_data_loader(
    cfg: CfgNode, is_train: bool = True, is_distributed: bool = False, start_iter: int = 0, is_for_period: bool = False
) -> Any:
    """The loader of training batches, or the loaders of test batches.

    A batch is (`ImageList` of uint8 RGB, `TargetBatch` of `ImageAnnotations`, list of indices into the loader's
    `dataset`); with test-time augmentation the images are a list of PIL images. The targets of a test batch are
    `HostTargets`, which are not pinned. `modeling.detector.pixels` makes normalised floats of bytes, as the network
    itself does. In training, annotations are transformed along with the image; in testing they stay in the original
    pixels, where predictions are judged.

    Args:
        cfg: the config. SOLVER.IMS_PER_BATCH and TEST.IMS_PER_BATCH count the images of all processes.
        is_train: DATASETS.TRAIN, shuffled and mixed by DATASETS.RATIOS, SOLVER.MAX_ITER batches; otherwise
            DATASETS.TEST, each image once over all processes.
        is_distributed: whether several processes share the images.
        start_iter: batches of training that were seen before; the loader goes on as if it had not been interrupted.
        is_for_period: one test loader over all of DATASETS.TEST, for evaluation during training.

    Returns:
        a `DataLoader` for training or `is_for_period`, otherwise a list with one for each of DATASETS.TEST.
    """
    check_options(cfg)
    processes, rank = (get_world_size(), get_rank()) if is_distributed else (1, 0)
    option = "SOLVER.IMS_PER_BATCH" if is_train else "TEST.IMS_PER_BATCH"
    images = cfg.SOLVER.IMS_PER_BATCH if is_train else cfg.TEST.IMS_PER_BATCH
    if images % processes:
        raise UserError(f"{option} {images} must be a multiple of the number of processes, {processes}")
    datasets = build_datasets(cfg, is_train, joined=is_train or is_for_period)
    if is_train:
        return _training_loader(cfg, datasets[0], processes, rank, start_iter)
    loaders = [_test_loader(cfg, dataset, images // processes, processes, rank) for dataset in datasets]
    return loaders[0] if is_for_period else loaders


def build_datasets(cfg: CfgNode, is_train: bool = True, joined: bool = True) -> list[AnnotatedDataset]:
    """The data sets of DATASETS.TRAIN or DATASETS.TEST, with the config's transforms.

    Args:
        cfg: the config.
        is_train: which; training leaves out what it cannot learn from (see `build_dataset`), and data sets that differ
            in their vocabularies are in the one that the network learns (see `mixing.learned_vocabulary`).
        joined: make one of several.

    Returns:
        list of data sets, of length one if `joined`.
    """
    names = list(cfg.DATASETS.TRAIN if is_train else cfg.DATASETS.TEST)
    if not names:
        raise UserError(f"DATASETS.{'TRAIN' if is_train else 'TEST'} is empty; name a data set there")
    transforms = _transforms(cfg, is_train)
    datasets = [build_dataset(cfg, name, transforms, is_train) for name in names]
    if is_train:
        datasets = in_learned_vocabulary(cfg, names, datasets, _enabled_tasks(cfg))
    return [ConcatDataset(datasets, names)] if joined and len(datasets) > 1 else datasets


def _enabled_tasks(cfg):
    from maskrcnn_benchmark.tasks.task import enabled_tasks  # late: tasks are above this room

    return enabled_tasks(cfg)


def load_vocabulary(cfg: CfgNode) -> Vocabulary:
    """The `Vocabulary` that the config's network learns, see `mixing.learned_vocabulary`."""
    return learned_vocabulary(cfg)[1]


def bind_vocabulary(cfg: ConfigNode, vocabulary: Vocabulary) -> None:
    """Set every NUM_CLASSES option from the vocabulary that `load_vocabulary` returned, in place, frozen or not.

    Raises `UserError` if a task is on for which the data set has no classes, and if an option of a task that is on
    was set by hand to another number; the message names both.
    """
    from maskrcnn_benchmark.tasks.task import TASKS  # late: tasks are above this room

    frozen = cfg.is_frozen()
    cfg.defrost()
    for task in TASKS.values():
        for each in task.class_counts(vocabulary):
            _bind(cfg, task.switch, each)
    if frozen:
        cfg.freeze()


def _bind(cfg: ConfigNode, switch: str, number: ClassCount) -> None:
    """Set the option of a `ClassCount` of the task with a switch."""
    option, count = number.option, number.count
    *groups, name = option.split(".")
    node, active = cfg.value_of(".".join(groups)), cfg.MODEL[switch] and (not number.where or cfg.MODEL[number.where])
    if active and not count:
        dataset = vocabulary_dataset(cfg)
        raise UserError(f"MODEL.{switch} is on, but data set {dataset} has no {number.what}; turn the task off")
    if active and cfg.is_given(option) and node[name] != count:
        dataset = vocabulary_dataset(cfg)
        raise UserError(
            f"{option} is set to {node[name]}, but data set {dataset} has {count} ({number.what}); leave the option out"
        )
    if count:
        node[name] = count


def _transforms(cfg: CfgNode, is_train: bool) -> Callable | None:
    if is_train:
        return build_byte_transforms(cfg, is_train=True)
    return None if _is_augmented(cfg) else ImageOnly(build_byte_transforms(cfg, is_train=False))


def _is_augmented(cfg: CfgNode) -> bool:
    """Whether tests see images as they were stored, of which test-time augmentation makes its views."""
    return cfg.TEST.BBOX_AUG.ENABLED or cfg.TEST.DENSE_AUG.ENABLED


class ImageOnly:
    """Applies a transform to the image and leaves the annotations in the original pixels."""

    def __init__(self, transforms: Callable) -> None:
        self.transforms = transforms

    def __call__(self, image: Image.Image, annotations: ImageAnnotations) -> tuple[torch.Tensor, ImageAnnotations]:
        return self.transforms(image)[0], annotations


def _training_loader(cfg, dataset, processes, rank, start_iter):
    """Batches that depend on neither number nor rank of the processes, and of each the part of this process.

    So do the seeds of the images' transforms: any number of processes trains on the same stream of batches.
    """
    seed = cfg.SOLVER.SEED
    if seed < 0:
        raise ValueError(f"SOLVER.SEED is {seed}: draw a seed and write it into the config before making loaders")
    warn_of_untaught(cfg, dataset, _enabled_tasks(cfg))
    sampler = _training_sampler(cfg, dataset)
    groups = _aspect_ratio_groups(dataset) if cfg.DATALOADER.ASPECT_RATIO_GROUPING else None
    batches = WholeBatchSampler(sampler, cfg.SOLVER.IMS_PER_BATCH, cfg.SOLVER.MAX_ITER, start_iter, groups)
    batches = PartOfBatchSampler(SeededBatchSampler(batches, seed, start_iter=start_iter), processes, rank)
    collator = BatchCollator(cfg.DATALOADER.SIZE_DIVISIBILITY)
    return _loader(cfg, training_items(cfg, dataset), batches, collator)


def training_items(cfg: CfgNode, dataset: AnnotatedDataset) -> SeededDataset:
    """What training gets of the data set of `build_datasets`: items by (index, seed), with INPUT.COPY_PASTE pasted on.

    Raises `UserError` where nothing can be pasted, or no task that is trained would have a label then.
    """
    if not cfg.INPUT.COPY_PASTE:
        return SeededDataset(dataset)
    tasks = _enabled_tasks(cfg)
    trained = [task for task in tasks if task.losses]
    if not any(task.can_be_pasted for task in trained):
        raise UserError(
            f"INPUT.COPY_PASTE is {cfg.INPUT.COPY_PASTE:g}, but images with pasted objects have no label of what is "
            f"trained ({', '.join(task.key for task in trained)}); set it to 0"
        )
    if not dataset.read_masks():
        raise UserError(
            f"INPUT.COPY_PASTE is {cfg.INPUT.COPY_PASTE:g}, but no image of {', '.join(cfg.DATASETS.TRAIN)} has masks "
            "to cut objects out by; set it to 0, or add a data set with masks to DATASETS.TRAIN"
        )
    return SeededDataset(CopyPasteDataset(dataset, cfg.INPUT.COPY_PASTE, tasks, sampling_ratios(cfg)))


def _training_sampler(cfg, dataset):
    """Images by DATASETS.RATIOS and DATALOADER.REPEAT_THRESHOLD or, without, once; what is mixed is told in the log."""
    ratios, factors = sampling_ratios(cfg), repeat_factors(cfg, dataset, _enabled_tasks(cfg))
    names = cfg.DATASETS.TRAIN
    if len(names) > 1:
        log_mixture(names, dataset.datasets, ratios, _enabled_tasks(cfg))
    if factors is not None:
        logger.info(
            "DATALOADER.REPEAT_THRESHOLD %g by the classes of %s: %d of %d images are drawn more than once in an "
            "epoch, up to %.3g times; an epoch has %.0f images",
            *(cfg.DATALOADER.REPEAT_THRESHOLD, task_of_classes(cfg, dataset, _enabled_tasks(cfg)).title),
            *(np.count_nonzero(factors > 1), len(factors), factors.max(), factors.sum()),
        )
    if not ratios and factors is not None:
        return RepeatFactorSampler(factors, cfg.SOLVER.SEED)
    if not ratios:
        return DistributedSampler(dataset, 1, 0, shuffle=True, seed=cfg.SOLVER.SEED)
    sizes = [len(each) for each in dataset.datasets]
    return MixtureSampler(sizes, ratios, 1, 0, seed=cfg.SOLVER.SEED, factors=factors)


def _test_loader(cfg, dataset, images_per_process, processes, rank):
    sampler = DistributedSampler(dataset, processes, rank, shuffle=False, pad=False)
    batches = _batch_sampler(cfg, dataset, sampler, images_per_process)
    if _is_augmented(cfg):
        collator = BBoxAugCollator()
    else:
        collator = BatchCollator(cfg.DATALOADER.SIZE_DIVISIBILITY, HostTargets)
    return _loader(cfg, dataset, batches, collator)


def _batch_sampler(cfg, dataset, sampler, batch_size):
    if not cfg.DATALOADER.ASPECT_RATIO_GROUPING:
        return BatchSampler(sampler, batch_size, drop_last=False)
    return GroupedBatchSampler(sampler, _aspect_ratio_groups(dataset), batch_size, drop_uneven=False)


def _aspect_ratio_groups(dataset: AnnotatedDataset) -> np.ndarray:
    """For each image, how many of `ASPECT_RATIO_BOUNDS` its height by width reaches: int64 [N]."""
    width, height = dataset.image_sizes().T
    return np.searchsorted(ASPECT_RATIO_BOUNDS, height / width, side="right")


def _loader(cfg, dataset, batch_sampler, collator):
    workers = cfg.DATALOADER.NUM_WORKERS
    if workers:
        kill_workers_at_exit()
        _allow_open_files()
        # Workers are forks that share the annotations: a collection in one would touch, and so copy, all their pages
        gc.collect()
        gc.freeze()
        # and OpenCV's threads do not live on in a fork, which would wait for them
        cv2.setNumThreads(1)
    return DataLoader(
        dataset,
        batch_sampler=batch_sampler,
        num_workers=workers,
        collate_fn=HandedOver(collator),
        # libraries of macOS do not survive a fork: Python's own way there is taken
        multiprocessing_context=start_method() if workers and sys.platform != "darwin" else None,
        worker_init_fn=_start_worker,
        persistent_workers=workers > 0,
        pin_memory=names_cuda(cfg.MODEL.DEVICE) and torch.cuda.is_available(),
    )


def _start_worker(worker: int) -> None:
    leave_signals_to_parent()
    keep_freed_memory()


def _allow_open_files() -> None:
    """Raise this process's limit of open files to what the system grants.

    Every tensor that a worker hands over holds a file open. A batch is two, but those of structures that do not say
    which tensors they hold (`structures.tensors`) come one by one: the usual limit of 1024 is reached with few workers.
    Where it still does not suffice, `data.handover` says so.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
