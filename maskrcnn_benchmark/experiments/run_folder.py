"""One run as its OUTPUT_DIR tells it: options, results, record, curves, and how far it has come."""

import math
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from maskrcnn_benchmark.engine.best_result import describe
from maskrcnn_benchmark.engine.evaluation_report import RESULTS
from maskrcnn_benchmark.engine.results import read_results
from maskrcnn_benchmark.engine.trainer import FINAL
from maskrcnn_benchmark.experiments.learning_curves import TOTAL, Curve, logged_seconds, read_curves
from maskrcnn_benchmark.experiments.planned_runs import last_line
from maskrcnn_benchmark.experiments.run_record import FINISHED, RECORD, RUNNING, is_at_work, read_record
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.text import printable, printable_lines
from maskrcnn_benchmark.utils.yaml_file import read_yaml

CONFIG = "config.yml"
TRAINED, KILLED, UNFINISHED = "trained", "killed", "not finished"
_DEEPEST_OPTION = 8
_DEPTH = 5  # of folders that are looked through for runs: an ablation's are runs/TASKS/METHOD/seedN


@dataclass
class RunFolder:
    """What a run has left so far.

    Attributes:
        folder: its `Path`.
        options: {"SOLVER.BASE_LR": value, ...} of its config.yml, lists for tuples; None where that cannot be read.
        results: as `engine.results.read_results` returns them; {} without any.
        record: as `run_record.read_record` returns it; None without one.
        curves: as `learning_curves.read_curves` returns them.
        state: running, finished, interrupted or failed by the record; killed where that process is gone. Without a
            record: finished (with results), trained (without), not finished.
        iteration: the last one that is known of; None without any.
        training_seconds: of all its starts together; None where nothing tells.
        problems: list of lines, each about a file that cannot be read.
    """

    folder: Path
    options: dict[str, Any] | None = None
    results: dict[str, dict[str, Any]] = field(default_factory=dict)
    record: dict[str, Any] | None = None
    curves: dict[str, Curve] = field(default_factory=dict)
    state: str = UNFINISHED
    iteration: int | None = None
    training_seconds: float | None = None
    problems: list[str] = field(default_factory=list)

    @property
    def error(self) -> str | None:
        """What ended a run that failed, else None."""
        return (self.record or {}).get("error")

    @property
    def seed(self) -> int | None:
        """SOLVER.SEED as drawn, or None."""
        return (self.options or {}).get("SOLVER.SEED")

    @property
    def best(self) -> str:
        """The best evaluation on the way, in words; "" where none was looked for."""
        best = (self.record or {}).get("best") or {}
        return describe({**best, "metric": printable(best["metric"], 100)}) if len(best) == 3 else ""

    @property
    def has_ended_early(self) -> bool:
        """Whether it is finished although it had iterations left, by SOLVER.BEST.PATIENCE."""
        done, goal = ((self.record or {}).get(key) for key in ("iteration", "max_iteration"))
        return self.state == FINISHED and done is not None and goal is not None and done < goal

    @property
    def commit(self) -> str | None:
        """The code of the last start, "4adc4b186d" or with uncommitted changes "4adc4b186d+"; None where unknown."""
        git = (self.record or {"starts": [{}]})["starts"][-1].get("git") or {}
        return git["commit"][:10] + ("+" if git.get("dirty") else "") if git.get("commit") else None

    @property
    def test_set(self) -> str | None:
        """Name of the data set that its results are of; None where that is unknown."""
        names = (self.options or {}).get("DATASETS.TEST")
        return names[0] if isinstance(names, list) and names and isinstance(names[0], str) else None


def find_runs(folder: str | os.PathLike) -> tuple[list[Path], list[str]]:
    """The runs that a folder is or holds, such as those of a sweep or an ablation.

    Returns:
        (list of `Path`, list of lines on planned runs in which no training began).

    Raises:
        UserError: there is none.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"{folder}: there is no such folder")
    runs: list[Path] = []
    problems: list[str] = []
    _collect(folder, _DEPTH, runs, problems)
    if not runs and not problems:
        raise UserError(f"{folder} is no run: there is no {CONFIG} in it or in the folders below it")
    return runs, problems


def _collect(folder, depth, runs, problems):
    if (folder / CONFIG).is_file() or (folder / RECORD).is_file():
        runs.append(folder)
        return
    for options in folder.glob("*_run.json"):
        log = folder / options.name.replace("_run.json", ".log")
        words = last_line(log) if log.is_file() else "nothing was logged"
        problems.append(f"{folder}: no training began here ({words})")
    try:
        children = sorted(path for path in folder.iterdir() if path.is_dir() and not path.is_symlink()) if depth else []
    except OSError as error:
        problems.append(f"cannot look into {folder}: {error.strerror}")
        return
    for child in children:
        _collect(child, depth - 1, runs, problems)


def read_run(folder: str | os.PathLike) -> RunFolder:
    """The `RunFolder` of an OUTPUT_DIR; what cannot be read is in its `problems`, and the rest is there."""
    run = RunFolder(Path(folder))
    run.options = _read(run, CONFIG, _read_options, missing=f"{run.folder / CONFIG}: there is no such file")
    run.results = _read(run, RESULTS, read_results) or {}
    run.record = _read(run, RECORD, read_record)
    run.curves = _read(run, "", read_curves) or {}
    run.state = _state(run)
    run.iteration = _iteration(run)
    run.training_seconds = _training_seconds(run)
    return run


def _read(run, name, read, missing=None):
    """What `read` makes of a file; None with a line in `run.problems`, for a missing one the words of `missing`."""
    path = run.folder / name
    if not path.exists():
        run.problems += [missing] if missing else []
        return None
    try:
        return read(path)
    except UserError as error:
        run.problems.append(str(error))
        return None


def _read_options(path):
    try:
        tree = read_yaml(path)
    except UserError as error:
        raise UserError(f"{path} is damaged: it holds no options ({error})") from None
    if not isinstance(tree, dict) or not tree:
        raise UserError(f"{path} is damaged: it holds no options")
    return dict(_leaves(tree, "", path, _DEEPEST_OPTION))


def _leaves(tree, group, path, levels):
    for name, value in tree.items():
        if isinstance(value, dict) and not levels:
            raise UserError(f"{path} is damaged: {group[:40]} has groups of options in groups without end")
        if isinstance(value, dict):
            yield from _leaves(value, f"{group}{name}.", path, levels - 1)
        else:
            yield printable(f"{group}{name}"), _plain(value, path, levels)


def _plain(value, path, levels):
    """An option's value, which is a number, a text or a list of such."""
    if isinstance(value, list) and levels:
        return [_plain(item, path, levels - 1) for item in value]
    if isinstance(value, str):
        return printable_lines(value)
    if value is None or (isinstance(value, int | float) and abs(value) < 2**64):  # not for infinity, not for NaN
        return value
    raise UserError(f"{path} is damaged: an option has a value that no option has")


def _state(run):
    if run.record is None:
        final = (run.folder / f"{FINAL}.pth").is_file()
        return FINISHED if run.results else TRAINED if final else UNFINISHED
    if run.record["state"] == RUNNING and not is_at_work(run.record):
        return KILLED
    return run.record["state"]


def _iteration(run):
    known = [int(run.curves[TOTAL].steps[-1])] if TOTAL in run.curves else []
    if run.record is not None and isinstance(run.record.get("iteration"), int):
        known.append(run.record["iteration"])
    return max(known, default=None)


def _training_seconds(run):
    """By the record where all starts have ended, else by the log."""
    if run.record is not None:
        parts = [start.get("training_seconds") for start in run.record["starts"]]
        if all(isinstance(part, int | float) and math.isfinite(part) for part in parts):
            return sum(parts)
    return logged_seconds(run.folder)
