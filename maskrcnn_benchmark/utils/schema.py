"""Describe what a value from a file must be, nested as it may be, and say where and how one differs.

A description is a tree of `Kind`s, which are plain data. The work of a check and the length of its message are bounded
by the description, whatever the value is: nothing is converted, hashed or printed whole.
"""

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch

from maskrcnn_benchmark.utils.text import is_text, printable

LONGEST_SHOWN = 60
# Digits of an integer that is shown; Python refuses to print one of thousands
MOST_DIGITS = 30


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
        return f"a {type(value).__name__} of {len(value)}"
    return f"a {type(value).__name__}"


class Kind:
    """What a value must be. `check` raises `Unfit` for one that is something else."""

    @property
    def words(self) -> str:
        """Completes "must be ..."."""
        raise NotImplementedError

    def check(self, value: object, where: str = "") -> None:
        """Raise `Unfit` unless `value`, which lies at `where` ("[0].scale") in its file's entry, is of this kind."""
        if not self.holds(value):
            raise unfit(where, value, self.words)

    def holds(self, value: object) -> bool:
        """Whether a value without parts is of this kind."""
        raise NotImplementedError


def unfit(where: str, value: object, words: str) -> Unfit:
    """The `Unfit` of a value at a place that must be what `words` say."""
    place = where.lstrip(".")
    return Unfit(f"{place}{' ' if place else 'it '}is {shown(value)}, but must be {words}")


@dataclass(frozen=True)
class Whole(Kind):
    """An integer, and no boolean, from `low` to `high`."""

    low: int = 0
    high: int = 2**63 - 1

    @property
    def words(self):
        return f"an integer from {self.low} to {self.high}"

    def holds(self, value):
        return type(value) is int and self.low <= value <= self.high


@dataclass(frozen=True)
class Real(Kind):
    """A finite number, and no boolean, from `low` to `high`; `above` leaves `low` itself out."""

    low: float = -math.inf
    high: float = math.inf
    above: bool = False

    @property
    def words(self):
        if math.isinf(self.low) and math.isinf(self.high):
            return "a finite number"
        least = f"above {self.low:g}" if self.above else f"of at least {self.low:g}"
        return f"a finite number {least}" + ("" if math.isinf(self.high) else f" and at most {self.high:g}")

    def holds(self, value):
        if type(value) not in (int, float) or not abs(value) <= sys.float_info.max:
            return False
        return self.low <= value <= self.high and not (self.above and value == self.low)


@dataclass(frozen=True)
class Flag(Kind):
    """True or False."""

    words = "True or False"

    def holds(self, value):
        return type(value) is bool


@dataclass(frozen=True)
class Text(Kind):
    """Text of at most `longest` characters, without controls; `multiline` allows ends of lines."""

    longest: int = 200
    multiline: bool = False

    @property
    def words(self):
        return f"text of at most {self.longest} characters without control characters"

    def holds(self, value):
        return type(value) is str and len(value) <= self.longest and is_text(value, self.multiline)


@dataclass(frozen=True)
class OneOf(Kind):
    """One of a few values, told apart by their types, too."""

    values: tuple

    @property
    def words(self):
        return f"one of {', '.join(map(shown, self.values))}"

    def holds(self, value):
        return any(type(value) is type(each) and value == each for each in self.values)


@dataclass(frozen=True)
class Maybe(Kind):
    """None, or of a kind."""

    kind: Kind

    @property
    def words(self):
        return f"None or {self.kind.words}"

    def check(self, value, where=""):
        if value is not None:
            self.kind.check(value, where)


@dataclass(frozen=True)
class ListOf(Kind):
    """A list or tuple of `least` to `most` values of one kind."""

    item: Kind
    least: int = 0
    most: int = 65536

    @property
    def words(self):
        if self.least == self.most:
            return f"a list of {self.least}"
        return f"a list of {self.least} to {self.most}"

    def check(self, value, where=""):
        if type(value) not in (list, tuple) or not self.least <= len(value) <= self.most:
            raise unfit(where, value, self.words)
        for index, each in enumerate(value):
            self.item.check(each, f"{where}[{index}]")


@dataclass(frozen=True)
class Fixed(Kind):
    """A list or tuple with a kind for each of its places."""

    kinds: tuple[Kind, ...]

    @property
    def words(self):
        return f"a list of {len(self.kinds)}"

    def check(self, value, where=""):
        if type(value) not in (list, tuple) or len(value) != len(self.kinds):
            raise unfit(where, value, self.words)
        for index, (kind, each) in enumerate(zip(self.kinds, value)):
            kind.check(each, f"{where}[{index}]")


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

    def check(self, value, where=""):
        if not isinstance(value, dict):
            raise unfit(where, value, self.words)
        missing = next((key for key in self.needed if key not in value), None)
        if missing is not None:
            raise Unfit(f"{where.lstrip('.') or 'it'} has no {missing!r}")
        for key, kind in {**self.needed, **self.possible}.items():
            if key in value:
                kind.check(value[key], f"{where}.{key}")
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
    def words(self):
        kind = "floats" if self.dtype is None else str(self.dtype).removeprefix("torch.")
        return f"a tensor of {kind}" + ("" if self.shape is None else f" and shape {list(self.shape)}")

    def check(self, value, where=""):
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
