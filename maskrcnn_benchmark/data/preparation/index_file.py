"""Where the index of an annotation file lies, whether it is still the file's, and writing it so that none sees half."""

import contextlib
import fcntl
import hashlib
import logging
import os
import sqlite3
import stat
import threading
from pathlib import Path
from urllib.parse import quote

from maskrcnn_benchmark.data.preparation.schema import SCHEMA_VERSIONS
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.files import NotWritten, copy_file, open_lock, put_in_place, temporary_file

SUFFIX = ".index.sqlite"
_MMAP_LIMIT = 0x7FFF0000  # bytes, the most that SQLite maps
_MAGIC = b"SQLite format 3\x00"
_PAGE_SIZE, _PAGES = slice(16, 18), slice(28, 32)  # big-endian numbers in SQLite's header


class NotIndexable(Exception):
    """A file holds something that its index cannot hold as it is, or that makes the file unusable; in words."""


def index_path_of(source, folder=None):
    """Where the index of an annotation file lies: beside it, or in `folder`."""
    source = Path(source)
    return Path(folder or source.parent) / f"{source.stem}{SUFFIX}"


def cached_index_path_of(source):
    """Where the index of an annotation file lies whose folder cannot be written to."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "maskrcnn_benchmark"
    digest = hashlib.sha256(str(Path(source).absolute()).encode()).hexdigest()[:12]
    return cache / f"{Path(source).stem}-{digest}{SUFFIX}"


def is_writable(folder):
    """Whether files can be made in a folder; one that nobody may write to is left alone by the superuser, too."""
    with contextlib.suppress(OSError):
        return bool(os.stat(folder).st_mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH)) and os.access(
            folder, os.W_OK
        )
    return False


def is_sqlite(path):
    """Whether a file is a database rather than JSON."""
    with open(path, "rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC


def connect(path, writable=False):
    """A connection to a database file. A reader takes the file for unchangeable, and therefore locks nothing."""
    mode = "mode=rw&nolock=1" if writable else "mode=ro&immutable=1"
    return sqlite3.connect(f"file:{quote(str(path))}?{mode}", uri=True, isolation_level=None)


def read_meta(path):
    """The table "meta" of an index: dict, or None if the file is missing, cut off or no index of this version."""
    if not Path(path).is_file() or not _is_whole(path):
        return None
    try:
        with contextlib.closing(connect(path)) as connection:
            meta = dict(connection.execute("SELECT key, value FROM meta"))
    except sqlite3.Error:
        return None
    version = SCHEMA_VERSIONS.get(meta.get("layout"))
    return meta if version is not None and meta.get("schema_version") == version else None


def _is_whole(path):
    """Whether a file is as long as SQLite's header says: what is cut off would otherwise show at some later read."""
    with open(path, "rb") as file:
        header = file.read(_PAGES.stop)
        size = file.seek(0, os.SEEK_END)
    pages, page_size = (int.from_bytes(header[place], "big") for place in (_PAGES, _PAGE_SIZE))
    return header[: len(_MAGIC)] == _MAGIC and size == pages * page_size


def open_meta(path, layout):
    """The table "meta" of an index. Raises `UserError` if the file is no index of this version and layout."""
    meta = read_meta(path)
    if meta is None:
        version = SCHEMA_VERSIONS[layout]
        raise UserError(f"{path} is no index of version {version}, or is damaged; make it with tools/prepare_detail.py")
    if meta.get("layout") != layout:
        raise UserError(f"{path} is the index of a file in the layout {meta.get('layout')!r}, not {layout!r}")
    return meta


class IndexConnection:
    """Reads an index, in any process and thread: each has a connection of its own, made when it is first needed.

    Args:
        path: the index.
    """

    def __init__(self, path):
        self.path = Path(path)
        self._local = threading.local()

    def query(self, statement, *values):
        """The rows that an SQL statement answers with: list of tuples. Raises `UserError` for a damaged index."""
        try:
            return self.connection().execute(statement, values).fetchall()
        except sqlite3.DatabaseError as error:
            raise UserError(f"{self.path} is damaged ({error}); delete it, and it is made again") from None

    def connection(self):
        """This thread's connection; it must not be used by another one, or after a fork."""
        if getattr(self._local, "process", None) != os.getpid():
            connection = connect(self.path)
            # pages are read where the operating system has them, which every process shares, and few are copied
            connection.execute(f"PRAGMA mmap_size = {_MMAP_LIMIT}")
            connection.execute("PRAGMA cache_size = -512")
            connection.execute("PRAGMA query_only = ON")
            self._local.connection, self._local.process = connection, os.getpid()
        return self._local.connection

    def __getstate__(self):
        return {"path": self.path}

    def __setstate__(self, state):
        self.__init__(state["path"])


def is_current(index, source, layout="detail"):
    """Whether an index was made of this very file, taken to be of a layout.

    Size and time of change are compared; where only the time differs, as after copying, the contents are.
    """
    meta = read_meta(index)
    if meta is None or meta.get("layout") != layout:
        return False
    status = Path(source).stat()
    if (meta["size"], meta["mtime_ns"]) == (status.st_size, status.st_mtime_ns):
        return True
    return meta["size"] == status.st_size and meta["sha256"] == _hash_of(source)


def learn_time(index, source):
    """Make a current index remember when its file was changed, so that contents need not be compared again."""
    modified = Path(source).stat().st_mtime_ns
    if read_meta(index)["mtime_ns"] == modified or not is_writable(Path(index).parent):
        return
    with replacing(index) as partial:
        # a copy, for other processes have mapped the pages of the index itself
        partial.unlink()
        copy_file(index, partial)
        with contextlib.closing(connect(partial, writable=True)) as connection:
            connection.execute("PRAGMA journal_mode = OFF")
            connection.execute("UPDATE meta SET value = ? WHERE key = 'mtime_ns'", (modified,))


@contextlib.contextmanager
def replacing(path, will_do=lambda: False):
    """Yields the path of an empty file that takes the place of `path` in one instant when the block ends well.

    Of several processes one at a time gets through. One that was killed leaves a lock, which the next one takes over,
    and a temporary file, which it removes.

    Args:
        path: the file.
        will_do: whether what is at `path` will do, asked once it is this process's turn; None is yielded then.

    Raises:
        NotWritten: the file cannot be written.
    """
    path = Path(path)
    with _lock(path):
        if will_do():
            yield None
            return
        with temporary_file(path) as partial:
            try:
                yield partial
            except sqlite3.OperationalError as error:
                if not any(words in str(error) for words in _SQLITE_ON_DISKS):
                    raise
                raise NotWritten(
                    f"cannot write {path}: {error}; is there room on the disk? Free some, or choose another folder"
                ) from None
            put_in_place(partial, path)


# What SQLite says of a disk that does not take its file; Python 3.10 does not hand on the numbers of its errors
_SQLITE_ON_DISKS = ("disk is full", "disk I/O error", "unable to open", "readonly database")


@contextlib.contextmanager
def _lock(path):
    """Hold the lock of a file to write, which lies beside it and is gone afterwards."""
    name = path.with_name(f".{path.name}.lock")
    descriptor = _locked(name, path)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # a disk that has become read-only keeps it, and it hinders nobody
            name.unlink()  # while it is held: whoever waits for it sees that it is another one now
        os.close(descriptor)


def _locked(name, path):
    """The descriptor of a lock once nobody else has it."""
    while True:
        descriptor = open_lock(name)
        try:
            _wait_for(descriptor, path)
        except OSError as error:
            os.close(descriptor)
            raise NotWritten(f"cannot lock {name}: {error.strerror}; choose another folder for the index") from None
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), os.stat(name)):
                return descriptor
        os.close(descriptor)  # who had it has ended, and removed it


def _wait_for(lock, path):
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        logging.getLogger(__name__).info("waiting for another process that writes %s", path)
        fcntl.flock(lock, fcntl.LOCK_EX)


def _hash_of(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()
