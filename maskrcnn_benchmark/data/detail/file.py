"""Opening an annotation file of PASCAL in Detail by its index, which is made where there is none."""

import contextlib
import logging
import os
from functools import lru_cache
from pathlib import Path

from maskrcnn_benchmark.data.detail.content import DetailContent
from maskrcnn_benchmark.data.detail.index import SECTIONS, DetailIndex, is_silhouette
from maskrcnn_benchmark.data.preparation.build_index import make_index
from maskrcnn_benchmark.data.preparation.index_file import (
    DamagedIndex,
    cached_index_path_of,
    index_path_of,
    is_current,
    is_sqlite,
    is_writable,
    learn_time,
)
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.files import NotWritten, mkdir

__all__ = ["SECTIONS", "DetailIndex", "is_silhouette", "open_detail_file"]

_LARGE = 32 << 20  # bytes of JSON from which on making an index takes so long that a user should know a better way


def open_detail_file(path: str | os.PathLike) -> DetailIndex:
    """The `DetailIndex` of an annotation file; splits of one file share it, and a file that changed is read again.

    Args:
        path: the JSON file, whose index lies beside it (or, where nothing can be written there, in the folder
            maskrcnn_benchmark of the user's cache) and is made if it is not there or of another state of the file. Or
            an index itself, which is taken as it is.
    """
    path = Path(path).absolute()
    if not path.is_file():
        raise UserError(f"no such annotation file: {path}")
    status = path.stat()
    if is_sqlite(path):
        return _open(path, path, status.st_mtime_ns, status.st_size)
    state = path, status.st_mtime_ns, status.st_size
    index = _find_index(path)
    if index is not None:
        with contextlib.suppress(DamagedIndex):  # who makes it again says so
            return _open(index, *state)
    return _open(_make_index(path, lambda made: _is_sound(made, state)), *state)


@lru_cache(maxsize=2)
def _open(index, path, modified, size):
    file = DetailIndex(index, path)
    for what, action, number, first in file.problems():
        logging.getLogger(__name__).warning(
            "%s: %s, %d time%s, such as %s; %s", path, what, number, "s" * (number > 1), first, action
        )
    return file


def _find_index(path):
    """The index of a file, if there is one that is made of its present state."""
    for index in (index_path_of(path), cached_index_path_of(path)):
        if is_current(index, path):
            learn_time(index, path)
            return index
    return None


def _is_sound(index, state):
    """Whether the index of a file can be read, as far as opening it tells."""
    if not is_current(index, state[0]):
        return False
    with contextlib.suppress(DamagedIndex):
        return _open(index, *state) is not None
    return False


def _make_index(path, will_do):
    beside = is_writable(path.parent)
    index = index_path_of(path) if beside else cached_index_path_of(path)
    hint = "; this takes minutes, tools/prepare_detail.py does it with every core" if _is_large(path) else ""
    occasion = "read again, since its index is out of date or damaged" if index.exists() else "read for the first time"
    logging.getLogger(__name__).info("%s is %s: its index is written to %s%s", path, occasion, index, hint)
    try:
        mkdir(index.parent)
        make_index(DetailContent, path, index, lambda: will_do(index), progress=_is_large(path))
    except NotWritten as error:
        raise NotWritten(
            f"{error}. The index can lie elsewhere: tools/prepare_detail.py --out DIR makes it there, and "
            "XDG_CACHE_HOME names the cache"
        ) from None
    return index


def _is_large(path):
    return path.stat().st_size > _LARGE
