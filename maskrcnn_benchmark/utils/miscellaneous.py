"""What the original keeps here: folders, names and configs as files. How files are written says `utils.files`."""

import os

from yacs.config import CfgNode

from maskrcnn_benchmark.utils.comm import is_main_process
from maskrcnn_benchmark.utils.files import atomic_write, mkdir

__all__ = ["atomic_write", "mkdir", "save_config", "unique_name"]


def unique_name(name: str, taken: set[str]) -> str:
    """The name itself or, where the set `taken` has it, the first of NAME_2, NAME_3, ... that is free; it is added."""
    chosen, number = name, 1
    while chosen in taken:
        number += 1
        chosen = f"{name}_{number}"
    taken.add(chosen)
    return chosen


def save_config(cfg: CfgNode, path: str | os.PathLike) -> None:
    """Write a config as yaml, from the main process."""
    if is_main_process():
        with atomic_write(path) as file:
            file.write(cfg.dump().encode())
