"""What an index holds and what was wrong with its file, for people to read."""

import contextlib
import csv
import io
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from maskrcnn_benchmark.data.preparation.index_file import DamagedIndex, connect, read_meta
from maskrcnn_benchmark.data.preparation.schema import SECTION_TABLES
from maskrcnn_benchmark.utils.files import atomic_write

PROBLEMS = "SELECT what, place, action FROM problems ORDER BY position"


def summarize(index: str | Path) -> str:
    """Images, records and classes as the layout's folder counts them, and problems by kind, of an index: several lines.

    Raises `DamagedIndex` for an index that cannot be read.
    """
    from maskrcnn_benchmark.data.coco.summary import coco_tables
    from maskrcnn_benchmark.data.detail.summary import detail_tables

    meta: Any = read_meta(index)
    tables = {"detail": detail_tables, "coco": coco_tables}[meta["layout"]]
    try:
        with contextlib.closing(connect(index)) as connection:
            blocks = [*tables(connection), _problems(connection)]
    except sqlite3.Error as error:
        raise DamagedIndex.of(index, error) from None
    size = Path(index).stat().st_size
    last = (
        f"{meta['source']}: {meta['size'] / 2**20:.1f} MiB, index: {size / 2**20:.1f} MiB, made in {meta['seconds']} s"
    )
    return "\n\n".join([*blocks, last])


def nothing_to_learn(index: str | Path) -> str | None:
    """What an index lacks of which nothing can be learned, in words, or None."""
    from maskrcnn_benchmark.data.coco.summary import number_of_use

    meta: Any = read_meta(index)
    with contextlib.closing(connect(index)) as connection:
        if meta["layout"] == "coco":
            number, of_use = number_of_use(connection)
            return None if of_use else f"none of its {number} images has an annotation to learn from"
        tables = SECTION_TABLES.values()
        if any(connection.execute(f"SELECT EXISTS (SELECT 1 FROM {table})").fetchone()[0] for table in tables):
            return None
    return f"it has no record in {', '.join(SECTION_TABLES)}"


def first_problem(connection: sqlite3.Connection) -> str | None:
    """How many problems there are, and the first, in words; None without any."""
    number = count_problems(connection)
    if not number:
        return None
    what, place, action = connection.execute("SELECT what, place, action FROM problems ORDER BY position").fetchone()
    return f"{number} problem{'s' * (number > 1)}, the first: {what}, {place} ({action})"


def count_problems(connection: sqlite3.Connection) -> int:
    """Number of problems."""
    return connection.execute("SELECT COUNT(*) FROM problems").fetchone()[0]


def group_problems(rows: Iterable[Sequence[str]]) -> list[tuple[str, str, int, str]]:
    """Problems by kind, in order of first occurrence: list of (what, what was done, number, first place).

    What was done is the action's first words: those up to a colon. `rows` are what `PROBLEMS` selects, all text.
    """
    groups: dict[tuple[str, str], tuple[int, str]] = {}
    for what, place, action in rows:
        key = (what, action.partition(":")[0])
        number, first = groups.get(key, (0, place))
        groups[key] = (number + 1, first)
    return [(*key, number, first) for key, (number, first) in groups.items()]


def write_problems(connection: sqlite3.Connection, path: str | Path) -> None:
    """Write every problem to a CSV file."""
    with atomic_write(path) as file:
        text = io.TextIOWrapper(file, "utf-8", newline="", write_through=True)
        writer = csv.writer(text)
        writer.writerow(("what", "where", "action", "image_id"))
        writer.writerows(connection.execute("SELECT what, place, action, image_id FROM problems ORDER BY position"))
        text.detach()


def _problems(connection: sqlite3.Connection) -> str:
    rows = [
        (what, action, number, place) for what, action, number, place in group_problems(connection.execute(PROBLEMS))
    ]
    return table(("problem", "done", "number", "the first"), rows) if rows else "no problems were found"


def table(heads: Sequence[str], rows: Sequence[Sequence[str | int]]) -> str:
    """Columns of text under their heads, numbers to the right."""
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
