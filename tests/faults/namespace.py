"""File systems of a case's own: a small one in place of a folder, in namespaces that this process alone sees.

`unshare` needs no rights where user namespaces are allowed, and none in a container that forbids them: then
`reason_against` says so, and the classes that need it are skipped; full disks are injected there alone.
"""

import contextlib
import ctypes
import os
import pickle
import traceback

from faults import processes

_CLONE_NEWNS, _CLONE_NEWUSER = 0x00020000, 0x10000000
_MS_REMOUNT, _MS_REC, _MS_PRIVATE, _MS_RDONLY, _MS_BIND = 32, 16384, 1 << 18, 1, 4096
_libc = ctypes.CDLL(None, use_errno=True)


def enter():
    """Give this process mounts of its own. Raises OSError where the system refuses."""
    user, group = os.getuid(), os.getgid()
    _call(_libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNS), "unshare")
    with contextlib.suppress(OSError):
        _write("/proc/self/setgroups", "deny")
    _write("/proc/self/uid_map", f"0 {user} 1")
    _write("/proc/self/gid_map", f"0 {group} 1")
    _call(_libc.mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE, None), "mount /")


def mount_small(folder, size):
    """Put an empty file system of that many bytes in the place of a folder."""
    os.makedirs(folder, exist_ok=True)
    data = f"size={size},mode=700".encode()
    _call(_libc.mount(b"tmpfs", os.fsencode(folder), b"tmpfs", 0, data), f"mount {folder}")


def resize(folder, size):
    """Let a file system of `mount_small` hold that many bytes."""
    _call(
        _libc.mount(b"tmpfs", os.fsencode(folder), b"tmpfs", _MS_REMOUNT, f"size={size}".encode()), f"remount {folder}"
    )


def make_read_only(folder):
    """Let nobody, root included, write into a folder."""
    place = os.fsencode(folder)
    _call(_libc.mount(place, place, None, _MS_BIND, None), f"bind {folder}")
    _call(_libc.mount(None, place, None, _MS_BIND | _MS_REMOUNT | _MS_RDONLY, None), f"remount {folder}")


def within(function):
    """Call `function()` in a process that has entered namespaces of its own; returns what it returns.

    Raises:
        RuntimeError: with the trace of what it raised.
    """
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        try:
            processes.die_with_parent()
            processes.adopt_orphans()
            enter()
            answer = (True, function())
        except BaseException:
            answer = (False, traceback.format_exc())
        with open(write, "wb") as pipe:
            pipe.write(pickle.dumps(answer))
        os._exit(0)
    os.close(write)
    with open(read, "rb") as pipe:
        data = pipe.read()
    os.waitpid(child, 0)
    good, value = pickle.loads(data) if data else (False, "the process of the namespaces was killed")
    if not good:
        raise RuntimeError(value)
    return value


_known = []


def reason_against():
    """Why no namespaces can be had here, "" if they can."""
    if not _known:
        try:
            within(lambda: None)
            _known.append("")
        except RuntimeError as error:
            _known.append(f"no namespaces here ({str(error).strip().splitlines()[-1]})")
    return _known[0]


def _call(result, what):
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def _write(path, text):
    with open(path, "w") as file:
        file.write(text)
