"""Full disks: real ones of ten sizes, and injected failures of write, fsync and rename, TensorBoard's included."""

import os

from faults import namespace
from faults.case import FaultClass
from faults.judge import TRACE, check_end
from faults.tools import OTHERS, STOPPED, TRAIN, check_same, check_whole
from faults.workplace import PERIOD

SIZES = 10
ROOM = 1 << 30
TRIED = (TRAIN, *(tool for tool in OTHERS if tool.name in ("test", "predict", "export", "prepare", "mini_detail")))
INJECTED = ("write", "fsync", "rename", "events")
_PAGE = 4096


def full_disk(case, tool):
    """A tool that writes to a small file system, and again when there is room."""
    reference = case.workplace.references[tool.name]
    used = _bytes_of(reference.folder)
    # from nearly nothing to nearly enough
    share = (case.number + case.random.random()) / SIZES
    size = max(1, int(used * share) // _PAGE) * _PAGE
    what = f"{tool.name} on a disk of {size:,} bytes, of {used:,} that it needs"

    def inside_namespace():
        namespace.mount_small(case.out, ROOM)
        tool.prepare(case.workplace, case.out)
        size_now = size + _bytes_of(case.out)
        namespace.resize(case.out, max(size_now, _PAGE * (2 + len(list(case.out.iterdir())))))
        outcome = case.run(tool.function(case.workplace, case.out))
        problems = _check(tool, outcome, case.out)
        namespace.resize(case.out, ROOM)
        return problems + _check_next(case, tool, reference)

    return what, namespace.within(inside_namespace)


def injected(case, tool):
    """A tool in which write, fsync or rename fails as on a full disk from some moment on, and again without."""
    reference = case.workplace.references[tool.name]
    kinds = INJECTED if tool is TRAIN else INJECTED[:3]
    kind = kinds[case.number % len(kinds)]
    after = (
        case.random.randrange(12) if kind in ("fsync", "rename") else case.random.randrange(_bytes_of(reference.folder))
    )
    if kind == "events":
        after = case.random.randrange(4000)
    what = f"{tool.name}, {kind} fails after {after:,}"
    tool.prepare(case.workplace, case.out)
    settings = case.settings(full=kind, full_after=after)
    outcome = case.run(tool.function(case.workplace, case.out), settings)
    return what, _check(tool, outcome, case.out) + _check_next(case, tool, reference)


def _check(tool, outcome, out):
    """Problems of how a tool ended on a full disk: it may have had room enough, or gone on without what it logs."""
    problems = check_end(outcome, codes=(0, 1, 2, *STOPPED), names=(str(out), "space", "disk"))
    if outcome.code == 1 and TRACE not in outcome.output:
        words = outcome.output.lower()
        if "space" not in words and "disk" not in words and "cannot write" not in words:
            problems.append("ended with 1 and no word about the disk")
    return [f"on the full disk {problem}" for problem in problems + check_whole(out)]


def _check_next(case, tool, reference):
    outcome = case.run(tool.function(case.workplace, case.out))
    problems = check_end(outcome)
    if not problems:
        if tool is TRAIN:  # one that stopped saves where it is
            for path in case.out.glob("model_*.pth"):
                number = path.stem.removeprefix("model_")
                if number.isdecimal() and int(number) % PERIOD:
                    path.unlink()
        problems = check_same(tool, case.out, reference.folder)
    return [f"with room again {problem}" for problem in problems]


def _bytes_of(folder):
    """Bytes that the files of a folder take on a file system of pages."""
    total = 0
    for base, folders, files in os.walk(folder):
        total += _PAGE * len(folders)
        total += sum(-(-os.path.getsize(os.path.join(base, file)) // _PAGE) * _PAGE for file in files)
    return total


def _classes():
    for tool in TRIED:
        # an export takes ten times as long as the others
        planned = 3 if tool.name == "export" else SIZES
        yield FaultClass(
            f"disk.{tool.name}", planned, lambda case, tool=tool: full_disk(case, tool), skip=namespace.reason_against
        )
        planned = {"train": 12, "export": 2}.get(tool.name, 6)
        yield FaultClass(f"injected.{tool.name}", planned, lambda case, tool=tool: injected(case, tool))


CLASSES = list(_classes())
