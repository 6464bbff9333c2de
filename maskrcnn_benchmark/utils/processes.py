"""Which process a number stands for, now and after it has ended."""

import hashlib
import os
import socket
from functools import lru_cache
from pathlib import Path


def process_identity(number):
    """{"id": number, "born": when in the machine's ticks since it was started, or None where nothing says so}, or None.

    The number alone would be taken for another process's after a while. None: there is no such process.
    """
    try:
        if number <= 0:
            return None
        os.kill(number, 0)
    except PermissionError:
        pass  # it is there, and somebody else's
    except (OSError, OverflowError):
        return None
    try:
        # what follows the name, which may hold anything, in its brackets: proc(5), field 22
        fields = Path(f"/proc/{number}/stat").read_text(errors="replace").rpartition(")")[2].split()
        return {"id": number, "born": int(fields[19])}
    except (OSError, IndexError, ValueError):
        return {"id": number, "born": None}


@lru_cache(maxsize=1)
def machine_identity():
    """Eight hexadecimal digits that are the same for all processes that see one another's numbers, and for no others.

    They depend on the machine and, in a container, on the container.
    """
    parts = [socket.gethostname()]
    for read in (lambda: Path("/etc/machine-id").read_text().strip(), lambda: os.readlink("/proc/self/ns/pid")):
        try:
            parts.append(read())
        except OSError:
            parts.append("")  # a system that has no such thing has no containers of this kind either
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:8]
