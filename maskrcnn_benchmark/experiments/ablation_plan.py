"""What an ablation trains: subsets of a config's tasks, each in several ways and from several seeds."""

import difflib
import itertools
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar

from yacs.config import CfgNode

from maskrcnn_benchmark.experiments.planned_runs import Purpose
from maskrcnn_benchmark.tasks.task import TASKS, enabled_tasks, with_requirements
from maskrcnn_benchmark.utils.arguments import option_words
from maskrcnn_benchmark.utils.errors import UserError

ALL = "all"
GROUPS = ("single", "pairs", ALL, "subsets")
RUNS = "runs"

# What no comparison needs: pictures, examples, and the same trivial predictor in every run
QUIET = ("TEST.NUM_PICTURES", "0", "TEST.NUM_EXAMPLES", "0", "TEST.TRIVIAL", "False")

# Options that differ from run to run, and the flag that decides about them
_OF_A_RUN = {"OUTPUT_DIR": "--output", "SOLVER.SEED": "--seeds"}
_OF_A_METHOD = dict.fromkeys(("MODEL.TASK_EXCHANGE.NAME", "MULTITASK.WEIGHTING", "MULTITASK.AGGREGATION"), "--methods")


@dataclass(frozen=True)
class Subset:
    """Tasks that one network is trained for.

    Attributes:
        name: "semantic+boundary", or "all" for all tasks of the config.
        tasks: keys of the tasks that are compared, in the table's order.
        trained: keys of the tasks that are trained: predictions per box need detection, too.
    """

    name: str
    tasks: tuple[str, ...]
    trained: tuple[str, ...]


@dataclass(frozen=True)
class Method:
    """A way to train several tasks: its name, and the options that make it, (KEY, VALUE, KEY, VALUE, ...)."""

    name: str
    options: tuple[str, ...]


def _method_options(exchange="none", weighting="fixed", aggregation=""):
    names = exchange, weighting, aggregation
    return tuple(word for pair in zip(_OF_A_METHOD, names) for word in pair)


# One task alone is the plain sum of its losses and exchanges nothing, whatever the others are combined with
ALONE = Method("alone", _method_options())


@dataclass(frozen=True)
class Run:
    """One training.

    Attributes:
        subset, method, seed: what is trained, how, and from which random numbers.
        folder: its OUTPUT_DIR.
        options: of the config, (KEY, VALUE, KEY, VALUE, ...), the folder aside.
        purpose: why they are trained, see `planned_runs`.
    """

    subset: Subset
    method: Method
    seed: int
    folder: Path
    options: tuple[str, ...]
    purpose: ClassVar[Purpose] = Purpose("ablation", "--output")

    @property
    def name(self) -> str:
        """What people call it; also its place below the folder of runs."""
        return f"{self.subset.name}/{self.method.name}/seed{self.seed}"


def check_options(
    options: Sequence[str], own: Mapping[str, str] = MappingProxyType({**_OF_A_RUN, **_OF_A_METHOD})
) -> None:
    """Raise `UserError` for an option for all runs, (KEY, VALUE, ...), that the tool sets itself."""
    for key in options[::2]:
        if key in own:
            raise UserError(f"{key} differs from run to run: give {own[key]} in its place")


def expand_subsets(words: Iterable[str], cfg: CfgNode) -> list[Subset]:
    """The subsets that a command line asks for, each once, single tasks first.

    Args:
        words: "single", "pairs", "all", "subsets" (every one), or keys of tasks joined by "+".
        cfg: the config; its enabled tasks that are trained are those to choose from.

    Returns:
        list of `Subset`.
    """
    tasks = [task.key for task in enabled_tasks(cfg) if task.losses]
    sizes = {"single": [1], "pairs": [2], ALL: [len(tasks)], "subsets": range(1, len(tasks) + 1)}
    chosen = []
    for word in words:
        if word in sizes:
            chosen += [keys for size in sizes[word] for keys in itertools.combinations(tasks, size)]
        else:
            chosen.append(_named_set(word, tasks))
    unique = dict.fromkeys(chosen)
    return [_subset(keys, tasks, cfg) for keys in sorted(unique, key=lambda keys: len(keys) > 1)]


def _named_set(word, tasks):
    keys = word.split("+")
    for key in keys:
        if key not in TASKS:
            near = difflib.get_close_matches(key, [*GROUPS, *TASKS], 1, 0.0)[0]
            raise UserError(f"--tasks {word}: there is no task {key!r}; did you mean {near!r}?")
        if key not in tasks:
            raise UserError(f"--tasks {word}: MODEL.{TASKS[key].switch} is False in the config; turn the task on there")
    return tuple(key for key in tasks if key in keys)


def _subset(keys, tasks, cfg):
    needed = with_requirements(keys, cfg)
    name = ALL if len(keys) == len(tasks) > 1 else "+".join(keys)
    return Subset(name, keys, tuple(key for key in TASKS if key in needed))


def resolve_method(
    name: str, weightings: Collection[str], aggregations: Collection[str], exchanges: Collection[str] = ()
) -> Method:
    """The `Method` of a name: a weighting, an aggregation or a task exchange, or one of each joined by "+".

    What is not named is plain.

    Args:
        name: such as "uncertainty", "pcgrad", "attention" or "uncertainty+pcgrad".
        weightings: names that MULTITASK.WEIGHTING takes.
        aggregations: names that MULTITASK.AGGREGATION takes.
        exchanges: names that MODEL.TASK_EXCHANGE.NAME takes beside "none".
    """
    known = {"exchange": exchanges, "weighting": weightings, "aggregation": aggregations}
    found: dict[str, str] = {}
    for part in name.split("+"):
        kind = next((kind for kind, names in known.items() if part in names), None)
        if kind is None:
            near = difflib.get_close_matches(part, [each for names in known.values() for each in names], 1, 0.0)[0]
            raise UserError(f"--methods {name}: there is no method {part!r}; did you mean {near!r}?")
        if kind in found:
            raise UserError(f"--methods {name}: give one {kind}, not {found[kind]} and {part}")
        found[kind] = part
    return Method(name, _method_options(**found))


def make_variant(name: str, options: Sequence[str]) -> Method:
    """The `Method` of a name and options of the user's own, "KEY VALUE KEY VALUE ..." as split by a shell."""
    if not name or not all(letter.isalnum() or letter in "+-_." for letter in name) or name.startswith("."):
        raise UserError(f"--variant {name!r}: the name becomes a folder; use letters, digits, -, _ and +")
    options = option_words(options)
    if not options or len(options) % 2:
        raise UserError(f'--variant {name}: give its options in quotes, "KEY VALUE KEY VALUE ..."')
    check_options(options, _OF_A_RUN)
    return Method(name, tuple(options))


def make_plan(
    cfg: CfgNode,
    subsets: Iterable[Subset],
    methods: Sequence[Method],
    seeds: Iterable[int],
    options: Sequence[str],
    output: str | os.PathLike,
) -> list[Run]:
    """All runs: for each seed all subsets, so that what is finished can be compared early.

    Args:
        cfg: the config without what a run changes.
        subsets: list of `Subset`.
        methods: list of `Method` for subsets of several tasks; a single task is trained as `ALONE`.
        seeds: list of int.
        options: (KEY, VALUE, ...) for all runs.
        output: folder of the ablation.

    Returns:
        list of `Run`.
    """
    names = [method.name for method in methods]
    for name in names:
        if names.count(name) > 1 or name == ALONE.name:
            raise UserError(f"two methods are called {name!r}; give the variant another name")
    on = [task.key for task in enabled_tasks(cfg) if task.losses]
    plan = []
    for seed, subset in itertools.product(dict.fromkeys(seeds), subsets):
        off = [word for key in on if key not in subset.trained for word in (f"MODEL.{TASKS[key].switch}", "False")]
        for method in methods if len(subset.tasks) > 1 else [ALONE]:
            folder = Path(output) / RUNS / subset.name / method.name / f"seed{seed}"
            words = (*QUIET, *options, *off, *method.options, "SOLVER.SEED", str(seed))
            plan.append(Run(subset, method, seed, folder, words))
    return plan
