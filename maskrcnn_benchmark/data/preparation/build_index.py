"""Making the index of an annotation file of PASCAL in Detail: scanned once, then checked and written image by image."""

import contextlib
import gc
import json
import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from pathlib import Path

import numpy as np
from tqdm import tqdm

from maskrcnn_benchmark.data.preparation.check_kinds import IMAGE_FILE_KINDS
from maskrcnn_benchmark.data.preparation.checks import Tables, check_image
from maskrcnn_benchmark.data.preparation.index_file import (
    connect,
    index_path_of,
    is_current,
    learn_time,
    read_meta,
    replacing,
)
from maskrcnn_benchmark.data.preparation.record_rows import ImageRows
from maskrcnn_benchmark.data.preparation.scan import Scan, read_records
from maskrcnn_benchmark.data.preparation.schema import SCHEMA_VERSION, SECTION_TABLES, create_tables, insert
from maskrcnn_benchmark.data.preparation.summary import first_problem, write_problems
from maskrcnn_benchmark.utils.errors import UserError

_PAGE = 4096  # bytes
_IMAGES_PER_JOB = 16
_JOBS_PER_WORKER = 3  # that wait to be written: enough to keep a worker busy, little enough to hold in memory


def prepare(source, index=None, images=None, strict=False, workers=0, progress=False, problems_csv=None):
    """Make the index of an annotation file, unless it is there.

    Args:
        source: the JSON file.
        index: the file to write; by default beside `source`, see `index_path_of`.
        images: folder of the images, each of which is then looked at, or None.
        strict: raise `UserError` if anything is wrong with the file, and write no index.
        workers: processes that check images beside this one; 0 checks them here.
        progress: show bars.
        problems_csv: file to write every problem to, or None.

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

    if not _will_do(index, source, images):
        with replacing(index, lambda: _will_do(index, source, images)) as partial:
            if partial is not None:
                _build(source, partial, images, strict, workers, progress, problems_csv)
                return index, True
    learn_time(index, source)
    with contextlib.closing(connect(index)) as connection:
        _report_problems(connection, source, strict, problems_csv)
    return index, False


def _will_do(index, source, images):
    """Whether an index is of this file and, where images are to be looked at, of this state of their folder."""
    if not is_current(index, source):
        return False
    meta = read_meta(index)
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


def _build(source, partial, images, strict, workers, progress, problems_csv):
    started = time.perf_counter()
    folder_time = None if images is None else _mtime(images)
    scan = Scan(source, progress)
    tables = Tables(scan.categories, {key: part["name"] for key, part in scan.parts.items()}, scan.occlusion_base)
    job = _Job(scan, tables, None if images is None else Path(images))
    with contextlib.closing(connect(partial, writable=True)) as connection:
        writer = _Writer(connection)
        writer.add_problems(scan.problems)
        ids = scan.ordered_ids()
        chunks = [ids[i : i + _IMAGES_PER_JOB] for i in range(0, len(ids), _IMAGES_PER_JOB)]
        with tqdm(total=len(ids), desc="check", unit="image", disable=None if progress else True) as bar:
            for chunk, (rows, problems) in zip(chunks, _run(job, chunks, workers)):
                writer.add(rows, problems)
                bar.update(len(chunk))
        status = scan.path.stat()
        if (status.st_size, status.st_mtime_ns) != (scan.size, scan.mtime_ns):
            raise UserError(f"{scan.path} was changed while it was read; start again")
        writer.add_tables(scan)
        _report_problems(connection, source, strict, problems_csv)
        writer.finish(
            {
                "schema_version": SCHEMA_VERSION,
                "source": scan.path.name,
                "size": scan.size,
                "mtime_ns": scan.mtime_ns,
                "sha256": scan.sha256,
                "occlusion_base": scan.occlusion_base,
                "images": None if images is None else str(Path(images).absolute()),
                "images_mtime_ns": folder_time if writer.has_problems(IMAGE_FILE_KINDS) else None,
                "info": json.dumps(scan.info),
                "seconds": round(time.perf_counter() - started, 1),
            }
        )


class _Job:
    """What a worker needs to turn image ids into rows."""

    def __init__(self, scan, tables, images):
        self.scan, self.tables, self.images = scan, tables, images
        self.positions = {image_id: position for position, image_id in enumerate(scan.images)}

    def rows_of(self, ids):
        """({table: rows}, list of `Problem`) of several images."""
        rows, problems = {}, []
        with open(self.scan.path, "rb") as file:
            for image_id in ids:
                image = self.scan.images[image_id]
                records, found = check_image(image, self._records(file, image_id), self.tables, self.images)
                problems += found
                if records is None:
                    continue
                made = ImageRows(self.positions[image_id], image, records, self.tables)
                problems += made.problems
                for table, more in made.rows.items():
                    rows.setdefault(table, []).extend(more)
        return rows, problems

    def _records(self, file, image_id):
        try:
            return {section: read_records(file, self.scan.places(section, image_id)) for section in SECTION_TABLES}
        except ValueError:
            raise UserError(f"{self.scan.path} was changed while it was read; start again") from None


class _Writer:
    """Puts rows into the tables of a new index."""

    def __init__(self, connection):
        self._connection = connection
        self._pairs = {}
        self._problems = 0
        # Nobody else sees the file before it is whole, and one that is not is thrown away
        for pragma in (f"page_size = {_PAGE}", "journal_mode = OFF", "synchronous = OFF", "cache_size = -32768"):
            connection.execute(f"PRAGMA {pragma}")
        connection.execute("BEGIN")
        create_tables(connection)

    def add(self, rows, problems):
        """Add the rows and the problems of some images, which must follow those before in the index's order."""
        for table, more in rows.items():
            insert(self._connection, table, map(self._numbered, more) if table == "images" else more)
        self.add_problems(problems)

    def add_problems(self, problems):
        rows = [(i, p.what, p.where, p.action, p.image_id) for i, p in enumerate(problems, self._problems)]
        insert(self._connection, "problems", rows)
        self._problems += len(rows)

    def has_problems(self, kinds):
        """Whether a problem of one of the kinds was added."""
        marks = ", ".join("?" * len(kinds))
        query = f"SELECT EXISTS (SELECT 1 FROM problems WHERE what IN ({marks}))"
        return bool(self._connection.execute(query, [kind.what for kind in kinds]).fetchone()[0])

    def add_tables(self, scan):
        rows = [
            (key, i, row["name"], row["supercategory"], int(row["onlysemantic"]), json.dumps(row["parts"]))
            for i, (key, row) in enumerate(scan.categories.items())
        ]
        insert(self._connection, "categories", rows)
        rows = [(key, i, row["name"], row["superpart"]) for i, (key, row) in enumerate(scan.parts.items())]
        insert(self._connection, "parts", rows)
        insert(self._connection, "category_parts", [(number, *pair) for pair, number in self._pairs.items()])

    def finish(self, meta):
        insert(self._connection, "meta", meta.items())
        self._connection.execute("COMMIT")

    def _numbered(self, row):
        numbers = [self._pairs.setdefault(pair, len(self._pairs)) for pair in row[-1]]
        return (*row[:-1], np.array(numbers, "<u4").tobytes())


def _run(job, chunks, workers):
    """Yield (rows, problems) of each chunk of image ids, in order."""
    if not workers:
        yield from map(job.rows_of, chunks)
        return
    # A garbage collection in a fork would touch, and so copy, all pages of the tables
    gc.collect()
    gc.freeze()
    # forked workers share the tables with this process; elsewhere they are sent to them
    method = "fork" if "fork" in multiprocessing.get_all_start_methods() else "spawn"
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context(method), _start_worker, (job,))
    waiting = deque()
    try:
        for chunk in chunks:
            waiting.append(pool.submit(_rows_here, chunk))
            if len(waiting) > _JOBS_PER_WORKER * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool:
        raise UserError("a worker was ended from outside, most likely for lack of memory: use fewer workers") from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        gc.unfreeze()


_job = None


def _start_worker(job):
    """Make this process a worker, which leaves an interruption to its parent and does not outlive it."""
    global _job
    _job = job
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent():
    wait([multiprocessing.parent_process().sentinel])
    os._exit(1)


def _rows_here(ids):
    return _job.rows_of(ids)
