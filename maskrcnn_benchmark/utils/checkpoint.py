"""Save and load what a training is made of: weights, optimizer, schedule and whatever else the caller adds."""

import contextlib
import logging
from pathlib import Path

import torch

from maskrcnn_benchmark.utils.comm import is_main_process, run_once
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.files import NotWritten, atomic_write, mkdir
from maskrcnn_benchmark.utils.model_serialization import load_state_dict, strip_prefix_if_present
from maskrcnn_benchmark.utils.model_zoo import local_file
from maskrcnn_benchmark.utils.optimizer_state import regroup
from maskrcnn_benchmark.utils.weights.weight_file import read_checkpoint, split_checkpoint, to_our_names

POINTER = "last_checkpoint"


class Checkpointer:
    """Writes `save_dir/NAME.pth` files and remembers the latest in `save_dir/last_checkpoint`.

    Args:
        model: the module whose weights are saved and loaded.
        optimizer, scheduler: saved and loaded along, if given.
        save_dir: the folder; "" neither saves nor resumes.
        save_to_disk: whether to write at all. With several processes rank 0 alone decides.
        logger: where to report; the module's own by default.
    """

    def __init__(self, model, optimizer=None, scheduler=None, save_dir="", save_to_disk=None, logger=None):
        self.model = model
        self.optimizer = optimizer
        self.scheduler = scheduler
        self.save_dir = save_dir
        self.save_to_disk = bool(save_dir) if save_to_disk is None else save_to_disk
        self.logger = logger or logging.getLogger(__name__)

    def save(self, name, **kwargs):
        """Write `save_dir/name.pth` with the model, the optimizer, the schedule and `kwargs`, in one instant.

        All processes must call it; the main one writes. Raises `UserError` if the disk does not take the file: it names
        the last whole checkpoint, which stays.
        """
        if not self.save_dir:
            return
        run_once(lambda: self._write(name, kwargs) if self.save_to_disk else None)

    def save_alone(self, name, **kwargs):
        """`save` for where the other processes may not come: the main one writes, and nobody waits for it."""
        if self.save_to_disk and is_main_process():
            self._write(name, kwargs)

    def _write(self, name, extra):
        data = {"model": self.model.state_dict(), **extra}
        if self.optimizer is not None:
            data["optimizer"] = self.optimizer.state_dict()
        if self.scheduler is not None:
            data["scheduler"] = self.scheduler.state_dict()
        mkdir(self.save_dir)
        path = Path(self.save_dir) / f"{name}.pth"
        self.logger.info("Saving checkpoint to %s", path)
        try:
            with atomic_write(path) as file:
                torch.save(data, file)
            self.tag_last_checkpoint(str(path))
        except NotWritten as error:
            raise NotWritten(f"{error}. {self._what_is_left()}") from None

    def _what_is_left(self):
        """What a run that cannot save goes on from, in words."""
        last = Path(self.get_checkpoint_file())
        if not last.is_file():
            return "No checkpoint was saved before"
        return f"The last whole checkpoint is {last}; the same command goes on from there"

    def load(self, f=None, use_latest=True, only_weights=False):
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
        if not f:
            self.logger.info("No checkpoint found. Initializing model from scratch")
            return {}
        self.logger.info("Loading checkpoint from %s", f)
        weights, rest = self._load_file(f)
        self._load_model(weights, f, resuming)
        if only_weights and not resuming:
            return {}
        if "optimizer" in rest and self.optimizer is not None:
            self._load_state(self.optimizer, self._regrouped(rest.pop("optimizer"), weights, f), "optimizer", f)
        if "scheduler" in rest and self.scheduler is not None:
            self._load_state(self.scheduler, rest.pop("scheduler"), "scheduler", f)
        return rest

    def has_checkpoint(self):
        """Whether `save_dir` names a latest checkpoint."""
        return bool(self.save_dir) and (Path(self.save_dir) / POINTER).is_file()

    def get_checkpoint_file(self):
        """The path that `last_checkpoint` holds, or "" if there is none.

        A folder that was moved since still works: a file of the same name beside `last_checkpoint` stands in.
        """
        if not self.has_checkpoint():
            return ""
        written = (Path(self.save_dir) / POINTER).read_text().strip()
        beside = Path(self.save_dir) / Path(written).name
        return str(beside) if written and not Path(written).is_file() and beside.is_file() else written

    def tag_last_checkpoint(self, last_filename):
        """Make `last_checkpoint` hold `last_filename`."""
        with atomic_write(Path(self.save_dir) / POINTER) as file:
            file.write(last_filename.encode())

    def _load_file(self, f):
        """({name: tensor} under our names, what else the file holds)."""
        checkpoint = read_checkpoint(f, _remedy(f, self.save_dir))
        if "model" not in checkpoint:
            raise UserError(f"{f} holds no entry 'model', so it is not a checkpoint of this library")
        return split_checkpoint(checkpoint, f)

    def _load_model(self, weights, f, resuming):
        report = load_state_dict(self.model, weights)
        trained = {name for name, _ in self.model.named_parameters()} or report.matched.keys()
        if not trained & report.matched.keys():
            raise UserError(f"{f}: none of its {len(weights)} tensors fits this model; is it another network's?")
        odd = [entry[0] for entry in report.mismatched] + report.missing + report.unused
        if resuming and odd:
            raise UserError(
                f"{f} is of another model than this config's ({len(odd)} tensors differ, such as {odd[0]}); choose "
                f"another OUTPUT_DIR, or remove {Path(self.save_dir) / POINTER} to start over"
            )

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
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{f}: its {name} does not fit this config ({error}); choose another OUTPUT_DIR, or start from its weights "
            f"alone with MODEL.WEIGHT {f}"
        ) from None


class DetectronCheckpointer(Checkpointer):
    """A `Checkpointer` that also takes catalog names, addresses, bare weights and those of other libraries.

    docs/weights.md lists what it can load.
    """

    def __init__(self, cfg, model, optimizer=None, scheduler=None, save_dir="", save_to_disk=None, logger=None):
        super().__init__(model, optimizer, scheduler, save_dir, save_to_disk, logger)
        self.cfg = cfg.clone()

    def _load_file(self, f):
        path = local_file(str(f), self.cfg.PATHS_CATALOG)
        if path != str(f):
            self.logger.info("%s lies at %s", f, path)
        weights, rest = split_checkpoint(read_checkpoint(path, _remedy(path, self.save_dir)), path)
        converted = to_our_names(weights, self.model, self.cfg, path)
        # what another library says of its optimizer and schedule means nothing here
        return (weights, rest) if converted is None else (converted, {})


def _remedy(f, save_dir):
    """ "; use X" with the newest other checkpoint of the same folder, if any."""
    folder = Path(f).parent
    if not folder.is_dir():
        return ""
    others = sorted((p for p in folder.glob("*.pth") if p != Path(f)), key=lambda p: p.stat().st_mtime)
    if not others:
        return "; there is no other checkpoint beside it"
    pointer = Path(save_dir or folder) / POINTER
    if pointer.is_file() and Path(pointer.read_text().strip()).name == Path(f).name:
        return f"; the newest beside it is {others[-1]}: write that path into {pointer} to go on from there"
    return f"; the newest beside it is {others[-1]}"
