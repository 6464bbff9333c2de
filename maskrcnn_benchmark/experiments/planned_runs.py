"""Trainings as processes of their own, several at a time: start, stop in good order, and tell which is done."""

import contextlib
import fcntl
import json
import os
import re
import shlex
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol, TypeVar

import torch
from tqdm import tqdm
from yacs.config import CfgNode

from maskrcnn_benchmark.config import cfg as default_cfg
from maskrcnn_benchmark.config.node import ConfigNode
from maskrcnn_benchmark.engine.evaluation_report import RESULTS
from maskrcnn_benchmark.experiments.run_lock import name_owner, read_owner, write_owner
from maskrcnn_benchmark.utils.checkpoint import POINTER
from maskrcnn_benchmark.utils.devices import AUTO, names_cuda
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.files import atomic_write, mkdir, open_lock, open_to_append
from maskrcnn_benchmark.utils.small_json import read_small_json
from maskrcnn_benchmark.utils.stop_signals import handled_by
from maskrcnn_benchmark.utils.text import printable
from maskrcnn_benchmark.utils.threads import CHOICE_VARIABLE, allowed_cores, chosen_by_user

LOCK = ".lock"

_POLL_SECONDS = 0.1
_SECONDS_TO_END = 15  # for a step and its checkpoint, when this process fails


@dataclass(frozen=True)
class Purpose:
    """What runs were planned for, and what they leave because of it.

    Attributes:
        name: "ablation" or "sweep"; a run's folder has its options in NAME_run.json and what it says in NAME.log.
        folder_flag: what a command names the folder of all runs with.
        done: file in a run's folder that is there when the run is done.
    """

    name: str
    folder_flag: str
    done: str = RESULTS

    @property
    def options_file(self) -> str:
        return f"{self.name}_run.json"

    @property
    def log(self) -> str:
        return f"{self.name}.log"


class PlannedRun(Protocol):
    """Any object with these attributes.

    Attributes:
        purpose: why it is planned.
        name: what people call it.
        folder: its OUTPUT_DIR.
        options: of the config, (KEY, VALUE, KEY, VALUE, ...), the folder aside.
    """

    @property
    def purpose(self) -> Purpose: ...

    @property
    def name(self) -> str: ...

    @property
    def folder(self) -> Path: ...

    @property
    def options(self) -> tuple[str, ...]: ...


Planned = TypeVar("Planned", bound=PlannedRun)


def read_config(config_file: str | os.PathLike, options: Sequence[str] = ()) -> ConfigNode:
    """The config of a file with options changed, as training reads it."""
    cfg = default_cfg.clone()
    cfg.merge_from_file(config_file)
    cfg.merge_from_list(options)
    return cfg


def is_done(run: PlannedRun) -> bool:
    """Whether a run has left what it was planned for."""
    return (run.folder / run.purpose.done).is_file()


def is_begun(run: PlannedRun) -> bool:
    """Whether a run has anything that it would go on from."""
    return is_done(run) or (run.folder / POINTER).is_file()


def describe_runs(runs: Iterable[PlannedRun]) -> str:
    """Text: each run, whether it is done, and its options."""
    lines = []
    for run in runs:
        state = "done" if is_done(run) else "goes on" if is_begun(run) else "to do"
        lines.append(f"{run.name} ({state}): {shlex.join(run.options)}")
    return "\n".join(lines)


def make_places(cfg: CfgNode, jobs: int | None, gpus: Sequence[int | str]) -> list[dict[str, str]]:
    """The environment of each training that is at work at the same time: list of {variable: value}.

    Args:
        cfg: the config.
        jobs: trainings at a time; None: one for each GPU, or one.
        gpus: numbers of GPUs as CUDA_VISIBLE_DEVICES has them, taken in turn; [] leaves that variable alone.
    """
    name = cfg.MODEL.DEVICE
    on_cpu = not names_cuda(name)
    if gpus and on_cpu:
        where = ", and PyTorch finds no CUDA device here" if name == AUTO else ""
        raise UserError(f"--gpus: MODEL.DEVICE is {name}{where}; add MODEL.DEVICE cuda to the command")
    if gpus and ":" in name:
        raise UserError(
            f"--gpus: MODEL.DEVICE is {name}, but each training sees one GPU of --gpus alone; add MODEL.DEVICE cuda to "
            "the command, or leave --gpus out"
        )
    _check_gpus(gpus)
    jobs = jobs or max(1, len(gpus))
    places = [{"CUDA_VISIBLE_DEVICES": str(gpus[place % len(gpus)])} if gpus else {} for place in range(jobs)]
    if on_cpu and jobs > 1 and not chosen_by_user():
        threads = str(max(1, allowed_cores() // jobs))
        for place in places:  # the second says that the first is no person's choice
            place.update({"OMP_NUM_THREADS": threads, CHOICE_VARIABLE: threads})
    return places


def _check_gpus(gpus):
    """Refuse before the first training what would end each of them after its start."""
    names = [str(gpu) for gpu in gpus]
    wrong = [name for name in names if not re.fullmatch(r"[0-9]{1,4}|(GPU|MIG)-.+", name)]
    if wrong:
        raise UserError(f"--gpus: {wrong[0]!r} is no GPU; give numbers, such as 0 1 or 0,1")
    if names and not torch.cuda.is_available():
        raise UserError("--gpus: PyTorch finds no CUDA device here; leave it out and add MODEL.DEVICE cpu")
    there = torch.cuda.device_count() if names else 0
    # where the user has chosen among the GPUs, the numbers that PyTorch counts are others
    missing = [name for name in names if name.isdigit() and int(name) >= there]
    if missing and "CUDA_VISIBLE_DEVICES" not in os.environ:
        raise UserError(f"--gpus: there is no GPU {missing[0]}; this machine has {there}, numbered from 0")


def remove_checkpoints(run: PlannedRun) -> None:
    """Remove what a finished run saved on its way; the finished network stays. Dozens of runs would fill a disk."""
    for path in run.folder.glob("model_[0-9]*.pth"):
        path.unlink()


def effective_options(cfg: ConfigNode) -> dict[str, Any]:
    """{option: value} of a run's config, as JSON holds them: those that are not the default, the folder aside."""
    pairs = ((key, cfg.value_of(key), default_cfg.value_of(key)) for key in cfg.keys_of_options())
    changed = {key: value for key, value, default in pairs if value != default and key != "OUTPUT_DIR"}
    return json.loads(json.dumps(changed))


def check_same_options(run: PlannedRun, cfg: ConfigNode) -> None:
    """Raise `UserError` if a run's folder has a training of options other than those of its config."""
    if not is_begun(run):
        return
    now = effective_options(cfg)
    path = run.folder / run.purpose.options_file
    remedy = f"choose another {run.purpose.folder_flag} or remove that folder"
    try:
        before = read_small_json(path)
    except UserError:
        before = None
    if not isinstance(before, dict):
        raise UserError(
            f"{run.folder} has a training of unknown options ({path.name} cannot be read): {remedy}"
        ) from None
    for key in sorted({*before, *now}):
        if before.get(key) != now.get(key):
            there, here = (f"{options[key]!r}" if key in options else "its default" for options in (before, now))
            raise UserError(f"{run.folder} was trained with {key} {there}, not {here}: {remedy}")


@contextlib.contextmanager
def sole_owner(folder: str | os.PathLike) -> Iterator[IO[bytes]]:
    """Hold a folder for this process and those that it starts with `pass_fds` of what is yielded.

    Unlike `run_lock.run_lock`, which each of the trainings holds for its own folder, this one outlives its process in
    those that it has started.

    Raises `UserError` while other planned runs, or a training that outlived a killed command, are at work there.
    """
    mkdir(folder)
    path = Path(folder) / LOCK
    with open(open_lock(path), "r+b") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"another command, or a training that it left, is at work in {folder}: "
                f"{name_owner(read_owner(lock.fileno()))}; wait for its end, or choose another folder"
            ) from None
        except OSError as error:
            raise UserError(f"cannot lock {path}: {error.strerror}; choose a folder on another file system") from None
        write_owner(lock.fileno())
        yield lock


class Launcher:
    """Runs trainings, as many at a time as there are places.

    The first SIGINT, SIGTERM or SIGHUP asks the trainings to save a checkpoint and end, and starts no more; each
    further one is passed on, too, and ends them at once. They are in sessions of their own, so that Ctrl-C reaches
    them once.

    Args:
        command: list of words that train, such as [python, tools/train_net.py].
        config_file: for all runs.
        places: list of {variable: value}, the environment of each place beside this process's own.
        lock: file that the trainings hold open, see `sole_owner`.
    """

    def __init__(
        self,
        command: Sequence[str],
        config_file: str | os.PathLike,
        places: Sequence[Mapping[str, str]],
        lock: IO[bytes] | None = None,
    ) -> None:
        self.command = command
        self.config_file = config_file
        self.places = places
        self.lock = lock
        self.asked_to_stop = 0

    def run(
        self,
        runs: Sequence[Planned],
        done: int = 0,
        on_success: Callable[[Planned, float], object] = lambda run, seconds: None,
    ) -> dict[Planned, str]:
        """Run them, in order.

        Args:
            runs: list of planned runs of one purpose.
            done: how many more there are that were finished before, for the progress bar.
            on_success: called with a run and its seconds when it has left its results.

        Returns:
            {run: what it said last} of those that failed; look at `asked_to_stop` before anything else.
        """
        waiting, failed = deque(runs), dict[Planned, str]()
        running: list[_Child] = []
        free = list(reversed(self.places))
        purpose = runs[0].purpose.name if runs else ""
        bar = tqdm(total=done + len(runs), initial=done, unit="run", desc=purpose)
        with handled_by(self._ask_to_stop), _ended_with_us(running), bar:
            while running or (waiting and not self.asked_to_stop):
                while free and waiting and not self.asked_to_stop:
                    running.append(self._start(waiting.popleft(), free.pop()))
                    bar.set_postfix_str(", ".join(child.run.name for child in running))
                time.sleep(_POLL_SECONDS)
                if sys.stderr.isatty():
                    bar.refresh()  # a clock that stands still looks like a tool that does
                for child in list(running):
                    child.pass_on(self.asked_to_stop)
                    if child.process.poll() is None:
                        continue
                    running.remove(child)
                    free.append(child.place)
                    if child.process.returncode == 0 and is_done(child.run):
                        bar.update()
                        on_success(child.run, time.monotonic() - child.started)
                    elif not self.asked_to_stop:
                        bar.update()
                        failed[child.run] = last_line(child.run.folder / child.run.purpose.log)
                        bar.write(f"failed: {child.run.name}: {failed[child.run]}")
        return failed

    def _start(self, run, place):
        mkdir(run.folder)
        options = effective_options(read_config(self.config_file, run.options))
        with atomic_write(run.folder / run.purpose.options_file) as file:
            file.write(json.dumps(options, indent=2).encode() + b"\n")
        words = [*self.command, "--config-file", str(self.config_file), "OUTPUT_DIR", str(run.folder), *run.options]
        with open(open_to_append(run.folder / run.purpose.log), "ab") as log:
            process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **place},
                start_new_session=True,
                pass_fds=[] if self.lock is None else [self.lock.fileno()],
            )
        return _Child(run, place, process)

    def _ask_to_stop(self, number, frame):
        self.asked_to_stop += 1


class _Child:
    """A training at work; `told` counts the requests to stop that were passed on to it."""

    def __init__(self, run: Any, place: Mapping[str, str], process: subprocess.Popen) -> None:
        self.run, self.place, self.process = run, place, process
        self.started = time.monotonic()
        self.told = 0

    def pass_on(self, asked: int) -> None:
        while self.told < asked and self.process.poll() is None:
            self.process.terminate()
            self.told += 1


@contextlib.contextmanager
def _ended_with_us(running):
    """No training goes on unwatched when this process fails: each may save a checkpoint, but not stay."""
    try:
        yield
    finally:
        for child in running:
            child.process.terminate()
        given_up = time.monotonic() + _SECONDS_TO_END
        for child in running:
            try:
                child.process.wait(max(0.0, given_up - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.process.kill()
                child.process.wait()


def last_line(path: str | os.PathLike) -> str:
    """The last line of a log that says anything, for a terminal, without what a progress bar overwrote."""
    lines = Path(path).read_text(encoding="utf-8", errors="replace").replace("\r", "\n").split("\n")
    return next((printable(line.strip(), 1000) for line in reversed(lines) if line.strip()), f"nothing; see {path}")


def duration(seconds: float) -> str:
    """Seconds as people say them: "2 min 05 s", "1 h 02 min"."""
    minutes, seconds = divmod(round(seconds), 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    return f"{minutes} min {seconds:02d} s" if minutes else f"{seconds} s"
