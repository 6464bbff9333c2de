"""Tables of builders that fill themselves: how a config's names find the classes that they mean."""

import difflib
from typing import Any, NoReturn

from maskrcnn_benchmark.utils.errors import UserError


class Registry(dict):
    """A dictionary of builders that fills itself through a decorator.

    `@BACKBONES.register("R-50-FPN")` above a function or class stores it. Looking up an unknown name with `[]` raises
    `UserError` with the option that chose it and the nearest known name.
    """

    def __init__(self, kind: str, option: str) -> None:
        super().__init__()
        self.kind = kind
        self.option = option

    def register(self, name: str, module: Any = None) -> Any:
        """Store `module` under `name`; without `module`, return a decorator. A name taken is a `ValueError`."""
        if module is None:
            return lambda built: self.register(name, built)
        if name in self:
            raise ValueError(f"{self.kind} {name!r} is already registered, as {self[name].__qualname__}")
        self[name] = module
        return module

    def __missing__(self, name: object) -> NoReturn:
        near = difflib.get_close_matches(str(name), self, 1, 0.3)
        hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(sorted(self)) or 'none'}"
        raise UserError(f"{self.option}: there is no {self.kind} named {name!r}; {hint}")
