"""The table of tasks: what each is called, which option turns it on, its losses and its headline metric.

The loss combiner, the report, the logs and the pictures read this table. It holds the eight of this package;
`register_task` adds one of another file (docs/adding_a_task.md).
"""

from dataclasses import dataclass

from maskrcnn_benchmark.config import cfg as global_cfg
from maskrcnn_benchmark.config.defaults import (
    first_iteration,
    last_iteration,
    loss_weight,
    rate_factor,
    single_loss_weight,
    task_switch,
)


@dataclass(frozen=True)
class Task:
    """One row: a task's names and what belongs to it.

    Attributes:
        key: the task's name in results, predictions and file names.
        title: its name for people.
        switch: the option under MODEL that turns it on.
        losses: names of the losses that its head returns in training.
        headline: the metric that stands for it in the table.
        higher_is_better: direction of that metric, needed to compare networks (Delta_m).
        modules: what the names of the parameters begin with that may be its own. A parameter that several tasks share
            belongs to none, whatever its name.
    """

    key: str
    title: str
    switch: str
    losses: tuple[str, ...]
    headline: str
    higher_is_better: bool = True
    modules: tuple[str, ...] = ()


TASKS = {
    task.key: task
    for task in (
        Task(
            "detection",
            "detection",
            "DETECTION_ON",
            (
                "loss_objectness",
                "loss_rpn_box_reg",
                "loss_classifier",
                "loss_box_reg",
                "loss_retina_cls",
                "loss_retina_reg",
            ),
            "AP",
            modules=("rpn.", "roi_heads.box."),
        ),
        Task(
            "instance",
            "instance segmentation",
            "MASK_ON",
            ("loss_mask",),
            "AP",
            modules=("roi_heads.mask.",),
        ),
        Task(
            "keypoint",
            "human keypoints",
            "KEYPOINT_ON",
            ("loss_kp",),
            "AP",
            modules=("roi_heads.keypoint.",),
        ),
        Task(
            "part",
            "part segmentation",
            "PART_ON",
            ("loss_part",),
            "mIoU",
            modules=("roi_heads.part.", "fpn_heads.heads.part_map."),
        ),
        Task(
            "semantic",
            "semantic segmentation",
            "SEMANTIC_ON",
            ("loss_semantic",),
            "mIoU",
            modules=("fpn_heads.heads.semantic.",),
        ),
        Task(
            "boundary",
            "boundary detection",
            "BOUNDARY_ON",
            ("loss_boundary",),
            "ODS-F",
            modules=("fpn_heads.heads.boundary.",),
        ),
        Task(
            "occlusion",
            "occlusion recognition",
            "OCCLUSION_ON",
            ("loss_occlusion_edge", "loss_occlusion_direction"),
            "OPR-ODS-F",
            modules=("fpn_heads.heads.occlusion.",),
        ),
        Task(
            "classification",
            "image classification",
            "CLASSIFICATION_ON",
            ("loss_classification",),
            "mAP",
            modules=("fpn_heads.heads.classes.",),
        ),
    )
}

# The tasks of this package; what else the table holds was added
OWN_TASKS = frozenset(TASKS)

# No task of its own: what stands in the results for all answers per region where a network ends after its proposals
PROPOSALS = Task("box_proposal", "region proposals", "RPN_ONLY", (), "AR@1000")
# Tasks with an answer per detected object
PER_REGION = frozenset(("detection", "instance", "keypoint", "part"))


def register_task(task):
    """Add a row to the table, and the task's options to the global config; do so before the config is read.

    These are its switch (off), MULTITASK.LOSS_WEIGHTS, START, STOP and LR_FACTORS, each under the task's key in
    capitals, and MULTITASK.SINGLE_LOSS_WEIGHTS of its losses, with the defaults that every task has. An equal row that
    is there already is no error.

    Args:
        task: the `Task`. Its key is the name of its label and of its answer, too.

    Raises:
        ValueError: another task has its key, its switch or one of its losses, or the key is no lower-case name.
    """
    if TASKS.get(task.key) == task:
        return
    if not task.key.isidentifier() or task.key != task.key.lower():
        raise ValueError(f"the key of a task is a name in lower case, not {task.key!r}")
    for other in (*TASKS.values(), PROPOSALS):
        shared = {task.key, task.switch, *task.losses} & {other.key, other.switch, *other.losses}
        if shared:
            raise ValueError(f"the task {task.key!r} has {sorted(shared)[0]!r} in common with {other.title}; rename it")
    if task.switch in global_cfg.MODEL:
        raise ValueError(f"MODEL.{task.switch} is an option already; choose another switch for {task.key!r}")
    _add_options(global_cfg, task)
    TASKS[task.key] = task


def _add_options(cfg, task):
    """Give an added task the options that `config/defaults.py` gives each of the package's own, in place."""
    cfg.add(task_switch(task.switch, f"Task: {task.title}"))
    for make in (loss_weight, first_iteration, last_iteration, rate_factor):
        cfg.add(make(task.key.upper()))
    for loss in task.losses:
        cfg.add(single_loss_weight(loss.upper()))


def enabled_tasks(cfg):
    """The tasks that a config turns on, in the table's order: list of `Task`."""
    return [task for task in TASKS.values() if getattr(cfg.MODEL, task.switch)]


def evaluated_tasks(cfg):
    """What a config's network is scored on: the enabled tasks, or `PROPOSALS` in place of those per region."""
    if not cfg.MODEL.RPN_ONLY or cfg.MODEL.RETINANET_ON:  # RetinaNet's configs say RPN_ONLY, but it does detect
        return enabled_tasks(cfg)
    return [PROPOSALS, *(task for task in enabled_tasks(cfg) if task.key not in PER_REGION)]


def own_parameters(model):
    """{task key: list of a network's parameters that no other task and no shared layer uses}, for every task.

    A parameter under two names, such as those of region features that masks read from the box head, is one of both
    tasks, and so of neither.
    """
    owners, parameters = {}, {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        name = name.removeprefix("module.")  # as DistributedDataParallel has it
        keys = {task.key for task in TASKS.values() if name.startswith(task.modules)}
        owners.setdefault(id(parameter), set()).update(keys or {None})
        parameters[id(parameter)] = parameter
    own = {key: [] for key in TASKS}
    for place, keys in owners.items():
        if len(keys) == 1 and None not in keys:
            own[keys.pop()].append(parameters[place])
    return own


def task_of_loss(name):
    """The task that owns a loss. Raises `KeyError` for a loss that no row of the table claims."""
    for task in TASKS.values():
        if name in task.losses:
            return task
    raise KeyError(f"no task of multitask/tasks.py owns the loss {name!r}; add it to the row of its task")
