"""One damaged thing before one door of the package: it is taken, or refused in a good line; nothing else."""

import gc
import traceback
from collections.abc import Callable
from dataclasses import dataclass

from faults.case import FaultClass
from faults.child import WAIT, Limits
from faults.judge import check_end, check_line


@dataclass
class Attempt:
    """A door and what is put before it.

    Attributes:
        what: the damage in words.
        door: called without arguments; returns a list of problems, or None, if it takes what it is given.
        names: texts of which the line of a refusal has to hold one.
        place: see `judge.check_line`.
    """

    what: str
    door: Callable
    names: tuple = ()
    place: bool = False


def mutation_class(name, planned, make, seconds=WAIT, warm=None, chunk=10, together=True):
    """A `FaultClass` whose cases are attempts.

    Args:
        make: (case) -> `Attempt`, in a process of its own.
        seconds: that an attempt may take.
        warm: (workplace) -> None, called once in the process that the cases are forked from.
        chunk: cases that a lane takes at a time.
        together: whether those of a chunk may be tried in one process. What fails there is tried again alone.
    """
    warmed = []

    def warm_up(workplace):
        if warm is not None and not warmed:
            warm(workplace)
            gc.freeze()
            warmed.append(True)

    def try_one(case):
        case.out.mkdir()
        attempt = make(case)
        (case.folder / "what.txt").write_text(attempt.what, errors="backslashreplace")
        return attempt.what, problems_of(attempt)

    def try_case(case):
        warm_up(case.workplace)
        outcome = case.run(lambda: try_one(case), limits=Limits(seconds=seconds, idle=seconds))
        words = case.folder / "what.txt"
        what = words.read_text() if words.is_file() else "making the damage"
        return what, [*(outcome.value or (what, []))[1], *check_end(outcome)]

    def try_cases(cases):
        warm_up(cases[0].workplace)
        settings = cases[0].settings()
        settings.allowed += [str(case.folder) for case in cases]
        outcome = cases[0].run(lambda: list(map(try_one, cases)), settings, Limits(seconds=seconds, idle=seconds))
        found = outcome.value
        if found is None or check_end(outcome):
            return [try_case(case.again()) for case in cases]
        return [_confirmed(try_case, case, *result) if result[1] else result for case, result in zip(cases, found)]

    return FaultClass(
        f"mutations.{name}", planned, try_case, chunk=chunk, weight=0.2, try_cases=try_cases if together else None
    )


def _confirmed(try_case, case, what, problems):
    """What a case comes to that failed in a process with others."""
    alone = try_case(case.again())
    if alone[1]:
        return alone
    return what, [f"{problem} (only after other cases in one process)" for problem in problems]


def problems_of(attempt):
    """What is wrong with how a door takes an `Attempt`: list."""
    from maskrcnn_benchmark.utils.errors import Interrupted, UserError

    try:
        return list(attempt.door() or [])
    except UserError as error:
        return check_line(" ".join(str(error).rsplit("UserError: ", 1)[-1].split("\n")), attempt.names, attempt.place)
    except Interrupted:
        return []
    except MemoryError as error:
        return [f"MemoryError{place_of(error)}: {error}"]
    except Exception as error:
        return [f"{type(error).__name__}{place_of(error)}: {str(error)[:200]}"]


def place_of(error):
    """ " at engine/trainer.py:33" of the innermost frame of the package in an error's trace."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "maskrcnn_benchmark/" in frame.filename]
    if not frames:
        return ""
    return f" at {frames[-1].filename.rpartition('maskrcnn_benchmark/')[2]}:{frames[-1].lineno}"
