"""Sets of classes by name: which categories of a file of PASCAL in Detail a data set tells apart."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from maskrcnn_benchmark.data.detail.categories import OFFICIAL_ORDER, in_official_order
from maskrcnn_benchmark.utils.errors import UserError

CLASS_SETS: dict[str, Any] = {"all": None, "voc20": OFFICIAL_ORDER[:20], "context59": OFFICIAL_ORDER}


def choose_classes(
    name: str, categories: Iterable[dict], path: Path, remedy: str = "take class set 'all', which any file has"
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The classes of a data set in the official order, and which of them are things.

    "voc20" are the 20 that have instances: of things, of image labels and of the semantic map; "context59" is the
    official list of 59, with the same 20 things; "all" is whatever the file lists. What the file labels beyond a set
    is nobody's: its objects are left out, it has no image label, and its pixels are ignored in the semantic map. They
    are not "background": that would be a class of its own, while an unlabelled pixel, which may hold any class, would
    still be ignored.

    A named set gives each number one meaning, whatever the file, so that weights and metrics are comparable. A file
    that lacks one of its categories is therefore refused; "all" takes any.

    Args:
        name: a key of `CLASS_SETS`.
        categories: rows of the file, {"name": str, "onlysemantic": bool}.
        path: the file, for errors.
        remedy: what to do with a file that lacks categories of the set.

    Returns:
        (names of all classes, names of the things among them), tuples.

    Raises:
        ValueError: for an unknown set.
        UserError: for a file that lacks categories of the set, or has no instances of one of the 20.
    """
    if name not in CLASS_SETS:
        raise ValueError(f"the class sets are {', '.join(CLASS_SETS)}, not {name!r}")
    names = in_official_order([row["name"] for row in categories])
    things = {row["name"] for row in categories if not row["onlysemantic"]}
    wanted = CLASS_SETS[name]
    if wanted is not None:
        missing = [each for each in wanted if each not in names]
        if missing:
            raise UserError(
                f"{path} lacks {len(missing)} of the {len(wanted)} categories of class set {name!r}: "
                f"{', '.join(missing)}; {remedy}"
            )
        bare = [each for each in CLASS_SETS["voc20"] if each not in things]
        if bare:
            raise UserError(f"{path} marks {', '.join(bare)} 'onlysemantic', but {name!r} needs instances; {remedy}")
        return tuple(wanted), CLASS_SETS["voc20"]
    return tuple(names), tuple(each for each in names if each in things)
