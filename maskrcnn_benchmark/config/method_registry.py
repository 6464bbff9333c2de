"""Registries of methods that bring options of their own."""

from typing import Any

from maskrcnn_benchmark.config import add_options
from maskrcnn_benchmark.config.options import section
from maskrcnn_benchmark.utils.registry import Registry


class MethodRegistry(Registry):
    """A `Registry` of classes, whose `options`, if any, join the global config as they are registered.

    Args:
        kind, option: as `Registry` takes them.
        title: the heading of the options page that the methods' options stand under.
    """

    def __init__(self, kind: str, option: str, title: str) -> None:
        super().__init__(kind, option)
        self.title = title

    def register(self, name: str, module: Any = None) -> Any:
        """As `Registry.register`. A `ValueError`, too, where another option has the name of one of the method's."""
        if module is not None and name not in self:
            add_options(section(self.title, *getattr(module, "options", ())))
        return super().register(name, module)
