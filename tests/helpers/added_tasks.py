"""Tasks that a test adds to the registry, and takes out of it again."""

from collections.abc import Iterator
from contextlib import contextmanager

from maskrcnn_benchmark.config import cfg
from maskrcnn_benchmark.config.node import ConfigNode
from maskrcnn_benchmark.tasks.task import TASKS, Task, register_task

GROUPS = ("LOSS_WEIGHTS", "SINGLE_LOSS_WEIGHTS", "START", "STOP", "LR_FACTORS")


@contextmanager
def registered(*tasks: Task) -> Iterator[None]:
    """The tasks are in the registry, and their options in the global config, as long as the context lasts."""
    tables = [TASKS, cfg.__dict__[ConfigNode.RECORDS], cfg.MODEL, *(cfg.MULTITASK[group] for group in GROUPS)]
    before = [dict(table) for table in tables]
    try:
        for task in tasks:
            register_task(task)
        yield
    finally:
        for table, content in zip(tables, before):
            table.clear()
            table.update(content)
