"""Checks of an image's row in the annotation file, and of the image file."""

import os
from collections.abc import Mapping
from pathlib import Path, PureWindowsPath
from typing import Any

from maskrcnn_benchmark.data.image_file import decoded_facts, find_image
from maskrcnn_benchmark.data.preparation import check_kinds as kinds
from maskrcnn_benchmark.data.preparation.check_values import is_id, is_size, is_text, shown
from maskrcnn_benchmark.utils.errors import UserError

PHASES = ("train", "val", "test")
LONGEST_NAME = 255  # bytes of a file's or folder's name; file systems have no longer ones


def check_row(row: Any, findings: kinds.Findings) -> bool:
    """Whether an image's row can be used; what is wrong with it is noted in `findings`."""
    where = f"image {findings.image_id}"
    if not isinstance(row, dict) or not is_id(row.get("image_id")):
        findings.add(kinds.IMAGE_ENTRY, "an entry of images", shown(row))
        return False
    usable = True
    sides = [row.get("height"), row.get("width")]
    if not is_size(sides):
        findings.add(kinds.IMAGE_SIZE, where, f"width {shown(sides[1])}, height {shown(sides[0])}")
        usable = False
    if not is_safe_name(row.get("file_name")):
        findings.add(kinds.IMAGE_NAME, where, f"{shown(row.get('file_name'))} is no name below the folder of images")
        usable = False
    elif "\\" in row["file_name"]:
        findings.add(kinds.IMAGE_BACKSLASH, f"{where} ({shown(row['file_name'])})")
    if not is_text(row.get("phase")):
        findings.add(kinds.IMAGE_NO_PHASE, where, f"phase {shown(row.get('phase'))}, so it is of no split")
        usable = False
    elif row["phase"] not in PHASES:
        findings.add(kinds.IMAGE_PHASE, where, f"phase {shown(row['phase'])} is none of {', '.join(PHASES)}")
    return usable


def is_safe_name(name: Any) -> bool:
    """Whether a file name stays below the folder that it is looked up in, on any system."""
    if not is_text(name) or "\0" in name:
        return False
    path = PureWindowsPath(name)  # knows both kinds of slashes
    inside = not path.drive and not path.root and ".." not in path.parts
    return inside and len(path.parts) > 0 and all(len(part.encode()) <= LONGEST_NAME for part in path.parts)


def check_file(row: Mapping[str, Any], path: str | os.PathLike, findings: kinds.Findings) -> bool:
    """Whether the image file can be read as its row says. `path` is the file, or a folder that the row's name is in."""
    path = Path(path)
    if path.is_dir():
        path = find_image(path, row["file_name"])
    where = f"{path} of image {findings.image_id}"
    if not os.path.isfile(path):
        findings.add(kinds.FILE_MISSING, where)
        return False
    try:
        facts = decoded_facts(path)
    except UserError as error:
        findings.add(kinds.FILE_DAMAGED, where, str(error))
        return False
    promised = (row["width"], row["height"])
    if promised not in (facts.size, facts.upright_size):
        wanted = f"{int(row['width'])}x{int(row['height'])}"
        findings.add(kinds.FILE_SIZE, where, f"{facts.size[0]}x{facts.size[1]} pixels instead of {wanted}")
        return False
    if facts.orientation != 1 and facts.size == facts.upright_size:
        findings.add(kinds.FILE_MAY_BE_TURNED, where, f"orientation {facts.orientation}, INPUT.EXIF decides")
    elif facts.orientation != 1:
        how = "turned upright" if promised == facts.upright_size else "read as it is stored"
        findings.add(kinds.FILE_TURNED, where, f"orientation {facts.orientation}, {how}")
    if facts.is_deep:
        findings.add(kinds.FILE_DEEP, where, "its values are scaled to 8 bits")
    return True
