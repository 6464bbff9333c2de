"""The 59 categories of PASCAL in Detail in their official order, by name: numeric ids differ between releases."""

from collections.abc import Iterable

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


def in_official_order(names: Iterable[str]) -> list[str]:
    """`names` in the official order; those that it lacks come after, in the order given. Returns a list."""
    rank = {name: i for i, name in enumerate(OFFICIAL_ORDER)}
    return sorted(names, key=lambda name: rank.get(name, len(rank)))  # sorting is stable
