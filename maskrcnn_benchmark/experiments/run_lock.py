"""One run at a time writes into an OUTPUT_DIR: the file `run.lock` there, which is held while it does."""

import contextlib
import errno
import fcntl
import json
import os
import shlex
import sys
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

from maskrcnn_benchmark.utils.comm import run_once
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.processes import is_same_machine, is_there, this_process
from maskrcnn_benchmark.utils.text import printable

LOCK = "run.lock"
_LONGEST = 100_000  # bytes of a lock file; a command may be long
_LONGEST_SHOWN = 300  # letters of a command

# {(number of the process, path of a lock file): its descriptor}. A process must not open its own file again: closing
# any descriptor of it gives the system's lock back (fcntl(2))
_held: dict[tuple[int, str], int] = {}


@contextlib.contextmanager
def run_lock(folder: str | Path) -> Iterator[str]:
    """Hold an OUTPUT_DIR for this run, that is, for all its processes; the main one does it for them.

    Yields:
        In the main process the name of the owner that it was taken over from, which was killed; "" without any.

    Raises:
        UserError: in all processes, if another run holds it, or it cannot be written into.
    """
    lock = run_once(lambda: RunLock(folder))
    try:
        yield lock.taken_from if lock is not None else ""
    finally:
        if lock is not None:
            lock.release()


class RunLock:
    """The lock of a folder, taken by making it and given back by `release`.

    Two things say who holds it. The system's lock of the file ends with its process, however that ends, and is seen by
    all processes of a machine in whatever container, and of several machines on a network file system that passes it
    on. What the file says, `describe_owner`, names the owner, and tells where a file system has no locks, or
    keeps them to each machine: an owner of another machine is then believed until somebody removes the file.

    A child process does not inherit the lock: workers that outlive a killed run do not keep the next one out.

    Attributes:
        taken_from: the name of an owner that was killed while it held the folder, or "".
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.path = self.folder / LOCK
        self.taken_from = ""
        self._owner = os.getpid()
        self._key = self._owner, os.path.realpath(self.path)
        if self._key in _held:
            raise UserError(self._in_use(read_owner(_held[self._key]), "wait for its end"))
        try:
            self._file = self._take()
        except OSError as error:
            raise UserError(
                f"cannot write into OUTPUT_DIR {folder}: {error.strerror}; choose another OUTPUT_DIR, or make it "
                "writable for you"
            ) from None
        _held[self._key] = self._file

    def release(self) -> None:
        """Give the folder back; the file is removed. In a fork of the owner it does nothing."""
        if os.getpid() != self._owner:
            return
        with contextlib.suppress(OSError):  # it stays behind, and the next run sees that its owner has ended
            if _is_still(self._file, self.path):  # it may have been removed by hand, and another run's be there
                self.path.unlink()
        del _held[self._key]
        os.close(self._file)

    def _take(self):
        while True:
            file, is_new = _open(self.path)
            try:
                held = self._lock(file)
                if not _is_still(file, self.path):
                    os.close(file)
                    continue  # its owner has ended and removed it meanwhile
                self._check_owner(file, held, is_new)
                self._write(file)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.close(file)
                raise
            return file

    def _write(self, file):
        try:
            write_owner(file)
        except OSError:
            self.path.unlink()
            raise

    def _lock(self, file):
        """Whether the system grants the file; None where it has no locks. Raises `UserError` if somebody holds it."""
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN):
                raise UserError(self._in_use(read_owner(file), "wait for its end")) from None
            if error.errno in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL):
                return None
            raise
        return True

    def _check_owner(self, file, held, is_new):
        """Raise `UserError` unless the owner that the file names, if any, has ended."""
        owner = read_owner(file)
        if is_new or (owner is None and held):
            return  # nobody had the time to write into it
        there = None if owner is None else is_there(owner)
        if there:
            raise UserError(self._in_use(owner, "wait for its end"))
        if there is None and not (held and is_same_machine(owner)):
            raise UserError(
                self._in_use(owner, f"it cannot be looked at from here: if it has ended, remove {self.path}")
            )
        self.taken_from = name_owner(owner)

    def _in_use(self, owner, remedy):
        return (
            f"OUTPUT_DIR {self.folder} is in use by {name_owner(owner)}; {remedy}, or choose another OUTPUT_DIR "
            "(to test a checkpoint of a training meanwhile, too: --ckpt FILE OUTPUT_DIR OTHER)"
        )


def describe_owner() -> dict:
    """What a lock file says of its owner: what `this_process` returns, "command", and "since" when (ISO 8601)."""
    since = datetime.now(timezone.utc).astimezone().isoformat(timespec="seconds")
    return {**this_process(), "command": shlex.join(sys.orig_argv), "since": since}


def write_owner(file: int) -> None:
    """Write `describe_owner` into an open lock file, in the place of what it holds."""
    text = json.dumps(describe_owner()).encode()
    os.ftruncate(file, 0)
    os.pwrite(file, text, 0)


def read_owner(file: int) -> dict | None:
    """What `describe_owner` returned, from an open lock file; None where it says nothing that can be read."""
    try:
        owner = json.loads(os.pread(file, _LONGEST, 0))
        known = isinstance(owner["process"]["id"], int) and isinstance(owner["host"], str)
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return owner if known else None


def name_owner(owner: dict | None) -> str:
    """The owner in words, for a line to the user."""
    if owner is None:
        return "a process that its lock does not name"
    command = printable(" ".join(str(owner.get("command")).split()), _LONGEST_SHOWN)
    host, since = printable(owner["host"]), printable(str(owner.get("since")), 40)
    return f"process {printable(str(owner['process']['id']), 20)} on {host}, since {since} ({command})"


def _open(path):
    """(the open lock file, whether it was made for that); links are not followed."""
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
    while True:
        try:
            return os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o666), True
        except FileExistsError:
            with contextlib.suppress(FileNotFoundError):  # removed meanwhile
                return os.open(path, flags), False


def _is_still(file, path):
    """Whether an open file is the one of that name."""
    try:
        return os.path.samestat(os.fstat(file), os.lstat(path))
    except FileNotFoundError:
        return False
