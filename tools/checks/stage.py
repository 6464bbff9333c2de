"""A stage of the check: what it is given, and how it says what it found while it is still running."""

import os
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

PASS, FAIL, SKIP, MISS = "PASS", "FAIL", "SKIP", "MISS"
TORCH = f"{os.sep}torch{os.sep}"


class Skipped(Exception):
    """Raised by a stage that cannot run here; the message says why and what would let it run."""


def describe(error: Exception) -> str:
    """An error in one line, with the place in code that is not PyTorch's own."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    frames = traceback.extract_tb(error.__traceback__)
    frames = [frame for frame in frames if TORCH not in frame.filename] or frames
    place = f" ({os.path.basename(frames[-1].filename)}:{frames[-1].lineno})" if frames else ""
    return f"{': '.join([type(error).__name__, *lines[:1]])}{place}"


@dataclass(frozen=True)
class Row:
    """One thing that was found.

    Attributes:
        name: of what.
        value: a number, a text, or None.
        unit: of the number.
        limit: the largest value that is right (verdict PASS or FAIL) or that is aimed at ("" or MISS), or None.
        verdict: PASS or FAIL for what decides over the stage; MISS for a goal of speed that was not reached; else "".
        group: rows of several groups, such as precisions, are shown as a table with a column for each.
    """

    name: str
    value: float | str | None
    unit: str = ""
    limit: float | None = None
    verdict: str = ""
    group: str = ""

    def as_dict(self) -> dict:
        """For JSON, which knows no NaN and no infinity: they are written as text."""
        value = self.value
        finite = not isinstance(value, float) or value - value == 0
        return {**asdict(self), "value": value if finite else str(value)}


class Findings:
    """What a stage finds, handed on row by row, so that what was found before a crash is known.

    Args:
        send: function of a `Row`.
    """

    def __init__(self, send: Callable[[Row], None]):
        self._send = send

    def note(self, name: str, value: float | str | None, unit: str = "", group: str = "") -> None:
        """A measurement that nothing is held against."""
        self._send(Row(name, value, unit, group=group))

    def limit(self, name: str, value: float, most: float, unit: str = "", group: str = "") -> None:
        """A number that must not exceed `most`; NaN does."""
        self._send(Row(name, float(value), unit, most, PASS if value <= most else FAIL, group))

    def goal(self, name: str, value: float, most: float, unit: str = "", group: str = "") -> None:
        """A number that should not exceed `most`: beyond it is a MISS, which fails nothing."""
        self._send(Row(name, float(value), unit, most, "" if value <= most else MISS, group))

    def require(self, name: str, holds: bool, text: str = "", group: str = "") -> None:
        """Something that must hold; the text, by default yes or no, says what was found."""
        self._send(Row(name, text or ("yes" if holds else "no"), verdict=PASS if holds else FAIL, group=group))

    @contextmanager
    def attempt(self, name: str, group: str = "") -> Iterator[None]:
        """Go on after an error in the block: it is found as FAIL, and its stack is in the stage's output."""
        try:
            yield
        except Skipped:
            raise
        except Exception as error:
            traceback.print_exc()
            self.require(name, False, describe(error), group)


@dataclass(frozen=True)
class Setting:
    """What all stages are given.

    Attributes:
        device: "cpu" or "cuda:N".
        small: sizes for a CPU and for tests; else the full-size configurations.
        folder: where stages put files; those before left theirs.
        deadline: when the stage will be ended, in seconds of `time.monotonic`.
    """

    device: str
    small: bool
    folder: str
    deadline: float = float("inf")

    @property
    def on_cuda(self) -> bool:
        return self.device.startswith("cuda")

    def seconds_left(self) -> float:
        """Until the stage will be ended."""
        return self.deadline - time.monotonic()


@dataclass(frozen=True)
class Stage:
    """One stage.

    Attributes:
        name: one word, for --only.
        summary: what it proves.
        check: "module:name" of a function of `Setting` and `Findings`; it raises what it cannot bear, and `Skipped`. By
            name, for a library that cannot be imported shall fail the stages that need it and no others.
        weight: its share of the time, in seconds of a machine with a GPU.
        on_device: it says something of the device, so that on a CUDA machine leaving it out is a FAIL.
        module, extra: a library that it needs, and the extra of pyproject.toml that brings it.
    """

    name: str
    summary: str
    check: str
    weight: float
    on_device: bool = True
    module: str = ""
    extra: str = ""


@dataclass
class Result:
    """What became of a stage: the verdict, the seconds it took, why it is not PASS, its rows, and what it wrote."""

    stage: Stage
    verdict: str
    seconds: float
    limit_seconds: float
    rows: list[Row]
    reason: str = ""
    traceback: str = ""
    output: str = ""

    def as_dict(self) -> dict:
        """For JSON."""
        return {
            "stage": self.stage.name,
            "summary": self.stage.summary,
            "verdict": self.verdict,
            "seconds": round(self.seconds, 2),
            "limit_seconds": round(self.limit_seconds, 1),
            "reason": self.reason,
            "rows": [row.as_dict() for row in self.rows],
            "traceback": self.traceback,
            "output": self.output,
        }
