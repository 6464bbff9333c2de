"""An output that costs much, made when it is first read."""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, Generic, TypeVar

import torch

Kind = TypeVar("Kind")


class Computed(Generic[Kind]):
    """What a derived task says of an image, for `ImagePrediction.outputs`: nothing is computed before `value` is read.

    Args:
        make: makes the value, on the host, for an image of `size`; it can `resize` to another one.
        size: (width, height) of the image.
    """

    def __init__(self, make: Callable[[], Kind], size: Sequence[int]) -> None:
        self.size = size[0], size[1]
        self._make = make

    @cached_property
    def value(self) -> Kind:
        """As `make` made it."""
        return self._make()

    def resize(self, size: Sequence[int]) -> "Computed[Any]":
        """The value for the image resized to (width, height)."""
        if tuple(size) == self.size:
            return self
        return Computed(lambda: self.value.resize(size), size)  # type: ignore[attr-defined]

    def to(self, device: torch.device | str) -> "Computed[Kind]":
        """Itself: the value lies on the host."""
        return self
