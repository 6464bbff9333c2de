"""Segments with the parts within them: of each pixel the class, of things the object, and the part of that object."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.panoptic_map import NO_OBJECT, PanopticClasses, PanopticMap
from maskrcnn_benchmark.structures.vocabulary import Vocabulary

NO_PART = 0  # where nobody says of a part
UNKNOWN = 255  # predicted where a segment has parts, but which one is not known


@dataclass(frozen=True)
class PartClasses:
    """The classes of segments and the parts of each. A class with a single part is one without parts.

    Attributes:
        classes: the `PanopticClasses`.
        labels: for each of the C classes the labels of its parts, ascending, two or more; () without parts.
    """

    classes: PanopticClasses
    labels: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, vocabulary: Vocabulary) -> "PartClasses":
        """Those of a data set; without a part set, no class has parts."""
        classes = PanopticClasses.of(vocabulary)
        parts = vocabulary.parts
        labels = [() if parts is None else parts.labels_of(name) for name in classes.names]
        return cls(classes, tuple(own if len(own) > 1 else () for own in labels))

    @property
    def names(self) -> tuple[str, ...]:
        """Of all C classes."""
        return self.classes.names

    @cached_property
    def has_parts(self) -> np.ndarray:
        """bool [C]."""
        return np.array([bool(own) for own in self.labels], bool)

    @cached_property
    def owned(self) -> np.ndarray:
        """bool [C, 256], whether a label is that of a part of the class."""
        owned = np.zeros((len(self.labels), 256), bool)
        for row, own in zip(owned, self.labels):
            row[list(own)] = True
        return owned

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class PartPanopticMap:
    """Segments of an image and the parts within them.

    Attributes:
        segments: the `PanopticMap`.
        parts: uint8 [H, W], the label 1..P of the vocabulary's `PartSet` within a segment of a class that has it;
            `UNKNOWN` or, in annotations, `NO_PART` in the rest of it; `NO_PART` elsewhere.
    """

    segments: PanopticMap
    parts: np.ndarray

    @classmethod
    def of_annotations(cls, annotations: ImageAnnotations, classes: PartClasses) -> "PartPanopticMap":
        """What objects with masks and parts and a semantic map say together.

        Within a segment the parts are those that its own object has there. Objects whose parts are not annotated, and
        crowds, have none.

        Args:
            annotations: with `instances`, whose masks are annotated, and `semantic`.
            classes: of the data set.
        """
        segments = PanopticMap.of_annotations(annotations, classes.classes)
        parts = np.full(segments.ids.shape, NO_PART, np.uint8)
        objects = annotations.instances
        if objects.has_field("parts"):
            field = objects.get_field("parts")
            windows, annotated = field.windows(), field.annotated.tolist()
            patches = windows.patches()
            for number, (label, k) in enumerate(zip(segments.classes.tolist(), segments.objects.tolist()), 1):
                if k == NO_OBJECT or not annotated[k] or not classes.has_parts[label]:
                    continue
                x, y, width, height = windows.windows[k]
                window = slice(y, y + height), slice(x, x + width)
                found = patches[k].cpu().numpy()
                inside = (segments.ids[window] == number) & classes.owned[label][found]
                parts[window][inside] = found[inside]
        return cls(segments, parts)

    @property
    def size(self) -> tuple[int, int]:
        """(width, height)."""
        return self.segments.size

    def resize(self, size: Sequence[int]) -> "PartPanopticMap":
        """The map of the image resized to (width, height): each pixel takes what is at its centre."""
        if tuple(size) == self.size:
            return self
        parts = cv2.resize(self.parts, tuple(size), interpolation=cv2.INTER_NEAREST_EXACT)
        return PartPanopticMap(self.segments.resize(size), parts)
