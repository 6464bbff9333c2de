"""The global config `cfg` with every default; copy it with `cfg.clone()` before changing it."""

from collections.abc import Iterable

from maskrcnn_benchmark.config.defaults import OPTIONS
from maskrcnn_benchmark.config.node import ConfigNode
from maskrcnn_benchmark.config.options import Option

__all__ = ["add_options", "cfg", "record_of"]

_global = ConfigNode()


def add_options(options: Iterable[Option]) -> None:
    """Add options to the global config, all or none of them; those that are there already are no error.

    Raises:
        ValueError: the config is frozen, another option has the name of one, or a default is out of its range.
    """
    added: list[Option] = []
    try:
        for option in options:
            if _global.record_of(option.key) != option:
                _global.add(option)
                added.append(option)
    except ValueError:
        for option in reversed(added):
            _global.remove(option)
        raise


add_options(OPTIONS)


def record_of(key: str) -> Option:
    """The record of an option of the library, or of a task that is registered; imports no task."""
    record = _global.record_of(key)
    if record is None:
        raise KeyError(f"there is no option {key}")
    return record


def __getattr__(name: str) -> ConfigNode:
    if name != "cfg":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # late: the tasks, which bring options of their own, are made of rooms that read this package
    from maskrcnn_benchmark.tasks.task import TASKS

    try:
        TASKS.fill()
    except AttributeError as error:  # which would read as if there were no `cfg`
        raise RuntimeError(f"a task cannot be imported: {error}") from error
    return _global
