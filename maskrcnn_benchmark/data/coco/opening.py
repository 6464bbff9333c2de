"""Opening a file in COCO's layout by its index, which is made where the file is large and has none."""

import logging
import os
from functools import lru_cache
from pathlib import Path

from maskrcnn_benchmark.data.coco.as_it_is import SoundContent
from maskrcnn_benchmark.data.coco.file import CocoFile
from maskrcnn_benchmark.data.coco.index import CocoIndex
from maskrcnn_benchmark.data.preparation.build_index import make_index
from maskrcnn_benchmark.data.preparation.index_file import (
    NotIndexable,
    cached_index_path_of,
    index_path_of,
    is_current,
    is_sqlite,
    is_writable,
    learn_time,
)
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.files import NotWritten, mkdir

SMALL = 4 << 20  # bytes of JSON up to which a file is read faster than a user notices, and nothing is written
# What every process pays at every start for a file without an index, for each byte of it
_SECONDS, _MEMORY = 5e-8, 3.4

logger = logging.getLogger(__name__)
# (path, time, size) of files of which no index can be made, so that it is tried once
_without_index: set[tuple] = set()


def open_coco_file(path: str | os.PathLike) -> CocoIndex | CocoFile:
    """The annotation file at `path`, a `CocoIndex` or `CocoFile`; data sets on one file share it while it is the same.

    Args:
        path: the JSON file. If it is larger than `SMALL`, its index is made when it is opened for the first time,
            beside it or, where nothing can be written there, in the folder maskrcnn_benchmark of the user's cache; and
            again when the file has changed or the index is damaged. Of several processes one makes it, the others wait.
            Where no index can be made, the file is read. Or an index itself, which is taken as it is.

    Raises:
        UserError: the file is missing or has an entry that cannot be used.
    """
    path = Path(path).absolute()
    if not path.is_file():
        raise UserError(f"no such annotation file: {path}")
    status = path.stat()
    state = (path, status.st_mtime_ns, status.st_size)
    if is_sqlite(path):
        return _open_index(path, path, (status.st_mtime_ns, status.st_size))
    for index in (index_path_of(path), cached_index_path_of(path)):
        file = _open_current(index, path)
        if file is not None:
            return file
    if status.st_size <= SMALL or state in _without_index:
        return _read(*state)
    return _open_for_the_first_time(*state)


@lru_cache(maxsize=4)  # training and test file, each perhaps of two parts
def _read(path, modified, size):
    return _told(CocoFile(path))


@lru_cache(maxsize=4)
def _open_index(index, path, state):
    return _told(CocoIndex(index, path))


def _told(file):
    """The file, after its log has what was mended, left out or is to be known of it."""
    for what, action, number, first in file.problems():
        logger.warning("%s: %s, %d time%s, such as %s; %s", file.path, what, number, "s" * (number > 1), first, action)
    return file


def _open_current(index, path):
    """The `CocoIndex` at `index`, or None if there is none that is of the file's present state and sound."""
    if not is_current(index, path, "coco"):
        return None
    try:
        learn_time(index, path)
    except NotWritten as error:
        logger.warning("%s; the file's contents are compared at every start", error)
    status = index.stat()
    try:
        return _open_index(index, path, (status.st_mtime_ns, status.st_size, status.st_ino))
    except UserError:  # it is damaged; who makes it again says so
        return None


def _open_for_the_first_time(*state):
    """The `CocoIndex` of a file that has none yet, or its `CocoFile` where no index can be made."""
    path, _, size = state
    try:
        return _open_with_new_index(path)
    except (NotIndexable, UserError) as error:
        reason = error
    _without_index.add(state)
    file = _read(*state)  # refuses what cannot be used, in words of its own
    logger.warning(
        "%s has no index (%s): every process reads the whole file at every start, some %d s and %d MiB",
        *(path, reason, size * _SECONDS, size * _MEMORY / 2**20),
    )
    return file


def _open_with_new_index(path):
    index = index_path_of(path)
    if not is_writable(path.parent):
        index = cached_index_path_of(path)
        mkdir(index.parent)
    occasion = "read again, since its index is out of date or damaged" if index.exists() else "read for the first time"
    logger.info("%s is %s: its index is written to %s", path, occasion, index)
    make_index(SoundContent, path, index, lambda: _open_current(index, path) is not None, progress=True)
    file = _open_current(index, path)
    if file is None:
        raise UserError(f"{path} or its index {index} was changed while it was read; start again")
    return file
