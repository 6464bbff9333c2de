"""Writing files so that a reader never sees half of one, and so that a disk that takes no more is said in one line.

What is written lies beside its place, under a name that nobody can foresee, until it is whole; then it takes the place
in one instant. A symbolic link at the place is replaced itself: what it leads to is never written to.

The name holds the number and the start of its process: `.NAME.PROCESS-START-MACHINE-RANDOM.tmp`. Whoever writes into
the folder next removes what processes that were killed on the same machine have left there.
"""

import contextlib
import errno
import io
import logging
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.processes import machine_identity, process_identity

logger = logging.getLogger(__name__)

# What to do about the errors that disks and their rules raise
_REMEDIES: dict[int | None, str] = {
    errno.ENOSPC: "free some space there, or choose another folder",
    errno.EDQUOT: "your quota is used up: remove some files, or choose another folder",
    errno.EROFS: "that file system is read-only: choose another folder",
    errno.EACCES: "you may not write there: change the permissions, or choose another folder",
    errno.EPERM: "you may not write there: change the permissions, or choose another folder",
    errno.EFBIG: "that is more than ulimit -f or the file system allows: raise the limit, or choose another folder",
    errno.EIO: "the disk, or the connection to it, fails: see the system's log, or choose another folder",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EMFILE: "too many files are open: raise the limit, ulimit -n",
    errno.ENFILE: "too many files are open on this machine: end other programs",
    errno.ELOOP: "it is a symbolic link, which is not followed: remove it",
    errno.EISDIR: "it is a folder: remove it, or choose another name",
    errno.ENOTDIR: "what should be its folder is a file: choose another folder",
    errno.ESTALE: "the connection to the disk was lost: mount it again, or choose another folder",
}
_ANY_REMEDY = "choose another folder"
_OF_WRITING_ALONE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)  # reading never raises them

# Systems without links have no flag against following them
_FLAGS = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)
_LONGEST_NAME = 255  # bytes, of nearly all file systems
_TEMPORARY = re.compile(r"\..*\.(\d+)-(\d+)-([0-9a-f]{8})-[0-9a-f]{8}\.tmp(\.\w+)?", re.DOTALL)


class NotWritten(UserError):
    """A file cannot be written. The message names it, what the disk said, and the remedy."""


def not_written(path: str | os.PathLike, error: OSError) -> NotWritten:
    """The `NotWritten` of an `OSError` that was raised while `path` was written."""
    words = error.strerror or str(error) or type(error).__name__
    return NotWritten(f"cannot write {path}: {words}; {_REMEDIES.get(error.errno, _ANY_REMEDY)}")


@contextlib.contextmanager
def writing(path: str | os.PathLike) -> Iterator[None]:
    """Inside the block, an `OSError` by which a disk refuses to be written to is raised as `NotWritten` of `path`.

    It is for what makes, moves and links; a file's contents are better written to an `open_output`.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _REMEDIES:
            raise
        raise not_written(path, error) from None


def read_at_most(path: str | os.PathLike, most: int, kind: str, remedy: str) -> bytes:
    """The bytes of a file. Raises `UserError` for one that cannot be read or has more than `most`.

    Args:
        path: the file.
        most: in whole MiB.
        kind: of file, and remedy: what to do, in the words of the error.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(most + 1)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    if len(data) > most:
        raise UserError(f"{path} has more than {most >> 20} MiB, more than any {kind}; {remedy}")
    return data


def mkdir(path: str | os.PathLike) -> None:
    """Make a folder with its parents; one that is there already is fine."""
    try:
        os.makedirs(path, exist_ok=True)
    except OSError as error:
        remedy = _REMEDIES.get(error.errno, _ANY_REMEDY)
        raise NotWritten(
            f"cannot make the folder {path}: {error.strerror}; {remedy} (OUTPUT_DIR, or the tool's option for it)"
        ) from None


class _Remembering(io.FileIO):
    """A file that remembers the first error of its disk.

    Libraries pass it on as one of their own, such as the `RuntimeError` of `torch.save`, or not at all.
    """

    problem: Any = None

    def write(self, data: Any) -> int:
        with self.remembering():
            return super().write(data)

    def close(self) -> None:
        with self.remembering():
            super().close()

    @contextlib.contextmanager
    def remembering(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.problem = self.problem or error
            raise


@contextlib.contextmanager
def open_output(
    path: str | os.PathLike, mode: str = "xb", shown: str | os.PathLike | None = None, durable: bool = False
) -> Iterator[BinaryIO]:
    """A binary file to write to, of which every error of the disk is raised as `NotWritten` when the block ends.

    That holds whatever a library that writes to it makes of the error. Symbolic links are not followed. Where the block
    raises, what it wrote last may be missing.

    Args:
        path: the file.
        mode: "xb" makes a new one, "wb" and "ab" as those of `open`.
        shown: what the error calls it; by default its path.
        durable: wait until it has reached the disk, so that it outlives a power failure.
    """
    shown = path if shown is None else shown
    try:
        raw = _Remembering(path, mode, opener=_open)
    except OSError as error:
        raise not_written(shown, error) from None
    file = io.BufferedWriter(raw)
    try:
        try:
            yield file
            file.flush()
            if durable:
                with raw.remembering():
                    os.fsync(raw.fileno())
        finally:
            raw.close()
    except Exception as error:
        if raw.problem is None and getattr(error, "errno", None) in _OF_WRITING_ALONE:
            raw.problem = error
        if raw.problem is None:
            raise
    if raw.problem is not None:
        raise not_written(shown, raw.problem) from None


def _open(path, flags):
    return os.open(path, flags | _FLAGS, 0o666)


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike, durable: bool = True) -> Iterator[BinaryIO]:
    """A binary file to write to, which takes the place of `path` in one instant when the block ends without an error.

    A crash, a full disk or a killed process leaves the former `path` as it was. Of several that write it at a time,
    the last one to end decides what it holds. It gets the permissions of any new file.

    Args:
        path: the file.
        durable: wait until it has reached the disk, so that it outlives a power failure; thousands of small files that
            can be made again are written many times faster without.

    Raises:
        NotWritten: the disk does not take it.
    """
    path = Path(path)
    _check_place(path)
    if durable or path.parent not in _swept:
        remove_left_overs(path.parent)
    temporary = _temporary_name(path)
    try:
        with open_output(temporary, "xb", path, durable) as file:
            yield file
        _move(temporary, path, durable)
    except BaseException:
        _remove(temporary)
        raise


@contextlib.contextmanager
def temporary_file(path: str | os.PathLike, suffix: str = "") -> Iterator[Path]:
    """The path of a new, empty file beside `path`, for what can only write to a path; it is removed after the block.

    `put_in_place` makes it `path` before.

    Args:
        path: the file to be.
        suffix: what the name ends with, for those who go by it, such as ".mp4".

    Raises:
        NotWritten: it cannot be made.
    """
    path = Path(path)
    _check_place(path)
    remove_left_overs(path.parent)
    temporary = _temporary_name(path, suffix)
    try:
        os.close(_open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
    except OSError as error:
        raise not_written(path, error) from None
    try:
        yield temporary
    finally:
        _remove(temporary)


@contextlib.contextmanager
def workshop(path: str | os.PathLike) -> Iterator[Path]:
    """The path of what is to be made and then renamed to `path`, in a new folder of its own beside it.

    That folder is removed after the block with what is still in it. Errors call what is in it by the name to be.

    Raises:
        NotWritten: it cannot be made.
    """
    path = Path(path)
    remove_left_overs(path.parent)
    temporary = _temporary_name(path)
    try:
        os.mkdir(temporary, 0o700)
    except OSError as error:
        raise not_written(path, error) from None
    place = temporary / path.name
    try:
        yield place
    except NotWritten as error:
        raise NotWritten(str(error).replace(str(place), str(path))) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)  # what stays is a left-over, which the next one removes


def put_in_place(temporary: str | os.PathLike, path: str | os.PathLike, durable: bool = True) -> None:
    """Give a whole file, such as a `temporary_file`, its place; `durable` as in `atomic_write`.

    Raises:
        NotWritten: the disk does not take it.
    """
    try:
        if durable:
            _sync(temporary)
    except OSError as error:
        raise not_written(path, error) from None
    _move(temporary, path, durable)


def copy_file(source: str | os.PathLike, target: str | os.PathLike) -> None:
    """Write a new file, `target`, with the contents of another one.

    Raises:
        UserError: `source` cannot be read.
        NotWritten: `target` cannot be written, or is there.
    """
    try:
        with open(source, "rb") as file, open_output(target) as copy:
            shutil.copyfileobj(file, copy, 1 << 20)
    except OSError as error:  # those of `copy` are no `OSError` any more
        raise UserError(f"cannot read {source}: {error.strerror or error}") from None


def open_lock(path: str | os.PathLike) -> int:
    """The descriptor of a file to lock, which is made if need be; no link is followed.

    Raises:
        NotWritten: it cannot be made.
    """
    try:
        return _open(path, os.O_RDWR | os.O_CREAT)
    except OSError as error:
        raise not_written(path, error) from None


def open_to_append(path: str | os.PathLike) -> int:
    """The descriptor of a file that is written to at its end, and made if need be; no link is followed.

    Raises:
        NotWritten: it cannot be made, or not be written to.
    """
    try:
        return _open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    except OSError as error:
        raise not_written(path, error) from None


def remove_left_overs(folder: str | os.PathLike) -> int:
    """Remove the temporary files and folders of processes that ended on this machine before they were done.

    What belongs to a process that is at work stays, and so does what another machine or container has made.

    Returns:
        how many there were.
    """
    _swept.add(Path(folder))
    removed = 0
    # a folder that cannot be read, or is not there, is said by whoever writes into it
    with contextlib.suppress(OSError):
        for name in os.listdir(folder):
            if _is_left_over(name) and _remove(Path(folder) / name):
                removed += 1
    if removed:
        logger.warning("removed %d temporary file(s) that killed processes have left in %s", removed, folder)
    return removed


_swept: set[Path] = set()  # folders that this process has looked through


def _is_left_over(name):
    found = _TEMPORARY.fullmatch(name)
    if found is None or found[3] != machine_identity():
        return False
    owner = process_identity(int(found[1]))
    return owner is None or owner["born"] not in (None, int(found[2]))


def _remove(path):
    """Remove a file, a link or a folder if that can be done; returns whether it was."""
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    except OSError:  # it is gone, somebody else's, or on a disk that has become read-only: a left-over for later
        return False
    return True


def _temporary_name(path, suffix=""):
    tail = f".{_owner(os.getpid())}-{secrets.token_hex(4)}.tmp{suffix}"
    head = f".{path.name}"
    if len(os.fsencode(head)) + len(tail) > _LONGEST_NAME:
        head = os.fsencode(head)[: _LONGEST_NAME - len(tail)].decode(errors="ignore")
    return path.with_name(head + tail)


@lru_cache(maxsize=1)
def _owner(number):
    identity = process_identity(number)
    return f"{number}-{identity['born'] or 0}-{machine_identity()}"


def _check_place(path):
    """Raise `NotWritten` for what a file cannot take the place of: the superuser would lose a device by its name."""
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return  # nothing is there, or a link to nothing; whether one may write will show
    if stat.S_ISDIR(mode):
        raise not_written(path, IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR)))
    if not stat.S_ISREG(mode):
        raise NotWritten(f"cannot write {path}: it is a device, a pipe or a socket; give the name of a file")


def _move(temporary, path, durable):
    try:
        os.replace(temporary, path)
        if durable:
            _sync(path.parent)  # the new name itself has to reach the disk, too
    except OSError as error:
        raise not_written(path, error) from None


def _sync(path):
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
