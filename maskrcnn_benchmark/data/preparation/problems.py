"""What is wrong with a data set: one row per finding."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """One finding.

    Attributes:
        what: the kind in few words, the same for all of its kind, such as "area differs from the mask".
        where: the record in words, such as "annos_segmentation 12 of image 2008000002".
        action: what was done: "kept", "repaired: ..." or "left out".
        image_id: the image that it concerns, or None.
    """

    what: str
    where: str
    action: str
    image_id: object = None
