"""Describe what a value from a file must be, nested as it may be, and say where and how one differs.

A description is a tree of `Kind`s whose leaves are ranges (`utils.ranges`), all of them plain data. The work of a check
and the length of its message are bounded by the description, whatever the value is: nothing is converted, hashed or
printed whole.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from maskrcnn_benchmark.utils.ranges import Range, Text
from maskrcnn_benchmark.utils.text import an, printable

LONGEST_SHOWN = 60
# Digits of an integer that is shown; Python refuses to print one of thousands
MOST_DIGITS = 30


# A name or a few words
TEXT = Text(200, empty=True)


class Unfit(ValueError):
    """A value is not what its description says; the message says where and how, on one short line."""


def shown(value: object) -> str:
    """A value in some words: numbers and short texts themselves, of anything larger what it is."""
    if isinstance(value, str):
        return f"'{printable(value, LONGEST_SHOWN)}'"
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 3 * MOST_DIGITS:
        return f"an integer of {value.bit_length()} bits"
    if value is None or isinstance(value, bool | int | float):
        return str(value)
    if isinstance(value, torch.Tensor):
        return f"a tensor of {str(value.dtype).removeprefix('torch.')} and shape {list(value.shape)[:8]}"
    if isinstance(value, list | tuple | dict):
        return f"{an(type(value).__name__)} of {len(value)}"
    return an(type(value).__name__)


class Kind:
    """What a value with parts must be. `check` raises `Unfit` for one that is something else."""

    @property
    def words(self) -> str:
        """Completes "must be ..."."""
        raise NotImplementedError

    def check(self, value: object, where: str = "") -> None:
        """Raise `Unfit` unless `value`, which lies at `where` ("[0].scale") in its file's entry, is of this kind."""
        raise NotImplementedError


def check(kind: "Kind | Range", value: object, where: str = "") -> None:
    """Raise `Unfit` unless a value, which lies at `where` in its file's entry, is of a kind or in a range."""
    if isinstance(kind, Kind):
        kind.check(value, where)
    elif not kind.holds(value):
        raise unfit(where, value, kind.words)


def unfit(where: str, value: object, words: str) -> Unfit:
    """The `Unfit` of a value at a place that must be what `words` say."""
    place = where.lstrip(".")
    return Unfit(f"{place}{' ' if place else 'it '}is {shown(value)}, but must be {words}")


@dataclass(frozen=True)
class Maybe(Kind):
    """None, or of a kind."""

    kind: Kind | Range

    @property
    def words(self) -> str:
        return f"None or {self.kind.words}"

    def check(self, value: object, where: str = "") -> None:
        if value is not None:
            check(self.kind, value, where)


@dataclass(frozen=True)
class ListOf(Kind):
    """A list or tuple of `least` to `most` values of one kind."""

    item: Kind | Range
    least: int = 0
    most: int = 65536

    @property
    def words(self) -> str:
        if self.least == self.most:
            return f"a list of {self.least}"
        return f"a list of {self.least} to {self.most}"

    def check(self, value: Any, where: str = "") -> None:
        if type(value) not in (list, tuple) or not self.least <= len(value) <= self.most:
            raise unfit(where, value, self.words)
        for index, each in enumerate(value):
            check(self.item, each, f"{where}[{index}]")


@dataclass(frozen=True)
class Fixed(Kind):
    """A list or tuple with a kind for each of its places."""

    kinds: tuple[Kind | Range, ...]

    @property
    def words(self) -> str:
        return f"a list of {len(self.kinds)}"

    def check(self, value: Any, where: str = "") -> None:
        if type(value) not in (list, tuple) or len(value) != len(self.kinds):
            raise unfit(where, value, self.words)
        for index, (kind, each) in enumerate(zip(self.kinds, value)):
            check(kind, each, f"{where}[{index}]")


@dataclass(frozen=True)
class Record(Kind):
    """A dictionary with a kind for each of its keys.

    Attributes:
        needed: {key: kind} that must be there.
        possible: {key: kind} that may be there.
        closed: whether other keys are refused.
    """

    needed: Mapping = field(default_factory=dict)
    possible: Mapping = field(default_factory=dict)
    closed: bool = False

    words = "a dictionary"

    def check(self, value: object, where: str = "") -> None:
        if not isinstance(value, dict):
            raise unfit(where, value, self.words)
        missing = next((key for key in self.needed if key not in value), None)
        if missing is not None:
            raise Unfit(f"{where.lstrip('.') or 'it'} has no {missing!r}")
        for key, kind in {**self.needed, **self.possible}.items():
            if key in value:
                check(kind, value[key], f"{where}.{key}")
        extra = next((key for key in value if key not in self.needed and key not in self.possible), None)
        if self.closed and extra is not None:
            raise Unfit(f"{where.lstrip('.') or 'it'} has {shown(extra)}, which nothing here has")


@dataclass(frozen=True)
class Tensor(Kind):
    """A dense tensor.

    Attributes:
        dtype: its dtype; None for any floating one.
        shape: its shape; None for any.
        low, high: the least and the greatest of its numbers, which must be finite; None does not look at them.
    """

    dtype: torch.dtype | None = None
    shape: tuple[int, ...] | None = None
    low: float | None = -math.inf
    high: float = math.inf

    @property
    def words(self) -> str:
        kind = "floats" if self.dtype is None else str(self.dtype).removeprefix("torch.")
        return f"a tensor of {kind}" + ("" if self.shape is None else f" and shape {list(self.shape)}")

    def check(self, value: object, where: str = "") -> None:
        if (
            not isinstance(value, torch.Tensor)
            or value.layout != torch.strided
            or (value.dtype != self.dtype if self.dtype is not None else not value.is_floating_point())
            or (self.shape is not None and tuple(value.shape) != tuple(self.shape))
        ):
            raise unfit(where, value, self.words)
        if self.low is None or not value.numel():
            return
        if value.is_floating_point() and not all_finite(value):
            raise Unfit(f"{where.lstrip('.') or 'it'} has numbers that are not finite")
        low, high = (bound.item() for bound in value.aminmax())
        if low < self.low or high > self.high:
            raise Unfit(
                f"{where.lstrip('.') or 'it'} has numbers from {low:g} to {high:g}, but they must lie from "
                f"{self.low:g} to {self.high:g}"
            )


def all_finite(tensor: torch.Tensor) -> bool:
    """Whether every number of a floating tensor is finite: bool."""
    # one pass without a mask: a sum over numbers that are finite is mostly finite, too
    return math.isfinite(tensor.sum(dtype=torch.float32).item()) or bool(tensor.isfinite().all())
