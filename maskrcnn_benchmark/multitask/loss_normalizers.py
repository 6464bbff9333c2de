"""How much a micro-batch's loss of a task counts in the step: by how many of the images with its labels it has."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.utils.comm import average_over_ranks, get_world_size, message_device

if TYPE_CHECKING:
    from maskrcnn_benchmark.tasks.task import Task


@dataclass(frozen=True)
class LossNormalizer:
    """What one micro-batch counts.

    Attributes:
        of_step: {task key: factor of the micro-batch's loss, so that the mean over processes of the sum over
            micro-batches is the loss of the whole batch}.
        of_rank: {task key: fraction of this process's images that carry the task}.
        images: fraction of this process's images.
    """

    of_step: dict[str, float]
    of_rank: dict[str, float]
    images: float


def whole(tasks: Iterable[str]) -> LossNormalizer:
    """The `LossNormalizer` of the only micro-batch of the only process, by task keys."""
    return LossNormalizer(dict.fromkeys(tasks, 1.0), dict.fromkeys(tasks, 1.0), 1.0)


def normalizers_of(micro_batches: Sequence[Sequence], tasks: Iterable["Task"]) -> list[LossNormalizer]:
    """The `LossNormalizer` of each micro-batch that a step's batch is run in.

    A head's loss is a mean over what is annotated. The mean over a whole batch, of all processes, then weighs
    micro-batches and processes by their annotated images; one without the task does not dilute it.

    Args:
        micro_batches: list of lists of targets, `ImageAnnotations` or upstream's `BoxList`; a micro-batch may be empty.
            Targets of another kind do not say what they carry: where no target of the batch does, images are counted.
        tasks: those that are trained.
    """
    tasks = list(tasks)
    keys = [task.key for task in tasks]
    carried = [[_tasks_of(target, tasks) for target in targets] for targets in micro_batches]
    counts = [[sum(key in found for found in each) for key in keys] + [len(each)] for each in carried]
    local = [sum(column) for column in zip(*counts)]
    mean = local
    if get_world_size() > 1:
        message = torch.tensor(local, dtype=torch.float64, device=message_device())
        average_over_ranks([message])
        mean = message.tolist()
    return [
        LossNormalizer(_divide(keys, row, mean), _divide(keys, row, local), row[-1] / local[-1] if local[-1] else 0.0)
        for row in counts
    ]


def _divide(keys: Sequence[str], row: Sequence[float], total: Sequence[float]) -> dict[str, float]:
    """{task key: normalizer}; for a task that no target claims, that of the images."""
    images = row[-1] / total[-1] if total[-1] else 0.0
    return {key: row[i] / total[i] if total[i] else images for i, key in enumerate(keys)}


def _tasks_of(target: object, tasks: Iterable["Task"]) -> set[str]:
    if not isinstance(target, ImageAnnotations | BoxList):
        return set()
    annotations = ImageAnnotations.of(target)
    return {task.key for task in tasks if task.is_annotated(annotations)}
