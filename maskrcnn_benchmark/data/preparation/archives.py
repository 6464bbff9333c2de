"""Taking files out of archives that nobody vouches for: what is in them, checked before anything is written."""

import contextlib
import gzip
import lzma
import os
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from tqdm import tqdm

from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.files import open_output

_CHUNK = 1 << 20
# What the readers of archives raise for files that are cut off, damaged, encrypted or packed by an unknown method
_UNREADABLE = (
    *(tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, lzma.LZMAError),
    *(EOFError, NotImplementedError, RuntimeError, UnicodeDecodeError),
)


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


def is_archive(path):
    """Whether a file is a tar archive (compressed or not), a zip archive or a gzip file."""
    return _kind(path) is not None


def list_files(path, limits):
    """{name: size in bytes} of the plain files in an archive.

    Args:
        path: a tar archive, a zip archive, or a gzip file, which holds one file, called as the gzip file without ".gz".
        limits: `Limits` that it has to keep.

    Raises:
        UserError: for an archive that cannot be read, that is larger than `limits`, or in which anything at all could
            write outside of a folder: absolute names, "..", links that lead out, devices, names that occur twice.
    """
    files, total = {}, 0
    for count, entry in enumerate(_entries(path), 1):
        danger = entry.danger or _danger_of_name(entry.name)
        if danger:
            raise UserError(f"{path}: its entry {entry.name[:80]!r} {danger}; nothing of this archive is unpacked")
        if entry.name in files:
            raise UserError(f"{path}: its entry {entry.name[:80]!r} occurs twice; nothing of this archive is unpacked")
        if count > limits.entries:
            raise UserError(f"{path} holds more than {limits.entries} entries; it is not the expected archive")
        if entry.is_file:
            size = _measure(path, entry, limits.size) if entry.size is None else entry.size
            files[entry.name] = size
            total += size
        if total > limits.size:
            raise UserError(
                f"{path} would unpack to more than {limits.size / 2**30:.3g} GiB; it is not the expected archive"
            )
    return files


def copy_files(path, targets, sizes):
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
                with _reading(path), entry.open() as stream, open_output(targets[entry.name], "wb") as file:
                    left = sizes[entry.name]
                    while chunk := stream.read(min(_CHUNK, left + 1)):
                        left -= len(chunk)
                        if left < 0:
                            break
                        file.write(chunk)
                        bar.update(len(chunk))
                    if left:
                        raise EOFError(f"{entry.name} has another length than its entry says")


def _kind(path):
    with contextlib.suppress(*_UNREADABLE):
        if tarfile.is_tarfile(path):
            return _tar_entries
    if zipfile.is_zipfile(path):
        return _zip_entries
    with open(path, "rb") as file:
        return _gzip_entries if file.read(2) == b"\x1f\x8b" else None


def _entries(path):
    kind = _kind(path)
    if kind is None:
        raise UserError(f"{path} is no tar, zip or gzip archive; it is damaged or another kind of file")
    try:
        with _reading(path):
            yield from kind(path)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from None


@contextlib.contextmanager
def _reading(path):
    try:
        yield
    except _UNREADABLE as error:
        raise UserError(f"{path} cannot be read ({error}); it is cut off or damaged, fetch it again") from None


def _tar_entries(path):
    with tarfile.open(path) as archive:
        for member in archive:
            size = member.size if member.isfile() else 0
            yield _Entry(member.name, member.isfile(), size, _danger_in_tar(member), partial(_open, archive, member))


def _open(archive, member):
    return archive.extractfile(member)


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
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)
            danger = None if kind in (0, stat.S_IFREG, stat.S_IFDIR) else "is a link or a special file"
            yield _Entry(info.filename, not info.is_dir(), info.file_size, danger, partial(archive.open, info))


def _gzip_entries(path):
    yield _Entry(Path(path).name.removesuffix(".gz"), True, None, None, partial(gzip.open, path))


def _measure(path, entry, limit):
    """The size of a file by reading it, as far as the limit."""
    size = 0
    with _reading(path), entry.open() as stream:
        while size <= limit and (chunk := stream.read(_CHUNK)):
            size += len(chunk)
    return size


def _danger_of_name(name):
    parts = PurePosixPath(name).parts
    if name.startswith("/") or ".." in parts:
        return "leads out of the archive"
    if "\\" in name or "\0" in name or (parts and parts[0].endswith(":")):
        return "is no name that every system understands"
    return None
