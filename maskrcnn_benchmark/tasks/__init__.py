"""The tasks, one file each, and what all of them share (`task.py`)."""

from maskrcnn_benchmark.tasks.task import TASKS, Task, annotated_tasks, enabled_tasks, register_task, task_of_loss

__all__ = ["TASKS", "Task", "annotated_tasks", "enabled_tasks", "register_task", "task_of_loss"]
