"""A class of faults and what a case of it is given."""

import os
import random
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from faults import child, inside
from faults.workplace import Workplace


@dataclass(frozen=True)
class FaultClass:
    """A kind of fault that is tried many times.

    Attributes:
        name: in the table and for --only, such as "kills.train".
        planned: how many cases.
        try_case: (`Case`) -> (what was done in words, list of problems).
        skip: () -> why it cannot be tried here, "" if it can.
        chunk: cases that a lane takes at a time.
        weight: seconds that a case takes, roughly.
        try_cases: as `try_case` of a list of cases, with the results in a list, where that is cheaper; or None.
    """

    name: str
    planned: int
    try_case: Callable
    skip: Callable = lambda: ""
    chunk: int = 1
    weight: float = 10.0
    try_cases: Callable | None = None


@dataclass
class Case:
    """What a case works with.

    Attributes:
        workplace: the `Workplace`.
        folder: its own, empty.
        number: within its class, from 0.
        random: a `random.Random` that the suite's seed, the class and the number determine.
        seed: what it was made from.
    """

    workplace: Workplace
    folder: Path
    number: int
    random: random.Random
    seed: str = ""
    _children: list = field(default_factory=list)

    @property
    def out(self):
        """Where the tool writes."""
        return self.folder / "out"

    def settings(self, **more):
        """`inside.Settings` that watch this case's folder."""
        allowed = [
            self.folder,
            "/dev/null",
            "/dev/shm",
            "/dev/tty",
            "/proc/self",
            self.workplace.folder / "home/.cache",
        ]
        fixed = {"record": str(self.folder / "outside.txt"), "counted": str(self.out)}
        return inside.Settings(allowed=[str(path) for path in allowed], **{**fixed, **more})

    def start(self, function, settings=None, limits=None, **options):
        """A `child.Child` of this case that runs a function, with a temporary folder of its own."""
        scratch = self.folder / "tmp"
        scratch.mkdir(exist_ok=True)
        log = self.folder / f"log{len(self._children)}.txt"

        def call():
            os.environ["TMPDIR"] = str(scratch)
            tempfile.tempdir = None
            return function()

        started = child.Child(call, log, settings or self.settings(), limits, **options)
        self._children.append(started)
        return started

    def run(self, function, settings=None, limits=None, **options):
        """Run a function in a child of this case: `child.Outcome`."""
        return self.start(function, settings, limits, **options).wait()

    def again(self):
        """The same case from its beginning, in an empty folder."""
        self.end()
        self.folder.mkdir()
        return Case(self.workplace, self.folder, self.number, random.Random(self.seed), self.seed)

    def end(self):
        """Kill what still runs and remove the folder."""
        for each in self._children:
            each.end()
        shutil.rmtree(self.folder, ignore_errors=True)


class Sentinel:
    """Folders in which nothing may change: names, sizes and times of what is in them.

    Args:
        folders: paths; what is below `.cache` is left out.
    """

    def __init__(self, folders):
        self._folders = list(folders)
        self._before = self._state()

    def changes(self):
        """What has changed since the last call: list of paths."""
        now = self._state()
        found = sorted(path for path in {*now, *self._before} if now.get(path) != self._before.get(path))
        self._before = now
        return found

    def _state(self):
        found = {}
        for folder in self._folders:
            for base, folders, files in os.walk(folder):
                folders[:] = [name for name in folders if name not in (".cache", "__pycache__")]
                for name in (*folders, *files):
                    path = os.path.join(base, name)
                    status = os.lstat(path)
                    is_folder = name in folders
                    found[path] = None if is_folder else (status.st_size, status.st_mtime_ns)
        return found
