"""How a process handles the memory that it has freed."""

import ctypes

# mallopt(3) of the GNU C library
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_LARGEST_KEPT = 32 << 20  # bytes of one block; larger ones go back to the system at once
_KEPT = 256 << 20  # bytes in all


def keep_freed_memory() -> None:
    """Let this process keep freed memory for its next use. Does nothing where the C library is not GNU's.

    By default the library returns blocks of megabytes to the system at once, and the page faults of getting them again
    can take a third of the time of a loader's worker, which needs blocks of the same sizes for every image.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGEST_KEPT)
        mallopt(_M_TRIM_THRESHOLD, _KEPT)
