"""Making the index of an annotation file: scanned once, then checked and written image by image."""

import contextlib
import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from tqdm import tqdm

from maskrcnn_benchmark.data.preparation.check_kinds import IMAGE_FILE_KINDS, Kind
from maskrcnn_benchmark.data.preparation.index_file import (
    connect,
    index_path_of,
    is_current,
    learn_time,
    read_meta,
    replacing,
    seal,
    time_of_seal,
)
from maskrcnn_benchmark.data.preparation.other_files import refuse_other_file
from maskrcnn_benchmark.data.preparation.problems import Problem
from maskrcnn_benchmark.data.preparation.scan import Scan
from maskrcnn_benchmark.data.preparation.schema import SCHEMA_VERSIONS, create_tables, insert
from maskrcnn_benchmark.data.preparation.summary import first_problem, write_problems
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.workers import work_through

_PAGE = 4096  # bytes
_IMAGES_PER_JOB = 16


class Content(Protocol):
    """What an annotation file of a layout holds, on its way into an index: called with the file, the folder of its
    images or None, and whether to show a bar while it is scanned.

    Attributes:
        layout: a key of `schema.COLUMNS`.
        scan: the `Scan`.
    """

    layout: str
    scan: Scan

    def __init__(self, source: Path, images: Path | None, progress: bool) -> None: ...

    def rows_of(self, ids: list[Any]) -> tuple[dict[str, list], list[Problem]]:
        """({table: rows}, problems) of several images, for `completed`; it may be called in another process."""

    def completed(self, rows: dict[str, list]) -> dict[str, list]:
        """The rows that can be written now."""

    def tables(self) -> dict[str, list]:
        """{table: rows} of the tables, once all images are completed."""

    def nothing_left(self) -> str | None:
        """Once all images are completed, what is wrong with a file of which nothing can be used, in words, or None."""

    def meta(self) -> dict[str, Any]:
        """What the table "meta" holds beside that of every layout."""


def prepare(
    source: str | os.PathLike,
    index: str | os.PathLike | None = None,
    images: str | os.PathLike | None = None,
    strict: bool = False,
    workers: int = 0,
    progress: bool = False,
    problems_csv: Path | None = None,
    *,
    content: type[Content],
) -> tuple[Path, bool]:
    """Make the index of an annotation file, unless it is there.

    Args:
        source: the JSON file.
        index: the file to write; by default beside `source`, see `index_path_of`.
        images: folder of the images, each of which is then checked, or None.
        strict: raise `UserError` if anything is wrong with the file, and write no index.
        workers: processes that check images beside this one; 0 checks them here.
        progress: show bars.
        problems_csv: file to write every problem to, or None.
        content: of the file's layout.

    Returns:
        (Path of the index, whether it had to be made).

    Raises:
        UserError: the file is damaged or no annotation file, the place cannot be written to, or `strict`.
    """
    source = Path(source)
    if not source.is_file():
        raise UserError(f"no such annotation file: {source}")
    if images is not None and not Path(images).is_dir():
        raise UserError(f"no such folder of images: {images}")
    index = index_path_of(source) if index is None else Path(index)
    if not _will_do(index, source, images, content.layout):
        with replacing(index, lambda: _will_do(index, source, images, content.layout)) as partial:
            if partial is not None:
                _build(content, source, partial, images, progress, workers, strict, problems_csv)
                return index, True
    learn_time(index, source)
    with contextlib.closing(connect(index)) as connection:
        _report_problems(connection, source, strict, problems_csv)
    return index, False


def make_index(
    content: type[Content],
    source: str | os.PathLike,
    index: str | os.PathLike,
    will_do: Callable[[], bool],
    progress: bool = False,
) -> None:
    """Make the index of a file, whatever is there.

    Args:
        content: of the file's layout.
        source: the JSON file.
        index: the file to write.
        will_do: whether what is there will do, asked when no other process is making it (any longer).
        progress: show bars.

    Raises:
        UserError: as `prepare`.
        NotIndexable: `content` cannot keep something of the file as it is; reading the file says what.
        NotWritten: the place cannot be written to.
    """
    with replacing(index, will_do) as partial:
        if partial is not None:
            _build(content, Path(source), partial, progress=progress)


def _will_do(index, source, images, layout):
    """Whether an index is of this file and, where images are to be checked, of this state of their folder."""
    if not is_current(index, source, layout):
        return False
    meta = read_meta(index)
    if not meta.get("checked", 1):
        return False
    if images is None:
        return True
    return meta["images"] == str(Path(images).absolute()) and meta["images_mtime_ns"] in (None, _mtime(images))


def _mtime(folder):
    return Path(folder).stat().st_mtime_ns


def _report_problems(connection, source, strict, problems_csv):
    if problems_csv is not None:
        write_problems(connection, problems_csv)
    found = strict and first_problem(connection)
    if found:
        raise UserError(f"{source}: {found}; --problems FILE writes all of them")


def _build(
    make_content: type[Content],
    source: Path,
    partial: Path,
    images: str | os.PathLike | None = None,
    progress: bool = False,
    workers: int = 0,
    strict: bool = False,
    problems_csv: Path | None = None,
) -> None:
    started = time.perf_counter()
    folder_time = None if images is None else _mtime(images)
    content = make_content(source, None if images is None else Path(images), progress)
    scan, layout = content.scan, content.layout
    with contextlib.closing(connect(partial, writable=True)) as connection:
        writer = _Writer(connection, layout)
        writer.add({}, scan.problems)
        ids = scan.ordered_ids()
        chunks = [ids[i : i + _IMAGES_PER_JOB] for i in range(0, len(ids), _IMAGES_PER_JOB)]
        with tqdm(total=len(ids), desc="index", unit="image", disable=None if progress else True) as bar:
            for chunk, (rows, problems) in zip(chunks, work_through(content.rows_of, chunks, workers)):
                writer.add(content.completed(rows), problems)
                bar.update(len(chunk))
        scan.check_unchanged()
        writer.add(content.tables(), [])
        _report_problems(connection, source, strict, problems_csv)
        if nothing := content.nothing_left():
            refuse_other_file(source, layout)
            found = first_problem(connection)
            raise UserError(f"{source}: {nothing}" + (f"; {found}" if found else ""))
        writer.finish(
            {
                "schema_version": SCHEMA_VERSIONS[layout],
                "layout": layout,
                "source": scan.path.name,
                "size": scan.size,
                "mtime_ns": scan.mtime_ns,
                "sha256": scan.sha256,
                "images": None if images is None else str(Path(images).absolute()),
                "images_mtime_ns": folder_time if writer.has_problems(IMAGE_FILE_KINDS) else None,
                "info": json.dumps(scan.info),
                "seconds": round(time.perf_counter() - started, 1),
                "sealed_ns": time_of_seal(time.time_ns()),
                **content.meta(),
            }
        )
    seal(partial)


class _Writer:
    """Puts rows into the tables of a new index."""

    def __init__(self, connection: sqlite3.Connection, layout: str) -> None:
        self._connection = connection
        self._layout = layout
        self._problems = 0
        # Nobody else sees the file before it is whole, and one that is not is thrown away
        for pragma in (f"page_size = {_PAGE}", "journal_mode = OFF", "synchronous = OFF", "cache_size = -32768"):
            connection.execute(f"PRAGMA {pragma}")
        connection.execute("BEGIN")
        create_tables(connection, layout)

    def add(self, rows: Mapping[str, Iterable[Sequence]], problems: Iterable[Problem]) -> None:
        """Add {table: rows} and `Problem`s. Those of images have to come in the order of the index."""
        for table, more in rows.items():
            insert(self._connection, self._layout, table, more)
        found = [(i, p.what, p.where, p.action, p.image_id) for i, p in enumerate(problems, self._problems)]
        insert(self._connection, self._layout, "problems", found)
        self._problems += len(found)

    def has_problems(self, kinds: Sequence[Kind]) -> bool:
        """Whether a problem of one of the kinds was added."""
        marks = ", ".join("?" * len(kinds))
        query = f"SELECT EXISTS (SELECT 1 FROM problems WHERE what IN ({marks}))"
        return bool(self._connection.execute(query, [kind.what for kind in kinds]).fetchone()[0])

    def finish(self, meta: Mapping[str, Any]) -> None:
        """Write the table "meta" and what is not written yet."""
        insert(self._connection, self._layout, "meta", meta.items())
        self._connection.execute("COMMIT")
