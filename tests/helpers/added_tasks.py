"""Tasks that a test adds are gone after it, with their options."""

import contextlib
from collections.abc import Iterator

from maskrcnn_benchmark.config import cfg
from maskrcnn_benchmark.config.node import ConfigNode
from maskrcnn_benchmark.tasks.task import TASKS, Task, register_task


@contextlib.contextmanager
def restored_tasks():
    """The registry and the global config are afterwards what they were before."""
    tasks, options = dict(TASKS), set(cfg.keys_of_options())
    try:
        yield
    finally:
        cfg.defrost()
        for key in set(TASKS) - set(tasks):
            del TASKS[key]
        for option in set(cfg.keys_of_options()) - options:
            *groups, name = option.split(".")
            del cfg.value_of(".".join(groups))[name]
            cfg.__dict__[ConfigNode.RECORDS].pop(option, None)
        _drop_empty(cfg)


def _drop_empty(node):
    for name, value in list(node.items()):
        if isinstance(value, ConfigNode):
            _drop_empty(value)
            if not value:
                del node[name]


@contextlib.contextmanager
def registered(*tasks: Task) -> Iterator[None]:
    """The tasks are in the registry as long as the context lasts."""
    with restored_tasks():
        for task in tasks:
            register_task(task)
        yield
