"""A run's record, `run.json` in its OUTPUT_DIR: by what command, code, machine and seed it was trained, and its end."""

import contextlib
import json
import logging
import os
import shlex
import sys
import time
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch
from yacs.config import CfgNode

from maskrcnn_benchmark import __version__
from maskrcnn_benchmark.engine.interruption import StopRequest
from maskrcnn_benchmark.engine.trainer import BEST_EVALUATION, is_finished
from maskrcnn_benchmark.utils.collect_env import collect_environment
from maskrcnn_benchmark.utils.comm import get_world_size, is_main_process
from maskrcnn_benchmark.utils.errors import Interrupted, UserError, line_of
from maskrcnn_benchmark.utils.files import NotWritten, atomic_write
from maskrcnn_benchmark.utils.git import collect_git_state
from maskrcnn_benchmark.utils.processes import is_there, this_process
from maskrcnn_benchmark.utils.small_json import read_small_json

RECORD = "run.json"
RUNNING, FINISHED, INTERRUPTED, FAILED = "running", "finished", "interrupted", "failed"

logger = logging.getLogger(__name__)


@contextlib.contextmanager
def record_run(
    cfg: CfgNode,
    arguments: Mapping[str, Any],
    device: torch.device | None = None,
    changed: Mapping[str, list[Any]] | None = None,
) -> Iterator["RunRecord"]:
    """Record what happens inside the block, in the main process; numbers of the run do not depend on it.

    The file is written when the block begins and again when it ends:

    - "state": running, finished, interrupted or failed; "error": the one line of a failed one, else None.
    - "iteration", "max_iteration": of the last checkpoint, and asked for; a finished run with less has ended early.
    - "best": {"metric", "value", "iteration"} of the best evaluation by SOLVER.BEST.METRIC, else None.
    - "seconds", "training_seconds": from beginning to end, and of the training alone, of all starts together but for
      those that were killed.
    - "starts": for each time that the run was started or resumed the above, and "command" as typed, "folder" that it
      was typed in, "git" (see `utils.git.collect_git_state`), "environment" (see `utils.collect_env`), "version" of
      this package, "host", "process", "processes", "seed" as drawn, "from_iteration", "changed_options" since the start
      before, "started" and "ended" (ISO 8601).

    A run that is complete is not recorded again when its command is repeated. A file that cannot be written is a
    warning: the network matters more.

    Args:
        cfg: the config, with the seed that was drawn.
        arguments: the dictionary that `do_train` keeps: its "iteration" is that of the last checkpoint.
        device: of this process; see `utils.collect_env.collect_environment`.
        changed: {option: [value before, value now]} of a training that goes on with other options.

    Yields:
        `RunRecord`.
    """
    record = RunRecord(cfg, arguments, device, changed)
    if not is_main_process() or record.is_complete():
        yield record
        return
    record.describe_start()
    try:
        record.begin()
        yield record
    except (Interrupted, KeyboardInterrupt, SystemExit):
        record.end(INTERRUPTED)
        raise
    except BaseException as error:
        record.end(FAILED, one_line(error))
        raise
    with StopRequest():  # a request that comes now finds the run finished, and ends what follows
        record.end(FINISHED)


class RunRecord:
    """The record of a run while it is at work, see `record_run`."""

    def __init__(
        self,
        cfg: CfgNode,
        arguments: Mapping[str, Any],
        device: torch.device | None = None,
        changed: Mapping[str, list[Any]] | None = None,
    ) -> None:
        self.device, self.changed = device, dict(changed or {})
        self.path = Path(cfg.OUTPUT_DIR) / RECORD
        self.seed, self.goal, self.arguments = cfg.SOLVER.SEED, cfg.SOLVER.MAX_ITER, arguments
        self.was_finished = is_finished(cfg, arguments)
        self.before = _former(self.path, arguments["iteration"]) if is_main_process() else {}
        self.clock = time.monotonic()
        self.training_seconds: float | None = None
        self._is_told = False  # that it cannot be written

    def is_complete(self) -> bool:
        """Whether the file says that there is nothing left to do."""
        return self.before.get("state") == FINISHED and self.was_finished

    def trained(self) -> None:
        """Take the time: what follows is evaluation."""
        self.training_seconds = time.monotonic() - self.clock

    def describe_start(self) -> None:
        self.start = {
            "command": shlex.join(sys.orig_argv),
            "folder": os.getcwd(),
            "git": collect_git_state(),
            "environment": collect_environment(self.device),
            "version": __version__,
            **this_process(),
            "processes": get_world_size(),
            "seed": self.seed,
            "started": _now(),
            "ended": None,
            "from_iteration": self.arguments["iteration"],
            "changed_options": self.changed,
        }

    def begin(self) -> None:
        self._write(RUNNING)

    def end(self, state: str, error: str | None = None) -> None:
        if self.training_seconds is None and not self.was_finished:
            self.trained()
        self.start["ended"] = _now()
        self._write(state, error)

    def _write(self, state, error=None):
        seconds = time.monotonic() - self.clock if self.start["ended"] else None
        now = {
            "state": state,
            "error": error,
            "iteration": self.arguments["iteration"],
            "max_iteration": self.goal,
            "best": _best(self.arguments),
            "seconds": seconds,
            "training_seconds": (self.training_seconds or 0.0) if self.start["ended"] else None,
        }
        starts = [*self.before.get("starts", []), {**self.start, **now}]
        sums = {key: _sum(start.get(key) for start in starts) for key in ("seconds", "training_seconds")}
        text = json.dumps({**now, **sums, "starts": starts}, indent=2)
        try:
            with atomic_write(self.path) as file:
                file.write(text.encode() + b"\n")
        except NotWritten as problem:
            if not self._is_told:
                logger.warning("the run goes on without its record: %s", problem)
            self._is_told = True


def read_record(path: str | os.PathLike) -> dict[str, Any]:
    """What `record_run` wrote: a dictionary. Raises `UserError` for a file that holds something else."""
    record: Any = read_small_json(path)
    states = (RUNNING, FINISHED, INTERRUPTED, FAILED)
    starts = record.get("starts") if isinstance(record, dict) and _has_types(record, _STATE) else None
    if (
        not isinstance(starts, list)
        or not starts
        or not all(map(_is_start, starts))
        or record.get("state") not in states
    ):
        raise UserError(f"{path} is damaged: it holds no record of a run; remove it")
    return record


# What a record and its parts hold, as far as somebody reads it: all may be missing
_NUMBER, _TEXT, _DICT = (int, float, type(None)), (str, type(None)), (dict, type(None))
_STATE = {
    **dict.fromkeys(("state", "error"), _TEXT),
    **dict.fromkeys(("iteration", "max_iteration", "seconds", "training_seconds"), _NUMBER),
    "best": _DICT,
}
_START = {
    **_STATE,
    "started": (str,),
    "ended": _TEXT,
    "host": _TEXT,
    **dict.fromkeys(("git", "environment", "process", "changed_options"), _DICT),
}
_PARTS = {
    "git": {"commit": _TEXT, "diff_stat": (list,)},
    "environment": {"packages": _DICT, "gpus": (list, type(None))},
    "best": {"metric": (str,), "value": (int, float), "iteration": (int,)},
    "process": {"id": (int,), "born": (int, type(None))},
}


def _is_start(start):
    if not isinstance(start, dict) or not _has_types(start, _START):
        return False
    parts = {name: start.get(name) or {} for name in _PARTS}
    return (
        all(_has_types(parts[name], kinds) for name, kinds in _PARTS.items())
        and all(isinstance(line, str) for line in parts["git"].get("diff_stat", []))
        and all(isinstance(gpu, dict) for gpu in parts["environment"].get("gpus") or [])
    )


def _has_types(found, kinds):
    """Whether a dictionary has values of these types where it has any."""
    return all(type(found[key]) in types for key, types in kinds.items() if key in found)


def is_at_work(record: Mapping[str, Any]) -> bool:
    """Whether the process of a record's last start is there, as far as this machine can tell: bool.

    A run that was killed had no time to say so. Where it cannot be told, on another machine, the record is believed.
    """
    if record["state"] != RUNNING:
        return False
    return is_there(record["starts"][-1]) is not False


def one_line(error: BaseException) -> str:
    """An exception as a line: a user's error says it itself, any other with the name of its kind."""
    words = line_of(error)
    return words if isinstance(error, UserError) else f"{type(error).__name__}: {words}".rstrip(": ")


def _former(path, iteration):
    """The record that is there, or {}; `iteration` is what the run goes on from."""
    if not path.is_file():
        return {}
    try:
        record = read_record(path)
    except UserError as error:
        logger.warning("%s; the record begins anew", error)
        return {}
    # a killed start had no time to say how far it came; that it has ended is plain, for this one is there
    end = {"state": INTERRUPTED, "iteration": iteration}
    starts = [{**start, **end} if start.get("state") == RUNNING else start for start in record["starts"]]
    return {**record, "starts": starts}


def _best(arguments):
    """What is recorded of the best evaluation, or None."""
    best = arguments.get(BEST_EVALUATION)
    if best is None or best["value"] is None:
        return None
    return {name: best[name] for name in ("metric", "value", "iteration")}


def _now():
    return datetime.now(timezone.utc).astimezone().isoformat(timespec="seconds")


def _sum(values):
    """Sum of the numbers among them; None if there is not any."""
    values = [value for value in values if value is not None]
    return sum(values) if values else None
