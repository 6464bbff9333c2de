"""The regions of an image as its file has them, for programs that score against the file itself."""

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, slots=True)
class FileRegions:
    """What a file says of an image's N regions, those of objects and of everything else, in file order.

    Attributes:
        names: the name of each region's category.
        boxes: float64 [N, 4], x, y, width, height in pixels, neither clipped nor rounded.
        crowd: bool [N].
        is_object: bool [N], whether the category is of objects, by its supercategory.
        only_semantic: bool [N], whether the category has no instances.
        codes: N run-length codes, {"size": [height, width], "counts"}.
    """

    names: tuple[str, ...]
    boxes: np.ndarray
    crowd: np.ndarray
    is_object: np.ndarray
    only_semantic: np.ndarray
    codes: list[Any]
