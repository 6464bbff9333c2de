"""Undisturbed runs of every tool, which disturbed ones are compared with."""

import os
import random
import shutil
import sys
import time

from faults.case import Case
from faults.judge import check_end
from faults.tools import OTHERS, TOOLS, TRAIN
from faults.workplace import Reference, make_files


def make_references(workplace, say):
    """Make the shared files and run every tool once. Ends the suite where one of them does not work undisturbed."""
    began = time.monotonic()
    case = Case(workplace, workplace.folder / "cases" / "making", 0, random.Random(0))
    case.folder.mkdir()
    _demand(case.run(lambda: make_files(workplace), case.settings(record="")), "drawing data and making a network")
    _run(workplace, TRAIN)
    _make_runs(workplace)
    test = TOOLS["test"]
    _run(workplace, test)
    answers = next((workplace.references["test"].folder / "inference").iterdir())
    shutil.copytree(answers, workplace.answers)
    running = [_start(workplace, tool) for tool in OTHERS if tool is not test]
    for tool, case, started in running:
        _take(workplace, tool, case, started)
    say(f"made data, a network and undisturbed runs of {len(TOOLS)} tools in {time.monotonic() - began:.0f} s")


def _make_runs(workplace):
    """Two finished runs to compare: the training, and a copy of it that another seed would have made."""
    folder = workplace.references[TRAIN.name].folder
    for name in ("a", "b"):
        shutil.copytree(folder, workplace.runs / name, ignore=shutil.ignore_patterns("*.pth"))
    path = workplace.runs / "b" / "config.yml"
    path.write_text(path.read_text().replace("SEED: 3", "SEED: 4"))


def _start(workplace, tool):
    folder = workplace.folder / "references" / tool.name
    folder.mkdir(parents=True)
    case = Case(workplace, folder, 0, random.Random(0))
    tool.prepare(workplace, case.out)
    settings = case.settings(count=str(folder / "changes"))
    return tool, case, case.start(tool.function(workplace, case.out), settings)


def _take(workplace, tool, case, started):
    outcome = started.wait()
    _demand(outcome, tool.name)
    changes = os.path.getsize(case.folder / "changes")
    workplace.references[tool.name] = Reference(case.out, outcome.seconds, changes)


def _run(workplace, tool):
    _take(workplace, *_start(workplace, tool))


def _demand(outcome, name):
    problems = check_end(outcome)
    if problems:
        sys.exit(f"error: undisturbed, {name} does not work: {'; '.join(problems)}\n{outcome.output[-2000:]}")
