"""What was tried, held and failed, by class, as text."""

from dataclasses import dataclass, field

SHOWN = 3  # failures of a class that are told in full


@dataclass
class Failure:
    """A case that failed: its number within the class, what it was, and its problems."""

    case: int
    what: str
    problems: list


@dataclass
class Row:
    """The cases of one class so far."""

    name: str
    planned: int
    tried: int = 0
    seconds: float = 0.0
    failures: list = field(default_factory=list)
    skipped: str = ""

    @property
    def failed(self):
        return len(self.failures)

    @property
    def held(self):
        return self.tried - self.failed


def format_table(rows):
    """The table: class, planned, tried, held, failed, seconds of a processor."""
    width = max([len("class"), *(len(row.name) for row in rows)])
    lines = [f"{'class':{width}}  {'planned':>7}  {'tried':>6}  {'held':>6}  {'failed':>6}  {'seconds':>7}"]
    for row in [*rows, total_of(rows)]:
        note = f"  skipped: {row.skipped}" if row.skipped else ""
        numbers = f"{row.planned:7}  {row.tried:6}  {row.held:6}  {row.failed:6}  {row.seconds:7.0f}"
        lines.append(f"{row.name:{width}}  {numbers}{note}")
    return "\n".join(lines)


def total_of(rows):
    """A `Row` of all."""
    total = Row("all", sum(row.planned for row in rows))
    total.tried = sum(row.tried for row in rows)
    total.seconds = sum(row.seconds for row in rows)
    total.failures = [failure for row in rows for failure in row.failures]
    return total


def format_failures(rows, seed, repeat):
    """The first failures of each class, alike ones told once, and how to repeat them.

    Args:
        seed: of the suite.
        repeat: how a case is repeated: text with {seed}, {name} and {case}.
    """
    blocks = []
    for row in rows:
        kinds = {}
        for failure in row.failures:
            kinds.setdefault(kind_of(failure.problems[0]), []).append(failure)
        for alike in sorted(kinds.values(), key=len, reverse=True)[:SHOWN]:
            first = alike[0]
            again = f" (and {len(alike) - 1} alike)" if len(alike) > 1 else ""
            problems = "\n".join(f"    {problem}" for problem in first.problems)
            blocks.append(
                f"{row.name} {first.case}: {first.what}{again}\n{problems}\n"
                f"    again: {repeat.format(seed=seed, name=row.name, case=first.case)}"
            )
        if len(kinds) > SHOWN:
            blocks.append(f"{row.name}: {len(kinds) - SHOWN} further kinds of failures; --report FILE has all")
    return "\n\n".join(blocks)


def kind_of(problem):
    """A problem without its numbers and quoted words, by which alike ones are told."""
    kept, quote = [], ""
    for letter in problem[:160]:
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        elif not letter.isdigit():
            kept.append(letter)
    return "".join(kept)
