"""What a task says of an output of an exported network."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from torch import nn


@dataclass(frozen=True)
class ExportedOutput:
    """One output of an exported network.

    Attributes:
        shape: its dtype and shape, for people.
        meaning: in one sentence.
        stride: pixels per cell of a map as the head makes it; in the file there is a cell for every pixel.
        tolerance: the largest difference from the network's own prediction that rounding explains.
        outliers: share of the entries (of the last axis) that may differ by more, because they are chosen among others
            that may be as good.
        comparable: function array -> array that is applied to both before they are compared, None: as they are.
    """

    shape: str
    meaning: str
    stride: int = 1
    tolerance: float = 1e-3
    outliers: float = 0.0
    comparable: Callable[[np.ndarray], np.ndarray] | None = None


def no_tensor_form(head: nn.Module, *known: type[nn.Module]) -> str | None:
    """Why a head cannot be exported that is of none of the known classes; None where it is of one."""
    if type(head) in known:
        return None
    names = " or ".join(kind.__name__ for kind in known)
    return f"there is no tensor form of the head {type(head).__name__}, only of {names}"
