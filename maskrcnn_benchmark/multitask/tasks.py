"""The table of the eight tasks: what each is called, which option turns it on, its losses and its headline metric.

The loss combiner, the report, the logs and the pictures read this table.
"""

from dataclasses import dataclass


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
    """

    key: str
    title: str
    switch: str
    losses: tuple[str, ...]
    headline: str
    higher_is_better: bool = True


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
        ),
        Task("instance", "instance segmentation", "MASK_ON", ("loss_mask",), "AP"),
        Task("keypoint", "human keypoints", "KEYPOINT_ON", ("loss_kp",), "AP"),
        Task("part", "part segmentation", "PART_ON", ("loss_part",), "mIoU"),
        Task("semantic", "semantic segmentation", "SEMANTIC_ON", ("loss_semantic",), "mIoU"),
        Task("boundary", "boundary detection", "BOUNDARY_ON", ("loss_boundary",), "ODS-F"),
        Task(
            "occlusion",
            "occlusion recognition",
            "OCCLUSION_ON",
            ("loss_occlusion_edge", "loss_occlusion_direction"),
            "OPR-ODS-F",
        ),
        Task("classification", "image classification", "CLASSIFICATION_ON", ("loss_classification",), "mAP"),
    )
}

# No task of its own: what stands in the results for all answers per region where a network ends after its proposals
PROPOSALS = Task("box_proposal", "region proposals", "RPN_ONLY", (), "AR@1000")
_PER_REGION = ("detection", "instance", "keypoint", "part")


def enabled_tasks(cfg):
    """The tasks that a config turns on, in the table's order: list of `Task`."""
    return [task for task in TASKS.values() if getattr(cfg.MODEL, task.switch)]


def evaluated_tasks(cfg):
    """What a config's network is scored on: the enabled tasks, or `PROPOSALS` in place of those per region."""
    if not cfg.MODEL.RPN_ONLY or cfg.MODEL.RETINANET_ON:  # RetinaNet's configs say RPN_ONLY, but it does detect
        return enabled_tasks(cfg)
    return [PROPOSALS, *(task for task in enabled_tasks(cfg) if task.key not in _PER_REGION)]


def task_of_loss(name):
    """The task that owns a loss. Raises `KeyError` for a loss that no row of the table claims."""
    for task in TASKS.values():
        if name in task.losses:
            return task
    raise KeyError(f"no task of multitask/tasks.py owns the loss {name!r}; add it to the row of its task")
