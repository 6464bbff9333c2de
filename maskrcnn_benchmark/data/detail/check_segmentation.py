"""Checks of the segmentation records of one image: masks, boxes, areas and parts."""

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from maskrcnn_benchmark.data.detail.index import is_silhouette
from maskrcnn_benchmark.data.preparation import check_kinds as kinds
from maskrcnn_benchmark.data.preparation.check_masks import mask_code, mask_size, pixels_in_boxes, pixels_outside
from maskrcnn_benchmark.data.preparation.check_values import (
    is_box,
    is_id,
    is_number,
    is_same,
    is_within,
    other_type,
    shown,
)
from maskrcnn_benchmark.structures.run_length import RunLengths
from maskrcnn_benchmark.utils.text import an

if TYPE_CHECKING:
    from maskrcnn_benchmark.data.detail.checks import Tables

SECTION = "annos_segmentation"
# Sides of a box that are less than a pixel off are its mask's: boxes of polygons have fractions
BOX_TOLERANCE = 1.0
# Share of a part outside of its object that is worth a line. The real parts and objects do not fit exactly, since
# nearer objects were painted over farther ones; in eight real images the share is 0.03 at most
OUTSIDE_TOLERANCE = 0.1

_MASK = {
    "missing": kinds.MASK_MISSING,
    "size": kinds.MASK_SIZE,
    "damaged": kinds.MASK_DAMAGED,
    "list": kinds.MASK_LIST,
}
_PART_MASK = {
    "missing": kinds.PART_MISSING,
    "size": kinds.PART_SIZE,
    "damaged": kinds.PART_DAMAGED,
    "list": kinds.PART_LIST,
}


@dataclass
class _Region:
    """A record under examination: itself, its name, and the masks of the image's decoded lot that are its own."""

    record: dict[str, Any]
    where: str
    mask: int
    parts: list[tuple]  # (part record, its name, mask)


class _Masks:
    """The masks of an image, gathered and then decoded in one go."""

    def __init__(self, size: tuple[int, int], findings: kinds.Findings) -> None:
        self.size, self.findings = size, findings
        self.codes: list[bytes] = []
        self.lost: list[tuple] = []

    def add(self, owner: dict, where: str, table: dict[str, kinds.Kind], loss: str) -> tuple[dict, int] | None:
        """Take in `owner["segmentation"]`. Returns (owner as it is to be kept, index), or None if it is no mask."""
        mask: Any = owner.get("segmentation")
        size = mask_size(mask)
        if size is None:
            self.findings.add(table["missing"], where, _joined(shown(mask), loss))
            return None
        if size != self.size:
            sizes = f"{size[0]}x{size[1]} on an image of {self.size[0]}x{self.size[1]}"
            self.findings.add(table["size"], where, _joined(sizes, loss))
            return None
        code = mask_code(mask)
        if code is None:
            self.findings.add(table["damaged"], where, loss)
            return None
        if isinstance(mask["counts"], list):
            self.findings.add(table["list"], where, "compressed")
            owner = {**owner, "segmentation": {**mask, "counts": code.decode()}}
        self.codes.append(code)
        self.lost.append((table["damaged"], where, loss))
        return owner, len(self.codes) - 1

    def content(self, entry: tuple) -> tuple:
        """What a region shows, hashable: its category, mask and parts. `entry` is (record, where, region)."""
        record, _, region = entry
        parts = tuple((part["part_id"], self.codes[mask]) for part, _, mask in region.parts)
        return record["category_id"], self.codes[region.mask], parts

    def decode(self) -> tuple[RunLengths, set[int]]:
        """(`RunLengths`, set of the indices that do not decode)."""
        runs, damages = RunLengths.of_readable(self.codes, self.size)
        for i in sorted(damages):
            kind, where, loss = self.lost[i]
            self.findings.add(kind, where, _joined(damages[i], loss))
        return runs, set(damages)


def check_segmentation(records: Any, size: tuple[int, int], tables: "Tables", findings: kinds.Findings) -> list[dict]:
    """Check the segmentation records of one image.

    Args:
        records: what the file has for them.
        size: (width, height) of the image.
        tables: `Tables`.
        findings: `Findings`, which is added to.

    Returns:
        list of records to be kept, in their order; those without a fault are the same objects as before.
    """
    masks = _Masks(size, findings)
    regions = [
        region
        for record, where in findings.objects(SECTION, records)
        if (region := _opened(record, where, masks, tables, findings)) is not None
    ]
    runs, damaged = masks.decode()
    for region in regions:
        _drop_damaged_parts(region, damaged)
    regions = [region for region in regions if region.mask not in damaged and _has_pixels(region, runs, findings)]
    entries = [(region.record, region.where, region) for region in regions]
    regions = [region for *_, region in findings.without_repetitions(SECTION, entries, masks.content)]
    _check_areas(regions, runs, findings)
    _check_boxes(regions, runs, findings)
    _check_crowds(regions, tables, findings)
    _check_parts(regions, runs, findings)
    return [region.record for region in regions]


def _joined(*words):
    return "; ".join(word for word in words if word)


def _opened(record, where, masks, tables, findings):
    """The `_Region` of a record, its masks taken in; None if it is left out."""
    parts = record.get("parts")
    loss = f"{len(parts)} parts with it" if isinstance(parts, list) and parts else ""
    category = record.get("category_id")
    if not is_id(category) or category not in tables.categories:
        shape = other_type(category, tables.categories)
        findings.add(kinds.CATEGORY, where, _joined(f"{shown(category)}{shape}", loss))
        return None
    taken = masks.add(record, where, _MASK, loss)
    if taken is None:
        return None
    region = _Region(taken[0], where, taken[1], [])
    if parts is not None and not isinstance(parts, list):
        findings.add(kinds.PARTS_NO_LIST, where, f"{shown(parts)}; the rest is kept")
        region.record = {**region.record, "parts": []}
    else:
        _open_parts(region, masks, tables, findings)
    return region


def _open_parts(region, masks, tables, findings):
    """Take in the masks of a region's parts; what is no part is left out of its record."""
    parts = region.record.get("parts") or []
    seen = set()
    for position, part in enumerate(parts):
        if not isinstance(part, dict):
            findings.add(kinds.PART_NO_OBJECT, f"part entry {position} of {region.where}", shown(part))
            continue
        part_id = part.get("part_id")
        known = is_id(part_id) and (part_id in tables.parts or is_silhouette(part_id, None))
        where = f"part {part_id if known and part_id not in seen else f'entry {position}'} of {region.where}"
        if not known:
            findings.add(kinds.PART_UNKNOWN, where, shown(part_id))
            continue
        taken = masks.add(part, where, _PART_MASK, "")
        if taken is None:
            continue
        if part_id in seen:
            findings.add(kinds.PART_AGAIN, where, f"part {part_id}")
        seen.add(part_id)
        region.parts.append((taken[0], where, taken[1]))
    _keep_parts(region)


def _keep_parts(region):
    """Give a region's record its remaining parts, where they are not those that it has."""
    before, after = region.record.get("parts") or [], [part for part, *_ in region.parts]
    if len(before) != len(after) or any(one is not other for one, other in zip(before, after)):
        region.record = {**region.record, "parts": after}


def _drop_damaged_parts(region, damaged):
    region.parts = [entry for entry in region.parts if entry[2] not in damaged]
    _keep_parts(region)


def _has_pixels(region, runs, findings):
    if runs.areas[region.mask]:
        return True
    number = len(region.parts)
    findings.add(kinds.MASK_EMPTY, region.where, f"{number} parts with it" if number else "")
    return False


def _repair(region, **values):
    region.record = {**region.record, **values}


def _check_areas(regions, runs, findings):
    for region in regions:
        area, pixels = region.record.get("area"), int(runs.areas[region.mask])
        if not is_number(area):
            findings.add(kinds.AREA_MISSING, region.where, f"{shown(area)}, now {pixels}")
            _repair(region, area=pixels)
        elif area != pixels:
            findings.add(kinds.AREA_DIFFERS, region.where, f"{area}, now {pixels}")
            _repair(region, area=pixels)


def _check_boxes(regions, runs, findings):
    """Boxes within the image that have to do with their masks: what is missing or elsewhere is the mask's."""
    x1, y1, x2, y2 = runs.bounding_boxes().astype(np.int64).T
    tight = np.stack([x1, y1, x2 - x1 + 1, y2 - y1 + 1], axis=1).tolist()
    unlike = []
    for region in regions:
        box, own = region.record.get("bbox"), tight[region.mask]
        if box == own and set(map(type, box)) == {int}:
            continue
        if not is_box(box):
            findings.add(kinds.BOX_MISSING, region.where, f"{shown(box)}, now the mask's {own}")
            _repair(region, bbox=own)
        elif not is_same(_edges(box), _edges(own), np.nextafter(BOX_TOLERANCE, 0)):
            unlike.append(region)
        else:
            _clip(region, runs.size, findings)
    if not unlike:
        return
    boxes = np.array(tight, np.float64).reshape(-1, 4)
    boxes[[region.mask for region in unlike]] = [region.record["bbox"] for region in unlike]
    held = pixels_in_boxes(runs, boxes)
    for region in unlike:
        box, own = region.record["bbox"], tight[region.mask]
        if not held[region.mask]:
            findings.add(kinds.BOX_ELSEWHERE, region.where, f"{box}, now the mask's {own}")
            _repair(region, bbox=own)
            continue
        clipped = _clip(region, runs.size, findings)
        if not is_same(_edges(clipped), _edges(own), np.nextafter(BOX_TOLERANCE, 0)):
            findings.add(kinds.BOX_DIFFERS, region.where, f"{clipped}, the mask's is {own}")


def _edges(box):
    x, y, width, height = box
    return x, y, x + width, y + height


def _clip(region, size, findings):
    """The region's box within the image, which becomes its record's; only one that reaches outside is changed."""
    box = region.record["bbox"]
    x1, y1, x2, y2 = _edges(box)
    if is_within(x1, y1, size) and is_within(x2, y2, size):
        return box
    left, top = max(x1, 0), max(y1, 0)
    clipped = [left, top, min(x2, size[0]) - left, min(y2, size[1]) - top]
    findings.add(kinds.BOX_OUTSIDE, region.where, f"{box} clipped to {clipped}")
    _repair(region, bbox=clipped)
    return clipped


def _check_crowds(regions, tables, findings):
    """Crowds are those of the onlysemantic categories, of which an image has one region each."""
    places = defaultdict(list)
    for region in regions:
        category = region.record["category_id"]
        semantic = bool(tables.categories[category]["onlysemantic"])
        crowd = region.record.get("iscrowd")
        if type(crowd) not in (int, float, bool) or crowd not in (0, 1):
            findings.add(kinds.CROWD_ODD, region.where, f"{shown(crowd)}, now {int(semantic)} as its category is")
            _repair(region, iscrowd=int(semantic))
        elif bool(crowd) != semantic:
            name = tables.categories[category]["name"]
            findings.add(kinds.STUFF_NO_CROWD if semantic else kinds.CROWD_OF_THINGS, region.where, an(name))
        if semantic:
            places[category].append(region.where)
    for category, found in places.items():
        if len(found) > 1:
            name = tables.categories[category]["name"]
            findings.add(kinds.STUFF_AGAIN, found[1], f"{len(found)} regions of {name} in image {findings.image_id}")


def _check_parts(regions, runs, findings):
    """Parts without pixels, and parts that lie to a good deal outside of their objects."""
    entries = [(where, mask, region.mask) for region in regions for _, where, mask in region.parts]
    if not entries:
        return
    inner, outer = (np.array(column, np.int64) for column in list(zip(*entries))[1:])
    areas, outside = runs.areas[inner], pixels_outside(runs, inner, outer)
    for k in np.flatnonzero(areas == 0).tolist():
        findings.add(kinds.PART_EMPTY, entries[k][0])
    for k in np.flatnonzero(outside > OUTSIDE_TOLERANCE * areas).tolist():
        share = f"{100 * outside[k] / areas[k]:.0f} % of its {areas[k]} pixels"
        findings.add(kinds.PART_OUTSIDE, entries[k][0], share)
