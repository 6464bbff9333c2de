"""What is put into a process under test: a watch over what it writes, and faults that come at a chosen moment.

`enter` is called in the process before the tool begins: directly after a fork, or by `site/sitecustomize.py` in a fresh
interpreter, which finds the same settings in the environment. A setting holds for the processes that it forks, too.
"""

import builtins
import errno
import io
import json
import os
import signal
import sys
from dataclasses import asdict, dataclass, field
from importlib import import_module

VARIABLE = "MASKRCNN_BENCHMARK_FAULTS"
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
# Audit events that change files -> (place of a path, place of the folder it is relative to, if any) of their arguments
_CHANGES = {
    "os.remove": ((0, 1),),
    "os.rmdir": ((0, 1),),
    "os.mkdir": ((0, 2),),
    "os.chmod": ((0, 2),),
    "os.chown": ((0, 3),),
    "os.utime": ((0, 3),),
    "os.rename": ((0, 2), (1, 3)),
    "os.link": ((1, 3),),
    "os.symlink": ((1, 2),),
    "os.truncate": ((0, None),),
    "os.setxattr": ((0, None),),
}
# Programs that a run may start: it asks for the state of its code and of its machine
_PROGRAMS = ("git", "nvidia-smi", "ldconfig", "lscpu", "uname", "gcc", "cc", "c++", "g++", "ld", "objdump", "file")
_STARTS = ("os.system", "os.exec", "os.posix_spawn", "subprocess.Popen")
_LOCAL = ("127.", "::1", "localhost", "0.0.0.0", "::")


@dataclass
class Settings:
    """What `enter` puts into a process.

    Attributes:
        record: file that gets a line per change outside `allowed`; "" watches nothing.
        allowed: folders and files that may be changed.
        counted: folder whose changes are counted; `kill_at` is a number among them.
        count: file that gets a byte per counted change; "" writes none.
        kill_at: the process kills itself before that counted change; 0 never.
        full: how writing fails below `counted`: "" not at all, "write" after `full_after` bytes, "fsync" and "rename"
            at that many calls, "events" as "write", but in TensorBoard's files alone.
        full_after: see `full`.
        broken: "module:attribute" of a function that raises `error` at call `broken_at`, counted from 1.
        error, broken_at: see `broken`.
    """

    record: str = ""
    allowed: list = field(default_factory=list)
    counted: str = ""
    count: str = ""
    kill_at: int = 0
    full: str = ""
    full_after: int = 0
    broken: str = ""
    error: str = "ZeroDivisionError"
    broken_at: int = 1

    def to_environment(self):
        """{name: text} from which `enter_by_environment` knows them."""
        return {VARIABLE: json.dumps(asdict(self))}


def enter_by_environment():
    """Take the settings of the environment, if there are any."""
    text = os.environ.get(VARIABLE)
    if text:
        enter(Settings(**json.loads(text)))


def enter(settings):
    """Put `Settings` into this process, for good."""
    if settings.full:
        _fill_disk(settings)
    if settings.broken:
        _break(settings)
    if settings.record or settings.counted:
        sys.addaudithook(_Watch(settings))


class _Watch:
    """The audit hook."""

    def __init__(self, settings):
        self.allowed = [os.path.abspath(path) for path in settings.allowed]
        self.counted = os.path.abspath(settings.counted) if settings.counted else None
        self.kill_at, self.seen = settings.kill_at, 0
        self.record = _open(settings.record)
        self.count = _open(settings.count)

    def __call__(self, event, arguments):
        if event == "open":
            path, _, flags = arguments
            if isinstance(flags, int) and flags & _WRITES and isinstance(path, str | bytes | os.PathLike):
                self.changed(event, path)
        elif event in _CHANGES:
            for place, folder in _CHANGES[event]:
                if isinstance(arguments[place], str | bytes | os.PathLike):
                    self.changed(event, arguments[place], -1 if folder is None else arguments[folder])
        elif event in _STARTS:
            self.started(event, arguments[0])
        elif event == "socket.connect":
            address = arguments[1]
            host = address[0] if isinstance(address, tuple) else "localhost"
            if not str(host).startswith(_LOCAL):
                self.note(f"connects to {host}")

    def changed(self, event, path, folder=-1):
        path = os.fsdecode(path)
        unknown = False
        if not os.path.isabs(path):
            # `open` does not say which folder a path is relative to; the working folder is watched by `case.Sentinel`
            unknown = folder == -1
            path = os.path.join(os.getcwd() if unknown else os.readlink(f"/proc/self/fd/{folder}"), path)
        path = os.path.abspath(path)
        if self.counted is not None and _is_below(path, self.counted):
            self.seen += 1
            if self.count is not None:
                os.write(self.count, b".")
            if self.seen == self.kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
        if not unknown and not any(_is_below(path, place) for place in self.allowed) and "/__pycache__" not in path:
            self.note(f"{event} {path}")

    def started(self, event, program):
        name = os.path.basename(os.fsdecode(program)) if isinstance(program, str | bytes | os.PathLike) else "?"
        if event == "os.system" or name.split()[:1] == [] or not name.startswith((*_PROGRAMS, "python", "torchrun")):
            self.note(f"{event} {os.fsdecode(program) if isinstance(program, str | bytes) else program}")

    def note(self, text):
        if self.record is not None:
            os.write(self.record, f"{text}\n".encode(errors="backslashreplace")[:500])


def _open(path):
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND) if path else None


def _is_below(path, place):
    return path == place or path.startswith(place + os.sep)


def _fill_disk(settings):
    """Let writing below the counted folder fail as on a full disk."""
    place = os.path.abspath(settings.counted)
    spent = [0]

    def no_space():
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def spend(number):
        spent[0] += number
        if spent[0] > settings.full_after:
            no_space()

    def below(path):
        if not isinstance(path, str | bytes | os.PathLike):
            return False
        path = os.path.abspath(os.fsdecode(path))
        return _is_below(path, place) and (settings.full != "events" or "tfevents" in os.path.basename(path))

    if settings.full in ("write", "events"):
        plain_open, plain_write = builtins.open, os.write
        mine = set()  # descriptors of the folder that os.open gave

        class FullFile(io.FileIO):
            def write(self, data):
                spend(memoryview(data).nbytes)
                return super().write(data)

        def open_file(
            file, mode="r", buffering=-1, encoding=None, errors=None, newline=None, closefd=True, opener=None
        ):
            inside = below(file) or (isinstance(file, int) and file in mine)
            if not set(mode) & set("wax+") or not inside:
                return plain_open(file, mode, buffering, encoding, errors, newline, closefd, opener)
            raw = FullFile(file, mode.replace("b", "").replace("t", ""), closefd, opener)
            if buffering == 0:
                return raw
            kind = io.BufferedRandom if "+" in mode else io.BufferedWriter
            binary = kind(raw)
            return binary if "b" in mode else io.TextIOWrapper(binary, encoding or "utf-8", errors, newline)

        plain_os_open = os.open

        def os_open(path, flags, mode=0o777, *, dir_fd=None):
            descriptor = plain_os_open(path, flags, mode, dir_fd=dir_fd)
            (mine.add if below(path) and flags & _WRITES else mine.discard)(descriptor)
            return descriptor

        def write(descriptor, data):
            if descriptor in mine:
                spend(len(data))
            return plain_write(descriptor, data)

        builtins.open = io.open = open_file
        os.open, os.write = os_open, write
    elif settings.full in ("fsync", "rename"):
        names = ("fsync", "fdatasync") if settings.full == "fsync" else ("rename", "replace")
        for name in names:
            plain = getattr(os, name)

            def failing(*arguments, plain=plain, **options):
                spend(1)
                return plain(*arguments, **options)

            setattr(os, name, failing)
    else:
        raise ValueError(f"unknown kind of full disk {settings.full!r}")


def _break(settings):
    """Put a function that raises in the place of a function of the package."""
    module, _, path = settings.broken.partition(":")
    owner = import_module(module)
    *parents, name = path.split(".")
    for parent in parents:
        owner = getattr(owner, parent)
    plain, calls = getattr(owner, name), [0]
    error = getattr(builtins, settings.error)

    def broken(*arguments, **options):
        calls[0] += 1
        if calls[0] >= settings.broken_at:
            raise error("injected by the fault suite")
        return plain(*arguments, **options)

    setattr(owner, name, broken)
