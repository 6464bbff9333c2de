"""A file that grows while a program runs, and that the program can do without."""

import contextlib
import logging
import os
from pathlib import Path

from maskrcnn_benchmark.utils.files import NotWritten, mkdir, not_written, open_to_append

logger = logging.getLogger(__name__)


class LogFile:
    """Bytes are appended whole or not at all.

    Where the disk takes no more, one warning says so, and each further call tries again: a log may have gaps, but the
    program that it is about goes on.

    Args:
        path: the file, which is made or gone on with when something is first written; no symbolic link is followed.
        entry: what is appended at a time, for the warning: "line".
    """

    def __init__(self, path: str | os.PathLike, entry: str) -> None:
        self.path = Path(path)
        self._entry = entry
        self._descriptor: int | None = None
        self._is_told = False

    def open(self) -> None:
        """Open it now, and make its folder if need be. Raises `NotWritten`."""
        if self._descriptor is None:
            mkdir(self.path.parent)
            self._descriptor = open_to_append(self.path)

    def append(self, data: bytes) -> bool:
        """Write bytes to the end; returns whether the disk took them."""
        try:
            self.open()
            self._write(data)
        except OSError as error:
            self._tell(not_written(self.path, error))
            return False
        except NotWritten as error:
            self._tell(error)
            return False
        return True

    def close(self) -> None:
        """Close it; it is opened again by the next call."""
        if self._descriptor is None:
            return
        try:
            os.close(self._descriptor)
        except OSError as error:  # some disks say only now that they did not take what was written
            self._tell(not_written(self.path, error))
        self._descriptor = None

    def _write(self, data):
        before = os.fstat(self._descriptor).st_size
        written = 0
        try:
            while written < len(data):
                written += os.write(self._descriptor, data[written:])
        except OSError:
            # a disk that becomes full takes a part; where that cannot be taken back, a reader has to bear half an entry
            with contextlib.suppress(OSError):
                if os.fstat(self._descriptor).st_size == before + written:  # nobody else has written since
                    os.ftruncate(self._descriptor, before)
            raise

    def _tell(self, error):
        if not self._is_told:
            self._is_told = True  # first, for the warning comes here again where this file is the log
            logger.warning("%s. The run goes on without it, and tries again with every %s", error, self._entry)
