"""Checks of the tables that all records of PASCAL in Detail refer to: images, categories and parts."""

from collections import Counter
from typing import Any

from maskrcnn_benchmark.data.detail.index import is_silhouette
from maskrcnn_benchmark.data.preparation import check_kinds as kinds
from maskrcnn_benchmark.data.preparation.check_values import is_id, is_text, shown
from maskrcnn_benchmark.data.preparation.problems import Problem

_FLAGS = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
NONE = "none"  # what the file calls the superpart of a part that has none


def check_tables(images: Any, categories: Any, parts: Any) -> tuple[tuple[dict, dict, dict], list[Problem]]:
    """Check the tables of a file; whatever JSON can hold in their place does not raise.

    Args:
        images, categories, parts: the sections of the file.

    Returns:
        ((images, categories, parts), list of `Problem`), three dictionaries in file order:
        images {image_id: its row as it is, of which `check_image` checks the rest};
        categories {category_id: {"name": str, "supercategory": str, "onlysemantic": bool, "parts": [part_id, ...]}};
        parts {part_id: {"name": str, "superpart": str}}.
    """
    findings = kinds.Findings()
    rows = {row["image_id"]: row for row, _ in _rows("images", images, "image_id", findings)}
    _report_twice(kinds.FILE_AGAIN, "images", rows, "file_name", findings)
    known = {
        row["part_id"]: {
            "name": _name(row, f"part {row['part_id']}", where, findings),
            "superpart": _text(row, "superpart", where, findings),
        }
        for row, where in _rows("parts", parts, "part_id", findings)
    }
    named = {
        row["category_id"]: {
            "name": _name(row, f"category {row['category_id']}", where, findings),
            "supercategory": _text(row, "supercategory", where, findings),
            "onlysemantic": _flag(row, where, findings),
            "parts": _parts(row, known, where, findings),
        }
        for row, where in _rows("categories", categories, "category_id", findings)
    }
    _report_twice(kinds.NAME_AGAIN, "categories", named, "name", findings)
    _report_twice(kinds.NAME_AGAIN, "parts", known, "name", findings)
    return (rows, named, known), findings.problems


def _rows(section, rows, key, findings):
    """The rows that are objects with an id of their own: (row, words for it)."""
    if not isinstance(rows, list):
        findings.add(kinds.NO_LIST, section, shown(rows))
        return []
    found = {}
    for position, row in enumerate(rows):
        where = f"{section} entry {position}"
        if not isinstance(row, dict):
            findings.add(kinds.ROW_NO_OBJECT, where, shown(row))
        elif not is_id(row.get(key)):
            findings.add(kinds.ROW_ID, where, f"{key} {shown(row.get(key))}")
        elif row[key] in found:
            findings.add(kinds.ROW_AGAIN, where, f"{key} {shown(row[key])} is {found[row[key]][1]}")
        else:
            found[row[key]] = row, f"{section} {row[key]}"
    return list(found.values())


def _report_twice(kind, section, table, key, findings):
    names = Counter(row[key] for row in table.values() if is_text(row.get(key)))
    for name, number in names.items():
        if number > 1:
            findings.add(kind, section, f"{shown(name)} is the {key} of {number} entries")


def _name(row, otherwise, where, findings):
    if is_text(row.get("name")):
        return row["name"]
    findings.add(kinds.ROW_NAME, where, f"{shown(row.get('name'))}, now {otherwise!r}")
    return otherwise


def _text(row, key, where, findings):
    """A text that a row may lack."""
    if row.get(key) is None:
        return NONE
    if is_text(row[key]):
        return row[key]
    findings.add(kinds.ROW_FIELD, where, f"{key} {shown(row[key])}, now {NONE!r}")
    return NONE


def _flag(row, where, findings):
    """Whether a category is onlysemantic; the file may say so in several ways, and not at all where it is not."""
    value = row.get("onlysemantic", False)
    flag = _FLAGS.get(value.strip().lower()) if isinstance(value, str) else None
    if isinstance(value, bool | int | float) and value in (0, 1):
        flag = bool(value)
    if flag is None:
        findings.add(kinds.ROW_FIELD, where, f"onlysemantic {shown(value)}, now false")
    return bool(flag)


def _parts(row, known, where, findings):
    """Part ids of a category, which early files give as objects with an id."""
    parts = row.get("parts")
    if parts is not None and not isinstance(parts, list):
        findings.add(kinds.ROW_FIELD, where, f"parts {shown(parts)}, now none")
        return []
    ids = [part.get("id", part.get("part_id")) if isinstance(part, dict) else part for part in parts or []]
    sound = [part for part in ids if is_id(part) and (part in known or is_silhouette(part, None))]
    if len(sound) < len(ids):
        lost = [part for part in ids if not is_id(part) or part not in sound]
        findings.add(kinds.ROW_FIELD, where, f"parts {shown(lost)} are in no table and dropped")
    return sound
