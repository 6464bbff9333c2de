"""Whether an exported network answers as the network itself does, task by task."""

from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import linear_sum_assignment

from maskrcnn_benchmark.export.signature import OUTPUTS

# Differences that rounding explains: pixels for boxes, the unit of each output for others
BOX_TOLERANCE = 0.1
TOLERANCE = 1e-3
# A joint is the greatest cell of a map; where two are as great, rounding may choose the other one
JOINT_TOLERANCE = 1.0
MOST_MOVED_JOINTS = 0.01
# Two boxes with one label are the same object when no coordinate differs by more
SAME_OBJECT = 2.0
PER_OBJECT = ("boxes", "scores", "masks", "keypoints", "keypoint_scores", "parts")


@dataclass
class Difference:
    """How the answers to one task differ, over all images.

    Attributes:
        largest: {output: largest absolute difference}.
        compared: objects or maps that were compared.
        faults: sentences, each a difference that is too large.
    """

    largest: dict = field(default_factory=dict)
    compared: int = 0
    faults: list = field(default_factory=list)

    def note(self, name, value, limit, image):
        """Take down one difference, and that it is a fault where it exceeds the limit or is no number."""
        self.largest[name] = max(self.largest.get(name, 0.0), value)
        if not value <= limit:
            self.faults.append(f"{image}: {name} differ by {value:.3g}, more than {limit:g}")


class Parity:
    """Collects the differences over images.

    Attributes:
        tasks: {task key: `Difference`}, for the tasks that have an output.
    """

    def __init__(self):
        self.tasks = {}

    @property
    def faults(self):
        return [f"{task}: {fault}" for task, found in self.tasks.items() for fault in found.faults]

    def compare(self, expected, found, image):
        """Compare the answers on one image.

        Args:
            expected, found: {output: array} of the network and of the exported file.
            image: name of the image, for faults.
        """
        if list(expected) != list(found):
            self._of("boxes").faults.append(f"{image}: outputs are {', '.join(found)}, not {', '.join(expected)}")
            return
        if "boxes" in expected:
            self._compare_objects(expected, found, image)
        for name in expected:
            if name not in PER_OBJECT and name != "labels":
                self._compare_map(name, expected[name], found[name], image)

    def _of(self, output):
        return self.tasks.setdefault(OUTPUTS[output].task, Difference())

    def _compare_objects(self, expected, found, image):
        detection = self._of("boxes")
        rows, columns = same_objects(expected, found)
        counts = len(expected["boxes"]), len(found["boxes"])
        detection.compared += len(rows)
        if not counts[0] == counts[1] == len(rows):
            detection.faults.append(f"{image}: {counts[0]} objects, but {counts[1]} in the file, {len(rows)} the same")
        for name in PER_OBJECT:
            if name not in expected:
                continue
            difference = self._of(name)
            if difference is not detection and name != "keypoint_scores":
                difference.compared += len(rows)
            one, other = expected[name], found[name]
            if one.shape[1:] != other.shape[1:]:
                difference.faults.append(f"{image}: {name} are {list(other.shape)}, not {list(one.shape)}")
            elif name == "keypoints":
                _compare_joints(difference, one[rows], other[columns], image)
            else:
                limit = BOX_TOLERANCE if name == "boxes" else TOLERANCE
                difference.note(name, largest(one[rows], other[columns]), limit, image)

    def _compare_map(self, name, one, other, image):
        difference = self._of(name)
        difference.compared += 1
        if one.shape != other.shape:
            difference.faults.append(f"{image}: {name} is {list(other.shape)}, not {list(one.shape)}")
            return
        if name == "occlusion":  # a direction matters as much as its edge is probable, and is any at no edge
            one, other = (np.concatenate((x[:1], x[1:] * one[:1])) for x in (one, other))
        difference.note(name, largest(one, other), TOLERANCE, image)


def same_objects(expected, found):
    """Indices (rows, columns) of the objects that both have: of one label, each coordinate within `SAME_OBJECT`."""
    apart = np.abs(expected["boxes"][:, None] - found["boxes"][None]).max(axis=2, initial=0)
    apart = apart + np.abs(expected["scores"][:, None] - found["scores"][None])  # of boxes in one place, by score
    strange = (expected["labels"][:, None] != found["labels"][None]) | ~(apart <= SAME_OBJECT)
    rows, columns = linear_sum_assignment(np.where(strange, 1e6, apart))
    same = ~strange[rows, columns]
    return rows[same], columns[same]


def _compare_joints(difference, one, other, image):
    moved = ~(np.abs(one - other).max(axis=2, initial=0) <= JOINT_TOLERANCE)
    difference.note("keypoints", largest(one[~moved], other[~moved]), JOINT_TOLERANCE, image)
    if moved.sum() > MOST_MOVED_JOINTS * moved.size:
        difference.faults.append(f"{image}: {moved.sum()} of {moved.size} joints moved by more than a pixel")


def largest(one, other):
    """The largest absolute difference of two arrays; 0 for empty ones, NaN where one of them holds it."""
    return float(np.abs(one.astype(np.float64) - other).max(initial=0))
