"""Which names of different data sets mean the same: of classes and of joints."""

from collections.abc import Sequence

from maskrcnn_benchmark.structures.vocabulary import Vocabulary

# One row for each class that data sets call by different names. A class that they call alike needs no row; one that
# only contains another, as "bag" contains "handbag", is not the same.
SAME_CLASS = (
    # PASCAL (VOC, Context, Detail)   COCO (Cityscapes too)
    ("aeroplane", "airplane"),
    ("diningtable", "dining table"),
    ("motorbike", "motorcycle"),
    ("pottedplant", "potted plant"),
    ("sofa", "couch"),
    ("tvmonitor", "tv"),
)

# Detail's head and neck are middles of regions, COCO's nose, eyes and ears are points on the face: they have no partner
SAME_JOINT = (
    # Detail   COCO
    ("lsho", "left_shoulder"),
    ("lelb", "left_elbow"),
    ("lwri", "left_wrist"),
    ("lhip", "left_hip"),
    ("lknee", "left_knee"),
    ("lank", "left_ankle"),
    ("rsho", "right_shoulder"),
    ("relb", "right_elbow"),
    ("rwri", "right_wrist"),
    ("rhip", "right_hip"),
    ("rknee", "right_knee"),
    ("rank", "right_ankle"),
)


def match_names(source: Sequence[str], target: Sequence[str], same: Sequence[Sequence[str]] = ()) -> list[int | None]:
    """For each name of one list, where another list has it.

    Args:
        source, target: names.
        same: rows of names that mean the same, such as `SAME_CLASS`.

    Returns:
        list of the index in `target` for each of `source`, None where it has none. Capitals do not count, except that a
        name's exact like comes first.
    """
    meaning = {name.lower(): row[0].lower() for row in same for name in row}
    exact = {name: i for i, name in enumerate(target)}
    alike = {meaning.get(name.lower(), name.lower()): i for i, name in reversed(list(enumerate(target)))}
    return [exact.get(name, alike.get(meaning.get(name.lower(), name.lower()))) for name in source]


def match_objects(source: Vocabulary, target: Vocabulary) -> list[int]:
    """The label in a target for each label 0..K of a source's objects; 0, background, for a class that it lacks."""
    places = match_names(source.thing_names, target.thing_names, SAME_CLASS)
    return [0, *(0 if place is None else place + 1 for place in places)]


def match_joints(source: Vocabulary, target: Vocabulary) -> list[tuple[int, int]]:
    """(place in the target, place in the source) of every joint that both have."""
    wanted, known = (vocabulary.joints.names if vocabulary.joints else () for vocabulary in (target, source))
    places = match_names(wanted, known, SAME_JOINT)
    return [(place, origin) for place, origin in enumerate(places) if origin is not None]
