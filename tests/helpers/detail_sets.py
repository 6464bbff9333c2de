"""Opening the tiny data set in PASCAL in Detail's layout."""

import contextlib
import json
import shutil
import sqlite3

from maskrcnn_benchmark.data.datasets import DetailDataset
from maskrcnn_benchmark.data.preparation.index_file import seal


def damaged(folder, statement, **options):
    """The data set whose index was changed by an SQL statement and sealed again, as only a stranger would."""
    opened(folder)
    shutil.copyfile(folder / "annotations.index.sqlite", folder / "damaged.sqlite")
    with contextlib.closing(sqlite3.connect(folder / "damaged.sqlite")) as connection, connection:
        connection.execute(statement)
    seal(folder / "damaged.sqlite")
    return DetailDataset(folder / "damaged.sqlite", folder / "images", "train", **options)


def opened(folder, content=None, split="train", **options):
    if content is not None:
        (folder / "annotations.json").write_text(json.dumps(content), encoding="utf-8")
    return DetailDataset(folder / "annotations.json", folder / "images", split, **options)
