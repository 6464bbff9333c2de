"""Checks of the records of one image of PASCAL in Detail; the kinds of findings are listed in `check_kinds`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maskrcnn_benchmark.data.detail.check_chains import check_occlusion
from maskrcnn_benchmark.data.detail.check_joints import check_joints
from maskrcnn_benchmark.data.detail.check_segmentation import check_segmentation
from maskrcnn_benchmark.data.detail.check_tables import check_tables
from maskrcnn_benchmark.data.preparation import check_kinds as kinds
from maskrcnn_benchmark.data.preparation.check_images import check_file, check_row
from maskrcnn_benchmark.data.preparation.check_masks import mask_code, mask_size
from maskrcnn_benchmark.data.preparation.check_values import is_id, shown
from maskrcnn_benchmark.data.preparation.problems import Problem
from maskrcnn_benchmark.structures.run_length import RunLengths

__all__ = ["Tables", "check_image", "check_tables"]


@dataclass(frozen=True)
class Tables:
    """What the records of all images refer to.

    Attributes:
        categories: {category_id: {"name", "supercategory", "onlysemantic", "parts"}}.
        parts: {part_id: name}.
        occlusion_base: 0 or 1, the number of the first pixel in the occlusion chains.
    """

    categories: dict[Any, dict[str, Any]]
    parts: dict[Any, str]
    occlusion_base: int


def check_image(
    image: Any, records: dict, tables: Tables, path: Path | None = None
) -> tuple[dict | None, list[Problem]]:
    """Check what is annotated on one image.

    Nothing that a JSON file can hold raises. What is not returned is named by a problem: a record, a part, a
    chain or a joint by itself, what belongs to it along with it.

    Args:
        image: its row of "images".
        records: {section: list of records in file order} of the four "annos_" sections.
        tables: `Tables`.
        path: the image file, or a folder in which the row's file name is looked up once that is known to be harmless,
            or None where images are not checked.

    Returns:
        (records as they are to be indexed, list of `Problem`). Every section is there; a record without a fault is the
        same object as before. The records are None if the image itself is left out: its row or its file is of no use.
    """
    findings = kinds.Findings(_id_of(image))
    usable = check_row(image, findings) and (path is None or check_file(image, path, findings))
    if not usable:
        counts = {section: len(found) for section, found in records.items() if isinstance(found, list) and found}
        numbers = ", ".join(f"{count} of {section}" for section, count in counts.items())
        if numbers:
            findings.add(kinds.IMAGE_RECORDS, f"image {findings.image_id}", numbers)
        return None, findings.problems
    size = (int(image["width"]), int(image["height"]))
    checks = {
        "annos_segmentation": check_segmentation,
        "annos_boundary": check_boundary,
        "annos_occlusion": check_occlusion,
        "annos_joints": check_joints,
    }
    kept = {section: check(records.get(section, []), size, tables, findings) for section, check in checks.items()}
    return kept, findings.problems


def _id_of(image):
    number = image.get("image_id") if isinstance(image, dict) else None
    return number if is_id(number) else None


def check_boundary(records: Any, size: tuple[int, int], tables: Tables, findings: kinds.Findings) -> list[dict]:
    """Check the boundary records of one image, each of an annotator; those of another size are resized when read.

    Args and what is returned are those of `check_segmentation`.
    """
    kept = []
    for record, where in findings.objects("annos_boundary", records):
        mask: Any = record.get("boundary_mask")
        mask_is_of = mask_size(mask)
        if mask_is_of is None:
            findings.add(kinds.BOUNDARY_MISSING, where, shown(mask))
            continue
        code: Any = mask_code(mask)
        damages = {0: ""} if code is None else RunLengths.of_readable([code], mask_is_of)[1]
        if damages:
            findings.add(kinds.BOUNDARY_DAMAGED, where, damages[0])
            continue
        if isinstance(mask["counts"], list):
            findings.add(kinds.BOUNDARY_LIST, where, "compressed")
            record = {**record, "boundary_mask": {**mask, "counts": code.decode()}}
        if mask_is_of != size:
            words = f"{mask_is_of[0]}x{mask_is_of[1]} on an image of {size[0]}x{size[1]}; the reader resizes it"
            findings.add(kinds.BOUNDARY_SIZE, where, words)
        kept.append(record)
    return kept
