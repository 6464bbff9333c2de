"""Runs the classes in two lanes, shows how far they are, and prints the table."""

import argparse
import gc
import json
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from multiprocessing.connection import wait
from pathlib import Path

from faults import processes
from faults.case import Case, Sentinel
from faults.table import Failure, Row, format_failures, format_table
from faults.workplace import ROOT, Workplace

MINUTES = 20.0
SAY = 15.0  # seconds between two lines
LANES = 2
REPEAT = 'make fault-test ARGS="--seed {seed} --only {name} --case {case}"'
_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    "MPLBACKEND": "Agg",
    "CUDA_VISIBLE_DEVICES": "",
    "NO_ALBUMENTATIONS_UPDATE": "1",
    "TQDM_DISABLE": "1",
}
_NOT_HANDED_ON = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "TORCH_DETECTRON_ENV_MODULE")


def parse_arguments(arguments=None):
    parser = argparse.ArgumentParser("make fault-test", description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="of all cases (default: %(default)s)")
    parser.add_argument(
        "--only",
        default="",
        metavar="A,B",
        help="classes, or the beginnings of their names, such as kills,mutations.yaml",
    )
    parser.add_argument("--case", type=int, metavar="N", help="this case of a class alone; keeps its folder")
    parser.add_argument(
        "--share", type=float, default=1.0, metavar="X", help="of the cases, such as 0.1 for a quick look"
    )
    parser.add_argument("--minutes", type=float, default=MINUTES, help="at most (default: %(default)s)")
    parser.add_argument("--lanes", type=int, default=LANES, metavar="N", help="cases at a time (default: %(default)s)")
    parser.add_argument("--report", default="", metavar="FILE", help="every failure as JSON")
    parser.add_argument("--list", action="store_true", help="name the classes and end")
    return parser.parse_args(arguments)


def choose(classes, only):
    """The classes that `only` names; raises SystemExit where it names none."""
    names = [name.strip() for name in only.split(",") if name.strip()]
    for name in names:
        if not any(each.name == name or each.name.startswith(name) for each in classes):
            sys.exit(f"error: --only {name} is no class; see --list")
    return [each for each in classes if not names or any(each.name.startswith(name) for name in names)]


def main(arguments=None):
    """Run the suite; returns 0 if nothing failed, 1 otherwise, 130 after Ctrl-C."""
    options = parse_arguments(arguments)
    if not sys.platform.startswith("linux"):
        sys.exit("error: the fault suite looks at /proc and needs Linux")
    began = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="maskrcnn-benchmark-faults-"))
    for name in ("home", "cwd", "cases"):
        (folder / name).mkdir()
    prepare_environment(folder)
    processes.adopt_orphans()
    try:
        from faults.classes import CLASSES  # imports the package, and PyTorch with it

        classes = choose(CLASSES, options.only)
    except BaseException:
        shutil.rmtree(folder)
        raise
    if options.list:
        shutil.rmtree(folder)
        print("\n".join(f"{each.name:24} {each.planned}" for each in classes))
        return 0
    # whatever the package does with signals at its import, here they end the suite, with its table
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    workplace = Workplace(folder)
    rows = {each.name: Row(each.name, max(1, round(each.planned * options.share))) for each in classes}
    if options.case is not None:
        rows = {name: Row(name, 1) for name in rows}
    for each in classes:
        rows[each.name].skipped = each.skip()
    interrupted, lanes = False, []
    try:
        from faults.references import make_references

        make_references(workplace, say)
        gc.collect()
        gc.freeze()  # a collection in a fork would copy what the forks share
        jobs = make_jobs(classes, rows, options)
        lanes = [Lane(workplace, classes, options) for _ in range(min(options.lanes, max(1, len(jobs))))]
        hand_out(lanes, jobs, rows, began, 60 * options.minutes)
    except KeyboardInterrupt:
        interrupted = True
    finally:
        for lane in lanes:
            lane.end()
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        for number in processes.children(os.getpid()):
            processes.kill_all(processes.family(number))
        if options.case is None:
            shutil.rmtree(folder, ignore_errors=True)
    return report(rows, options, time.monotonic() - began, interrupted, folder)


def report(rows, options, seconds, interrupted, folder):
    """Print the table and the failures; returns the exit code."""
    rows = list(rows.values())
    failures = format_failures(rows, options.seed, REPEAT)
    print(f"\n{format_table(rows)}\n")
    if failures:
        print(f"{failures}\n")
    if options.report:
        tree = {row.name: [vars(failure) for failure in row.failures] for row in rows}
        Path(options.report).write_text(json.dumps({"seed": options.seed, "failures": tree}, indent=1, default=str))
    untried = sum(row.planned - row.tried for row in rows if not row.skipped)
    failed = sum(row.failed for row in rows)
    words = (
        f"{failed} failures of {sum(row.tried for row in rows)} cases, seed {options.seed}, {seconds / 60:.1f} minutes"
    )
    if untried:
        words += f"; {untried} cases were not tried ({'interrupted' if interrupted else 'out of time'})"
    if options.case is not None:
        words += f"; its folder: {folder}"
    print(words, flush=True)
    return 130 if interrupted else int(bool(failed or untried))


def prepare_environment(folder):
    """Give this process, and all that it starts, a home and a working folder in which nothing may change."""
    for name in _NOT_HANDED_ON:
        os.environ.pop(name, None)
    path = [str(ROOT), str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")]
    os.environ.update(_ENVIRONMENT, HOME=str(folder / "home"), PYTHONPATH=os.pathsep.join(filter(None, path)))
    for name in ("XDG_CACHE_HOME", "TORCH_HOME", "MPLCONFIGDIR", "TORCHINDUCTOR_CACHE_DIR"):
        os.environ[name] = str(folder / "home" / ".cache")
    sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
    sys.dont_write_bytecode = True
    os.chdir(folder / "cwd")


def make_jobs(classes, rows, options):
    """[(class name, [case numbers])], those that take long first."""
    jobs = []
    for each in classes:
        row = rows[each.name]
        if row.skipped:
            continue
        cases = list(range(row.planned)) if options.case is None else [options.case]
        jobs += [
            (each.weight * each.chunk, each.name, cases[i : i + each.chunk]) for i in range(0, len(cases), each.chunk)
        ]
    # classes side by side, so that time running out leaves something of each
    order = random.Random(options.seed)
    order.shuffle(jobs)
    return [(name, cases) for _, name, cases in jobs]


class Lane:
    """A process that tries one case after the other."""

    def __init__(self, workplace, classes, options):
        self.connection, theirs = multiprocessing.Pipe()
        self.pid = os.fork()
        if self.pid == 0:
            self.connection.close()
            _work(theirs, workplace, {each.name: each for each in classes}, options)
        theirs.close()
        self.busy = None

    def give(self, job):
        """Hand it a job, a class name and case numbers."""
        self.busy = job[0]
        self.connection.send(job)

    def end(self):
        """Kill it and all below it."""
        processes.kill_all(processes.family(self.pid))


def _work(connection, workplace, classes, options):
    """What a lane does; never returns."""
    try:
        os.setpgid(0, 0)  # Ctrl-C is the runner's
        processes.die_with_parent()
        processes.adopt_orphans()
        sentinel = Sentinel([workplace.folder / "home", workplace.folder / "cwd", workplace.shared])
        while True:
            name, numbers = connection.recv()
            for result in _try(classes[name], numbers, workplace, options, sentinel):
                connection.send((name, *result))
            connection.send(None)
    except EOFError:
        pass
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(0)


def _try(fault_class, numbers, workplace, options, sentinel):
    """Yield (case number, what, problems, seconds) of cases."""
    together = fault_class.try_cases is not None and len(numbers) > 1
    for some in [numbers] if together else [[number] for number in numbers]:
        cases, began = [_case(fault_class, number, workplace, options) for number in some], _processor_seconds()
        try:
            results = fault_class.try_cases(cases) if together else [fault_class.try_case(cases[0])]
        except Exception:
            results = [("the suite itself failed", [traceback.format_exc()])] * len(cases)
        for case in cases:
            if options.case is None:
                case.end()
        while _reaped_orphan():
            pass
        changed = [path for path in sentinel.changes() if "/cases/" not in path]
        if changed:
            words = f"changed outside its folder: {', '.join(changed[:4])}"
            results = [(what, [*problems, words]) for what, problems in results]
        seconds = (_processor_seconds() - began) / len(cases)
        for case, (what, problems) in zip(cases, results):
            yield case.number, what, problems, seconds


def _case(fault_class, number, workplace, options):
    folder = workplace.folder / "cases" / f"{fault_class.name}-{number}"
    folder.mkdir()
    seed = f"{options.seed}/{fault_class.name}/{number}"
    return Case(workplace, folder, number, random.Random(seed), seed)


def _processor_seconds():
    """Of this process and of those below it that have ended."""
    return sum(os.times()[:4])


def _reaped_orphan():
    try:
        return os.waitpid(-1, os.WNOHANG)[0]
    except ChildProcessError:
        return 0


def hand_out(lanes, jobs, rows, began, seconds):
    """Keep the lanes busy and take in what they find, until all is done or the time is over."""
    waiting = list(reversed(jobs))
    last = time.monotonic()
    for lane in lanes:
        if waiting:
            lane.give(waiting.pop())
    while any(lane.busy for lane in lanes):
        by_connection = {lane.connection: lane for lane in lanes if lane.busy}
        for connection in wait(by_connection, timeout=1.0):
            lane = by_connection[connection]
            try:
                message = connection.recv()
            except EOFError:
                sys.exit(f"error: a lane ended in the midst of {lane.busy}")
            if message is not None:
                _take_in(rows, message)
                continue
            lane.busy = None
            if waiting:
                lane.give(waiting.pop())
        now = time.monotonic()
        if now - began > seconds:
            return
        if now - last > SAY:
            last = now
            tried, planned = sum(row.tried for row in rows.values()), sum(row.planned for row in rows.values())
            failed = sum(row.failed for row in rows.values())
            at_work = ", ".join(
                f"{lane.busy} ({rows[lane.busy].tried}/{rows[lane.busy].planned})" for lane in lanes if lane.busy
            )
            say(f"{(now - began) / 60:4.1f} min  {tried}/{planned} tried, {failed} failed; now {at_work}")


def _take_in(rows, message):
    name, number, what, problems, seconds = message
    row = rows[name]
    row.tried += 1
    row.seconds += seconds
    if problems:
        row.failures.append(Failure(number, what, problems))
    if row.tried == row.planned:
        say(f"{row.name}: {row.held} of {row.tried} held, {row.failed} failed ({row.seconds:.0f} s)")


def say(text):
    """A line at once."""
    print(text, flush=True)
