"""SIGKILL at seeded moments: nothing half-written under a real name, and the next run ends as if nothing had been."""

from faults.case import FaultClass
from faults.judge import check_end
from faults.tools import OTHERS, TRAIN, check_same, check_whole

TRAININGS, EACH_OTHER = 24, 10
_FRESH = 6  # each so many-th case is a fresh interpreter, whose kill may come while it imports
_IMPORTS = 5.0  # seconds


def kill(case, tool):
    """Kill a tool at a moment, look at its folder, and run it again."""
    reference = case.workplace.references[tool.name]
    tool.prepare(case.workplace, case.out)
    fresh = case.number % _FRESH == _FRESH - 1
    at_change = not fresh and case.random.random() < 0.6
    if at_change:
        moment = case.random.randint(1, max(1, reference.changes))
        what = f"{tool.name} killed before its change {moment} of {reference.changes}"
        started = case.start(tool.function(case.workplace, case.out), case.settings(kill_at=moment))
        started.wait()
    else:
        seconds = case.random.uniform(0.0, reference.seconds + (_IMPORTS if fresh else 0.0))
        what = f"{tool.name} killed after {seconds:.2f} s" + (", a fresh interpreter" if fresh else "")
        settings = case.settings()
        function = tool.fresh(case.workplace, case.out, settings) if fresh else tool.function(case.workplace, case.out)
        started = case.start(function, None if fresh else settings)
        started.pause(seconds)
        started.kill()
        started.wait()
    problems = check_whole(case.out)
    outcome = case.run(tool.function(case.workplace, case.out))
    problems += [f"the next run {problem}" for problem in check_end(outcome)]
    if not problems:
        problems = [f"after the next run: {p}" for p in check_same(tool, case.out, reference.folder)]
    return what, problems


def _class(tool, planned, weight):
    return FaultClass(f"kills.{tool.name}", planned, lambda case: kill(case, tool), weight=weight)


CLASSES = [_class(TRAIN, TRAININGS, 5.0), *(_class(tool, EACH_OTHER, 3.0) for tool in OTHERS)]
