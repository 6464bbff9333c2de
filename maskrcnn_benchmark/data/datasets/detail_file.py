"""Opening an annotation file of PASCAL in Detail by its index, which is made where there is none."""

import logging
from functools import lru_cache
from pathlib import Path

from maskrcnn_benchmark.data.datasets.detail_index import SECTIONS, DetailIndex, is_silhouette
from maskrcnn_benchmark.data.preparation.index_file import (
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


def open_detail_file(path):
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
    return _open(_find_index(path) or _make_index(path), path, status.st_mtime_ns, status.st_size)


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


def _make_index(path):
    # Preparation is only loaded where it is needed: opening a prepared set should cost next to nothing
    from maskrcnn_benchmark.data.preparation.build_index import prepare

    beside = is_writable(path.parent)
    index = index_path_of(path) if beside else cached_index_path_of(path)
    hint = "; this takes minutes, tools/prepare_detail.py does it with every core" if _is_large(path) else ""
    logging.getLogger(__name__).info("%s is read for the first time: its index is written to %s%s", path, index, hint)
    try:
        mkdir(index.parent)
        return prepare(path, index, progress=_is_large(path))[0]
    except NotWritten as error:
        raise NotWritten(
            f"{error}. The index can lie elsewhere: tools/prepare_detail.py --out DIR makes it there, and "
            "XDG_CACHE_HOME names the cache"
        ) from None


def _is_large(path):
    return path.stat().st_size > _LARGE
