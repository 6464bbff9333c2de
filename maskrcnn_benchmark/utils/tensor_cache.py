"""Tensors that are made once and kept from step to step: constants that would otherwise be made anew in every step."""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from typing import Any, TypeVar

import torch
from torch._subclasses import FakeTensor

Tensors = TypeVar("Tensors")


class TensorCache:
    """Tensors by key, for this process: copies and pickles of a cache are empty.

    Where operations are traced (`torch.export`, a compiler, `FakeTensorMode`) it is passed by: what is made there has
    no numbers, and a tracer takes no tensor that it has not seen being made.

    Args:
        maxsize: at most so many are kept; the oldest gives way.
    """

    def __init__(self, maxsize: int) -> None:
        self.maxsize = maxsize
        self._kept: OrderedDict[Hashable, Any] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], Tensors]) -> Tensors:
        """What is kept under a key, else what `make` makes.

        Args:
            key: says everything that the result depends on, its device too.
            make: makes a tensor, or a list or tuple of tensors. The result is shared: not to be written to.
        """
        if is_traced():
            return make()
        if key in self._kept:
            return self._kept[key]
        made = outliving(make)
        if not is_traced(*_tensors_of(made)):
            while len(self._kept) >= self.maxsize:
                self._kept.popitem(last=False)
            self._kept[key] = made
        return made

    def clear(self) -> None:
        """Forget all."""
        self._kept.clear()

    def __len__(self) -> int:
        return len(self._kept)

    def __getstate__(self) -> dict[str, Any]:
        return {"maxsize": self.maxsize, "_kept": OrderedDict()}

    def __deepcopy__(self, memo: dict) -> "TensorCache":
        return type(self)(self.maxsize)


def outliving(make: Callable[[], Tensors]) -> Tensors:
    """What `make` makes, fit for use after this call, which may be in inference mode."""
    with torch.inference_mode(False), torch.no_grad():
        return make()


def is_traced(*tensors: torch.Tensor) -> bool:
    """Whether operations are traced, not computed, or one of these tensors comes from where they were."""
    if torch.compiler.is_compiling():
        return True
    return any(isinstance(tensor, FakeTensor) for tensor in (torch.empty(0), *tensors))


def _tensors_of(made: Any) -> Iterator[torch.Tensor]:
    if isinstance(made, torch.Tensor):
        yield made
    else:
        for member in made:
            yield from _tensors_of(member)
