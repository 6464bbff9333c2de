"""What pictures and pages ask of a task, which is handed to them: `tasks.task.Task`."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.image_prediction import ImagePrediction
from maskrcnn_benchmark.structures.vocabulary import Vocabulary

Known = ImageAnnotations | ImagePrediction  # of one image, to be drawn
Legend = list[tuple[str, list[tuple[str, Sequence[int]]]]]  # (title, [(name, colour), ...]) of each group


class DrawnTask(Protocol):
    """A task as far as it is drawn."""

    key: str
    title: str

    @property
    def layer(self) -> int: ...

    def can_draw(self, known: Known, vocabulary: Vocabulary) -> bool: ...

    def draw(self, *args: Any, **options: Any) -> np.ndarray: ...

    def overlay(self, *args: Any, **options: Any) -> int | None: ...

    def legend(self, vocabulary: Vocabulary) -> Legend: ...
