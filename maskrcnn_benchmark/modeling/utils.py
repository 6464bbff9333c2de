"""Small tensor helpers that several parts of the model share."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import nn
from yacs.config import CfgNode

from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.vocabulary import Vocabulary

# From `ImageAnnotations` to the label that a head learns from, or to None where it was not annotated
LabelFunction = Callable[[ImageAnnotations], Any]
Targets = Sequence[ImageAnnotations] | None
# One output per image (in training None), and the losses by name
HeadOutput = tuple[list[Any] | None, dict[str, torch.Tensor]]


def cat(tensors: list[torch.Tensor] | tuple[torch.Tensor, ...], dim: int = 0) -> torch.Tensor:
    """Concatenate along `dim`, without a copy when there is a single tensor."""
    if len(tensors) == 1:
        return tensors[0]
    return torch.cat(tensors, dim)


def pad_rows(parts: Sequence[torch.Tensor], fill: float = 0) -> torch.Tensor:
    """Tensors [K_i, ...] as one [N, max K_i, ...] of the first one's type, filled up by `fill`."""
    padded = parts[0].new_full((len(parts), max(map(len, parts)), *parts[0].shape[1:]), fill)
    for row, part in zip(padded, parts):
        row[: len(part)] = part
    return padded


def without_crowds(boxes: BoxList) -> BoxList:
    """The boxes of a `BoxList` that are single objects: those whose field "iscrowd", if there is one, is false."""
    if not boxes.has_field("iscrowd"):
        return boxes
    return boxes[~boxes.get_field("iscrowd").bool()]


def build_heads(
    cfg: CfgNode, tasks: Iterable[Any], channels: Mapping[str, int], vocabulary: Vocabulary | None
) -> dict[str, tuple[Any, nn.Module]]:
    """The heads of those tasks that read certain features.

    Their order, which is that in which random weights are drawn, is the tasks', but that a task with `head_after` comes
    behind the task with that key.

    Args:
        cfg: the config.
        tasks: `Task`s that are on, in the registry's order.
        channels: {what is read: its channels}, see `Task.reads`.
        vocabulary: `Vocabulary` of the training data, or None.

    Returns:
        {name of the head: (task, head)}.

    Raises:
        ValueError: two tasks give their heads the same name, or a task with losses has no head.
    """
    tasks = {task.key: task for task in tasks if task.per != "derived" and task.reads(cfg) in channels}
    ordered = list(tasks.values())
    for task in tasks.values():
        if task.head_after in tasks:
            ordered.remove(task)
            ordered.insert(ordered.index(tasks[task.head_after]) + 1, task)
    heads: dict[str, tuple[Any, nn.Module]] = {}
    for task in ordered:
        head, name = task.build_head(cfg, channels[task.reads(cfg)], vocabulary), task.head_name(cfg)
        if name in heads:
            raise ValueError(f"the tasks {heads[name][0].key!r} and {task.key!r} both call their head {name!r}")
        if head is not None:
            heads[name] = task, head
        elif task.losses:
            raise ValueError(
                f"the task {task.key!r} has losses, but no head to train: define {type(task).__name__}.build_head, or "
                "leave its `losses` empty"
            )
    return heads
