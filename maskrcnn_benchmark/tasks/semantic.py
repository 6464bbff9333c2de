"""Semantic segmentation: a class for every pixel."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch

from maskrcnn_benchmark.data.same_names import SAME_CLASS, match_names
from maskrcnn_benchmark.data.statistics import DatasetCounts
from maskrcnn_benchmark.structures.dense_map import IGNORE_INDEX, SemanticMap
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.task import Task, register_task
from maskrcnn_benchmark.visualization.dataset_page import shares_card


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

    def count(self, annotations: ImageAnnotations, vocabulary: Vocabulary) -> dict[str, Any]:
        """The pixels of each class and, last, of none: int64 [C + 1]."""
        pixels = np.bincount(annotations.semantic.labels.numpy().ravel(), minlength=IGNORE_INDEX + 1)
        pixels = np.append(pixels[: len(vocabulary.semantic_names)], pixels[IGNORE_INDEX])
        return {"classes": [vocabulary.semantic_names[k] for k in np.flatnonzero(pixels[:-1])], "pixels": pixels}

    def facts(self, count: dict[str, Any], vocabulary: Vocabulary) -> list[tuple[str, str]]:
        pixels = count["pixels"][:-1]
        names = [vocabulary.semantic_names[k] for k in np.argsort(-pixels, kind="stable")][: len(count["classes"])]
        share = 100 * pixels.sum() / count["pixels"].sum()
        return [("regions", f"{', '.join(names) or 'none'}; {share:.0f}% of the pixels labelled")]

    def cards(self, counts: DatasetCounts) -> list[str]:
        shares = np.array([pixels[:-1].sum() / pixels.sum() for pixels in counts.each(self.key, "pixels")])
        return [shares_card("Share of an image's pixels with a semantic label", shares, "share", "images")]

    # Network ----------------------------------------------------------------------------------------------------------

    # Evaluation -------------------------------------------------------------------------------------------------------

    # Files ------------------------------------------------------------------------------------------------------------

    # Pictures ---------------------------------------------------------------------------------------------------------

    # Export -----------------------------------------------------------------------------------------------------------


def _rename_pixels(value_of: torch.Tensor, label: SemanticMap) -> SemanticMap:
    return SemanticMap(value_of[label.labels.int()])


SEMANTIC = register_task(Semantic())
