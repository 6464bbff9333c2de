"""What a task is, and the registry that everything else walks.

A task is one object of a class of its own: names, options, labels, head, evaluator, files, drawings and exported
outputs. `Task` has good defaults for a task with one map per image; a task says what it does differently. Rooms below
this one are handed task objects and know none of them by name.
"""

import importlib
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from typing import Any, Literal

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
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.image_prediction import ImagePrediction
from maskrcnn_benchmark.structures.vocabulary import Vocabulary


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

    def is_annotated(self, annotations: ImageAnnotations) -> bool:
        """Whether somebody looked for what this task asks for on an image."""
        return self.key in annotations.labels

    # Network ----------------------------------------------------------------------------------------------------------

    # Of a task per region: the objects' field with its label, where that is not the key
    label_field: str = ""
    # Key of the task behind whose head its own is made, and so draws its random weights; else the registry's order
    head_after: str | None = None

    def reads(self, cfg: CfgNode) -> str:
        """What its head reads, and so where the head belongs and what `build_head` is told the channels of.

        Heads with one output per image read "pyramid" (the backbone's maps of strides 4 to 32), "dense" (the features
        that the dense decoder makes of them, at stride 4) or "fine" (the edge decoder's, at MODEL.EDGE_DECODER.STRIDE).
        Heads with one output per region read "maps" (those of the backbone, which they pool themselves) or "box" (the
        features by which the box head tells its regions apart: vectors [R, C] or maps [R, C, h, w]).
        """
        return "maps" if self.per == "region" else "dense"

    def shares_box_features(self, cfg: CfgNode) -> bool:
        """Whether its head gets the box head's region features, though it may have an extractor of its own."""
        return self.reads(cfg) == "box"

    def head_name(self, cfg: CfgNode) -> str:
        """The name of its head in `fpn_heads.heads` or `roi_heads`, which names of parameters begin with."""
        return self.key

    def build_head(self, cfg: CfgNode, in_channels: int, vocabulary: Vocabulary | None) -> nn.Module | None:
        """The head, (features, proposals, targets) -> (outputs or regions, losses); None: the task has no head.

        A head per image gets `DenseFeatures` and no proposals, and returns one output per image, or None and its losses
        where there are targets, see `CombinedFPNHeads`. A head per region gets the backbone's maps and one `BoxList`
        per image, and returns them with a field of outputs, or the losses, see `CombinedROIHeads`. Labels that are None
        or unknown add no loss; without any the loss is left out.

        Args:
            cfg: the config.
            in_channels: channels of what the head `reads`.
            vocabulary: that of the training data; None where it is not known.
        """
        return None

    def label_of(self, annotations: ImageAnnotations) -> Any:
        """Its label on an image, or of the objects there if it is a field of theirs; None where nobody looked."""
        if self.per != "region" or self.key in annotations.labels:
            return annotations.labels.get(self.key)
        instances, field = annotations.instances, self.label_field or self.key
        return instances.get_field(field) if instances is not None and instances.has_field(field) else None

    def derive(self, outputs: Mapping[str, Any], vocabulary: Vocabulary | None) -> Any:
        """A derived task's output on an image; what costs much is better left to a `ScoreMap.computed`.

        Args:
            outputs: {task key: output} of the image at the size that is asked for, those of `requires` among them. The
                outputs of tasks per region are fields of the `BoxList` under "detection".
            vocabulary: that of the network; None where it is not known.
        """
        raise NotImplementedError(f"{type(self).__name__} is a derived task and must define derive")

    # Evaluation -------------------------------------------------------------------------------------------------------

    # Files ------------------------------------------------------------------------------------------------------------

    # Pictures ---------------------------------------------------------------------------------------------------------

    # Export -----------------------------------------------------------------------------------------------------------

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.key!r})"


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
        if task.__class__.__module__.startswith("maskrcnn_benchmark.tasks."):
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


def derive_outputs(
    prediction: ImagePrediction, tasks: Iterable[Task], vocabulary: Vocabulary | None
) -> ImagePrediction:
    """A prediction with the outputs of the derived tasks among `tasks`, where it has those that they are made from.

    It is called on what a network predicts once that has been resized to the image. Derived tasks may be made from one
    another.
    """
    derived = {task.key: task for task in tasks if task.per == "derived" and task.key not in prediction.outputs}
    if not derived:
        return prediction
    made = ImagePrediction(prediction.size, image_id=prediction.image_id, outputs=prediction.outputs)

    def is_there(key):
        return ("detection" if TASKS[key].per == "region" and key not in made.outputs else key) in made.outputs

    for _ in range(len(derived)):
        for key in [key for key, task in derived.items() if all(is_there(other) for other in task.requires)]:
            output = derived.pop(key).derive(made.outputs, vocabulary)
            if output is not None:
                made.outputs[key] = output
    return made


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
