"""Taking files out of archives that nobody vouches for: what is in them, checked before anything is written."""

import bz2
import contextlib
import errno
import gzip
import logging
import lzma
import os
import stat
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from tqdm import tqdm

from maskrcnn_benchmark.utils.errors import Interrupted, UserError
from maskrcnn_benchmark.utils.files import open_output
from maskrcnn_benchmark.utils.text import counted

logger = logging.getLogger(__name__)

_CHUNK = 1 << 20
_END = object()
# What a tar archive may be packed by: its first bytes, and what unpacks it
_PACKED = ((b"\x1f\x8b", gzip.open), (b"BZh", bz2.open), (b"\xfd7zXZ\0", lzma.open), (b"", open))
_LONGEST_READ = 16 << 20  # bytes at once: a header that claims more, for names and the like, is a trap
# The last record of a zip archive and of a large one: how it begins, and place and length of the directory's size in it
_ZIP_END, _ZIP64_END = (b"PK\x05\x06", 12, 4), (b"PK\x06\x06", 40, 8)
_ZIP_END_BYTES, _ZIP_ENTRY_BYTES = 65536 + 22 + 20 + 56, 46
_NOTHING = "nothing of this archive is unpacked, fetch it again from where it is published"


@dataclass(frozen=True)
class Limits:
    """How much an archive may hold: entries, and bytes when unpacked."""

    entries: int
    size: int


@dataclass(frozen=True)
class _Entry:
    name: str
    is_file: bool
    size: int | None  # None where only reading tells
    danger: str | None  # why nothing of this archive is taken
    open: Callable
    is_link: bool = False


def is_archive(path: str | os.PathLike) -> bool:
    """Whether a file is a tar archive (compressed or not), a zip archive or a gzip file."""
    return _kind(path) is not None


def list_files(path: str | os.PathLike, limits: Limits) -> dict[str, int]:
    """{name: size in bytes} of the plain files in an archive; how many links are left out is told.

    Args:
        path: a tar archive, a zip archive, or a gzip file, which holds one file, called as the gzip file without ".gz".
        limits: `Limits` that it has to keep.

    Raises:
        UserError: for an archive that cannot be read, that is larger than `limits`, or in which anything at all could
            write outside of a folder: absolute names, "..", links that lead out, devices, names that occur twice.
    """
    files: dict[str, int] = {}
    links: list[str] = []
    total = 0
    _check_directory(path, limits)
    for count, entry in enumerate(_entries(path), 1):
        if entry.name == "." and not entry.is_file and not entry.danger:
            continue  # the folder that was packed
        danger = entry.danger or _danger_of_name(entry.name)
        if danger:
            raise UserError(f"{path}: its entry {entry.name[:80]!r} {danger}; {_NOTHING}")
        if entry.name in files:
            raise UserError(f"{path}: its entry {entry.name[:80]!r} occurs twice; {_NOTHING}")
        if count > limits.entries:
            raise UserError(f"{path} holds more than {limits.entries} entries; it is not the expected archive")
        if entry.is_link:
            links.append(entry.name)
        if entry.is_file:
            size = _measure(path, entry, limits.size) if entry.size is None else entry.size
            files[entry.name] = size
            total += size
        if total > limits.size:
            raise UserError(
                f"{path} would unpack to more than {limits.size / 2**30:.3g} GiB; it is not the expected archive"
            )
    if links:
        logger.warning(
            "%s: %s, such as %s, left out: nothing follows links of an archive; unpack it yourself and name the folder",
            *(path, counted(len(links), "link"), links[0][:80]),
        )
    return files


def copy_files(path: Path, targets: Mapping[str, Path], sizes: Mapping[str, int]) -> None:
    """Write files of an archive to where `targets` says; nothing but their contents is taken from it.

    Args:
        path: the archive.
        targets: {name in the archive: file to write}.
        sizes: what `list_files` returned; a file that turns out longer or shorter is an error.
    """
    bar = tqdm(total=sum(sizes[name] for name in targets), desc=path.name, unit="B", unit_scale=True, disable=None)
    with bar:
        for entry in _entries(path):
            if entry.is_file and entry.name in targets:
                with open_output(targets[entry.name], "wb") as file:
                    left = sizes[entry.name]
                    for chunk in _contents(path, entry, left + 1):
                        left -= len(chunk)
                        if left < 0:
                            break
                        file.write(chunk)
                        bar.update(len(chunk))
                    if left:
                        problem = f"{entry.name[:80]} has another length than its entry says"
                        raise UserError(f"{path} cannot be read ({problem}); it is cut off or damaged, fetch it again")


def _kind(path):
    with contextlib.suppress(UserError), _reading(path), _opened_tar(path):
        return _tar_entries
    with contextlib.suppress(UserError), _reading(path):
        if zipfile.is_zipfile(path):
            return _zip_entries
    with _reading(path), open(path, "rb") as file:
        return _gzip_entries if file.read(2) == b"\x1f\x8b" else None


def _entries(path):
    kind = _kind(path)
    if kind is None:
        raise UserError(f"{path} is no tar, zip or gzip archive; it is damaged or another kind of file, fetch it again")
    return kind(path)


@contextlib.contextmanager
def _reading(path):
    """Whatever the readers of archives raise inside of the block is one line: nothing else belongs there.

    On files that are cut off, damaged, encrypted or packed by an unknown method, they raise nearly anything.
    """
    try:
        yield
    except (UserError, Interrupted):
        raise
    except OSError as error:
        if error.errno not in (None, errno.EINVAL):  # to seek before the beginning is what damaged numbers lead to
            raise UserError(f"{path} cannot be read: {error.strerror}") from None
        raise _unreadable(path, error) from None
    except Exception as error:
        raise _unreadable(path, error) from None


def _unreadable(path, error):
    words = " ".join(str(error).split())[:200] or type(error).__name__
    return UserError(f"{path} cannot be read ({words}); it is cut off or damaged, fetch it again")


def _steps(path, iterator):
    """What an iterator of a reader of archives gives."""
    while True:
        with _reading(path):
            item = next(iterator, _END)
        if item is _END:
            return
        yield item


def _contents(path, entry, limit):
    """The bytes of a file in an archive, in pieces, no more than about `limit`."""
    with _reading(path):
        stream = entry.open()
    with stream:
        while limit > 0:
            with _reading(path):
                chunk = stream.read(min(_CHUNK, limit))
            if not chunk:
                return
            limit -= len(chunk)
            yield chunk


def _tar_entries(path):
    with _reading(path):
        opened = contextlib.ExitStack()
        archive = opened.enter_context(_opened_tar(path))
    with opened:
        for member in _steps(path, iter(archive)):
            size = member.size if member.isfile() else 0
            is_link = member.issym() or member.islnk()
            unpack = partial(_open, archive, member)
            yield _Entry(member.name, member.isfile(), size, _danger_in_tar(member), unpack, is_link)


def _open(archive, member):
    return archive.extractfile(member)


@contextlib.contextmanager
def _opened_tar(path):
    with open(path, "rb") as file:
        head = file.read(8)
    unpack = next(unpack for start, unpack in _PACKED if head.startswith(start))
    with unpack(path, "rb") as file, tarfile.open(fileobj=_BoundedReads(file), mode="r:") as archive:
        yield archive


class _BoundedReads:
    """A file of which nobody reads more at once than fits into memory, whatever a header says."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int) -> bytes:
        if size > _LONGEST_READ:
            raise tarfile.ReadError(f"a header of {size} bytes")
        return self._file.read(size)


def _danger_in_tar(member):
    if member.issym() or member.islnk():
        # a symbolic link is relative to its own folder, a hard link to the archive
        base = os.path.dirname(member.name) if member.issym() else ""
        target = os.path.normpath(os.path.join(base, member.linkname))
        return "is a link that leads out of the archive" if _danger_of_name(target) else None
    if member.size < 0:
        return "has a size below 0"
    if not (member.isfile() or member.isdir()):
        return "is a device or another special file"
    if hasattr(tarfile, "data_filter") and not _danger_of_name(member.name):  # Python's own checks, where it has them
        try:
            tarfile.data_filter(member, os.path.abspath("unpacked"))
        except tarfile.FilterError as error:
            return f"is refused ({error})"
    return None


def _zip_entries(path):
    with _reading(path):
        archive = zipfile.ZipFile(path)
    with archive:
        for info in archive.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)
            danger = None if kind in (0, stat.S_IFREG, stat.S_IFDIR) else "is a link or a special file"
            is_file = not info.filename.endswith("/")
            yield _Entry(info.filename, is_file, info.file_size, danger, partial(archive.open, info))


def _check_directory(path, limits):
    """Refuse a zip archive by the size of its directory, which is read as a whole before its entries can be counted."""
    with _reading(path), open(path, "rb") as file:
        file.seek(max(file.seek(0, os.SEEK_END) - _ZIP_END_BYTES, 0))
        tail = file.read()
    for start, offset, length in (_ZIP_END, _ZIP64_END):
        place = tail.rfind(start)
        size = int.from_bytes(tail[place + offset : place + offset + length], "little") if place >= 0 else 0
        if size // _ZIP_ENTRY_BYTES > limits.entries and size < 2 ** (8 * length) - 1 and _kind(path) is _zip_entries:
            raise UserError(f"{path} holds more than {limits.entries} entries; it is not the expected archive")


def _gzip_entries(path):
    yield _Entry(Path(path).name.removesuffix(".gz"), True, None, None, partial(gzip.open, path))


def _measure(path, entry, limit):
    """The size of a file by reading it, as far as the limit."""
    return sum(map(len, _contents(path, entry, limit + 1)))


def _danger_of_name(name):
    parts = PurePosixPath(name).parts
    if not parts:
        return "has no name"
    if name.startswith("/") or ".." in parts:
        return "leads out of the archive"
    if "\\" in name or "\0" in name or (parts and parts[0].endswith(":")):
        return "is no name that every system understands"
    return None
