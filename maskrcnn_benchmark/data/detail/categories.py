"""The 59 categories of PASCAL in Detail in their official order, by name: numeric ids differ between releases."""

from collections.abc import Iterable
from typing import Any

OFFICIAL_ORDER = (
    # the 20 classes with instances
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
    # the 39 regions without; this order is the official one and not quite the alphabetical
    *("bag", "bed", "bench", "book", "building", "cabinet", "ceiling", "cloth", "computer", "cup"),
    *("door", "fence", "floor", "flower", "food", "grass", "ground", "keyboard", "light", "mountain"),
    *("mouse", "curtain", "platform", "sign", "plate", "road", "rock", "shelves", "sidewalk", "sky"),
    *("snow", "bedclothes", "track", "tree", "truck", "wall", "water", "window", "wood"),
)

# What the releases call them by, in the official order, and the kinds other than "object"
CATEGORY_IDS = dict(
    zip(
        OFFICIAL_ORDER,
        (
            *(2, 23, 25, 31, 34, 45, 59, 65, 72, 98, 397, 113, 207, 258, 284, 308, 347, 368, 416, 427),
            *(9, 18, 22, 33, 44, 46, 68, 80, 85, 104, 115, 144, 158, 159, 162, 187, 189, 220, 232, 259),
            *(260, 105, 296, 355, 295, 324, 326, 349, 354, 360, 366, 19, 415, 420, 424, 440, 445, 454, 458),
        ),
    )
)
_ANIMALS = ("bird", "cat", "cow", "dog", "horse", "sheep")
_BACKGROUND = ("ceiling", "floor", "grass", "ground", "platform", "road", "sidewalk", "sky", "snow", "tree", "water")


def in_official_order(names: Iterable[str]) -> list[str]:
    """`names` in the official order; those that it lacks come after, in the order given. Returns a list."""
    rank = {name: i for i, name in enumerate(OFFICIAL_ORDER)}
    return sorted(names, key=lambda name: rank.get(name, len(rank)))  # sorting is stable


def category_rows(names: Iterable[str]) -> list[dict[str, Any]]:
    """The rows of a file's "categories" for some of the 59, without parts: list of dictionaries.

    Raises KeyError for a name that is none of them.
    """
    kinds = {**dict.fromkeys(_ANIMALS, "animal"), **dict.fromkeys(_BACKGROUND, "background")}
    return [
        {
            "category_id": CATEGORY_IDS[name],
            "name": name,
            "supercategory": kinds.get(name, "object"),
            "onlysemantic": name not in OFFICIAL_ORDER[:20],
            "parts": [],
        }
        for name in names
    ]
