"""Files and folders: making them, and writing them so that a reader never sees half of one."""

import contextlib
import os
from pathlib import Path

from maskrcnn_benchmark.utils.comm import is_main_process
from maskrcnn_benchmark.utils.errors import UserError


def mkdir(path):
    """Make a folder with its parents; one that is there already is fine."""
    try:
        os.makedirs(path, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make the folder {path}: {error.strerror}; choose another OUTPUT_DIR") from None


def unique_name(name, taken):
    """The name itself or, where the set `taken` has it, the first of NAME_2, NAME_3, ... that is free; it is added."""
    chosen, number = name, 1
    while chosen in taken:
        number += 1
        chosen = f"{name}_{number}"
    taken.add(chosen)
    return chosen


@contextlib.contextmanager
def atomic_write(path, durable=True):
    """A binary file to write to, which takes the place of `path` in one instant when the block ends without an error.

    A crash, a full disk or a killed process leaves the former `path` as it was.

    Args:
        path: the file.
        durable: wait until it has reached the disk, so that it outlives a power failure; thousands of small files that
            can be made again are written many times faster without.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with open(temporary, "wb") as file:
            yield file
            if durable:
                file.flush()
                os.fsync(file.fileno())
        os.replace(temporary, path)
        if not durable:
            return
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)  # the new name itself has to reach the disk, too
        finally:
            os.close(folder)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from None
    finally:
        temporary.unlink(missing_ok=True)


def save_config(cfg, path):
    """Write a config as yaml, from the main process."""
    if is_main_process():
        with atomic_write(path) as file:
            file.write(cfg.dump().encode())
