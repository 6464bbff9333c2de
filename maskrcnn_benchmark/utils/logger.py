"""Logging to the screen and to a file, from the main process only."""

import logging
import os
import sys

from tqdm import tqdm

FORMAT = "%(asctime)s %(name)s %(levelname)s: %(message)s"


class _ScreenHandler(logging.StreamHandler):
    """Writes above a progress bar, if one is being shown, instead of through it."""

    def emit(self, record):
        try:
            tqdm.write(self.format(record), file=self.stream)
            self.flush()
        except (OSError, ValueError):
            self.handleError(record)


def setup_logger(name, save_dir, distributed_rank, filename="log.txt"):
    """The logger `name`, writing to standard output and, if `save_dir` is given, to `save_dir/filename`.

    The file has everything, the screen what is not for debugging only. Processes with a rank
    above 0 get a logger that writes nothing. Calling it again replaces the handlers.
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
    handlers = [_ScreenHandler(sys.stdout)]
    handlers[0].setLevel(logging.INFO)
    if save_dir:
        os.makedirs(save_dir, exist_ok=True)
        handlers.append(logging.FileHandler(os.path.join(save_dir, filename), encoding="utf-8"))
    for handler in handlers:
        handler.setFormatter(logging.Formatter(FORMAT))
        logger.addHandler(handler)
    return logger
