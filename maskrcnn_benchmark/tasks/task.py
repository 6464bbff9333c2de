"""What a task is, and the registry that everything else walks.

A task is one object of a class of its own: names, options, labels, head, evaluator, files, drawings and exported
outputs. `Task` has good defaults for a task with one map per image; a task says what it does differently. Rooms below
this one are handed task objects and know none of them by name.
"""

import importlib
from collections.abc import Callable, Iterator, MutableMapping
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import nn
from yacs.config import CfgNode

from maskrcnn_benchmark.config.defaults import (
    _C,
    first_iteration,
    last_iteration,
    loss_weight,
    rate_factor,
    single_loss_weight,
    task_switch,
)
from maskrcnn_benchmark.structures.dense_map import IGNORE_INDEX
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.vocabulary import Vocabulary

if TYPE_CHECKING:
    from maskrcnn_benchmark.data.statistics import DatasetCounts


class Task:
    """One task. A subclass sets the attributes and overrides what differs from a map per image.

    Attributes:
        key: the task's name in results, predictions and file names; also that of its label in
            `ImageAnnotations.labels` and of its output in `ImagePrediction.outputs`.
        title: its name for people.
        switch: the option under MODEL that turns it on.
        comment: what that option says of the task.
        losses: names of the losses that its head returns in training.
        headline: the metric that stands for it in the table.
        higher_is_better: direction of that metric, needed to compare networks (Delta_m).
        parameter_prefixes: what the names of the parameters begin with that may be its own. A parameter that several
            tasks share belongs to none, whatever its name.
        per: "image": a label and an output per image; "region": a field of every object, in labels and outputs alike;
            "derived": an output that is made from those of other tasks, without parameters or losses.
        requires: keys of the tasks whose outputs this one's are made from or attached to, see `requirements`.
    """

    key: str = ""
    title: str = ""
    switch: str = ""
    comment: str = ""
    losses: tuple[str, ...] = ()
    headline: str = ""
    higher_is_better: bool = True
    parameter_prefixes: tuple[str, ...] = ()
    per: Literal["image", "region", "derived"] = "image"
    requires: tuple[str, ...] = ()

    # Options ----------------------------------------------------------------------------------------------------------

    def requirements(self, cfg: CfgNode) -> tuple[str, ...]:
        """Keys of the tasks that must be on as well where a config turns this one on."""
        return self.requires

    # Labels -----------------------------------------------------------------------------------------------------------

    @property
    def label_field(self) -> str | None:
        """What its label is called among the fields of the objects; None: it has an entry of its own in `labels`."""
        return self.key if self.per == "region" else None

    def is_annotated(self, annotations: ImageAnnotations) -> bool:
        """Whether somebody looked for what this task asks for on an image."""
        if self.label_field is None:
            return self.key in annotations.labels
        return annotations.instances is not None and annotations.instances.has_field(self.label_field)

    def has_names(self, vocabulary: Vocabulary) -> bool:
        """Whether a vocabulary has the classes that this task speaks of; a field of objects needs theirs."""
        return self.label_field is None or bool(vocabulary.thing_names)

    def names(self, vocabulary: Vocabulary) -> dict[str, Any]:
        """{what is named: the names} on which its metrics depend; those of a field of objects on the objects' classes.

        A network is scored only on data sets of which these names are those that it learnt.
        """
        return {} if self.label_field is None else {"classes of objects": vocabulary.thing_names}

    def rename(self, source: Vocabulary, target: Vocabulary) -> Callable[[Any], Any] | None:
        """How labels in the names of one vocabulary read in those of another.

        Returns:
            function from a label, which it leaves as it is, to one in the target's names, or None where none of its
            names is left. A task whose label is a field of the objects gets their `BoxList`, with the labels of the
            source, and returns one with the field in the target's names. Unless a task says otherwise its labels stay.
        """
        return _same

    def count(self, annotations: ImageAnnotations, vocabulary: Vocabulary) -> dict[str, Any]:
        """What is worth counting on an image that is annotated, for the page about a data set.

        Returns:
            {name: number or small array}; under "classes" names of the vocabulary's classes that occur. Unless a task
            says otherwise, a whole number or a float and a name that says of what.
        """
        if self.label_field is not None:
            return {"objects": len(annotations.instances)}
        label = annotations.labels[self.key]
        if isinstance(label, torch.Tensor):
            return {"mean" if label.numel() > 1 else "value": float(label.float().mean())}
        if hasattr(label, "edges"):
            return {"edge pixels": int(label.edges.count_nonzero())}
        if hasattr(label, "labels"):
            return {"share of labelled pixels": float((label.labels != IGNORE_INDEX).float().mean())}
        return {}

    def facts(self, count: dict[str, Any], vocabulary: Vocabulary) -> list[tuple[str, str]]:
        """What the page says below an image of its `count`: (name, text)."""
        return [
            (self.key, f"{number:,} {name}" if isinstance(number, int) else f"{name} {number:.3g}")
            for name, number in count.items()
            if isinstance(number, (int, float))
        ]

    def tiles(self, counts: "DatasetCounts") -> list[tuple[str, int]]:
        """Total numbers that head the page: (name, number)."""
        return []

    def cards(self, counts: "DatasetCounts") -> list[str]:
        """Charts of distributions, each the HTML of a `card` of `visualization.dataset_page`."""
        from maskrcnn_benchmark.visualization.dataset_page import cards_of_numbers

        return cards_of_numbers(self.key, self.title, counts)

    def sections(self, counts: "DatasetCounts") -> list[tuple[str, str]]:
        """Further sections of the page: (title, HTML)."""
        return []

    # Network ----------------------------------------------------------------------------------------------------------

    # Evaluation -------------------------------------------------------------------------------------------------------

    # Files ------------------------------------------------------------------------------------------------------------

    # Pictures ---------------------------------------------------------------------------------------------------------

    # Export -----------------------------------------------------------------------------------------------------------

    @property
    def is_added(self) -> bool:
        """Whether it comes from outside this package."""
        return not type(self).__module__.startswith("maskrcnn_benchmark.tasks.")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.key!r})"


def _same(label: Any) -> Any:
    return label


class Registry(MutableMapping[str, Task]):
    """{key: task} in the order of registration, those of this package first.

    The package's own are imported when the registry is first looked at: the rooms that they are made of can so be
    imported before them.
    """

    def __init__(self) -> None:
        self._tasks: dict[str, Task] = {}
        self._is_filled = False

    def fill(self) -> None:
        """Import the package's own tasks, unless that was done."""
        if not self._is_filled:
            self._is_filled = True
            importlib.import_module("maskrcnn_benchmark.tasks.own")

    def __getitem__(self, key: str) -> Task:
        self.fill()
        return self._tasks[key]

    def __setitem__(self, key: str, task: Task) -> None:
        self._tasks[key] = task

    def __delitem__(self, key: str) -> None:
        del self._tasks[key]

    def __iter__(self) -> Iterator[str]:
        self.fill()
        return iter(self._tasks)

    def __len__(self) -> int:
        self.fill()
        return len(self._tasks)


TASKS = Registry()


class Proposals(Task):
    """What stands in the results for all predictions per region where a network ends after its proposals."""

    key = "box_proposal"
    title = "region proposals"
    switch = "RPN_ONLY"
    headline = "AR@1000"
    per = "region"
    label_field = None

    def is_annotated(self, annotations: ImageAnnotations) -> bool:
        return annotations.instances is not None


# No task of its own, and so not in the registry
PROPOSALS = Proposals()


def register_task(task: Task) -> Task:
    """Add a task to the registry, and its options to the global config; do so before the config is read.

    Besides the task's own options these are its switch (off), MULTITASK.LOSS_WEIGHTS, START, STOP and LR_FACTORS, each
    under the task's key in capitals, and MULTITASK.SINGLE_LOSS_WEIGHTS of its losses, with the defaults that every task
    has. A task of the same class that is there already is no error.

    Returns:
        the task that is registered.

    Raises:
        ValueError: another task has its key, its switch or one of its losses, or the key is no lower-case name.
    """
    TASKS.fill()
    known = TASKS._tasks.get(task.key)
    if known is not None and _name_of_class(known) == _name_of_class(task):
        return known
    if not task.key.isidentifier() or task.key != task.key.lower():
        raise ValueError(f"the key of a task is a name in lower case, not {task.key!r}")
    for other in (*TASKS._tasks.values(), PROPOSALS):
        shared = {task.key, task.switch, *task.losses} & {other.key, other.switch, *other.losses}
        if shared:
            raise ValueError(f"the task {task.key!r} has {sorted(shared)[0]!r} in common with {other.title}; rename it")
    _add_options(_C, task)
    TASKS[task.key] = task
    return task


def _name_of_class(task: Task) -> tuple[str, str]:
    return type(task).__module__, type(task).__qualname__


def _add_options(cfg: CfgNode, task: Task) -> None:
    """Give a task the options that every task has, in place."""
    if task.switch in cfg.MODEL:
        if not task.is_added:
            return
        raise ValueError(f"MODEL.{task.switch} is an option already; choose another switch for {task.key!r}")
    cfg.add(task_switch(task.switch, task.comment or f"Task: {task.title}"))
    for make in (loss_weight, first_iteration, last_iteration, rate_factor):
        cfg.add(make(task.key.upper()))
    for loss in task.losses:
        cfg.add(single_loss_weight(loss.upper()))


def enabled_tasks(cfg: CfgNode) -> list[Task]:
    """The tasks that a config turns on, in the registry's order."""
    return [task for task in TASKS.values() if getattr(cfg.MODEL, task.switch)]


def evaluated_tasks(cfg: CfgNode) -> list[Task]:
    """What a config's network is scored on: the enabled tasks, or `PROPOSALS` in place of those per region."""
    if not cfg.MODEL.RPN_ONLY or cfg.MODEL.RETINANET_ON:  # RetinaNet's configs say RPN_ONLY, but it does detect
        return enabled_tasks(cfg)
    return [PROPOSALS, *(task for task in enabled_tasks(cfg) if task.per != "region")]


def annotated_tasks(annotations: ImageAnnotations) -> set[str]:
    """Keys of the tasks that are annotated on an image."""
    return {task.key for task in TASKS.values() if task.is_annotated(annotations)}


def own_parameters(model: nn.Module) -> dict[str, list[nn.Parameter]]:
    """{task key: list of a network's parameters that no other task and no shared layer uses}, for every task.

    A parameter under two names, such as those of region features that masks read from the box head, is one of both
    tasks, and so of neither.
    """
    owners: dict[int, set[str | None]] = {}
    parameters: dict[int, torch.nn.Parameter] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        name = name.removeprefix("module.")  # as DistributedDataParallel has it
        keys = {task.key for task in TASKS.values() if name.startswith(task.parameter_prefixes)}
        owners.setdefault(id(parameter), set()).update(keys or {None})
        parameters[id(parameter)] = parameter
    own: dict[str, list[nn.Parameter]] = {key: [] for key in TASKS}
    for place, keys in owners.items():
        (first, *others) = keys
        if first is not None and not others:
            own[first].append(parameters[place])
    return own


def task_of_loss(name: str) -> Task:
    """The task that owns a loss. Raises `KeyError` for a loss that no task claims."""
    for task in TASKS.values():
        if name in task.losses:
            return task
    raise KeyError(f"no task owns the loss {name!r}; add it to the losses of its task")


# To go with the tables of added tasks
OWN_TASKS = frozenset(
    ("detection", "instance", "keypoint", "part", "semantic", "boundary", "occlusion", "classification")
)
PER_REGION = frozenset(("detection", "instance", "keypoint", "part"))
