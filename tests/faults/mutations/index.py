"""Damaged index files, and one that is cut while it is open."""

import contextlib
import os
import shutil
import sqlite3

from faults.mutations.annotations import read_all
from faults.mutations.attempt import Attempt, mutation_class
from faults.mutations.mutators import damage_bytes, odd_value, short


def index(case):
    """An index of Detail's layout, opened and read."""
    from maskrcnn_benchmark.data.datasets import DetailDataset

    folder = case.workplace.few / "mini_detail"
    path = case.out / "annotations.index.sqlite"
    shutil.copy2(folder / "annotations.json", case.out / "annotations.json")
    shutil.copy2(folder / "annotations.index.sqlite", path)
    alone = case.random.random() < 0.5  # named itself, it cannot be made anew
    kind = case.random.random()
    cut = 0
    if kind < 0.5:
        what = damage_database(case.random, path)
    elif kind < 0.85:
        data, what = damage_bytes(case.random, path.read_bytes())
        path.write_bytes(data)
    else:
        cut = case.random.randrange(path.stat().st_size)
        what = f"cut to {cut} bytes while it is open"
    source = path if alone else case.out / "annotations.json"

    def door():
        dataset = DetailDataset(source, folder / "images")
        if cut:
            os.truncate(path, cut)
        return read_all(dataset)

    return Attempt(what, door, (path.name, "annotations.json"), place=True)


def damage_database(random, path):
    """Damage tables, columns or values of an SQLite file; returns what was done in words."""
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        table = random.choice(tables)
        columns = [row[1] for row in connection.execute(f'PRAGMA table_info("{table}")')]
        column = random.choice(columns)
        kind = random.randrange(6)
        if kind == 0:
            connection.execute(f'DROP TABLE "{table}"')
            return f"without table {table}"
        if kind == 1:
            connection.execute(f'ALTER TABLE "{table}" RENAME COLUMN "{column}" TO other')
            return f"{table}.{column} renamed"
        if kind == 2:
            connection.execute(f'DELETE FROM "{table}" WHERE rowid % 2 = 0 OR {random.randrange(2)}')
            return f"rows of {table} gone"
        value = odd_value(random)
        if isinstance(value, list | dict | bool) or (isinstance(value, int) and abs(value) >= 2**63):
            value = str(value)[:4000].encode() if random.random() < 0.5 else str(value)[:4000]
        where = "" if random.random() < 0.5 else f' WHERE rowid = (SELECT max(rowid) FROM "{table}")'
        with contextlib.suppress(sqlite3.OperationalError, sqlite3.IntegrityError):  # a table without row ids
            connection.execute(f'UPDATE OR IGNORE "{table}" SET "{column}" = ?{where}', (value,))
        return f"{table}.{column} = {short(value)}"


CLASSES = [mutation_class("index", 450, index)]
