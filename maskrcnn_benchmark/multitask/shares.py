"""How much a portion's loss of a task counts in the step: as its share of the images that carry the task's labels."""

import torch

from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.utils.comm import average_over_ranks, get_world_size


class Shares:
    """The shares of the portions that a step's batch is run in.

    A head's loss is a mean over what is annotated. The mean over a whole batch, of all processes, then weighs portions
    and processes by their annotated images; one without the task does not dilute it.

    Args:
        portions: list of lists of targets, `ImageAnnotations` or upstream's `BoxList`; a portion may be empty. Targets
            of another kind do not say what they carry: where no target of the batch does, images are counted.
        tasks: list of task keys.
        device: where the process group communicates.
    """

    def __init__(self, portions, tasks, device="cpu"):
        carried = [[_tasks_of(target) for target in targets] for targets in portions]
        counts = [[sum(key in found for found in portion) for key in tasks] + [len(portion)] for portion in carried]
        local = [sum(column) for column in zip(*counts)]
        mean = local
        if get_world_size() > 1:
            message = torch.tensor(local, dtype=torch.float64, device=device)
            average_over_ranks([message])
            mean = message.tolist()
        self.of_step = [self._divide(tasks, row, mean) for row in counts]
        self.of_rank = [self._divide(tasks, row, local) for row in counts]
        self.images = [row[-1] / local[-1] if local[-1] else 0.0 for row in counts]

    @staticmethod
    def _divide(tasks, row, whole):
        """{task key: share}; for a task that no target claims, that of the images."""
        images = row[-1] / whole[-1] if whole[-1] else 0.0
        return {key: row[i] / whole[i] if whole[i] else images for i, key in enumerate(tasks)}


def _tasks_of(target):
    if isinstance(target, ImageAnnotations | BoxList):
        return ImageAnnotations.of(target).annotated_tasks()
    return set()
