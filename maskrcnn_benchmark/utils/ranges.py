"""Which values something may have, in a form that says so in words: an option, an argument, an entry of a file."""

import math
import numbers
import re
import sys
from dataclasses import dataclass

from maskrcnn_benchmark.utils.text import an, is_text

# What is shown of a value at most, in characters
LONGEST_SHOWN = 80


class Range:
    """The values that something may have.

    A subclass has `words`, which completes "must be ..." ("a number above 0"), and `short`, the same for a table
    ("> 0").
    """

    @property
    def words(self) -> str:
        raise NotImplementedError

    @property
    def short(self) -> str:
        raise NotImplementedError

    def holds(self, value: object) -> bool:
        """Whether a value is in the range, its type included."""
        raise NotImplementedError

    def problem(self, value: object) -> str | None:
        """What is wrong with a value, such as "must be a number above 0", or None."""
        return None if self.holds(value) else f"must be {self.words}"


@dataclass(frozen=True)
class Number(Range):
    """Finite numbers, integers among them; NaN and infinities are in no range.

    Attributes:
        low, high: the least and the greatest.
        above, below: whether `low` and `high` themselves are outside.
    """

    low: float = -math.inf
    high: float = math.inf
    above: bool = False
    below: bool = False

    noun = "a number"
    unbounded = "a finite number"

    @property
    def words(self) -> str:
        if math.isinf(self.low) and math.isinf(self.high):
            return self.unbounded
        if math.isinf(self.high):
            return f"{self.noun} {'above' if self.above else 'of at least'} {_plain(self.low)}"
        if not self.above and not self.below:
            return f"{self.noun} from {_plain(self.low)} to {_plain(self.high)}"
        low = f"{'above' if self.above else 'of at least'} {_plain(self.low)}"
        return f"{self.noun} {low} and {'below' if self.below else 'at most'} {_plain(self.high)}"

    @property
    def short(self) -> str:
        if math.isinf(self.low) and math.isinf(self.high):
            return "finite"
        if math.isinf(self.high):
            return f"{'>' if self.above else '≥'} {_plain(self.low)}"
        if not self.above and not self.below:
            return f"{_plain(self.low)} … {_plain(self.high)}"
        return f"{'>' if self.above else '≥'} {_plain(self.low)}, {'<' if self.below else '≤'} {_plain(self.high)}"

    def holds(self, value: object) -> bool:
        if isinstance(value, bool) or not isinstance(value, numbers.Real):
            return False
        low = value > self.low if self.above else value >= self.low  # type: ignore[operator]  # neither for NaN
        high = value < self.high if self.below else value <= self.high
        return low and high and abs(value) <= sys.float_info.max  # type: ignore[operator]


@dataclass(frozen=True)
class Integer(Number):
    """Whole numbers of a whole type: 2, but not 2.0."""

    noun = unbounded = "an integer"

    def holds(self, value: object) -> bool:
        return isinstance(value, numbers.Integral) and super().holds(value)


@dataclass(frozen=True)
class Flag(Range):
    """True or False, and no number in their place."""

    words = "True or False"
    short = "True, False"

    def holds(self, value: object) -> bool:
        return isinstance(value, bool)


@dataclass(frozen=True, init=False)
class Choice(Range):
    """One of a few values, which are told apart by type as well: True is not 1."""

    values: tuple

    def __init__(self, *values: object) -> None:
        object.__setattr__(self, "values", values)

    @property
    def words(self) -> str:
        return self.short if len(self.values) == 1 else f"one of {self.short}"

    @property
    def short(self) -> str:
        return ", ".join(value if isinstance(value, str) and value else shown(value) for value in self.values)

    def holds(self, value: object) -> bool:
        return any(type(value) is type(each) and value == each for each in self.values)


@dataclass(frozen=True)
class Text(Range):
    """Text without control characters.

    Attributes:
        longest: most characters.
        empty: whether "" is in the range.
        pattern: a regular expression that the whole text must match; "" for none.
        what: what such text is called, in messages and tables.
        multiline: whether ends of lines and tabulators may be in it.
    """

    longest: int = 256
    empty: bool = False
    pattern: str = ""
    what: str = "text"
    multiline: bool = False

    @property
    def words(self) -> str:
        none = ' or ""' if self.empty else ""
        if self.pattern:
            return self.what + none
        return f"{self.what} of at most {self.longest} characters without control characters{none}"

    @property
    def short(self) -> str:
        return self.what + (' or ""' if self.empty else "")

    def holds(self, value: object) -> bool:
        if not isinstance(value, str) or len(value) > self.longest:
            return False
        if not value:
            return self.empty
        return is_text(value, self.multiline) and (not self.pattern or re.fullmatch(self.pattern, value) is not None)


@dataclass(frozen=True)
class Sequence(Range):
    """A tuple or list whose elements are all in one range.

    Attributes:
        of: their range.
        least, most: how many there may be.
    """

    of: Range
    least: int = 0
    most: int = 64

    @property
    def words(self) -> str:
        return f"{self._count()} elements, each {self.of.words}"

    @property
    def short(self) -> str:
        return f"{self.of.short}; {self._count()} of them"

    def holds(self, value: object) -> bool:
        return self.problem(value) is None

    def problem(self, value: object) -> str | None:
        if not isinstance(value, list | tuple) or not self.least <= len(value) <= self.most:
            return f"must be a tuple of {self.words}"
        for index, element in enumerate(value):
            if not self.of.holds(element):
                return f"must be a tuple of {self.words}; element {index} is {shown(element)}"
        return None

    def _count(self):
        return str(self.least) if self.least == self.most else f"{self.least} to {self.most}"


@dataclass(frozen=True, init=False)
class Either(Range):
    """What is in one of several ranges."""

    ranges: tuple[Range, ...]

    def __init__(self, *ranges: Range) -> None:
        object.__setattr__(self, "ranges", ranges)

    @property
    def words(self) -> str:
        return ", or ".join(each.words for each in self.ranges)

    @property
    def short(self) -> str:
        return " or ".join(f"({each.short})" for each in self.ranges)

    def holds(self, value: object) -> bool:
        return any(each.holds(value) for each in self.ranges)


@dataclass(frozen=True, init=False)
class Row(Range):
    """A tuple or list of a fixed number of elements, each in a range of its own.

    Attributes:
        columns: (name, range) of each element.
    """

    columns: tuple[tuple[str, Range], ...]

    def __init__(self, *columns: tuple[str, Range]) -> None:
        object.__setattr__(self, "columns", columns)

    @property
    def words(self) -> str:
        return f"[{', '.join(name for name, _ in self.columns)}]"

    @property
    def short(self) -> str:
        return self.words

    def holds(self, value: object) -> bool:
        return (
            isinstance(value, list | tuple)
            and len(value) == len(self.columns)
            and all(range_.holds(element) for (_, range_), element in zip(self.columns, value))
        )


def shown(value: object) -> str:
    """A value in a message: its representation, cut where it is long."""
    try:
        text = repr(value)
    except ValueError:  # an integer of so many digits that Python does not write it
        text = f"{an(type(value).__name__)} of thousands of digits"
    return text if len(text) <= LONGEST_SHOWN else f"{text[: LONGEST_SHOWN - 1]}…"


def _plain(number):
    """A bound as a person reads it: 0.5, 16,384, 1e+06 as 1,000,000."""
    return f"{int(number):,}" if float(number).is_integer() else f"{number:g}"
