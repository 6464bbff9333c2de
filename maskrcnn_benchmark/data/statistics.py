"""What a data set holds, counted: of each image a few small arrays, and of all images together their distributions."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.vocabulary import Vocabulary

if TYPE_CHECKING:
    from maskrcnn_benchmark.tasks.task import Task

USUAL_PHASES = ("train", "val", "test")


@dataclass(frozen=True)
class ImageCounts:
    """What one image holds.

    Attributes:
        size: (width, height) in pixels.
        classes: indices into `class_names` that occur, in whatever task.
        counts: {key of each task that is annotated: what its `Task.count` says}.
    """

    size: tuple[int, int]
    classes: tuple[int, ...]
    counts: dict[str, dict[str, Any]]


def class_names(vocabulary: Vocabulary) -> tuple[str, ...]:
    """Every class name of a `Vocabulary` once: those of objects, of the semantic map and of image labels."""
    names = (*vocabulary.thing_names, *vocabulary.semantic_names, *vocabulary.image_label_names)
    return tuple(dict.fromkeys(names))


def count_image(annotations: ImageAnnotations, vocabulary: Vocabulary, tasks: "Iterable[Task]") -> ImageCounts:
    """The counts of an image of what it is annotated for among some tasks, with labels that a vocabulary names."""
    annotated = [task for task in tasks if task.is_annotated(annotations)]
    counts = {task.key: task.count(annotations, vocabulary) if task.has_names(vocabulary) else {} for task in annotated}
    place = {name: i for i, name in enumerate(class_names(vocabulary))}
    classes = {place[name] for count in counts.values() for name in count.get("classes", ())}
    return ImageCounts(annotations.size, tuple(sorted(classes)), counts)


class DatasetCounts:
    """The counts of M images together.

    Args:
        images: M `ImageCounts`.
        vocabulary: the `Vocabulary` of the data set.
        tasks: the T tasks that were counted.
        phases: of M, the phase or split of each image, or None.
    """

    def __init__(
        self,
        images: Iterable[ImageCounts],
        vocabulary: Vocabulary,
        tasks: "Iterable[Task]",
        phases: Sequence[str | None] | None = None,
    ) -> None:
        self.images = list(images)
        self.vocabulary = vocabulary
        self.tasks = list(tasks)
        self.class_names = class_names(vocabulary)
        self.phases = phases or [None] * len(self.images)

    def __len__(self) -> int:
        return len(self.images)

    def each(self, key: str, name: str) -> list[Any]:
        """What a task counted under a name, of each of the images that are annotated for it."""
        counts = [image.counts.get(key, {}) for image in self.images]
        return [count[name] for count in counts if name in count]

    def joined(self, key: str, name: str, dtype: type = np.float64) -> np.ndarray:
        """A task's arrays under a name, one after the other; of no image, an empty [0] of the dtype given."""
        found = self.each(key, name)
        return np.concatenate(found) if found else np.zeros(0, dtype)

    def total(self, key: str, name: str, shape: int | tuple[int, ...] = ()) -> np.ndarray:
        """int64 of the shape given: the sum of a task's counts under a name."""
        return sum(self.each(key, name), np.zeros(shape, np.int64))

    @cached_property
    def sizes(self) -> np.ndarray:
        """int64 [M, 2], width and height."""
        return np.array([image.size for image in self.images], np.int64).reshape(-1, 2)

    @cached_property
    def task_table(self) -> np.ndarray:
        """bool [M, T], which image is annotated for which of the tasks."""
        rows = [[task.key in image.counts for task in self.tasks] for image in self.images]
        return np.array(rows, bool).reshape(-1, len(self.tasks))

    @cached_property
    def class_table(self) -> np.ndarray:
        """bool [M, U], which image holds which of `class_names`."""
        table = np.zeros((len(self), len(self.class_names)), bool)
        for row, image in zip(table, self.images):
            row[list(image.classes)] = True
        return table

    def images_by_phase(self) -> dict[str, tuple[int, np.ndarray]]:
        """{phase: (images, int64 [T] images of each task)}, train, val and test first; without phases empty."""
        phases = np.array([str(phase) for phase in self.phases])
        present = {str(phase) for phase in self.phases if phase is not None}
        order = [phase for phase in USUAL_PHASES if phase in present] + sorted(present.difference(USUAL_PHASES))
        return {phase: (int((phases == phase).sum()), self.task_table[phases == phase].sum(0)) for phase in order}

    def per_class(self) -> dict[str, np.ndarray]:
        """Columns over the U `class_names`.

        "objects", "crowds" int64; "images" int64, in which it occurs in any task; "pixels" float64, its share of all
        pixels that semantic maps label; "size" float64, the mean square root of the boxes' areas. A class that cannot
        have a number, such as objects of a class without instances, has nan in "pixels" and "size", -1 in the others.
        """
        place = {name: i for i, name in enumerate(self.class_names)}
        things = [place[name] for name in self.vocabulary.thing_names]
        stuff = [place[name] for name in self.vocabulary.semantic_names]
        objects, crowds = (np.full(len(place), -1, np.int64) for _ in range(2))
        size, pixels = (np.full(len(place), np.nan) for _ in range(2))
        labels, of_crowds = (self.joined("detection", name, np.int64) - 1 for name in ("labels", "crowds"))
        number = np.bincount(labels, minlength=len(things))
        objects[things] = number
        crowds[things] = np.bincount(of_crowds, minlength=len(things))
        labelled = self.total("semantic", "pixels", len(stuff) + 1)[:-1]
        with np.errstate(invalid="ignore"):
            size[things] = np.bincount(labels, self.joined("detection", "sizes"), minlength=len(things)) / number
            pixels[stuff] = labelled / labelled.sum()
        return {
            "objects": objects,
            "crowds": crowds,
            "images": self.class_table.sum(0),
            "pixels": pixels,
            "size": size,
        }

    def task_pairs(self) -> np.ndarray:
        """int64 [T, T], images that carry both of two tasks; on the diagonal, one."""
        return _pairs(self.task_table)

    def class_pairs(self) -> np.ndarray:
        """int64 [U, U], images that hold both of two classes."""
        return _pairs(self.class_table)


def _pairs(table: np.ndarray) -> np.ndarray:
    # float32 goes through BLAS, and its whole numbers are exact up to 2 ** 24 images
    numbers = table.astype(np.float32)
    return np.rint(numbers.T @ numbers).astype(np.int64)


@dataclass(frozen=True)
class Histogram:
    """How often values fall into each of B bins.

    Attributes:
        edges: float64 [B + 1], ascending; a bin includes its lower edge. counts: int64 [B].
        log: whether the edges are equally far apart in their logarithms.
        open_end: whether the last bin also holds all values above its upper edge.
        whole: whether the values are whole numbers, so that a bin holds edge .. next edge - 1.
    """

    edges: np.ndarray
    counts: np.ndarray
    log: bool = False
    open_end: bool = False
    whole: bool = False


def histogram_of_numbers(values: Sequence[int] | np.ndarray, bins: int = 30) -> Histogram:
    """The `Histogram` of whole numbers from 0; the highest half percent share the last bin where they lie far off."""
    values = np.asarray(values, np.int64)
    if not len(values):
        return Histogram(np.arange(2.0), np.zeros(1, np.int64), whole=True)
    most, usual = int(values.max()), int(np.quantile(values, 0.995))
    end = usual if most > 1.5 * usual and most > usual + bins // 4 else most
    low: float = 0 if values.min() < 0.5 * end else int(values.min())
    step = nice_step(low, end + 1, bins, whole=True)
    low = low // step * step
    edges = np.arange(low, end + 1 + step, step)
    edges = edges[: np.searchsorted(edges, end, side="right") + 1]
    counts = np.bincount(np.minimum((values - low) // step, len(edges) - 2), minlength=len(edges) - 1)
    return Histogram(edges.astype(np.float64), counts, open_end=bool(most >= edges[-1]), whole=True)


def histogram_of_shares(values: Sequence[float] | np.ndarray, bins: int = 25) -> Histogram:
    """The `Histogram` of shares 0..1, of equal bins; 1 is in the last."""
    counts, edges = np.histogram(np.asarray(values, np.float64), bins, (0.0, 1.0))
    return Histogram(edges, counts)


def histogram_of_ratios(values: Sequence[float] | np.ndarray, per_octave: int = 4) -> Histogram:
    """The `Histogram` of positive values in equal steps of their logarithm, `per_octave` bins between x and 2 x.

    Values that are not positive are left out. The lowest and the highest value's bins are its first and last.
    """
    values = np.asarray(values, np.float64)
    steps = np.floor(np.log2(values[values > 0]) * per_octave + 1e-9).astype(np.int64)
    if not len(steps):
        return Histogram(np.array([1.0, 2.0]), np.zeros(1, np.int64), log=True)
    low, high = steps.min(), steps.max()
    counts = np.bincount(steps - low, minlength=high - low + 1)
    return Histogram(2.0 ** (np.arange(low, high + 2) / per_octave), counts, log=True)


def histogram_of_values(values: Sequence[float] | np.ndarray, bins: int = 30) -> Histogram:
    """The `Histogram` of any finite values, in equal steps."""
    values = np.asarray(values, np.float64)
    if not len(values):
        return Histogram(np.arange(2.0), np.zeros(1, np.int64))
    low, high = values.min(), values.max()
    step = nice_step(low, max(high, low + 1e-6 * max(abs(low), 1)), bins)
    edges = step * np.arange(np.floor(low / step), np.floor(high / step) + 2)
    # rounding may put the first edge above the lowest value
    return Histogram(edges, np.histogram(values.clip(edges[0], edges[-1]), edges)[0])


def nice_step(low: float, high: float, most: int, whole: bool = False) -> float:
    """The least of 1, 2, 5, 10, 20, ... that cuts low .. high into at most `most`; of 0.5, 0.2, ... unless `whole`."""
    step = max((high - low) / most, 1e-12)
    power = 10.0 ** np.floor(np.log10(step))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= step * (1 - 1e-9))
    return max(1, round(step)) if whole else step
