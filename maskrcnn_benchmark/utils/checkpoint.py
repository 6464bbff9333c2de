"""Save and load what a training is made of: weights, optimizer, schedule and whatever else the caller adds."""

import contextlib
import logging
import os
import re
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from yacs.config import CfgNode

from maskrcnn_benchmark.utils.comm import is_main_process, run_once
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.files import NotWritten, atomic_write, mkdir
from maskrcnn_benchmark.utils.model_serialization import (
    MatchReport,
    load_state_dict,
    match_names,
    side_by_side,
    strip_prefix_if_present,
)
from maskrcnn_benchmark.utils.model_zoo import local_file
from maskrcnn_benchmark.utils.optimizer_state import regroup, with_settings_of
from maskrcnn_benchmark.utils.resume_state import (
    check_entries,
    check_optimizer_state,
    check_scheduler_state,
    damaged_entry,
)
from maskrcnn_benchmark.utils.schema import Unfit
from maskrcnn_benchmark.utils.text import decode_text, is_text, printable
from maskrcnn_benchmark.utils.web import without_secrets
from maskrcnn_benchmark.utils.weights.fitting_weights import fitting_weights
from maskrcnn_benchmark.utils.weights.tensor_check import check_weights
from maskrcnn_benchmark.utils.weights.weight_file import (
    AVERAGE,
    AVERAGED_STEPS,
    chosen_weights,
    read_checkpoint,
    split_checkpoint,
)

POINTER = "last_checkpoint"
# Bytes that a path has at most on the systems that we know, and some space around it
LONGEST_POINTER = 4096 + 64
# Checkpoints that are read in search of a whole one, the newest first
MOST_TRIED = 8
# What is saved on the way
_NUMBERED = re.compile(r"model_(\d{7,})\.pth")


class Checkpointer:
    """Writes `save_dir/NAME.pth` files and remembers the latest in `save_dir/last_checkpoint`.

    Args:
        model: the module whose weights are saved and loaded.
        optimizer, scheduler: saved and loaded along, if given.
        save_dir: the folder; "" neither saves nor resumes.
        save_to_disk: whether to write at all. With several processes rank 0 alone decides.
        logger: where to report; the module's own by default.

    Attributes:
        report: the `MatchReport` of the weights that were loaded last; None before.
    """

    report: MatchReport | None = None

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer | None = None,
        scheduler: LRScheduler | None = None,
        save_dir: str | os.PathLike = "",
        save_to_disk: bool | None = None,
        logger: logging.Logger | None = None,
    ) -> None:
        self.model = model
        self.optimizer = optimizer
        self.scheduler = scheduler
        self.save_dir = save_dir
        self.save_to_disk = bool(save_dir) if save_to_disk is None else save_to_disk
        self.logger = logger or logging.getLogger(__name__)

    def save(self, name: str, **kwargs: object) -> None:
        """Write `save_dir/name.pth` with the model, the optimizer, the schedule and `kwargs`, in one instant.

        All processes must call it; the main one writes. Raises `UserError` if the disk does not take the file: it names
        the last whole checkpoint, which stays.
        """
        if not self.save_dir:
            return
        run_once(lambda: self._write(name, kwargs) if self.save_to_disk else None)

    def save_beside(self, name: str, **kwargs: object) -> None:
        """`save` of one that is not the latest: a training does not go on from it."""
        if self.save_dir:
            run_once(lambda: self._write(name, kwargs, is_latest=False) if self.save_to_disk else None)

    def amend(self, name: str = "", **kwargs: object) -> None:
        """Write the latest checkpoint again, with other values of some entries, or as `save_dir/name.pth` beside it.

        All processes must call it; the main one writes.
        """

        def write():
            file = self.get_checkpoint_file()
            if self.save_to_disk and file:
                path = Path(self.save_dir) / f"{name}.pth" if name else Path(file)
                self._write_file(path, {**self._read(file), **kwargs})

        run_once(write)

    def keep_newest(self, count: int, iteration: int) -> None:
        """Remove the main process's `model_ITERATION.pth` up to this iteration but for the newest `count`.

        What `last_checkpoint` names stays, and so do all with a name instead of an iteration. 0 removes none.
        """
        if not (count and self.save_to_disk and is_main_process()):
            return
        found = {path: _NUMBERED.fullmatch(path.name) for path in Path(self.save_dir).glob("model_*.pth")}
        numbers = {path: int(match[1]) for path, match in found.items() if match and int(match[1]) <= iteration}
        latest = Path(self.get_checkpoint_file()).name
        for path in sorted(numbers, key=lambda path: numbers[path])[:-count]:
            if path.name != latest:
                try:
                    path.unlink(missing_ok=True)
                except OSError as error:
                    self.logger.warning("cannot remove %s: %s", path, error.strerror)

    def save_alone(self, name: str, **kwargs: object) -> None:
        """`save` for where the other processes may not come: the main one writes, and nobody waits for it."""
        if self.save_to_disk and is_main_process():
            self._write(name, kwargs)

    def _write(self, name, extra, is_latest=True):
        data = {"model": self.model.state_dict(), **extra}
        if self.optimizer is not None:
            data["optimizer"] = self.optimizer.state_dict()
        if self.scheduler is not None:
            data["scheduler"] = self.scheduler.state_dict()
        path = Path(self.save_dir) / f"{name}.pth"
        self._write_file(path, data, is_latest)

    def _write_file(self, path, data, is_latest=False):
        mkdir(self.save_dir)
        self.logger.info("Saving checkpoint to %s", path)
        try:
            with atomic_write(path) as file:
                torch.save(data, file)
            if is_latest:
                self.tag_last_checkpoint(str(path))
        except NotWritten as error:
            raise NotWritten(f"{error}. {self._what_is_left()}") from None

    def _what_is_left(self):
        """What a run that cannot save goes on from, in words."""
        last = Path(self.get_checkpoint_file())
        if not last.is_file():
            return "No checkpoint was saved before"
        return f"The last whole checkpoint is {last}; the same command goes on from there"

    def load(
        self, f: str | os.PathLike | None = None, use_latest: bool = True, only_weights: bool = False
    ) -> dict[str, Any]:
        """Load `save_dir`'s latest checkpoint or, if there is none or `use_latest` is false, the file `f`.

        Args:
            f: a path, an address or a catalog name; None or "" loads nothing.
            use_latest: prefer what `last_checkpoint` names. Every tensor has to fit the model then.
            only_weights: leave the optimizer and the schedule alone and return nothing of what `f` says about its
                training. A checkpoint of `save_dir` itself is always loaded whole.

        Returns:
            dict of what the file holds beyond model, optimizer and schedule.
        """
        resuming = use_latest and self.has_checkpoint()
        if resuming:
            f = self.get_checkpoint_file()
            self._warn_of_another_folder(f)
        elif use_latest and self.save_dir and self.optimizer is not None:
            self._warn_of_others()
        if not f:
            self.logger.info("No checkpoint found. Initializing model from scratch")
            return {}
        self.logger.info("Loading checkpoint from %s", without_secrets(str(f)))
        takes_all = resuming or not only_weights
        weights, rest = self._load_file(f, resuming, takes_all and self.optimizer is not None)
        if takes_all and self.optimizer is not None:
            self._check_entries(rest, f, resuming)
        self._load_model(weights, f, resuming)
        if not takes_all:
            return {}
        if "optimizer" in rest and self.optimizer is not None:
            self._load_state(self.optimizer, self._regrouped(rest.pop("optimizer"), weights, f), "optimizer", f)
        if "scheduler" in rest and self.scheduler is not None:
            self._load_state(self.scheduler, rest.pop("scheduler"), "scheduler", f)
        return rest

    def has_checkpoint(self) -> bool:
        """Whether `save_dir` has a file that names the latest checkpoint, whatever that file holds."""
        return bool(self.save_dir) and os.path.lexists(Path(self.save_dir) / POINTER)

    def latest_entries(self) -> dict[str, Any]:
        """What the latest checkpoint holds beside its weights, checked as for a training that goes on from it.

        `has_checkpoint` must be true. Raises `UserError` for one that is not there or damaged.
        """
        f = self.get_checkpoint_file()
        _, rest = split_checkpoint(self._read(f, mapped=True), f)
        self._check_entries(rest, f, True)
        return rest

    def get_checkpoint_file(self) -> str:
        """The path that `last_checkpoint` holds, or "" if there is none.

        A folder that was moved since still works: a file of the same name beside `last_checkpoint` stands in. Raises
        `UserError` for a `last_checkpoint` that holds no path; one that is there must never mean a new beginning.
        """
        if not self.has_checkpoint():
            return ""
        pointer = Path(self.save_dir) / POINTER
        written = _read_pointer(pointer)
        beside = pointer.with_name(Path(written).name)
        return str(beside) if not os.path.isfile(written) and beside.is_file() else written

    def tag_last_checkpoint(self, last_filename: str) -> None:
        """Make `last_checkpoint` hold `last_filename`."""
        with atomic_write(Path(self.save_dir) / POINTER) as file:
            file.write(os.fsencode(last_filename))

    def damaged(self, entry: str, fault: object) -> UserError:
        """The `UserError` of the latest checkpoint whose `entry` cannot be resumed, with what can still be used.

        Args:
            entry: the name of the entry.
            fault: what is wrong with it: text or an `Unfit`.
        """
        f = self.get_checkpoint_file()
        return damaged_entry(f, entry, fault, _remedy(f, self.save_dir))

    def _warn_of_others(self):
        """Say that a new training begins where checkpoints of another lie."""
        others = sorted(Path(self.save_dir).glob("model_*.pth"))
        if others:
            self.logger.warning(
                "%s has checkpoints, such as %s, but no %s: a new training begins and will write over those of the "
                "same names; stop it and write the path of one into that file to go on from there",
                self.save_dir,
                others[-1].name,
                POINTER,
            )

    def _warn_of_another_folder(self, f):
        """Say that a copied folder goes on from the folder that it was copied from."""
        beside = Path(self.save_dir) / Path(f).name
        if beside.is_file() and os.path.isfile(f) and not beside.samefile(f):
            self.logger.warning(
                "%s names %s, which is in another folder: the training goes on from there; if this is a copy of that "
                "folder, write %s into it instead",
                *(Path(self.save_dir) / POINTER, f, beside),
            )

    def _load_file(self, f, resuming, goes_on):
        """({name: tensor} under our names, what else the file holds).

        Args:
            f: the file.
            resuming: whether it is the latest of the folder.
            goes_on: whether a training goes on from it, with the weights that its optimizer has moved.
        """
        checkpoint = self._read(f)
        if "model" not in checkpoint:
            raise UserError(f"{f} holds no entry 'model', so it is not a checkpoint of this library")
        return split_checkpoint(checkpoint, f)

    def _read(self, f, mapped=False):
        try:
            return read_checkpoint(f, mapped=mapped)
        except UserError as error:
            raise UserError(f"{error}{_remedy(f, self.save_dir)}") from None

    def _check_entries(self, rest, f, resuming):
        """Refuse damaged entries; whoever saves others than our own trainings checks them himself."""
        for name, owner, check in (
            ("optimizer", self.optimizer, check_optimizer_state),
            ("scheduler", self.scheduler, check_scheduler_state),
        ):
            if name in rest and owner is not None:
                try:
                    with _misfit(name, f):
                        check(rest[name], owner)
                except Unfit as fault:
                    raise damaged_entry(f, name, fault, _remedy(f, self.save_dir)) from None

    def _load_model(self, weights, f, resuming):
        check_weights(self.model, weights, f)
        report, _ = match_names(self.model, weights)
        trained = {name for name, _ in self.model.named_parameters()} or report.matched.keys()
        if not trained & report.matched.keys():
            raise UserError(
                f"{f}: none of its {len(weights)} tensors fits this model ({side_by_side(report)}); give the config "
                "of its own network"
            )
        odd = [entry[0] for entry in report.mismatched] + report.missing + report.unused
        if resuming and odd:
            raise UserError(
                f"{f} is of another model than this config's ({len(odd)} tensors differ, such as {odd[0]}); choose "
                f"another OUTPUT_DIR, or remove {Path(self.save_dir) / POINTER} to start over"
            )
        self.report = load_state_dict(self.model, weights)

    def _regrouped(self, state, weights, f):
        named_parameters = strip_prefix_if_present(dict(self.model.named_parameters()), "module.").items()
        with _misfit("optimizer", f):
            return regroup(state, self.optimizer, named_parameters, list(weights))

    def _load_state(self, owner, state, name, f):
        self.logger.info("Loading %s from %s", name, f)
        with _misfit(name, f):
            owner.load_state_dict(state)


@contextlib.contextmanager
def _misfit(name, f):
    """Turn the error of an optimizer or a schedule that does not take a saved state into the user's."""
    try:
        yield
    except Unfit:
        raise
    except (ValueError, KeyError) as error:
        raise UserError(
            f"{f}: its {name} does not fit this config ({error}); choose another OUTPUT_DIR, or start from its weights "
            f"alone with MODEL.WEIGHT {f}"
        ) from None


class DetectronCheckpointer(Checkpointer):
    """A `Checkpointer` that also takes catalog names, addresses, bare weights and those of other libraries.

    docs/weights.md lists what it can load.
    """

    def __init__(
        self,
        cfg: CfgNode,
        model: nn.Module,
        optimizer: Optimizer | None = None,
        scheduler: LRScheduler | None = None,
        save_dir: str | os.PathLike = "",
        save_to_disk: bool | None = None,
        logger: logging.Logger | None = None,
    ) -> None:
        super().__init__(model, optimizer, scheduler, save_dir, save_to_disk, logger)
        self.cfg = cfg.clone()

    def _load_file(self, f, resuming, goes_on):
        path = local_file(str(f), self.cfg.PATHS_CATALOG)
        if path != str(f):
            self.logger.info("%s lies at %s", without_secrets(str(f)), path)
        checkpoint = self._read(path)
        average = {}
        if goes_on and AVERAGED_STEPS in checkpoint:
            average = {name: checkpoint.pop(name) for name in (AVERAGE, AVERAGED_STEPS) if name in checkpoint}
        else:
            checkpoint = chosen_weights(checkpoint, self.cfg.TEST.EMA, path)
        if resuming:  # with the weights that it was written for, whatever else was saved beside them
            weights, rest = split_checkpoint(checkpoint, path)
        else:
            weights, rest = fitting_weights(self.model, self.cfg, checkpoint, path)
        return weights, {**rest, **average}

    def _regrouped(self, state, weights, f):
        return with_settings_of(self.optimizer, super()._regrouped(state, weights, f))

    def _check_entries(self, rest, f, resuming):
        try:
            check_entries(rest, f)
        except UserError:
            # again with the remedy, which takes reading other checkpoints
            check_entries(rest, f, _remedy(f, self.save_dir))
        if resuming and "iteration" not in rest:
            fault = "it is not there, so that nothing says where to go on"
            raise damaged_entry(f, "iteration", fault, _remedy(f, self.save_dir))
        super()._check_entries(rest, f, resuming)


def _read_pointer(pointer):
    """The path in a file `last_checkpoint`. Raises `UserError` with what can be done for one that holds none."""
    fault = ""
    if not pointer.is_file():
        fault = "is no file"
    else:
        try:
            with open(pointer, "rb") as file:
                data = file.read(LONGEST_POINTER + 1)
        except OSError as error:
            fault = f"cannot be read ({error.strerror})"
    if not fault:
        with contextlib.suppress(UnicodeDecodeError):  # a file's name may be any bytes
            data = decode_text(data).encode()
        written = os.fsdecode(data.strip())
        if not written:
            fault = "is empty"
        elif len(data) > LONGEST_POINTER or not is_text(os.fsencode(written).decode("utf-8", "replace")):
            fault = f"holds {printable(written, 40)!r}, which is no path on one line"
        elif os.path.isdir(written):
            fault = f"names the folder {printable(written)}, not a checkpoint"
        else:
            return written
    newest = _newest_whole(pointer.parent)
    if newest is None:
        raise UserError(f"{pointer} {fault}; there is no whole checkpoint beside it: remove it to start over")
    raise UserError(
        f"{pointer} {fault}; the newest whole checkpoint beside it is {newest}: write that path into it to go on from "
        "there, or remove it to start over"
    )


def _names(pointer, f):
    """Whether a file `last_checkpoint` names the file `f`."""
    try:
        return os.path.lexists(pointer) and Path(_read_pointer(pointer)).name == Path(f).name
    except UserError:
        return False


def _newest_whole(folder, other_than=None):
    """The newest `.pth` of a folder that a training can go on from, of those that are tried; None without one."""
    times = {}
    for path in folder.glob("*.pth"):
        with contextlib.suppress(OSError):  # one that has gone since
            times[path] = path.stat().st_mtime
    others = [path for path in sorted(times, key=lambda p: (times[p], p.name), reverse=True) if path != other_than]
    for path in others[:MOST_TRIED]:
        try:
            _, rest = split_checkpoint(read_checkpoint(path), path)
            check_entries(rest, path)
        except UserError:
            continue
        return path
    return None


def _remedy(f, save_dir):
    """ "; ..." with the newest whole checkpoint of the run of a bad one, `f`, and what to do to go on from there.

    Weights that lie in no run's folder have nothing to do with what lies beside them.
    """
    folder = Path(f).parent
    pointer = Path(save_dir or folder) / POINTER
    if not folder.is_dir() and save_dir:
        folder = Path(save_dir)
    if not os.path.lexists(folder / POINTER):
        return ""
    newest = _newest_whole(folder, Path(f))
    is_named = _names(pointer, f)
    if newest is None:
        start = f": remove {pointer} to start over" if is_named else ""
        return f"; there is no other whole checkpoint beside it{start}"
    if is_named:
        return f"; the newest whole one beside it is {newest}: write that path into {pointer} to go on from there"
    return f"; the newest whole one beside it is {newest}"
