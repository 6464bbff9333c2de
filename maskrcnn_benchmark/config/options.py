"""One record per option: its name, its default, the values that it may have, and what it does.

`config/defaults.py` is the list of the package's own. A range says in words what it takes and what is wrong with a
value that it does not take; everything that reads an option may rely on it.
"""

import math
import numbers
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from maskrcnn_benchmark.utils.errors import UserError

# What is shown of a value at most, in characters
LONGEST_SHOWN = 80
# The folder that holds the package: a default below it is shown from here
ROOT = Path(__file__).resolve().parents[2]
# Control characters, and halves of characters, which no file in UTF-8 can hold
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


class Range:
    """The values that an option may have.

    A subclass has `words`, which completes "must be ..." ("a number above 0"), and `short`, the same for a table
    ("> 0").
    """

    words: str
    short: str

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

    @property
    def words(self):
        if math.isinf(self.low) and math.isinf(self.high):
            return f"{self.noun}, neither nan nor infinite"
        if math.isinf(self.high):
            return f"{self.noun} {'above' if self.above else 'of at least'} {_plain(self.low)}"
        if not self.above and not self.below:
            return f"{self.noun} from {_plain(self.low)} to {_plain(self.high)}"
        low = f"{'above' if self.above else 'of at least'} {_plain(self.low)}"
        return f"{self.noun} {low} and {'below' if self.below else 'at most'} {_plain(self.high)}"

    @property
    def short(self):
        if math.isinf(self.low) and math.isinf(self.high):
            return "finite"
        if math.isinf(self.high):
            return f"{'>' if self.above else '≥'} {_plain(self.low)}"
        if not self.above and not self.below:
            return f"{_plain(self.low)} … {_plain(self.high)}"
        return f"{'>' if self.above else '≥'} {_plain(self.low)}, {'<' if self.below else '≤'} {_plain(self.high)}"

    def holds(self, value):
        if isinstance(value, bool) or not isinstance(value, numbers.Real):
            return False
        low = value > self.low if self.above else value >= self.low  # neither for NaN
        high = value < self.high if self.below else value <= self.high
        return low and high and abs(value) != math.inf


@dataclass(frozen=True)
class Integer(Number):
    """Whole numbers of a whole type: 2, but not 2.0."""

    noun = "an integer"

    def holds(self, value):
        return isinstance(value, numbers.Integral) and super().holds(value)


@dataclass(frozen=True)
class Flag(Range):
    """True or False, and no number in their place."""

    words = "True or False"
    short = "True, False"

    def holds(self, value):
        return isinstance(value, bool)


@dataclass(frozen=True, init=False)
class Choice(Range):
    """One of a few values, which are told apart by type as well: True is not 1."""

    values: tuple

    def __init__(self, *values: object):
        object.__setattr__(self, "values", values)

    @property
    def words(self):
        return self.short if len(self.values) == 1 else f"one of {self.short}"

    @property
    def short(self):
        return ", ".join(value if isinstance(value, str) and value else shown(value) for value in self.values)

    def holds(self, value):
        return any(type(value) is type(each) and value == each for each in self.values)


@dataclass(frozen=True)
class Text(Range):
    """Text without control characters.

    Attributes:
        longest: most characters.
        empty: whether "" is in the range.
        pattern: a regular expression that the whole text must match; "" for none.
        what: what such text is called, in messages and tables.
    """

    longest: int = 256
    empty: bool = False
    pattern: str = ""
    what: str = "text"

    @property
    def words(self):
        none = ' or ""' if self.empty else ""
        return self.what + none if self.pattern else f"{self.what} of at most {self.longest} characters{none}"

    @property
    def short(self):
        return self.what + (' or ""' if self.empty else "")

    def holds(self, value):
        if not isinstance(value, str) or len(value) > self.longest:
            return False
        if not value:
            return self.empty
        return not _CONTROL.search(value) and (not self.pattern or re.fullmatch(self.pattern, value) is not None)


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
    def words(self):
        return f"{self._count()} elements, each {self.of.words}"

    @property
    def short(self):
        return f"{self.of.short}; {self._count()} of them"

    def holds(self, value):
        return self.problem(value) is None

    def problem(self, value):
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

    def __init__(self, *ranges: Range):
        object.__setattr__(self, "ranges", ranges)

    @property
    def words(self):
        return ", or ".join(each.words for each in self.ranges)

    @property
    def short(self):
        return " or ".join(f"({each.short})" for each in self.ranges)

    def holds(self, value):
        return any(each.holds(value) for each in self.ranges)


@dataclass(frozen=True, init=False)
class Row(Range):
    """A tuple or list of a fixed number of elements, each in a range of its own.

    Attributes:
        columns: (name, range) of each element.
    """

    columns: tuple[tuple[str, Range], ...]

    def __init__(self, *columns: tuple[str, Range]):
        object.__setattr__(self, "columns", columns)

    @property
    def words(self):
        return f"[{', '.join(name for name, _ in self.columns)}]"

    @property
    def short(self):
        return self.words

    def holds(self, value):
        return (
            isinstance(value, list | tuple)
            and len(value) == len(self.columns)
            and all(range_.holds(element) for (_, range_), element in zip(self.columns, value))
        )


@dataclass(frozen=True)
class Option:
    """One option.

    Attributes:
        key: its name, such as "SOLVER.BASE_LR".
        default: its value where nobody sets it.
        range: the values that it may have.
        comment: what it does, in one line.
        section: the heading that it stands under, "" for an option from outside the package.
    """

    key: str
    default: object
    range: Range
    comment: str
    section: str = ""

    def __deepcopy__(self, memo):
        return self  # nothing of it changes, and every copy of a config holds all records

    def problem(self, value: object) -> str | None:
        """One line about a value out of range, with the remedy, or None."""
        problem = self.range.problem(value)
        if problem is None:
            return None
        return (
            f"{self.key} is {shown(value)}, but {problem}; correct it, or leave it out for the default, "
            f"{show_default(self.default)}"
        )

    def check(self, value: object, source: str) -> None:
        """Raise `UserError` in one line that begins with `source` where a value is out of range."""
        problem = self.problem(value)
        if problem is not None:
            raise UserError(f"{source}: {problem}")


def section(title: str, *options: Option | Iterable[Option]) -> list[Option]:
    """Options, some of them in groups, under one heading."""
    found = []
    for entry in options:
        found += [entry] if isinstance(entry, Option) else list(entry)
    return [replace(option, section=title) for option in found]


def show_default(value: object) -> str:
    """A default as one types it: text as it is but where it would be nothing, a file of the package from its folder."""
    if isinstance(value, str) and value.startswith(str(ROOT)):
        value = Path(value).relative_to(ROOT).as_posix()
    return repr(value).replace("'", '"')


def shown(value: object) -> str:
    """A value in a message: its representation, cut where it is long."""
    try:
        text = repr(value)
    except ValueError:  # an integer of so many digits that Python does not write it
        text = f"a {type(value).__name__} of thousands of digits"
    return text if len(text) <= LONGEST_SHOWN else f"{text[: LONGEST_SHOWN - 1]}…"


def _plain(number):
    """A bound as a person reads it: 0.5, 16,384, 1e+06 as 1,000,000."""
    return f"{int(number):,}" if float(number).is_integer() else f"{number:g}"
