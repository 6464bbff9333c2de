"""What pictures and pages ask of a task, which is handed to them: `tasks.task.Task`."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.image_prediction import ImagePrediction
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.visualization.canvas import Canvas

Known = ImageAnnotations | ImagePrediction  # of one image, to be drawn
Legend = list[tuple[str, list[tuple[str, Sequence[int]]]]]  # (title, [(name, colour), ...]) of each group


class DrawnTask(Protocol):
    """A task as far as it is drawn."""

    key: str
    title: str

    @property
    def layer(self) -> int: ...

    def can_draw(self, known: Known, vocabulary: Vocabulary) -> bool: ...

    def draw(
        self,
        image: np.ndarray,
        known: Known,
        vocabulary: Vocabulary,
        threshold: float | None = None,
        scale: float | None = None,
    ) -> np.ndarray: ...

    def overlay(
        self, canvas: Canvas, known: Known, vocabulary: Vocabulary, threshold: float, beside: Mapping
    ) -> int | None: ...

    def legend(self, vocabulary: Vocabulary) -> Legend: ...
