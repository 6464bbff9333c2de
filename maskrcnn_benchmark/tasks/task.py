"""What a task is, and the registry that everything else walks.

A task is one object of a class of its own: names, options, labels, head, evaluator, files, drawings and exported
outputs. `Task` has good defaults for a task with one map per image; a task says what it does differently. Rooms below
this one are handed task objects and know none of them by name.
"""

import importlib
from collections.abc import Iterator, MutableMapping
from typing import Any, Literal

import numpy as np
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
from maskrcnn_benchmark.evaluation.coco.proposals import MOST_PROPOSALS, ProposalEvaluator
from maskrcnn_benchmark.evaluation.evaluator import Evaluator
from maskrcnn_benchmark.evaluation.protocols import Protocols
from maskrcnn_benchmark.evaluation.trivial import ObjectMeans, TrivialModel
from maskrcnn_benchmark.prediction_files.layout import PredictionFile
from maskrcnn_benchmark.prediction_files.lists import ObjectFile
from maskrcnn_benchmark.prediction_files.maps import ArrayMaps
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
        iou_type: what the original library calls it, "" for tasks that it does not have.
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
    iou_type: str = ""

    # Options ----------------------------------------------------------------------------------------------------------

    def requirements(self, cfg: CfgNode) -> tuple[str, ...]:
        """Keys of the tasks that must be on as well where a config turns this one on."""
        return self.requires

    # Labels -----------------------------------------------------------------------------------------------------------

    def is_annotated(self, annotations: ImageAnnotations) -> bool:
        """Whether somebody looked for what this task asks for on an image."""
        return self.key in annotations.labels

    def has_names(self, vocabulary: Vocabulary) -> bool:
        """Whether a vocabulary has the classes that this task speaks of."""
        return True

    # Network ----------------------------------------------------------------------------------------------------------

    # Evaluation -------------------------------------------------------------------------------------------------------

    def build_evaluator(self, vocabulary: Vocabulary, protocols: Protocols) -> Evaluator:
        """What scores its predictions.

        Args:
            vocabulary: the data set's names.
            protocols: the choices where the field has two definitions.

        Raises:
            UserError: the vocabulary lacks the names that the task speaks of.
        """
        raise NotImplementedError(f"the task {self.key!r} has no evaluator: give {type(self).__name__} build_evaluator")

    def trivial(self, vocabulary: Vocabulary) -> TrivialModel | None:
        """How its annotations usually lie, such as `evaluation.trivial.MeanMap` of them; None: no trivial scores."""
        return None

    # Files ------------------------------------------------------------------------------------------------------------

    def encode(self, prediction: ImagePrediction, vocabulary: Vocabulary) -> Any:
        """What is stored of a prediction: it is scored and, as far as files hold it, written.

        By default what its file holds, {key of a file: what it holds} of several, and without any the numbers as they
        are.

        Args:
            prediction: at the image's own resolution.
            vocabulary: the network's names.

        Raises:
            ValueError: the prediction has no such output.
        """
        output = self.output(prediction, "detection" if self.per == "region" else None)
        files = self.files()
        if not files:
            return getattr(output, "scores", output).cpu().numpy()
        return files[0].hold(output) if len(files) == 1 else {file.key: file.hold(output) for file in files}

    def output(self, prediction: ImagePrediction, key: str | None = None) -> Any:
        """The output of this task, or of that named; raises `ValueError` where the network did not predict it."""
        key = self.key if key is None else key
        if key not in prediction.outputs:
            raise ValueError(f"{self.key}: the prediction has no {key}; evaluate only what the network predicts")
        return prediction.outputs[key]

    def files(self) -> tuple[PredictionFile, ...]:
        """The lists and maps that hold its predictions; () where they are scored, but not written.

        By default a grey PNG of 8 bits per image, or a list with a box and a value per object. An array of other
        channels, dtype or range is `(ArrayMaps(self.key, dtype="float32", channels=3, low=-1, high=1),)`, a vector per
        image `(VectorFile(self.key),)`.
        """
        return (ObjectFile(self.key),) if self.per == "region" else (ArrayMaps(self.key),)

    def to_files(self, stored: Any) -> dict[str, Any]:
        """{key of a file: what it holds} of a stored prediction; a file that is not in it has nothing of the image.

        By default all of it is in the only file, and where there are several, it is such a dictionary itself.
        """
        files = self.files()
        return {files[0].key: stored} if len(files) == 1 else stored

    def from_files(self, held: dict[str, Any], size: tuple[int, int]) -> Any:
        """What `to_files` was given, of an image of `size` (width, height); optional files may be missing."""
        return next(iter(held.values())) if len(self.files()) == 1 else held

    def decode(self, stored: Any, size: tuple[int, int], vocabulary: Vocabulary) -> Any:
        """A stored prediction as its output in `ImagePrediction.outputs`, to be drawn; by default of the first file.

        Of a task whose predictions are a list of objects this is a `BoxList` with labels, scores and its field.
        """
        file = self.files()[0]
        return file.decode(self.to_files(stored)[file.key], size, vocabulary)

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
            own = importlib.import_module("maskrcnn_benchmark.tasks.own")
            # whichever file was imported first, the order is that of `own`
            self._tasks = {name: self._tasks[name] for name in vars(own) if name in self._tasks} | self._tasks

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
    iou_type = "box_proposal"

    def is_annotated(self, annotations: ImageAnnotations) -> bool:
        return annotations.instances is not None

    def build_evaluator(self, vocabulary: Vocabulary, protocols: Protocols) -> Evaluator:
        return ProposalEvaluator(self, vocabulary)

    def trivial(self, vocabulary: Vocabulary) -> ObjectMeans:
        """The most frequent boxes."""
        return ObjectMeans(vocabulary)

    def encode(self, prediction: ImagePrediction, vocabulary: Vocabulary) -> np.ndarray:
        """float32 [N, 4], boxes xyxy with the last pixel included, best first."""
        proposals = self.output(prediction, "detection").convert("xyxy")
        scores = proposals.get_field("objectness" if proposals.has_field("objectness") else "scores")
        return proposals.bbox[scores.argsort(descending=True, stable=True)[:MOST_PROPOSALS]].cpu().numpy()

    def files(self) -> tuple[PredictionFile, ...]:
        return ()


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
    is_own = type(task).__module__.startswith(f"{__package__}.")
    if not is_own:
        TASKS.fill()  # the package's own are first
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
