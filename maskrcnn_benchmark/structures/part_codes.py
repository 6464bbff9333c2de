"""Labels of PASCAL Panoptic Parts: one number per pixel that says class, object and part."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from maskrcnn_benchmark.structures.panoptic_map import NO_OBJECT, VOID, PanopticMap
from maskrcnn_benchmark.structures.part_groups import UNLABELLED
from maskrcnn_benchmark.structures.part_panoptic_map import NO_PART, UNKNOWN, PartClasses, PartPanopticMap
from maskrcnn_benchmark.structures.vocabulary import Vocabulary

# Of the published labels and specifications (panoptic-parts 2.0rc6); numbers between them are of classes that are not
# among PASCAL-Context's 59
PPP_CLASSES = {
    "aeroplane": 1,
    "bicycle": 2,
    "bird": 3,
    "boat": 4,
    "bottle": 5,
    "bus": 6,
    "car": 7,
    "cat": 8,
    "chair": 9,
    "cow": 10,
    "diningtable": 11,
    "dog": 12,
    "horse": 13,
    "motorbike": 14,
    "person": 15,
    "pottedplant": 16,
    "sheep": 17,
    "sofa": 18,
    "train": 19,
    "tvmonitor": 20,
    "bag": 21,
    "bed": 23,
    "bedclothes": 24,
    "bench": 25,
    "book": 28,
    "building": 34,
    "cabinet": 35,
    "ceiling": 38,
    "cloth": 39,
    "computer": 40,
    "cup": 42,
    "curtain": 43,
    "door": 45,
    "fence": 46,
    "floor": 48,
    "flower": 49,
    "food": 50,
    "grass": 53,
    "ground": 54,
    "keyboard": 56,
    "light": 58,
    "mountain": 62,
    "mouse": 63,
    "plate": 69,
    "platform": 70,
    "road": 74,
    "rock": 75,
    "shelves": 80,
    "sidewalk": 81,
    "sign": 82,
    "sky": 84,
    "snow": 86,
    "track": 92,
    "tree": 93,
    "truck": 94,
    "wall": 95,
    "water": 96,
    "window": 97,
    "wood": 99,
}
_LEGS = ("lfuleg", "lflleg", "rfuleg", "rflleg", "lbuleg", "lblleg", "rbuleg", "rblleg")
_PAWS = ("lfleg", "lfpa", "rfleg", "rfpa", "lbleg", "lbpa", "rbleg", "rbpa")
_FACE = ("head", "leye", "reye", "lear", "rear")
_HORNED = (*_FACE, "muzzle", "lhorn", "rhorn", "torso", "neck", *_LEGS, "tail")
_SIDES = ("frontside", "leftside", "rightside", "backside", "roofside")
_VEHICLE = (
    *(*_SIDES, "leftmirror", "rightmirror", "fliplate", "bliplate"),
    *(*("door",) * 10, *("wheel",) * 10, *("headlight",) * 10, *("window",) * 20),
)
# The parts of PASCAL-Part behind the numbers 1, 2, ... in the published labels; several stand for one that is counted
PPP_PARTS = {
    "aeroplane": ("body", "stern", "lwing", "rwing", "tail", *("engine",) * 10, *("wheel",) * 10),
    "bicycle": ("fwheel", "bwheel", "saddle", "handlebar", "chainwheel", "headlight"),
    "bird": (
        *("head", "leye", "reye", "beak", "torso", "neck", "lwing", "rwing"),
        *("lleg", "lfoot", "rleg", "rfoot", "tail"),
    ),
    "bottle": ("cap", "body"),
    "bus": _VEHICLE,
    "car": _VEHICLE,
    "cat": (*_FACE, "nose", "torso", "neck", *_PAWS, "tail"),
    "cow": _HORNED,
    "dog": (*_FACE, "nose", "torso", "neck", *_PAWS, "tail", "muzzle"),
    "horse": (*_FACE, "muzzle", "lfho", "rfho", "lbho", "rbho", "torso", "neck", *_LEGS, "tail"),
    "motorbike": ("fwheel", "bwheel", "handlebar", "saddle", *("headlight",) * 10),
    "person": (
        *(*_FACE, "lebrow", "rebrow", "nose", "mouth", "hair", "torso", "neck"),
        *("llarm", "luarm", "lhand", "rlarm", "ruarm", "rhand"),
        *("llleg", "luleg", "lfoot", "rlleg", "ruleg", "rfoot"),
    ),
    "pottedplant": ("pot", "plant"),
    "sheep": _HORNED,
    "train": (
        *("head", *(f"h{side}" for side in _SIDES)),
        *(*("headlight",) * 10, *("coach",) * 10, *(f"c{side}" for side in _SIDES for _ in range(10))),
    ),
    "tvmonitor": ("screen", "frame"),
}
MOST_CLASSES, MOST_OBJECTS, MOST_PARTS = 99, 999, 99  # that two, three and two digits can count


@dataclass(frozen=True)
class PartCodes:
    """The numbers of a data set's classes and parts in labels of PASCAL Panoptic Parts.

    A pixel's label is a class (sid, 1 to 99), or a class and an object (sid * 1000 + iid, iid 0 to 999), or these and a
    part ((sid * 1000 + iid) * 100 + pid, pid 0 to 99); 0 is void (LABEL_FORMAT.md of pmeletis/panoptic_parts).

    Attributes:
        classes: the `PartClasses`.
        sids: int64 [C], the number of each class.
        parts: uint8 [C, 100], the label that each number of a part stands for in each class, `NO_PART` for none; the
            number 0 stands for what is of no part, too.
        problem: why the data set's classes and parts have no such numbers, in words; "" where they have.
    """

    classes: PartClasses
    sids: np.ndarray
    parts: np.ndarray
    problem: str = ""

    @classmethod
    def of(cls, vocabulary: Vocabulary) -> "PartCodes":
        """Those that predictions, and annotations of this library, are written in.

        Classes have the numbers of PASCAL Panoptic Parts where all of them have one, else their places from 1 on.
        The parts of a class are numbered from 1 on in the order of the part set; with "ppp57" these are the numbers of
        the published evaluation "59_57".
        """
        classes = PartClasses.of(vocabulary)
        parts, problem = np.zeros((len(classes), MOST_PARTS + 1), np.uint8), ""
        for name, row, labels in zip(classes.names, parts, classes.labels):
            row[1 : len(labels) + 1] = labels[:MOST_PARTS]
            if len(labels) > MOST_PARTS:
                problem = f"{name} has {len(labels)} parts, but labels of two digits number {MOST_PARTS}"
        if len(classes) > MOST_CLASSES:
            problem = f"there are {len(classes)} classes, but labels of two digits number {MOST_CLASSES}"
        return cls(classes, _sids(classes), parts, problem)

    @classmethod
    def published(cls, vocabulary: Vocabulary) -> "PartCodes":
        """Those of the published annotations, whose numbers of parts are finer: see `PPP_PARTS`."""
        classes = PartClasses.of(vocabulary)
        parts = np.zeros((len(classes), MOST_PARTS + 1), np.uint8)
        for name, row in zip(classes.names, parts):
            names = (UNLABELLED, *PPP_PARTS.get(name, ()))
            row[: len(names)] = [vocabulary.parts.label_of(name, part) for part in names]
        parts[~classes.has_parts] = NO_PART
        return cls(classes, np.array([PPP_CLASSES.get(name, 0) for name in classes.names], np.int64), parts)

    @cached_property
    def pids(self) -> np.ndarray:
        """uint8 [C, 256], the number of each label in each class, the first of several; 0 for none."""
        pids = np.zeros((len(self.classes), 256), np.uint8)
        for row, labels in zip(pids, self.parts):
            row[labels[::-1]] = np.arange(len(labels))[::-1]
            row[[NO_PART, UNKNOWN]] = 0
        return pids

    def encode(self, scene: PartPanopticMap) -> np.ndarray:
        """The labels of an image: int32 [H, W].

        Objects of a class count from 1. A crowd has its class alone, and so has stuff where it is one segment. Pixels
        of no part, and of an unknown one, have class and object alone.

        Raises `ValueError` where an image has more objects of a class than three digits number.
        """
        segments, is_thing = scene.segments, self.classes.classes.is_thing
        bases, counts = np.zeros(len(segments) + 1, np.int64), np.zeros(len(self.classes), np.int64)
        alone = np.bincount(segments.classes, minlength=len(self.classes)) == 1
        for number, (kind, is_crowd) in enumerate(zip(segments.classes.tolist(), segments.is_crowd.tolist()), 1):
            bases[number] = self.sids[kind]
            if not is_crowd and (is_thing[kind] or not alone[kind]):
                counts[kind] += 1
                bases[number] = self.sids[kind] * 1000 + counts[kind]
        if len(counts) and counts.max() > MOST_OBJECTS:
            name = self.classes.names[int(counts.argmax())]
            raise ValueError(f"has {counts.max()} segments of {name}, but labels of three digits number {MOST_OBJECTS}")
        codes = bases[segments.ids]
        pixels = np.flatnonzero((scene.parts != NO_PART) & (scene.parts != UNKNOWN))
        kinds = segments.classes[segments.ids.ravel()[pixels] - 1]
        codes.ravel()[pixels] = codes.ravel()[pixels] * 100 + self.pids[kinds, scene.parts.ravel()[pixels]]
        return codes.astype(np.int32)

    def decode(self, codes: np.ndarray, annotated: bool = False) -> PartPanopticMap:
        """The map behind the labels of an image.

        A part number that stands for nothing, or none, is `UNKNOWN` in a segment of a class with parts.

        Args:
            codes: int32 [H, W].
            annotated: whether they are annotations: there things without a number of their own are crowds, classes
                that the data set does not have are void, and what is of no part is `NO_PART`.

        Raises:
            ValueError: a number is no such label, or one of a class or part that is not there; the words follow a file.
        """
        found, places = distinct_codes(codes)
        sids, iids, pids = split_codes(found)
        of_sid = np.full(MOST_CLASSES + 1, -1)
        of_sid[self.sids[::-1]] = np.arange(len(self.sids))[::-1]
        of_sid[0] = -1
        kinds = of_sid[sids]
        if not annotated and (kinds[sids > 0] < 0).any():
            wrong = int(sids[(kinds < 0) & (sids > 0)][0])
            raise ValueError(f"holds the class {wrong}, which is none of the data set's; classes.json numbers them")
        known = kinds >= 0
        labels = np.where(known, self.parts[kinds, np.maximum(pids, 0)], NO_PART)
        has_parts = known & self.classes.has_parts[kinds]
        unlisted = has_parts & (pids > 0) & (labels == NO_PART)
        if not annotated and unlisted.any():
            pid, name = int(pids[unlisted][0]), self.classes.names[int(kinds[unlisted][0])]
            raise ValueError(f"holds the part {pid} of {name}, which has none of that number; classes.json lists them")
        labels = np.where(has_parts, labels, NO_PART)
        if not annotated:
            labels[has_parts & (labels == NO_PART)] = UNKNOWN
        keys = np.where(known, kinds * np.int64(2 * MOST_OBJECTS) + iids, -1)
        owners, rows = np.unique(keys[known], return_inverse=True)
        numbers = np.full(len(found), VOID, np.int32)
        numbers[known] = rows + 1
        first = np.array([np.flatnonzero(keys == owner)[0] for owner in owners], np.int64)
        crowds = self.classes.classes.is_thing[kinds[first]] & (iids[first] < 0) & annotated
        segments = [(int(kind), NO_OBJECT, 1.0, bool(crowd)) for kind, crowd in zip(kinds[first], crowds)]
        ids = PanopticMap.of_rows(numbers[places], segments)
        if annotated:
            labels[known & (iids < 0)] = NO_PART  # a crowd has no parts
        return PartPanopticMap(ids, labels.astype(np.uint8)[places])


def _sids(classes: PartClasses) -> np.ndarray:
    if all(name in PPP_CLASSES for name in classes.names):
        return np.array([PPP_CLASSES[name] for name in classes.names], np.int64)
    return np.arange(1, len(classes) + 1)


def distinct_codes(codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(the numbers that occur, ascending; for each pixel the place of its own: int64 of the shape of the codes)."""
    flat = codes.ravel()
    starts = np.flatnonzero(np.append(True, flat[1:] != flat[:-1]))  # runs of pixels are far fewer than pixels
    found, places = np.unique(flat[starts], return_inverse=True)
    lengths = np.diff(np.append(starts, len(flat)))
    return found.astype(np.int64), np.repeat(places, lengths).reshape(codes.shape)


def split_codes(codes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """sid, iid and pid of labels int64 [K]; -1 where a label has no iid or no pid."""
    sound = (codes >= 0) & (codes < 100) | (codes >= 1000) & (codes < 10_000_000)
    if not sound.all():
        raise ValueError(
            f"holds the number {codes[~sound][0]}, which is no label of a class (1 to 99), of a class and an object "
            "(4 or 5 digits) or of these and a part (6 or 7 digits)"
        )
    with_iid = np.where(codes >= 100_000, codes // 100, codes)
    sids = np.where(codes < 100, codes, with_iid // 1000)
    return sids, np.where(codes < 100, -1, with_iid % 1000), np.where(codes >= 100_000, codes % 100, -1)
