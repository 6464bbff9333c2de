"""Checks of the records of one image of PASCAL in Detail."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Tables:
    """What the records of all images refer to.

    Attributes:
        categories: {category_id: {"name", "supercategory", "onlysemantic", "parts"}}.
        parts: {part_id: name}.
        occlusion_base: 0 or 1, the number of the first pixel in the occlusion chains.
    """

    categories: dict
    parts: dict
    occlusion_base: int


def check_image(image, records, tables, path=None):
    """Check what is annotated on one image.

    Args:
        image: its row of "images".
        records: {section: list of records in file order} of the four "annos_" sections.
        tables: `Tables`.
        path: the image file, or None where images are not looked at.

    Returns:
        (records as they are to be indexed, list of `Problem`).
    """
    return records, []
