"""One record per option: its name, its default, the values that it may have, and what it does.

`config/defaults.py` lists those that belong to no task alone, and `Task.options` those of each task. Everything that
reads an option may rely on its range.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.ranges import Range, shown

# The folder that holds the package: a default below it is shown from here
ROOT = Path(__file__).resolve().parents[2]


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

    def __deepcopy__(self, memo: dict[int, Any]) -> "Option":
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


@dataclass(frozen=True)
class ClassCount:
    """A number of classes that a vocabulary decides.

    Attributes:
        option: the option that holds it, such as "MODEL.SEMANTIC_HEAD.NUM_CLASSES".
        count: its value, background included where the option counts it; 0 where the vocabulary has no such classes.
        what: what they are, for messages.
        where: name of a further switch under MODEL that the option is read with, "" where the task's own suffices.
    """

    option: str
    count: int
    what: str
    where: str = ""


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
