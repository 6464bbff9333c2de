"""The tables of an index: one SQLite file that holds what an annotation file says, by image.

Rows of one image lie together: `image_id` leads every primary key, and images are written in ascending order of it.
Ids are stored as the file has them, numbers or texts. A mask is its height, its width and COCO's compressed run-length
code as text. `position` counts an image's records of a table in file order, from 0.
"""

import sqlite3
from collections.abc import Iterable, Sequence

# Raised whenever a table of the layout or the meaning of a column changes, so that an older index is built again
SCHEMA_VERSIONS = {"detail": 1, "coco": 2}

# Of every layout
_COMMON = {
    # what was prepared, see `build_index`: schema_version, layout, size, mtime_ns and sha256 of the file, ...
    "meta": ("key", "value"),
    "problems": ("position", "what", "place", "action", "image_id"),
}
# The columns of each table in the order of its rows. Arrays are little-endian without padding
_DETAIL = {
    **_COMMON,
    # category_parts: uint32 numbers of the `category_parts` that occur on the image's regions;
    # the counts are of its records: regions, those of persons, joint records, boundary masks, those of another size
    # than the image, occlusion records
    "images": (
        *("image_id", "position", "file_name", "width", "height", "phase"),
        *("regions", "people", "joints", "boundaries", "resized_boundaries", "occlusions", "category_parts"),
    ),
    "categories": ("category_id", "position", "name", "supercategory", "onlysemantic", "parts"),  # parts: JSON list
    "parts": ("part_id", "position", "name", "superpart"),
    "category_parts": ("number", "category_id", "part_id"),  # the pairs that occur on a region
    "segmentation": (
        *("image_id", "position", "id", "category_id", "iscrowd", "area", "x", "y", "w", "h"),
        *("has_parts", "height", "width", "counts"),  # has_parts: whether the record has a list of parts, maybe empty
    ),
    "part_masks": ("image_id", "segmentation_position", "position", "part_id", "height", "width", "counts"),
    "boundary": ("image_id", "position", "height", "width", "counts"),
    # chains: int32 pixel numbers as in the file, one chain after the other; lengths: int32; labels: int32 1 or 2
    "occlusion": ("image_id", "position", "ne", "height", "width", "chains", "lengths", "labels"),
    # keypoints: float64 x, y, visibility; segmentation_position: the person's region, NULL where none fits
    "joints": (
        *("image_id", "position", "person_id", "category_id", "x", "y", "w", "h", "num_keypoints", "keypoints"),
        *("segmentation_position", "segmentation_id", "ambiguous"),
    ),
}
# COCO's rows are kept as JSON: their keys differ from file to file, and evaluation hands them on as they are
_COCO = {
    **_COMMON,
    # of all N images in ascending order of their ids, so that opening reads a few rows: "ids" JSON list; "positions"
    # int32 [N], places in the file; "sizes" int64 [N, 2], width and height; "annotations" int32 [N], their numbers;
    # "valid" uint8 [N], what training can learn from them, see `coco_records.ImageUse.code`
    "columns": ("name", "data"),
    "rows": ("image_id", "row", "records"),  # JSON: the image's entry of the file, the list of its annotations
    "categories": ("category_id", "position", "row", "images", "objects", "crowds"),  # the last three are numbers
}
COLUMN_TYPES = {"positions": "<i4", "sizes": "<i8", "annotations": "<i4", "valid": "u1"}
COLUMNS = {"detail": _DETAIL, "coco": _COCO}
_KEYS = {
    "meta": "key",
    "images": "image_id",
    "columns": "name",
    "rows": "image_id",
    "categories": "category_id",
    "parts": "part_id",
    "category_parts": "number",
    "part_masks": "image_id, segmentation_position, position",
    "problems": "position",
}
# Records beside their image: the section of the JSON file -> its table
SECTION_TABLES = {
    "annos_segmentation": "segmentation",
    "annos_boundary": "boundary",
    "annos_occlusion": "occlusion",
    "annos_joints": "joints",
}


def create_tables(connection: sqlite3.Connection, layout: str) -> None:
    """Make every table of a layout in an empty database.

    Columns have no type, for SQLite then keeps a number a number and a text a text, as JSON had it. Tables keep
    SQLite's row numbers: rows that are added in order then fill their pages, and else leave them half empty.
    """
    for table, columns in COLUMNS[layout].items():
        key = _KEYS.get(table, "image_id, position")
        connection.execute(f"CREATE TABLE {table} ({', '.join(columns)}, PRIMARY KEY ({key}))")


def insert(connection: sqlite3.Connection, layout: str, table: str, rows: Iterable[Sequence]) -> None:
    """Add rows (tuples of the table's columns) to a table."""
    marks = ", ".join("?" * len(COLUMNS[layout][table]))
    connection.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)
