"""SIGINT, SIGTERM and SIGHUP at seeded moments: an end within 20 s, a word about it, and a run that goes on."""

import json
import signal

from faults.case import FaultClass
from faults.child import WAIT
from faults.judge import check_end
from faults.tools import OTHERS, STOPPED, TRAIN, check_same, check_whole

TRAININGS, EACH_OTHER = 15, 3
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def interrupt(case, tool):
    """Send a signal to a tool at a moment, and run it again."""
    reference = case.workplace.references[tool.name]
    tool.prepare(case.workplace, case.out)
    number = SIGNALS[case.number % len(SIGNALS)]
    fresh = case.number % 5 == 4
    # the first tenths are the fork's own
    seconds = case.random.uniform(0.1, reference.seconds) + (case.random.uniform(1.0, 5.0) if fresh else 0.0)
    what = f"{tool.name} got {number.name} after {seconds:.2f} s" + (", a fresh interpreter" if fresh else "")
    settings = case.settings()
    function = tool.fresh(case.workplace, case.out, settings) if fresh else tool.function(case.workplace, case.out)
    started = case.start(function, None if fresh else settings)
    started.pause(seconds)
    running = started.alive()
    started.kill(number)
    outcome = started.wait(WAIT)
    problems = check_end(outcome, codes=(0, *STOPPED) if running else (0,))
    problems += check_whole(case.out)
    if tool is TRAIN:
        problems += _check_record(case.out / "run.json", outcome)
    outcome = case.run(tool.function(case.workplace, case.out))
    problems += [f"the next run {problem}" for problem in check_end(outcome)]
    if not problems:
        problems = [f"after the next run: {p}" for p in check_same(tool, case.out, _same_names(case, reference, tool))]
    return what, problems


def _check_record(path, outcome):
    """Whether run.json, where it was begun, tells how the run ended."""
    if not path.is_file():
        return []
    state = json.loads(path.read_bytes())["state"]
    wanted = "finished" if outcome.code == 0 else "interrupted"
    return [] if state == wanted else [f"run.json says {state!r} of a run that ended with {outcome.code}"]


def _same_names(case, reference, tool):
    """The undisturbed folder; a training that was asked to stop has a checkpoint more, where it did."""
    if tool is TRAIN:
        wanted = {path.name for path in reference.folder.glob("model_*.pth")}
        extra = [path for path in case.out.glob("model_*.pth") if path.name not in wanted]
        for path in extra[:1]:
            path.unlink()
    return reference.folder


def _class(tool, planned):
    return FaultClass(f"signals.{tool.name}", planned, lambda case: interrupt(case, tool), weight=6.0)


CLASSES = [_class(TRAIN, TRAININGS), *(_class(tool, EACH_OTHER) for tool in OTHERS)]
