"""The tasks, one file each, and what all of them share (`task.py`)."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from maskrcnn_benchmark.tasks.task import TASKS, Task, annotated_tasks, enabled_tasks, register_task, task_of_loss

__all__ = ["TASKS", "Task", "annotated_tasks", "enabled_tasks", "register_task", "task_of_loss"]


def __getattr__(name: str) -> Any:
    if name in __all__:  # late: `names` is read before PyTorch is imported
        from maskrcnn_benchmark.tasks import task

        return getattr(task, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
