"""Semantic segmentation: a class for every pixel."""

import numpy as np
import torch

from maskrcnn_benchmark.prediction_files.as_prediction import LabelMap
from maskrcnn_benchmark.prediction_files.layout import CLASSES
from maskrcnn_benchmark.prediction_files.maps import LabelMaps, MapFile
from maskrcnn_benchmark.structures.dense_map import IGNORE_INDEX
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.task import Task, register_task


class ClassMaps(LabelMaps):
    """1 + the class of every pixel."""

    named = "semantic"

    def numbers(self, vocabulary: Vocabulary) -> tuple[int, int, str]:
        count = len(vocabulary.semantic_names)
        return 1, count, f"each pixel needs a class: 1 to {count}, 1 + the class's place in {CLASSES}"


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

    # Network ----------------------------------------------------------------------------------------------------------

    # Evaluation -------------------------------------------------------------------------------------------------------

    # Files ------------------------------------------------------------------------------------------------------------

    def files(self) -> tuple[MapFile, ...]:
        text = "a PNG per image: 1 + class, see classes.json"
        encoding = "PNG of 8 bits: a value of 'semantic', 0 unlabelled"
        return (ClassMaps(self.key, shift=1, text=text, encodings={self.key: encoding}),)

    def decode(self, stored: np.ndarray, size: tuple[int, int], vocabulary: Vocabulary) -> LabelMap:
        """The labels; 255 stands for no class, which drawings leave blank."""
        channels = IGNORE_INDEX + 1 if (stored == IGNORE_INDEX).any() else len(vocabulary.semantic_names)
        return LabelMap(torch.from_numpy(stored), channels)

    # Pictures ---------------------------------------------------------------------------------------------------------

    # Export -----------------------------------------------------------------------------------------------------------


SEMANTIC = register_task(Semantic())
