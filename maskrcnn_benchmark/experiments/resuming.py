"""With what options the training in OUTPUT_DIR came where it is, beside those that it is to go on with."""

import contextlib
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from maskrcnn_benchmark.config.class_weights import is_uncounted
from maskrcnn_benchmark.config.node import ConfigNode
from maskrcnn_benchmark.config.paths_catalog import is_own_catalog
from maskrcnn_benchmark.engine.trainer import is_finished
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.task import TASKS
from maskrcnn_benchmark.utils.checkpoint import DetectronCheckpointer
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.ranges import shown
from maskrcnn_benchmark.utils.yaml_file import parse_yaml

# What these decided when the training began is in its weights, its optimizer's state and its random numbers. Whatever
# else changes names or shapes of a network, or how its parameters are grouped, shows when the checkpoint is loaded
FIXED = ("MODEL.BACKBONE.FREEZE_CONV_BODY_AT", "SOLVER.OPTIMIZER", "SOLVER.SEED")
# What is read when a training begins and never again: another value, such as a path on another machine, changes nothing
BEGINNING = ("MODEL.WEIGHT",)
# Of the machine that a run is on; and groups of options, with a dot at their end, that decide on tests alone
MACHINE = ("OUTPUT_DIR", "PATHS_CATALOG", "DATASETS.DATA_DIR", "MODEL.DEVICE", "DATALOADER.NUM_WORKERS")
TESTING = ("TEST.", "DATASETS.TEST")
# By which it may be finished before SOLVER.MAX_ITER
ENDING = ("SOLVER.BEST.",)
# Options that are read with one value of another alone
READ_WITH = {
    "SOLVER.MOMENTUM": ("SOLVER.OPTIMIZER", "SGD"),
    "SOLVER.STEPS": ("SOLVER.SCHEDULE", "step"),
    "SOLVER.GAMMA": ("SOLVER.SCHEDULE", "step"),
}
_FACTORS = "MULTITASK.LR_FACTORS."
_PATIENCE = " or SOLVER.BEST.PATIENCE"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Change:
    """An option that is not what the checkpoint was trained with.

    Attributes:
        key: its name.
        before, now: the checkpoint's value, lists for tuples, and the config's.
        can: whether a training that goes on can change it.
        verdict: what comes of it, in words.
    """

    key: str
    before: Any
    now: Any
    can: bool
    verdict: str

    def __str__(self) -> str:
        return f"{self.key}: {shown(_plain(self.before))} -> {shown(_plain(self.now))}"


@dataclass(frozen=True)
class Begun:
    """A training that OUTPUT_DIR has a checkpoint of.

    Attributes:
        file: the checkpoint.
        iteration: that it has come to.
        changes: the options of the config that differ from its own.
        is_finished: whether, by the config's options, there is nothing left to train.
        counted: options with weights of classes, of which the config has the rule alone and the checkpoint also the
            weights that were made by it.
    """

    file: str
    iteration: int
    changes: tuple[Change, ...]
    is_finished: bool = False
    counted: tuple[Change, ...] = ()

    def refuse(self, cfg: ConfigNode) -> None:
        """Raise `UserError` if it cannot go on with an option of the config; all that differ are told before.

        Options that it began with get their values in `cfg` again.
        """
        fixed = [str(change) for change in self.changes if not change.can]
        if fixed:
            self.tell()
            raise UserError(
                f"{self.file}: a training that has begun cannot change {', '.join(fixed)}; go on with the checkpoint's "
                f"value{'s' if len(fixed) > 1 else ''}, or choose another OUTPUT_DIR"
            )
        self._give_back(cfg, [*self.counted, *(change for change in self.changes if change.key in BEGINNING)])

    def tell(self) -> None:
        """Warn of the options that differ, and say of each whether it takes effect."""
        if self.changes:
            rows = [(str(change), change.verdict) for change in self.changes]
            logger.warning("other options than iteration %d was reached with:\n%s", self.iteration, _table(rows))

    def settle(self, cfg: ConfigNode, is_tested: bool) -> None:
        """Give the config of a finished training the options that it was trained with, and warn of those that differ.

        Args:
            cfg: changed in place: all but the options of the machine, of early ends and, unless `is_tested`, of tests.
            is_tested: whether its results are there already.
        """
        idle = [change for change in self.changes if not change.key.startswith((*MACHINE, *ENDING))]
        idle = [change for change in idle if is_tested or not change.key.startswith(TESTING)]
        self._give_back(cfg, [*self.counted, *idle])
        goal = [change for change in idle if change.key == "SOLVER.MAX_ITER"]
        if goal and goal[0].before > self.iteration:
            cfg.SOLVER.MAX_ITER = self.iteration  # it was to train for longer, and ends here
            idle.remove(goal[0])
        if idle:
            rows = [(str(change), "has no effect") for change in idle]
            logger.warning(
                "%s is finished, so that these options have no effect; to train on with them raise SOLVER.MAX_ITER%s, "
                "to train anew choose another OUTPUT_DIR, to test with others take tools/test_net.py:\n%s",
                *(cfg.OUTPUT_DIR, _PATIENCE if cfg.SOLVER.BEST.PATIENCE else "", _table(rows)),
            )

    def _give_back(self, cfg, changes):
        """Give a config the checkpoint's values of some options."""
        for change in changes:
            tree = change.before
            for name in reversed(change.key.split(".")):
                tree = {name: tree}
            cfg.merge_from_tree(tree, f"the config in {self.file}")

    @contextlib.contextmanager
    def named(self) -> Iterator[None]:
        """Add the options that differ to the `UserError` of a checkpoint that does not fit."""
        try:
            yield
        except UserError as error:
            differing = ", ".join(str(change) for change in self.changes if not change.key.startswith(MACHINE))
            raise UserError(f"{error}; of its options differ {differing}" if differing else str(error)) from None


def find_begun(cfg: ConfigNode) -> Begun | None:
    """What the last checkpoint in OUTPUT_DIR says of its training; None where there is none.

    A checkpoint without a config, such as one of the original library's, has no option that differs. Raises `UserError`
    for one that is damaged.
    """
    checkpointer = DetectronCheckpointer(cfg, nn.Identity(), save_dir=cfg.OUTPUT_DIR)
    if not checkpointer.has_checkpoint():
        return None
    file, entries = checkpointer.get_checkpoint_file(), checkpointer.latest_entries()
    tree = parse_yaml(entries.get("config", ""), f"the config in {file}", "take another checkpoint")
    changes = list(_changes(cfg, tree)) if isinstance(tree, dict) else []
    weights = {task.weights_option for task in TASKS.values()}
    counted = tuple(c for c in changes if c.key in weights and is_uncounted(c.now) and [c.now[0]] == c.before[:1])
    others = tuple(change for change in changes if change not in counted)
    return Begun(file, entries["iteration"], others, is_finished(cfg, entries), counted)


def _changes(cfg, tree):
    """A `Change` for each option of the config that another, as its yaml holds it, has otherwise."""
    saved = {key: _value(tree, key, cfg) for key in cfg.keys_of_options()}
    counts = {each.option for task in TASKS.values() for each in task.class_counts(Vocabulary())}
    factors = [key for key in saved if key.startswith(_FACTORS)]
    regrouped = _grouping(saved[key] for key in factors) != _grouping(map(cfg.value_of, factors))
    for key, before in saved.items():
        now = cfg.value_of(key)
        if key == "OUTPUT_DIR" or _plain(before) == _plain(now):
            continue
        if key in counts and not cfg.is_given(key):  # the data set's to decide
            continue
        if (key == "SOLVER.SEED" and now < 0) or (key == "PATHS_CATALOG" and is_own_catalog(before, now)):
            continue
        can = key not in FIXED and not (regrouped and key in factors)
        yield Change(key, before, now, can, _verdict(cfg, key) if can else "cannot change")


def _verdict(cfg, key):
    if key in BEGINNING:
        return "has no effect: it began with the other"
    other, wanted = READ_WITH.get(key, ("SOLVER.OPTIMIZER", cfg.SOLVER.OPTIMIZER))
    value = cfg.value_of(other)
    return "takes effect" if value == wanted else f"is not read with {other} {value}"


def _value(tree: Any, key: str, cfg: ConfigNode) -> Any:
    """An option's value in a tree; where an older version did not have it, its default."""
    for name in key.split("."):
        if not isinstance(tree, dict) or name not in tree:
            record = cfg.record_of(key)
            return cfg.value_of(key) if record is None else record.default
        tree = tree[name]
    return tree


def _grouping(factors):
    """Which tasks share a group of the optimizer's parameters, and which are frozen: a number for each."""
    numbers = {1.0: 0}
    return [-1 if factor == 0 else numbers.setdefault(factor, len(numbers)) for factor in factors]


def _plain(value):
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value


def _table(rows):
    width = max(len(row[0]) for row in rows)
    return "\n".join(f"  {change:<{width}}  {verdict}" for change, verdict in rows)


def changed_options(begun: Begun | None) -> Mapping[str, list[Any]]:
    """{option: [value of the checkpoint, value from there on]} for the record of a run."""
    changes = [change for change in (begun.changes if begun else ()) if change.key not in BEGINNING]
    return {change.key: [_plain(change.before), _plain(change.now)] for change in changes}
