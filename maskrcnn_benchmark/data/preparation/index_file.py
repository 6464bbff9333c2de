"""Where the index of an annotation file lies, whether it is still the file's, and writing it so that none sees half."""

import contextlib
import fcntl
import hashlib
import logging
import os
import sqlite3
import stat
import threading
import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from maskrcnn_benchmark.data.preparation.schema import SCHEMA_VERSIONS
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.files import NotWritten, copy_file, open_lock, put_in_place, temporary_file
from maskrcnn_benchmark.utils.text import an

SUFFIX = ".index.sqlite"
_MAGIC = b"SQLite format 3\x00"
# Big-endian numbers in SQLite's header. The last is for the programs that use SQLite: the checksum of an index
_PAGE_SIZE, _PAGES, _CHECKSUM = slice(16, 18), slice(28, 32), slice(68, 72)
# What every index says about itself in its table "meta"
_META = {
    "layout": str,
    "schema_version": int,
    "source": str,
    "size": int,
    "mtime_ns": int,
    "sha256": str,
    "sealed_ns": int,
}
_SEAL_STEP = 2 * 10**9  # ns: every file system and archive keeps times of so many seconds


class DamagedIndex(UserError):
    """An index holds what no index holds. The file that it is of is whole; where that is there, a new one is made."""

    @classmethod
    def of(cls, path: str | os.PathLike, problem: object) -> "DamagedIndex":
        """The error of an index at `path`; not made by `__init__`, for a worker's error is made anew of its message."""
        return cls(f"{path} is damaged ({problem}); remove it, and it is made again")


class NotIndexable(Exception):
    """A file holds something that its index cannot hold as it is, or that makes the file unusable; in words."""


def index_path_of(source: str | os.PathLike, folder: str | os.PathLike | None = None) -> Path:
    """Where the index of an annotation file lies: beside it, or in `folder`."""
    source = Path(source)
    return Path(folder or source.parent) / f"{source.stem}{SUFFIX}"


def cached_index_path_of(source: str | os.PathLike) -> Path:
    """Where the index of an annotation file lies whose folder cannot be written to."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "maskrcnn_benchmark"
    digest = hashlib.sha256(str(Path(source).absolute()).encode()).hexdigest()[:12]
    return cache / f"{Path(source).stem}-{digest}{SUFFIX}"


def is_writable(folder: str | os.PathLike) -> bool:
    """Whether files can be made in a folder; one that nobody may write to is left alone by the superuser, too."""
    with contextlib.suppress(OSError):
        return bool(os.stat(folder).st_mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH)) and os.access(
            folder, os.W_OK
        )
    return False


def is_sqlite(path: str | os.PathLike) -> bool:
    """Whether a file is a database rather than JSON."""
    with open(path, "rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC


def connect(path: str | os.PathLike, writable: bool = False) -> sqlite3.Connection:
    """A connection to a database file. A reader takes the file for unchangeable, and therefore locks nothing."""
    mode = "mode=rw&nolock=1" if writable else "mode=ro&immutable=1"
    return sqlite3.connect(f"file:{quote(str(path))}?{mode}", uri=True, isolation_level=None)


def read_meta(path: str | os.PathLike) -> dict[str, Any] | None:
    """The table "meta" of an index: dict, or None if the file is missing, damaged or no index of this version."""
    if not os.path.isfile(path) or not _is_whole(path):
        return None
    try:
        with contextlib.closing(connect(path)) as connection:
            meta = dict(connection.execute("SELECT key, value FROM meta"))
    except sqlite3.Error:
        return None
    if any(type(meta.get(key)) is not kind for key, kind in _META.items()):
        return None
    return meta if SCHEMA_VERSIONS.get(meta["layout"]) == meta["schema_version"] and _is_untouched(path, meta) else None


def time_of_seal(time_ns: int) -> int:
    """The time that an index finished at `time_ns` gets: what its "meta" has to hold as "sealed_ns"."""
    return time_ns // _SEAL_STEP * _SEAL_STEP


def seal(path: str | os.PathLike) -> None:
    """Make an index that was written recognisable as what was written: the last change that is made to it.

    Its checksum goes into its head, and its time of change becomes the one that it names itself. Whoever writes into
    the file gives it another time, and whoever opens it then compares the checksum: an index of any size is opened at
    once, and one that was changed, cut or overwritten is noticed however well-formed its rows are.
    """
    with contextlib.closing(connect(path)) as connection:
        (time_ns,) = connection.execute("SELECT value FROM meta WHERE key = 'sealed_ns'").fetchone()
    with open(path, "r+b") as file:
        file.seek(_CHECKSUM.start)
        file.write(_checksum_of(path).to_bytes(4, "big"))
    os.utime(path, ns=(time_ns, time_ns))


def _is_untouched(path, meta):
    """Whether an index is as it was sealed: its time tells or, as after copying, its checksum."""
    status = os.stat(path)
    if status.st_mtime_ns == meta["sealed_ns"]:
        return True
    if not _has_its_checksum(path, (status.st_ino, status.st_size, status.st_mtime_ns)):
        return False
    with contextlib.suppress(OSError):  # another's, or read-only: its checksum is compared at the next start, too
        os.utime(path, ns=(status.st_atime_ns, meta["sealed_ns"]))
    return True


@lru_cache(maxsize=8)
def _has_its_checksum(path, state):
    with open(path, "rb") as file:
        return int.from_bytes(file.read(_CHECKSUM.stop)[_CHECKSUM], "big") == _checksum_of(path)


def _checksum_of(path):
    """CRC-32 of a file without the place of its checksum."""
    with open(path, "rb") as file:
        head = bytearray(file.read(_CHECKSUM.stop))
        head[_CHECKSUM] = bytes(4)
        value = zlib.crc32(head)
        while piece := file.read(1 << 20):
            value = zlib.crc32(piece, value)
    return value


def _is_whole(path):
    """Whether a file is as long as SQLite's header says: what is cut off would otherwise show at some later read."""
    with open(path, "rb") as file:
        header = file.read(_PAGES.stop)
        size = file.seek(0, os.SEEK_END)
    pages, page_size = (int.from_bytes(header[place], "big") for place in (_PAGES, _PAGE_SIZE))
    return header[: len(_MAGIC)] == _MAGIC and size == pages * page_size


def open_meta(path: str | os.PathLike, layout: str) -> dict[str, Any]:
    """The table "meta" of an index. Raises `UserError` if the file is no index of this version and layout."""
    meta = read_meta(path)
    if meta is None:
        version = SCHEMA_VERSIONS[layout]
        raise UserError(
            f"{path} is no index of version {version}, or is damaged; remove it, and make it again with "
            "tools/prepare_detail.py"
        )
    if meta.get("layout") != layout:
        raise UserError(f"{path} is the index of a file in the layout {meta.get('layout')!r}, not {layout!r}")
    return meta


class IndexConnection:
    """Reads an index, in any process and thread: each has a connection of its own, opened lazily.

    Pages are read, not mapped: of a mapped file that somebody cuts short, every process that reads it would die of
    SIGBUS. The operating system keeps them once for all processes; a connection copies 512 KiB at most.

    Args:
        path: the index.
    """

    def __init__(self, path: str | os.PathLike) -> None:
        self.path = Path(path)
        self._local = threading.local()

    def query(self, statement: str, *values: Any, types: Sequence[tuple[type, ...]] | None = None) -> list[tuple]:
        """The rows that an SQL statement returns: list of tuples.

        Args:
            statement: SQL.
            values: of its question marks.
            types: for each column a tuple of the types that its values may have; None checks none.

        Raises `DamagedIndex` for a damaged index, one that was cut short since it was opened, and a value of another
        type.
        """
        try:
            rows = self._connection().execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise DamagedIndex.of(self.path, error) from None
        # SQLite takes what lies beyond the end of the file for zeros
        if os.fstat(self._local.file.fileno()).st_size < self._local.size:
            raise DamagedIndex.of(self.path, "it was cut short while it was read")
        if types is not None:
            self._check(rows, types)
        return rows

    def _check(self, rows, types):
        for kinds in set(map(tuple, map(partial(map, type), rows))):
            for number, (kind, allowed) in enumerate(zip(kinds, types)):
                if kind not in allowed:
                    raise DamagedIndex.of(self.path, f"column {number} of {len(types)} is {an(kind.__name__)}")

    def _connection(self):
        """This thread's connection; it must not be used by another one, or after a fork."""
        local = self._local
        if getattr(local, "process", None) != os.getpid():
            file = open(self.path, "rb")  # noqa: SIM115
            connection = connect(self.path)
            connection.execute("PRAGMA mmap_size = 0")
            connection.execute("PRAGMA cache_size = -512")
            connection.execute("PRAGMA query_only = ON")
            local.connection, local.file, local.process = connection, file, os.getpid()
            local.size = os.fstat(file.fileno()).st_size
        return local.connection

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["path"])  # type: ignore[misc]


def is_current(index: str | os.PathLike, source: str | os.PathLike, layout: str = "detail") -> bool:
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


def learn_time(index: str | os.PathLike, source: str | os.PathLike) -> None:
    """Make a current index remember when its file was changed, so that contents need not be compared again."""
    modified = Path(source).stat().st_mtime_ns
    if read_meta(index)["mtime_ns"] == modified or not is_writable(Path(index).parent):  # type: ignore[index]
        return
    with replacing(index) as partial:
        # a copy, for other processes read the index itself
        partial.unlink()
        copy_file(index, partial)
        with contextlib.closing(connect(partial, writable=True)) as connection:
            connection.execute("PRAGMA journal_mode = OFF")
            connection.execute("UPDATE meta SET value = ? WHERE key = 'mtime_ns'", (modified,))
        seal(partial)


@contextlib.contextmanager
def replacing(path: str | os.PathLike, will_do: Callable[[], bool] = lambda: False) -> Iterator[Any]:
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
