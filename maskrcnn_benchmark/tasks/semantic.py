"""Semantic segmentation: a class for every pixel."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from maskrcnn_benchmark.data.same_names import SAME_CLASS, match_names
from maskrcnn_benchmark.structures.dense_map import IGNORE_INDEX, SemanticMap
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.task import Task, register_task


class Semantic(Task):
    """A class for every pixel."""

    key = "semantic"
    title = "semantic segmentation"
    switch = "SEMANTIC_ON"
    comment = "Task: semantic segmentation, per image, on shared dense features over the feature pyramid"
    losses = ("loss_semantic",)
    headline = "mIoU"
    parameter_prefixes = ("fpn_heads.heads.semantic.",)

    # Options ----------------------------------------------------------------------------------------------------------

    # Labels -----------------------------------------------------------------------------------------------------------

    def has_names(self, vocabulary: Vocabulary) -> bool:
        return bool(vocabulary.semantic_names)

    def names(self, vocabulary: Vocabulary) -> dict[str, Any]:
        return {"semantic classes": vocabulary.semantic_names}

    def rename(self, source: Vocabulary, target: Vocabulary) -> Callable[[SemanticMap], SemanticMap] | None:
        """Pixels of classes that the target lacks are ignored."""
        values = torch.full((IGNORE_INDEX + 1,), IGNORE_INDEX, dtype=torch.uint8)
        for value, place in enumerate(match_names(source.semantic_names, target.semantic_names, SAME_CLASS)):
            values[value] = IGNORE_INDEX if place is None else place
        return partial(_rename_pixels, values) if (values != IGNORE_INDEX).any() else None

    # Network ----------------------------------------------------------------------------------------------------------

    # Evaluation -------------------------------------------------------------------------------------------------------

    # Files ------------------------------------------------------------------------------------------------------------

    # Pictures ---------------------------------------------------------------------------------------------------------

    # Export -----------------------------------------------------------------------------------------------------------


def _rename_pixels(value_of: torch.Tensor, label: SemanticMap) -> SemanticMap:
    return SemanticMap(value_of[label.labels.int()])


SEMANTIC = register_task(Semantic())
