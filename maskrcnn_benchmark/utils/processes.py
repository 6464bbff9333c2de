"""Which process something belongs to, and whether that process is still there, as far as this machine can tell."""

import hashlib
import os
import socket
from functools import lru_cache
from pathlib import Path


def this_process() -> dict:
    """What tells this process from all others, as JSON holds it.

    Returns:
        {"host": name of the machine or container, "boot": identity of the machine since it was started,
        "namespace": whose process numbers are meant (containers have their own), "process": `process_identity`}; boot
        and namespace are None where the system does not say.
    """
    return {
        "host": socket.gethostname(),
        "boot": _text("/proc/sys/kernel/random/boot_id"),
        "namespace": _link("/proc/self/ns/pid"),
        "process": process_identity(os.getpid()),
    }


def is_there(owner: dict) -> bool | None:
    """Whether a process is there, by what `this_process` returned in it; None: that cannot be told from here.

    It can be where its machine has been started anew since, or where it shares host name and process numbers with this
    process. What an older record lacks is taken to agree.
    """
    here = this_process()
    if owner.get("host") != here["host"]:
        return None
    if not _agree(owner.get("boot"), here["boot"]):
        return False
    if not _agree(owner.get("namespace"), here["namespace"]):
        return None
    identity = owner.get("process") or {}
    return bool(identity) and process_identity(identity.get("id", -1)) == identity


def is_same_machine(owner: dict) -> bool:
    """Whether a process ran on this machine since its last start, in whichever container."""
    boot = _text("/proc/sys/kernel/random/boot_id")
    return boot is not None and owner.get("boot") == boot


def process_identity(number: int) -> dict | None:
    """{"id": number, "born": when in the machine's ticks since it was started, or None where nothing says so}, or None.

    The number alone would be taken for another process's after a while. None: there is no such process.
    """
    try:
        if number <= 0:
            return None
        os.kill(number, 0)
    except PermissionError:
        pass  # it is there, and somebody else's
    except (OSError, OverflowError, TypeError):
        return None
    try:
        # what follows the name, which may hold anything, in its brackets: proc(5), field 22
        fields = Path(f"/proc/{number}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        return None if fields[0] == "Z" else {"id": number, "born": int(fields[19])}  # a zombie works no more
    except (OSError, IndexError, ValueError):
        return {"id": number, "born": None}


@lru_cache(maxsize=1)
def machine_identity() -> str:
    """Eight hexadecimal digits that are the same for all processes that see one another's numbers, and for no others.

    They depend on the machine and, in a container, on the container.
    """
    # a system that has no such file or link has no containers of this kind either
    parts = socket.gethostname(), _text("/etc/machine-id") or "", _link("/proc/self/ns/pid") or ""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:8]


def _agree(one, other):
    return one is None or other is None or one == other


def _text(path):
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError:
        return None


def _link(path):
    try:
        return os.readlink(path)
    except OSError:
        return None
