"""Whether an exported network predicts what the network itself does, task by task."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from maskrcnn_benchmark.export.signature import Signature
from maskrcnn_benchmark.utils.text import counted

# Two boxes with one label are the same object when no coordinate differs by more
SAME_OBJECT = 2.0


@dataclass
class Difference:
    """How the outputs of one task differ, over all images.

    Attributes:
        largest: {output: largest absolute difference}.
        compared: objects or maps that were compared.
        faults: sentences, each a difference that is too large.
    """

    largest: dict[str, float] = field(default_factory=dict)
    compared: int = 0
    faults: list[str] = field(default_factory=list)

    def note(self, name: str, value: float, limit: float, image: str) -> None:
        """Take down one difference, and that it is a fault where it exceeds the limit or is no number."""
        self.largest[name] = max(self.largest.get(name, 0.0), value)
        if not value <= limit:
            self.faults.append(f"{image}: {name} differ by {value:.3g}, more than {limit:g}")


class Parity:
    """Collects the differences over images.

    Args:
        signature: {name: `Signature`} of the network's outputs, as `signature_of` has them.

    Attributes:
        tasks: {task key: `Difference`}, for the tasks that have an output.
    """

    def __init__(self, signature: dict[str, Signature]) -> None:
        self.signature = signature
        self.tasks: dict[str, Difference] = {}

    @property
    def faults(self) -> list[str]:
        return [f"{task}: {fault}" for task, found in self.tasks.items() for fault in found.faults]

    def compare(self, expected: dict[str, np.ndarray], found: dict[str, np.ndarray], image: str) -> None:
        """Compare the outputs for one image.

        Args:
            expected, found: {output: array} of the network and of the exported file.
            image: name of the image, for faults.
        """
        if list(expected) != list(found):
            first = next(iter(self.signature))
            self._of(first).faults.append(f"{image}: outputs are {', '.join(found)}, not {', '.join(expected)}")
            return
        rows: Any = slice(None)
        columns = rows
        if "boxes" in expected:
            rows, columns = self._pair_objects(expected, found, image)
        of_tasks: dict[str, list[str]] = {}
        for name in expected:
            if name != "labels":
                of_tasks.setdefault(self.signature[name].task.key, []).append(name)
        for names in of_tasks.values():
            per_object = self.signature[names[0]].per_object
            self._of(names[0]).compared += len(rows) if per_object else 1
            for name in names:
                if per_object:
                    self._compare(name, expected[name][rows], found[name][columns], image)
                else:
                    self._compare(name, expected[name], found[name], image)

    def _of(self, output: str) -> Difference:
        return self.tasks.setdefault(self.signature[output].task.key, Difference())

    def _pair_objects(self, expected, found, image):
        rows, columns = same_objects(expected, found)
        counts = len(expected["boxes"]), len(found["boxes"])
        if not counts[0] == counts[1] == len(rows):
            fault = f"{image}: {counted(counts[0], 'object')}, but {counts[1]} in the file, {len(rows)} the same"
            self._of("boxes").faults.append(fault)
        return rows, columns

    def _compare(self, name: str, one: np.ndarray, other: np.ndarray, image: str) -> None:
        difference, output = self._of(name), self.signature[name].output
        if one.shape != other.shape:
            difference.faults.append(f"{image}: {name} is {list(other.shape)}, not {list(one.shape)}")
            return
        if output.comparable is not None:
            one, other = output.comparable(one), output.comparable(other)
        if output.outliers:
            apart = ~(np.abs(one - other).max(axis=-1, initial=0) <= output.tolerance)
            one, other = one[~apart], other[~apart]
            if apart.sum() > output.outliers * apart.size:
                fault = f"{image}: {apart.sum()} of {apart.size} {name} differ by more than {output.tolerance:g}"
                difference.faults.append(fault)
        difference.note(name, largest(one, other), output.tolerance, image)


def same_objects(expected: dict[str, np.ndarray], found: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Indices (rows, columns) of the objects that both have: of one label, each coordinate within `SAME_OBJECT`."""
    apart = np.abs(expected["boxes"][:, None] - found["boxes"][None]).max(axis=2, initial=0)
    apart = apart + np.abs(expected["scores"][:, None] - found["scores"][None])  # of boxes in one place, by score
    strange = (expected["labels"][:, None] != found["labels"][None]) | ~(apart <= SAME_OBJECT)
    rows, columns = linear_sum_assignment(np.where(strange, 1e6, apart))
    same = ~strange[rows, columns]
    return rows[same], columns[same]


def largest(one: np.ndarray, other: np.ndarray) -> float:
    """The largest absolute difference of two arrays; 0 for empty ones, NaN where one of them holds it."""
    return float(np.abs(one.astype(np.float64) - other).max(initial=0))
