"""What an index of a file in Detail's layout holds: images by phase, records by kind and by class."""

import sqlite3
from collections import Counter
from typing import Any

from maskrcnn_benchmark.data.preparation.summary import table

_THINGS = "category_id IN (SELECT category_id FROM categories WHERE NOT onlysemantic) AND NOT COALESCE(iscrowd, 0)"
# {kind of record: query for its images and its number}
_RECORDS = {
    "objects": f"SELECT COUNT(DISTINCT image_id), COUNT(*) FROM segmentation WHERE {_THINGS}",
    "regions": "SELECT COUNT(DISTINCT image_id), COUNT(*) FROM segmentation",
    "part masks": "SELECT COUNT(DISTINCT image_id), COUNT(*) FROM part_masks",
    "persons with joints": "SELECT COUNT(DISTINCT image_id), COUNT(*) FROM joints",
    "boundary maps": "SELECT COUNT(DISTINCT image_id), COUNT(*) FROM boundary",
    "occlusion chains": "SELECT COUNT(DISTINCT image_id), SUM(LENGTH(lengths) / 4) FROM occlusion",
}


def detail_tables(connection: sqlite3.Connection) -> list[str]:
    """The tables of an open index, each of several lines."""
    return [_phases(connection), _records(connection), _classes(connection)]


def _phases(connection: sqlite3.Connection) -> str:
    rows = connection.execute("SELECT phase, COUNT(*) FROM images GROUP BY phase ORDER BY MIN(position)").fetchall()
    return table(("phase", "images"), [(phase or "(none)", number) for phase, number in rows])


def _records(connection: sqlite3.Connection) -> str:
    rows = [(kind, *(n or 0 for n in connection.execute(query).fetchone())) for kind, query in _RECORDS.items()]
    return table(("records", "images", "number"), rows)


def _classes(connection: sqlite3.Connection) -> str:
    names = dict(connection.execute("SELECT category_id, name FROM categories ORDER BY position"))
    rows: Any = {key: Counter() for key in names}
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
    return table(("class", "images", "single", "merged", "part masks", "joints"), rows)
