"""How the parts of PASCAL in Detail group and mirror, by name: their ids differ between releases of the file."""

import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

PERSON = "person"
# The name that the file gives to the superpart of a part without one
NO_SUPERPART = "none"

# The one table of the parts of persons. "person24" has a label for each row, "person6" for each name of the second
# column: the groups of PASCAL-Person-Part (Chen et al. 2014; Xia et al. 2017), hands and feet with the lower limbs.
# "superparts" follows the file's own superparts, of which "head" and "leftarm" are known to occur; the third column
# holds where the file names none.
PERSON_TABLE = (
    # part      person6       superpart
    ("head", "head", "head"),
    ("hair", "head", "head"),
    ("leye", "head", "head"),
    ("reye", "head", "head"),
    ("lear", "head", "head"),
    ("rear", "head", "head"),
    ("lebrow", "head", "head"),
    ("rebrow", "head", "head"),
    ("nose", "head", "head"),
    ("mouth", "head", "head"),
    ("torso", "torso", "torso"),
    ("neck", "torso", "torso"),
    ("luarm", "upper_arms", "leftarm"),
    ("ruarm", "upper_arms", "rightarm"),
    ("llarm", "lower_arms", "leftarm"),
    ("rlarm", "lower_arms", "rightarm"),
    ("lhand", "lower_arms", "leftarm"),
    ("rhand", "lower_arms", "rightarm"),
    ("luleg", "upper_legs", "leftleg"),
    ("ruleg", "upper_legs", "rightleg"),
    ("llleg", "lower_legs", "leftleg"),
    ("rlleg", "lower_legs", "rightleg"),
    ("lfoot", "lower_legs", "leftleg"),
    ("rfoot", "lower_legs", "rightleg"),
)
PERSON6_LABELS = tuple(dict.fromkeys(group for _, group, _ in PERSON_TABLE))
# {group: its parts}
PERSON6 = {label: tuple(part for part, group, _ in PERSON_TABLE if group == label) for label in PERSON6_LABELS}
PERSON_SUPERPART = {part: superpart for part, _, superpart in PERSON_TABLE}

# What stands among the parts of a label for the pixels of an object that are of none of its parts
UNLABELLED = "(unlabelled)"


def _legs(*kinds: str) -> tuple[str, ...]:
    return tuple(f"{side}{end}{kind}" for kind in kinds for end in "fb" for side in "lr")


_EYES_EARS = ("leye", "reye", "lear", "rear")
_HORNED = ("head", *_EYES_EARS, "muzzle", "lhorn", "rhorn")
_VEHICLE = ("frontside", "leftside", "rightside", "backside", "roofside", "leftmirror", "rightmirror", "door")
_PLATES = ("fliplate", "bliplate")
# PASCAL in Detail calls both hooves ("ho") and paws ("pa") "hopa"
_PAWED, _HOOFED = _legs("leg", "pa", "hopa"), _legs("uleg", "lleg")
_COACHES = tuple(f"{car}{side}" for car in "hc" for side in ("frontside", "leftside", "rightside", "leftrightside"))

# The 57 parts of 20 things by which part-aware panoptic segmentation is scored on PASCAL Panoptic Parts, in their
# order: the evaluation "59_57" of de Geus et al., Part-aware Panoptic Segmentation, CVPR 2021 (panoptic-parts 2.0rc6).
# PASCAL in Detail has further names: "hopa", "leftrightside" of trains, and "framescreen", taken for the screen
PPP57_TABLE: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "aeroplane": {
        "body": ("body",),
        "engine": ("engine",),
        "wing": ("lwing", "rwing"),
        "stern": ("stern", "tail"),
        "wheel": ("wheel",),
    },
    "bicycle": {
        "wheel": ("fwheel", "bwheel", "chainwheel"),
        "body": (UNLABELLED, "saddle", "handlebar", "headlight"),
    },
    "bird": {
        "head": ("head", "leye", "reye", "beak"),
        "wing": ("lwing", "rwing"),
        "leg": ("lleg", "lfoot", "rleg", "rfoot"),
        "torso": ("torso", "neck", "tail"),
    },
    "boat": {"boat": (UNLABELLED,)},
    "bottle": {"cap": ("cap",), "body": ("body",)},
    "bus": {"window": ("window",), "wheel": ("wheel",), "body": (*_VEHICLE, *_PLATES, "headlight")},
    "car": {
        "window": ("window",),
        "wheel": ("wheel",),
        "light": ("headlight",),
        "license_plate": _PLATES,
        "body": _VEHICLE,
    },
    "cat": {
        "head": ("head", *_EYES_EARS, "nose"),
        "lower_leg": _PAWED,
        "tail": ("tail",),
        "torso": ("torso", "neck"),
    },
    "chair": {"chair": (UNLABELLED,)},
    "cow": {"head": _HORNED, "tail": ("tail",), "lower_leg": _HOOFED, "torso": ("torso", "neck")},
    "diningtable": {"table": (UNLABELLED,)},
    "dog": {
        "head": ("head", *_EYES_EARS, "nose", "muzzle"),
        "lower_leg": _PAWED,
        "tail": ("tail",),
        "torso": ("torso", "neck"),
    },
    "horse": {
        "head": ("head", *_EYES_EARS, "muzzle"),
        "tail": ("tail",),
        "leg": (*_HOOFED, *_legs("ho", "hopa")),
        "torso": ("torso", "neck"),
    },
    "motorbike": {"wheel": ("fwheel", "bwheel"), "body": (UNLABELLED, "handlebar", "saddle", "headlight")},
    PERSON: {
        "head": PERSON6["head"],
        "torso": PERSON6["torso"],
        "lower_arm": PERSON6["lower_arms"],
        "upper_arm": PERSON6["upper_arms"],
        "lower_leg": PERSON6["lower_legs"],
        "upper_leg": PERSON6["upper_legs"],
    },
    "pottedplant": {"pot": ("pot",), "plant": ("plant",)},
    "sheep": {"head": _HORNED, "leg": _HOOFED, "torso": ("torso", "neck", "tail")},
    "sofa": {"sofa": (UNLABELLED,)},
    "train": {
        "train": (
            *("head", "headlight", "coach", *_COACHES),
            *("hbackside", "cbackside", "hroofside", "croofside"),
        )
    },
    "tvmonitor": {"screen": ("screen", "framescreen"), "frame": ("frame",)},
}


def mirror_partners(names: Iterable[str]) -> dict[str, str]:
    """{name: the one that takes its place in a mirrored image, itself if none does}.

    lhand - rhand, leftside - rightside; "roofside" stays alone, because nothing is called "loofside". Twice the
    mirror is always the name itself.
    """
    names = set(names)
    first = {name: next((other for other in _other_sides(name) if other in names), name) for name in names}
    return {name: other if first[other] == name else name for name, other in first.items()}


def group_by_superpart(thing: str, parts: Iterable[str], superparts: Mapping[str, str]) -> dict[str, str]:
    """{part: its group} of one thing, for the part set "superparts".

    A part's group is its superpart or, without one, bears its own name. Parts of persons that the file leaves without
    one have that of `PERSON_TABLE`. A group must have one mirror image: where the partners of its parts lie in
    several groups, its parts stand alone, and a warning says so.

    Args:
        thing: name of a thing.
        parts: names of its parts.
        superparts: {part name: superpart} of the file; "none" or no entry for parts without one.
    """
    default = PERSON_SUPERPART if thing == PERSON else {}
    groups = {}
    for part in parts:
        own = str(superparts.get(part) or NO_SUPERPART)
        groups[part] = default.get(part, part) if own == NO_SUPERPART else own
    broken = _contradictory(groups)
    while broken:
        scattered = sorted(part for part, group in groups.items() if group in broken)
        logging.getLogger(__name__).warning(
            "%s: the superparts of its left and right parts contradict one another; these stand alone: %s",
            *(thing, ", ".join(scattered)),
        )
        groups.update({part: part for part in scattered})
        broken = _contradictory(groups)
    return groups


def mirror_groups(groups: Mapping[str, str]) -> dict[str, str]:
    """{group: its mirror image} of {part: group}, itself if it has none.

    The partners of its parts say which; groups of which no part has a partner go by their own names. For every part
    with a partner, the partner's group is the mirror image of its group.
    """
    images = _images(groups)
    by_name = mirror_partners(group for group, found in images.items() if not found)
    return {group: next(iter(found), None) or by_name[group] for group, found in images.items()}


def _images(groups: Mapping[str, str]) -> dict[str, set[str]]:
    """{group: set of the groups in which the partners of its parts lie}."""
    images: defaultdict[str, set[str]] = defaultdict(set)
    for part, partner in mirror_partners(groups).items():
        images[groups[part]].update([groups[partner]] if partner != part else ())
    return images


def _contradictory(groups: Mapping[str, str]) -> set[str]:
    return {group for group, found in _images(groups).items() if len(found) > 1}


def _other_sides(name: str) -> Iterator[str]:
    for one, other in (("left", "right"), ("right", "left"), ("l", "r"), ("r", "l")):
        if name.startswith(one):
            yield other + name[len(one) :]
