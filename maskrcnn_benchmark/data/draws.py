"""How often each training image is drawn in an epoch: by the share of its data set, and by how rare its classes are."""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import numpy as np
from yacs.config import CfgNode

from maskrcnn_benchmark.data.dataset import AnnotatedDataset
from maskrcnn_benchmark.data.mixing import sampling_ratios, taught_tasks
from maskrcnn_benchmark.utils.errors import UserError

if TYPE_CHECKING:
    from maskrcnn_benchmark.tasks.task import Task


def expected_draws(cfg: CfgNode, dataset: AnnotatedDataset, tasks: "Collection[Task]") -> np.ndarray:
    """How often each of N images is drawn in an epoch on average, by DATASETS.RATIOS and DATALOADER.REPEAT_THRESHOLD.

    Their sum is the length of an epoch.

    Args:
        cfg: the config.
        dataset: that of all of DATASETS.TRAIN.
        tasks: those that are on.

    Returns:
        float64 [N].
    """
    factors, ratios = repeat_factors(cfg, dataset, tasks), sampling_ratios(cfg)
    draws = np.ones(len(dataset)) if factors is None else factors
    if not ratios:
        return draws
    parts = np.split(draws, np.cumsum([len(each) for each in dataset.datasets])[:-1])  # type: ignore[attr-defined]
    number = draws.sum()
    return np.concatenate([part * (number * r / sum(ratios) / part.sum()) for part, r in zip(parts, ratios)])


def repeat_factors(cfg: CfgNode, dataset: AnnotatedDataset, tasks: "Collection[Task]") -> np.ndarray | None:
    """The repeat factor of each of N images; None where DATALOADER.REPEAT_THRESHOLD is 0.

    Classes are those of objects or, where no task on objects is on and annotated, those of the first task that has
    some: of pixels, or image labels. Images that are not annotated for the task have the factor 1.

    Args:
        cfg, dataset, tasks: as of `expected_draws`.

    Returns:
        float64 [N], each 1 or more.
    """
    threshold = cfg.DATALOADER.REPEAT_THRESHOLD
    if not threshold:
        return None
    task = task_of_classes(cfg, dataset, tasks)
    amounts = (class_amounts(dataset, index, task) for index in range(len(dataset)))
    return factors_by_class([None if each is None else np.flatnonzero(each) for each in amounts], threshold)


def task_of_classes(cfg: CfgNode, dataset: AnnotatedDataset, tasks: "Collection[Task]") -> "Task":
    """The task by whose classes an image is drawn more often; raises `UserError` where there is none."""
    classed = [task for task in tasks if task.class_names(dataset.vocabulary)]
    annotated = taught_tasks(dataset, classed)
    for task in classed:
        if task.key in annotated:
            return task
    raise UserError(
        f"DATALOADER.REPEAT_THRESHOLD is {cfg.DATALOADER.REPEAT_THRESHOLD:g}, but no task that is on has classes that "
        f"{', '.join(cfg.DATASETS.TRAIN)} is annotated for; set it to 0"
    )


def factors_by_class(found: Sequence[np.ndarray | None], threshold: float) -> np.ndarray:
    """Repeat factors (Gupta et al. 2019): r_c = max(1, sqrt(t / f_c)), and of an image the greatest of its classes'.

    Args:
        found: of each of N images the classes that occur, each once; None where it is not annotated.
        threshold: t, the share of the annotated images from which on a class is not rare.

    Returns:
        float64 [N]; 1 where there is no class.
    """
    annotated = [classes for classes in found if classes is not None]
    occurring, images = np.unique(np.concatenate([np.zeros(0, np.int64), *annotated]), return_counts=True)
    of_class = np.ones(occurring.max(initial=0) + 1)
    of_class[occurring] = np.sqrt(threshold * len(annotated) / images).clip(1)
    return np.array([1.0 if classes is None else of_class[classes].max(initial=1) for classes in found])


def class_amounts(dataset: AnnotatedDataset, index: int, task: "Task") -> np.ndarray | None:
    """How much of each of a task's C classes an image has, such as pixels: [C]; None where it is not annotated."""
    if task.per == "region":
        labels = dataset.object_labels(index)
        number = len(task.class_names(dataset.vocabulary))
        return None if labels is None else np.bincount(labels, minlength=number + 1)[1:]
    annotations = dataset.annotations_for(index, {task.key})
    return task.class_amounts(annotations, dataset.vocabulary) if task.is_annotated(annotations) else None
