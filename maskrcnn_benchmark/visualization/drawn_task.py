"""What pictures and pages ask of a task, which is handed to them: `tasks.task.Task`."""

from collections.abc import Callable, Sequence
from typing import Protocol

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
    layer: int
    can_draw: Callable[[Known, Vocabulary], bool]
    draw: Callable[..., np.ndarray]
    overlay: Callable[..., int | None]
    legend: Callable[[Vocabulary], Legend]
