"""Logging to the screen and to a file, from the main process only."""

import logging
import os
import sys
from pathlib import Path
from typing import Any, TextIO

from tqdm import tqdm

from maskrcnn_benchmark.utils.log_file import LogFile
from maskrcnn_benchmark.utils.text import printable_lines

FORMAT = "%(asctime)s %(name)s %(levelname)s: %(message)s"


class _Formatter(logging.Formatter):
    """Names from strange files, traces included, cannot steer the terminal that shows the log."""

    def format(self, record: logging.LogRecord) -> str:
        return printable_lines(super().format(record))


class _LineHandler(logging.Handler):
    """Hands each record on as text; one that cannot be formatted is the program's mistake, which logging shows."""

    write: Any  # of a subclass: takes the text and the record

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = self.format(record)
        except Exception:
            self.handleError(record)
        else:
            self.write(text, record)


class _ScreenHandler(_LineHandler):
    """Writes above a progress bar, if one is being shown, instead of through it.

    A screen that is gone, or a file in its place on a full disk, is no reason to end: what it does not take is lost,
    which is said once to those handlers that are left.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self.stream = stream
        self._is_told = False

    def write(self, text: str, record: logging.LogRecord) -> None:
        try:
            tqdm.write(text, file=self.stream)
            self.stream.flush()
        except ValueError:  # it was closed, which no disk does
            self.handleError(record)
        except OSError as error:
            if not self._is_told:
                self._is_told = True  # first, for the warning comes here again
                logging.getLogger(__name__).warning("the screen does not take all lines: %s", error)


class _FileHandler(_LineHandler):
    """Writes to a `LogFile`. Where lines are missing, the next one that its disk takes says how many."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._file = LogFile(path, "line")
        self._file.open()
        self._missing = 0

    def write(self, text: str, record: logging.LogRecord) -> None:
        gap = f"({self._missing} lines are missing here: the disk did not take them)\n" if self._missing else ""
        if self._file.append(f"{gap}{text}\n".encode(errors="backslashreplace")):
            self._missing = 0
        else:
            self._missing += 1

    def close(self) -> None:
        self._file.close()
        super().close()


def setup_logger(
    name: str, save_dir: str | os.PathLike, distributed_rank: int, filename: str = "log.txt"
) -> logging.Logger:
    """The logger `name`, writing to standard output and, if `save_dir` is given, to `save_dir/filename`.

    The file has everything, the screen what is not for debugging only. Processes with a rank
    above 0 get a logger that writes nothing. Calling it again replaces the handlers.

    Raises `UserError` if nothing can be written to `save_dir`. Later, a file that cannot be written is a warning.
    """
    logger = logging.getLogger(name)
    logger.setLevel(logging.DEBUG)
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
        handler.close()
    if distributed_rank > 0:
        logger.addHandler(logging.NullHandler())
        logger.propagate = False
        return logger
    handlers: list[logging.Handler] = [_ScreenHandler(sys.stdout)]
    handlers[0].setLevel(logging.INFO)
    if save_dir:
        handlers.append(_FileHandler(Path(save_dir) / filename))
    for handler in handlers:
        handler.setFormatter(_Formatter(FORMAT))
        logger.addHandler(handler)
    return logger
