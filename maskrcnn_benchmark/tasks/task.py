"""What a task is, and the registry that everything else walks.

A task is one object of a class of its own: names, options, labels, head, evaluator, files, drawings and exported
outputs. `Task` has good defaults for a task with one map per image; a task says what it does differently. Rooms below
this one are handed task objects and know none of them by name.
"""

import importlib
import inspect
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
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
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.image_prediction import ImagePrediction
from maskrcnn_benchmark.structures.objects import ObjectsWithValues, best_first
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.visualization import maps
from maskrcnn_benchmark.visualization.canvas import Canvas
from maskrcnn_benchmark.visualization.drawn_task import Known, Legend
from maskrcnn_benchmark.visualization.objects import missing_panel, paint_boxes, shown_objects


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

    # Evaluation -------------------------------------------------------------------------------------------------------

    # Files ------------------------------------------------------------------------------------------------------------

    # Pictures ---------------------------------------------------------------------------------------------------------

    # What has to be reached to be shown: scores of objects, strength of edges, probability of labels, 0..1
    threshold: float = 0.5
    # Whether an overlay shows the task unless others are asked for
    on_photograph: bool = False
    # Whether its overlay writes name and score of every object that it shows, so that others need not
    names_objects: bool = False
    # How a panel mutes the image that it is painted on: `fade` and `grey` of a `Canvas`
    backdrop: Mapping[str, Any] = {}
    # What a panel says of annotations and of a prediction in which `paint` found nothing
    nothing: tuple[str, str] = ("none in this image", "none above score {threshold:g}")

    @property
    def layer(self) -> int:
        """Where its overlay lies: what has a larger number is painted later, on top."""
        return 75 if self.per == "region" else 25

    def value_names(self, vocabulary: Vocabulary) -> Sequence[str]:
        """What the labels, channels or entries of its output are called in pictures; without any they are numbered."""
        return ()

    def content(self, known: Known) -> Any:
        """The task's label in annotations or its output in a prediction; None without one.

        Of a task per region it is the field of the objects.
        """
        members = known.outputs if isinstance(known, ImagePrediction) else known.labels
        if self.per != "region":
            return members.get(self.key)
        objects = members.get("detection")
        return objects.get_field(self.key) if objects is not None and objects.has_field(self.key) else None

    def can_draw(self, known: Known, vocabulary: Vocabulary) -> bool:
        """Whether there is something to draw; otherwise a panel says that nobody annotated or predicted it."""
        return self.content(known) is not None

    def draw(
        self,
        image: np.ndarray,
        known: Known,
        vocabulary: Vocabulary,
        threshold: float | None = None,
        scale: float | None = None,
    ) -> np.ndarray:
        """A picture of what is known of an image, on a panel of its own.

        Args:
            image: uint8 [H, W, 3] RGB.
            known: of the size of the image; boxes of a prediction are in its pixels.
            vocabulary: names the labels.
            threshold: least score of a predicted object, strength of a predicted edge or probability of a predicted
                label to be shown as found; annotations are shown whatever it is. None takes that of the task.
            scale: pixels of the picture per pixel of the image; None makes the picture legible (`canvas_scale`).

        Returns:
            uint8 [h, w, 3] RGB, the image's size times `scale`; a grey panel where there is nothing to draw.
        """
        if not self.can_draw(known, vocabulary):
            return missing_panel(image, known, scale)
        predicted, content = isinstance(known, ImagePrediction), self.content(known)
        if isinstance(content, torch.Tensor) and self.per != "region":
            names = self.value_names(vocabulary)
            return maps.vector_panel(image, content.reshape(-1), names, vocabulary, predicted, scale)
        threshold = self.threshold if threshold is None else threshold
        canvas = Canvas(image, scale=scale, **self.backdrop)
        if self.paint(canvas, known, vocabulary, threshold) == 0:
            canvas.note(self.nothing[predicted].format(threshold=threshold))
        return canvas.finish()

    def paint(self, canvas: Canvas, known: Known, vocabulary: Vocabulary, threshold: float) -> int | None:
        """Paint on a canvas: a map by what its values look like, a value of each object as a text at its box.

        Args:
            canvas: painted in place.
            known, vocabulary, threshold: as `draw` takes them; there is something to draw.

        Returns:
            how many objects were shown; None where that is not what is looked for.
        """
        if self.per != "region":
            maps.paint_map(canvas, self.content(known), threshold, self.value_names(vocabulary))
            return None
        objects, names = shown_objects(known.instances, threshold), self.value_names(vocabulary)
        texts = [maps.text_of(value, names) for value in objects.get_field(self.key)]
        return paint_boxes(canvas, objects, texts, vocabulary)

    def overlay(self, canvas: Canvas, known: Known, vocabulary: Vocabulary, thresholds: "Thresholds") -> int | None:
        """Paint on a photograph that shows other tasks, too.

        Args:
            canvas, known, vocabulary: as `paint` takes them.
            thresholds: {task: its threshold} of all that the photograph shows, this task among them.

        Returns:
            as `paint`.
        """
        content = self.content(known)
        if isinstance(content, torch.Tensor) and self.per != "region":
            names, predicted = self.value_names(vocabulary), isinstance(known, ImagePrediction)
            maps.paint_vector(canvas, content.reshape(-1), names, vocabulary, predicted, thresholds[self])
            return None
        return self.paint(canvas, known, vocabulary, thresholds[self])

    def legend(self, vocabulary: Vocabulary) -> Legend:
        """What its colours mean; groups of the same title are shared by tasks."""
        return []

    def view(self, prediction: ImagePrediction, vocabulary: Vocabulary, threshold: float) -> Any:
        """What a user gets of a prediction: `Predictor(...)(image)[key]`.

        Args:
            prediction: its boxes are in pixels of the image, its maps have one cell per pixel.
            vocabulary: names the labels.
            threshold: see `threshold`.

        Returns:
            the scores of a map, float [C, H, W], or the output itself; of a task per region the objects that reach the
            threshold with its field as their `values`; None without an output.
        """
        content = self.content(prediction)
        if content is None:
            return None
        if self.per != "region":
            return getattr(content, "scores", content)
        objects = best_first(prediction.instances, threshold)
        return ObjectsWithValues.of(objects, vocabulary, values=objects.get_field(self.key))

    def has_threshold(self, cfg: CfgNode) -> bool:
        """Whether a threshold changes what is shown of it."""
        return True

    # Export -----------------------------------------------------------------------------------------------------------

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.key!r})"


Thresholds = Mapping[Task, float]  # of all tasks that a photograph shows


class Registry(MutableMapping[str, Task]):
    """{key: task}: those of this package in the order in which `own` imports them, then others as they are registered.

    The package's own are imported when the registry is first looked at: the rooms that they are made of can so be
    imported before them.
    """

    def __init__(self) -> None:
        self._tasks: dict[str, Task] = {}
        self._places: dict[str, int] = {}  # of the package's own, by module
        self._is_filled = False

    def fill(self) -> None:
        """Import the package's own tasks, unless that was done."""
        if not self._is_filled:
            self._is_filled = True
            modules = vars(importlib.import_module("maskrcnn_benchmark.tasks.own")).values()
            names = (module.__name__ for module in modules if inspect.ismodule(module))
            self._places = {name: place for place, name in enumerate(names)}

    def __getitem__(self, key: str) -> Task:
        self.fill()
        return self._tasks[key]

    def __setitem__(self, key: str, task: Task) -> None:
        self._tasks[key] = task
        # a module that was imported by itself is registered after all others
        last = len(self._places)
        order = sorted(self._tasks.values(), key=lambda task: self._places.get(type(task).__module__, last))
        self._tasks = {task.key: task for task in order}

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
