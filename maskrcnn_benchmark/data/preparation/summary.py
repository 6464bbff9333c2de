"""What an index holds and what was wrong with its file, for people to read."""

import contextlib
import csv
import io
import json
import sqlite3
from collections import Counter
from pathlib import Path

import numpy as np

from maskrcnn_benchmark.data.preparation.index_file import DamagedIndex, connect, read_meta
from maskrcnn_benchmark.data.preparation.schema import COLUMN_TYPES
from maskrcnn_benchmark.utils.files import atomic_write

_TASKS = (
    ("detection, instance", "objects", "SELECT COUNT(DISTINCT image_id), COUNT(*) FROM segmentation {things}"),
    ("semantic, classification", "regions", "SELECT COUNT(DISTINCT image_id), COUNT(*) FROM segmentation"),
    ("part", "part masks", "SELECT COUNT(DISTINCT image_id), COUNT(*) FROM part_masks"),
    ("keypoint", "people", "SELECT COUNT(DISTINCT image_id), COUNT(*) FROM joints"),
    ("boundary", "maps", "SELECT COUNT(DISTINCT image_id), COUNT(*) FROM boundary"),
    ("occlusion", "chains", "SELECT COUNT(DISTINCT image_id), SUM(LENGTH(lengths) / 4) FROM occlusion"),
)
_THINGS = (
    "WHERE category_id IN (SELECT category_id FROM categories WHERE NOT onlysemantic) AND NOT COALESCE(iscrowd, 0)"
)
PROBLEMS = "SELECT what, place, action FROM problems ORDER BY position"


def summarize(index):
    """Images by phase, annotations by task and by class, and problems by kind, of an index: str of several lines."""
    meta = read_meta(index)
    try:
        with contextlib.closing(connect(index)) as connection:
            blocks = [block(connection) for block in _BLOCKS[meta["layout"]]]
    except sqlite3.Error as error:
        raise DamagedIndex.of(index, error) from None
    size = Path(index).stat().st_size
    last = (
        f"{meta['source']}: {meta['size'] / 2**20:.1f} MiB, index: {size / 2**20:.1f} MiB, made in {meta['seconds']} s"
    )
    return "\n\n".join([*blocks, last])


def first_problem(connection):
    """How many problems there are, and the first, in words; None without any."""
    number = count_problems(connection)
    if not number:
        return None
    what, place, action = connection.execute("SELECT what, place, action FROM problems ORDER BY position").fetchone()
    return f"{number} problem{'s' * (number > 1)}, the first: {what}, {place} ({action})"


def count_problems(connection):
    """Number of problems."""
    return connection.execute("SELECT COUNT(*) FROM problems").fetchone()[0]


def group_problems(rows):
    """Problems by kind, in order of first occurrence: list of (what, what was done, number, first place).

    What was done is the action's first words: those up to a colon. `rows` are what `PROBLEMS` selects, all text.
    """
    groups = {}
    for what, place, action in rows:
        key = (what, action.partition(":")[0])
        number, first = groups.get(key, (0, place))
        groups[key] = (number + 1, first)
    return [(*key, number, first) for key, (number, first) in groups.items()]


def write_problems(connection, path):
    """Write every problem to a CSV file."""
    with atomic_write(path) as file:
        text = io.TextIOWrapper(file, "utf-8", newline="", write_through=True)
        writer = csv.writer(text)
        writer.writerow(("what", "where", "action", "image_id"))
        writer.writerows(connection.execute("SELECT what, place, action, image_id FROM problems ORDER BY position"))
        text.detach()


def _phases(connection):
    rows = connection.execute("SELECT phase, COUNT(*) FROM images GROUP BY phase ORDER BY MIN(position)").fetchall()
    return _table(("phase", "images"), [(phase or "(none)", number) for phase, number in rows])


def _tasks(connection):
    rows = []
    for task, kind, query in _TASKS:
        images, number = connection.execute(query.format(things=_THINGS)).fetchone()
        rows.append((task, images, number or 0, kind))
    return _table(("task", "images", "annotations", ""), rows)


def _classes(connection):
    names = dict(connection.execute("SELECT category_id, name FROM categories ORDER BY position"))
    rows = {key: Counter() for key in names}
    regions = connection.execute(
        "SELECT category_id, COUNT(DISTINCT image_id), COUNT(*), SUM(COALESCE(iscrowd, 0) != 0) FROM segmentation "
        "GROUP BY category_id"
    )
    for key, images, number, crowds in regions:
        rows.setdefault(key, Counter()).update(images=images, objects=number - crowds, crowds=crowds)
    masks = connection.execute(
        "SELECT s.category_id, COUNT(*) FROM part_masks p JOIN segmentation s ON s.image_id = p.image_id "
        "AND s.position = p.segmentation_position GROUP BY s.category_id"
    )
    for key, number in masks:
        rows[key].update(parts=number)
    for key, number in connection.execute("SELECT category_id, COUNT(*) FROM joints GROUP BY category_id"):
        rows.setdefault(key, Counter()).update(joints=number)
    columns = ("images", "objects", "crowds", "parts", "joints")
    rows = [(names.get(key, f"(id {key})"), *(row[name] for name in columns)) for key, row in rows.items()]
    return _table(("class", "images", "single", "merged", "part masks", "joints"), rows)


def _coco_tasks(connection):
    data = dict(connection.execute("SELECT name, data FROM columns WHERE name != 'ids'"))
    annotations, valid = (np.frombuffer(data[name], COLUMN_TYPES[name]) for name in ("annotations", "valid"))
    numbers = (len(annotations), np.count_nonzero(annotations), np.count_nonzero(valid))
    rows = list(zip(("listed", "with annotations", "of use for training"), map(int, numbers)))
    return _table(("images", "number"), rows) + f"\n\n{annotations.sum()} annotations"


def _coco_classes(connection):
    found = connection.execute("SELECT row, images, objects, crowds FROM categories ORDER BY position")
    rows = [(json.loads(row)["name"], *numbers) for row, *numbers in found]
    return _table(("class", "images", "objects", "crowds"), rows)


def _problems(connection):
    rows = [
        (what, action, number, place) for what, action, number, place in group_problems(connection.execute(PROBLEMS))
    ]
    return _table(("problem", "done", "number", "the first"), rows) if rows else "no problems were found"


def _table(heads, rows):
    """Columns of text, numbers to the right."""
    cells = [[str(cell) for cell in row] for row in (heads, *rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(heads))]
    right = [bool(rows) and isinstance(rows[0][i], int) for i in range(len(heads))]
    lines = [
        "  ".join(
            cell.rjust(width) if is_right else cell.ljust(width) for cell, width, is_right in zip(row, widths, right)
        )
        for row in cells
    ]
    return "\n".join(line.rstrip() for line in lines)


_BLOCKS = {
    "detail": (_phases, _tasks, _classes, _problems),
    "coco": (_coco_tasks, _coco_classes, _problems),
}
