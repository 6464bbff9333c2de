"""Checks of the joint records of one image."""

from typing import TYPE_CHECKING, Any

from maskrcnn_benchmark.data.preparation import check_kinds as kinds
from maskrcnn_benchmark.data.preparation.check_values import is_box, is_id, is_number, is_within, shown
from maskrcnn_benchmark.structures.keypoint import DETAIL_JOINTS

if TYPE_CHECKING:
    from maskrcnn_benchmark.data.detail.checks import Tables

SECTION = "annos_joints"
PERSON = "person"


def check_joints(records: Any, size: tuple[int, int], tables: "Tables", findings: kinds.Findings) -> list[dict]:
    """Check the joint records of one image.

    Joints outside the image stay as they are: where a body goes on beyond it was inferred, and says where the rest is.

    Args:
        records: what the file has for them.
        size: (width, height) of the image.
        tables: `Tables`.
        findings: `Findings`, which is added to.

    Returns:
        list of records to be kept, in their order; those without a fault are the same objects as before.
    """
    persons = [key for key, category in tables.categories.items() if category["name"] == PERSON]
    entries = [(r, w) for r, w in findings.objects(SECTION, records) if _has_joints(r, w, findings)]
    kept = []
    for record, where in findings.without_repetitions(SECTION, entries, lambda entry: tuple(entry[0]["keypoints"])):
        record = _check_numbers(record, where, size, findings)
        record = _check_category(record, where, persons, tables, findings)
        record = _check_box(record, where, size, findings)
        if record is not None:
            kept.append(record)
    return kept


def _has_joints(record, where, findings):
    joints = record.get("keypoints")
    if isinstance(joints, list) and len(joints) == 3 * len(DETAIL_JOINTS) and all(map(is_number, joints)):
        return True
    detail = f"{len(joints)} values" if isinstance(joints, list) else shown(joints)
    findings.add(kinds.JOINTS_ODD, where, detail)
    return False


def _triples(joints):
    return list(zip(joints[::3], joints[1::3], joints[2::3]))


def _is_on_image(x, y, size):
    """Whether a joint lies on the image: the first pixel reaches half a pixel beyond its centre, which is 0."""
    return is_within(x + 0.5, y + 0.5, (size[0] + 0.5, size[1] + 0.5))


def _check_numbers(record, where, size, findings):
    """The record with sound visibilities and their number."""
    triples = _triples(record["keypoints"])
    odd = [k for k, (_, _, v) in enumerate(triples) if v not in (0, 1, 2)]
    outside = [k for k, (x, y, v) in enumerate(triples) if v in (1, 2) and not _is_on_image(x, y, size)]
    if outside:
        findings.add(kinds.JOINTS_OUTSIDE, where, _named(outside))
    number = record.get("num_keypoints")
    labelled = sum(v != 0 for _, _, v in triples)
    if odd:
        values = ", ".join(shown(triples[k][2]) for k in odd)
        findings.add(kinds.JOINTS_VISIBILITY, where, f"{_named(odd)} with {values} count as not annotated")
        sound = [(0, 0, 0) if k in odd else triple for k, triple in enumerate(triples)]
        remaining = labelled - len(odd)
        record = {**record, "keypoints": [value for triple in sound for value in triple], "num_keypoints": remaining}
    if not is_number(number) or number != labelled:
        findings.add(kinds.JOINTS_NUMBER, where, f"{shown(number)}, now {labelled - len(odd)}")
        record = {**record, "num_keypoints": labelled - len(odd)}
    return record


def _named(indices):
    return ", ".join(DETAIL_JOINTS.names[k] for k in indices)


def _check_category(record, where, persons, tables, findings):
    category = record.get("category_id")
    if is_id(category) and category in tables.categories:
        if persons and category not in persons:
            name = tables.categories[category]["name"]
            findings.add(kinds.JOINTS_NO_PERSON, where, f"{shown(name)}; read as a person's")
        return record
    person = persons[0] if persons else None
    findings.add(kinds.JOINTS_CATEGORY, where, f"{shown(category)}, now {person}")
    return {**record, "category_id": person}


def _check_box(record, where, size, findings):
    """The record with a box that tells where the person is; None if nothing does."""
    box = record.get("bbox")
    if is_box(box):
        x, y, width, height = box
        if is_within(x, y, size) and is_within(x + width, y + height, size):
            return record
        if x < size[0] and y < size[1] and x + width > 0 and y + height > 0:
            findings.add(kinds.JOINTS_BOX_OUTSIDE, where, f"{box}; readers clip it")
            return record
    extent = _extent(record["keypoints"], size)
    if extent is None:
        findings.add(kinds.JOINTS_NOWHERE, where, f"bbox {shown(box)}")
        return None
    findings.add(kinds.JOINTS_BOX, where, f"{shown(box)}, now its joints' {extent}")
    return {**record, "bbox": extent}


def _extent(joints, size):
    """[x, y, w, h] around the labelled joints within the image, a pixel wide at least; None without any."""
    placed = [(x, y) for x, y, v in _triples(joints) if v and is_within(x, y, size)]
    if not placed:
        return None
    corners = [(min(values), max(values)) for values in zip(*placed)]
    starts = [min(low, side - 1) for (low, _), side in zip(corners, size)]
    return [*starts, *(max(high - start, 1) for (_, high), start in zip(corners, starts))]
