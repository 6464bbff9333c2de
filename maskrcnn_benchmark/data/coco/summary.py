"""What an index of a file in COCO's layout holds: images and their use, annotations by class."""

import json
import sqlite3
from typing import Any

import numpy as np

from maskrcnn_benchmark.data.coco.records import ANYTHING, NO_KEYPOINTS
from maskrcnn_benchmark.data.preparation.schema import COLUMN_TYPES
from maskrcnn_benchmark.data.preparation.summary import table


def coco_tables(connection: sqlite3.Connection) -> list[str]:
    """The tables of an open index, each of several lines."""
    return [_images(connection), _classes(connection)]


def number_of_use(connection: sqlite3.Connection) -> tuple[int, int]:
    """How many images an open index has, and from how many of them training can learn."""
    (valid,) = _columns(connection, "valid")
    return len(valid), int(np.count_nonzero(valid))


def _columns(connection: sqlite3.Connection, *names: str) -> list[np.ndarray]:
    data = dict(connection.execute("SELECT name, data FROM columns WHERE name != 'ids'"))
    return [np.frombuffer(data[name], COLUMN_TYPES[name]) for name in names]


def _images(connection: sqlite3.Connection) -> str:
    annotations, valid = _columns(connection, "annotations", "valid")
    numbers: tuple[Any, ...] = (len(annotations), np.count_nonzero(annotations), (valid == ANYTHING).sum())
    rows = list(zip(("listed", "with annotations", "of use for training"), map(int, numbers)))
    if np.any(valid == NO_KEYPOINTS):
        rows.append(("of use, but with too few keypoints to learn them", int((valid == NO_KEYPOINTS).sum())))
    return table(("images", "number"), rows) + f"\n\n{annotations.sum()} annotations"


def _classes(connection: sqlite3.Connection) -> str:
    found = connection.execute("SELECT row, images, objects, crowds FROM categories ORDER BY position")
    rows, heads = [(json.loads(row), *numbers) for row, *numbers in found], ["class", "images", "objects", "crowds"]
    if not any(row.get("keypoints") for row, *_ in rows):
        return table(heads, [(row["name"], *numbers) for row, *numbers in rows])
    counts = [(row["name"], *numbers, len(row.get("keypoints") or ())) for row, *numbers in rows]
    return table([*heads, "keypoints of each"], counts)
