"""Segments that do not overlap: which class, and of things which object, each pixel of an image belongs to."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from maskrcnn_benchmark.structures.dense_map import IGNORE_INDEX
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.vocabulary import Vocabulary

VOID = 0  # the id of pixels that belong to no segment
NO_OBJECT = -1  # of segments of stuff
MOST_IDS = 1 << 24  # of a picture of ids, with that of void


def ids_of_colours(colours: np.ndarray) -> np.ndarray:
    """COCO's ids of segments R + 256 G + 256^2 B, int32 [H, W], of uint8 [H, W, 3]."""
    red, green, blue = (colours[..., channel].astype(np.int32) for channel in range(3))
    return red | green << 8 | blue << 16


def colours_of_ids(ids: np.ndarray) -> np.ndarray:
    """What `ids_of_colours` was given."""
    return np.ascontiguousarray(ids.astype("<i4").view(np.uint8).reshape(*ids.shape, 4)[..., :3])


def numbered(ids: np.ndarray, listed: Sequence[int]) -> tuple[np.ndarray, int | None]:
    """Ids as places in a list of them.

    Args:
        ids: int32 [H, W] of less than `MOST_IDS`.
        listed: all that are to occur but `VOID`.

    Returns:
        (k + 1 of the pixels of listed[k] and 0 of void, int32 [H, W]; an id that is not listed, None without one).
    """
    table = np.zeros(MOST_IDS, np.int32)  # the system gives memory only for the few that are touched
    table[np.asarray(listed, np.int64)] = np.arange(1, len(listed) + 1)
    places = table[ids]
    unlisted = ids[(places == VOID) & (ids != VOID)]
    return places, int(unlisted[0]) if len(unlisted) else None


@dataclass(frozen=True)
class PanopticClasses:
    """The classes of segments: those of the semantic map in their order, then the things that it lacks.

    Attributes:
        names: of all C classes.
        is_thing: bool [C].
        num_semantic: the first so many are the values of the semantic map.
        of_label: int64 [K + 1], the class of each label of objects; that of label 0 means nothing.
    """

    names: tuple[str, ...]
    is_thing: np.ndarray
    num_semantic: int
    of_label: np.ndarray

    @classmethod
    def of(cls, vocabulary: Vocabulary) -> "PanopticClasses":
        """The classes of a data set, which calls a thing alike among objects and in the semantic map."""
        semantic, things = vocabulary.semantic_names, vocabulary.thing_names
        names = (*semantic, *(name for name in things if name not in semantic))
        places = {name: place for place, name in reversed(list(enumerate(names)))}
        of_label = np.array([NO_OBJECT, *(places[name] for name in things)], np.int64)
        is_thing = np.zeros(len(names), bool)
        is_thing[of_label[1:]] = True
        return cls(names, is_thing, len(semantic), of_label)

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True)
class PanopticMap:
    """S segments of an image that do not overlap.

    Attributes:
        ids: int32 [H, W]: `VOID`, or k of the segment that row k - 1 of the other attributes describes.
        classes: int64 [S], each an index of `PanopticClasses.names`.
        objects: int64 [S]: the row of the object among the image's objects, `NO_OBJECT` for stuff and crowds.
        scores: float64 [S]; 1 for stuff and for annotations.
        is_crowd: bool [S]: several objects, or nobody knows which, of a class of things. Annotations alone have such.
    """

    ids: np.ndarray
    classes: np.ndarray
    objects: np.ndarray
    scores: np.ndarray
    is_crowd: np.ndarray

    @classmethod
    def of_rows(cls, ids: np.ndarray, rows: Sequence[tuple[int, int, float, bool]]) -> "PanopticMap":
        """From (class, object, score, whether it is a crowd) of each segment."""
        classes, objects, scores, is_crowd = zip(*rows) if rows else ((), (), (), ())
        return cls(
            ids,
            np.array(classes, np.int64),
            np.array(objects, np.int64),
            np.array(scores, np.float64),
            np.array(is_crowd, bool),
        )

    @classmethod
    def of_annotations(cls, annotations: ImageAnnotations, classes: PanopticClasses) -> "PanopticMap":
        """What objects with masks and a semantic map say together.

        A pixel belongs to the last object whose mask has it and whose class the semantic map has there, too, or where
        that says nothing. A class of things without such an object is a crowd. So is what the file calls one, as far
        as no object lies on it; the crowds of a class are one segment.

        Args:
            annotations: with `instances`, whose masks are annotated, and `semantic`.
            classes: of the data set.
        """
        semantic, objects = annotations.semantic.labels.cpu().numpy(), annotations.instances
        labels = classes.of_label[objects.get_field("labels").cpu().numpy()]
        ids = np.zeros(semantic.shape, np.int32)
        crowds = objects.get_field("iscrowd").tolist() if objects.has_field("iscrowd") else [False] * len(objects)
        rows: list[tuple[int, int, float, bool]] = []
        windows = objects.get_field("masks").instances.windows()
        of_crowd: dict[int, int] = {}  # {class: id}
        patches = windows.patches()
        for k in sorted(range(len(labels)), key=lambda k: not crowds[k]):  # objects lie on crowds
            x, y, width, height = windows.windows[k]
            window = slice(y, y + height), slice(x, x + width)
            mask, under, label = patches[k].cpu().numpy() > 0, semantic[window], int(labels[k])
            if label < classes.num_semantic:
                mask &= (under == label) | (under == IGNORE_INDEX)
            if crowds[k] and label in of_crowd:
                ids[window][mask] = of_crowd[label]
                continue
            rows.append((label, NO_OBJECT if crowds[k] else k, 1.0, bool(crowds[k])))
            if crowds[k]:
                of_crowd[label] = len(rows)
            ids[window][mask] = len(rows)
        rest = np.where(ids == VOID, semantic, IGNORE_INDEX)
        table = np.zeros(IGNORE_INDEX + 1, np.int32)
        for label in np.flatnonzero(np.bincount(rest.ravel(), minlength=IGNORE_INDEX + 1)[:-1]).tolist():
            is_thing = bool(classes.is_thing[label])
            if not is_thing or label not in of_crowd:
                rows.append((label, NO_OBJECT, 1.0, is_thing))
                table[label] = len(rows)
            else:
                table[label] = of_crowd[label]
        return cls.of_rows(ids + table[rest], rows).without_empty()

    @cached_property
    def areas(self) -> np.ndarray:
        """int64 [S]: pixels of each segment."""
        return np.bincount(self.ids.ravel(), minlength=len(self) + 1)[1:]

    @property
    def size(self) -> tuple[int, int]:
        """(width, height)."""
        return self.ids.shape[1], self.ids.shape[0]

    def borders(self) -> np.ndarray:
        """bool [H, W]: pixels on either side of a border, beside one of another segment or of none."""
        borders = np.zeros(self.ids.shape, bool)
        for here, there in ((np.s_[:, 1:], np.s_[:, :-1]), (np.s_[1:], np.s_[:-1])):
            differ = self.ids[here] != self.ids[there]
            borders[here] |= differ
            borders[there] |= differ
        return borders

    def supports(self, names: Sequence[str], vocabulary: Vocabulary) -> tuple[np.ndarray, np.ndarray]:
        """Which of N names are those of a segment here, and which of them can be one's at all: bool [N] each."""
        classes = PanopticClasses.of(vocabulary).names
        here = {classes[k] for k in self.classes[self.areas > 0].tolist()}
        return np.array([name in here for name in names], bool), np.array([name in classes for name in names], bool)

    def without_empty(self) -> "PanopticMap":
        """Those of its segments that have a pixel, in their order."""
        return self if self.areas.all() else self.take(self.areas > 0)

    def take(self, chosen: np.ndarray) -> "PanopticMap":
        """Its segments where `chosen`, bool [S], is True, in their order; the pixels of the others are void."""
        table = np.zeros(len(self) + 1, np.int32)
        table[1:][chosen] = np.arange(1, np.count_nonzero(chosen) + 1)
        rows = self.classes[chosen], self.objects[chosen], self.scores[chosen], self.is_crowd[chosen]
        return PanopticMap(table[self.ids], *rows)

    def resize(self, size: Sequence[int]) -> "PanopticMap":
        """The segments of the image resized to (width, height): each pixel takes the one at its centre."""
        if tuple(size) == self.size:
            return self
        ids = cv2.resize(self.ids.astype(np.float64), tuple(size), interpolation=cv2.INTER_NEAREST_EXACT)
        return PanopticMap(ids.astype(np.int32), self.classes, self.objects, self.scores, self.is_crowd)

    def __len__(self) -> int:
        return len(self.classes)
