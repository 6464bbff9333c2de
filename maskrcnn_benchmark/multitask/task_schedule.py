"""Which tasks take part in an iteration."""

from collections.abc import Mapping, Sequence

import torch

from maskrcnn_benchmark.utils.errors import UserError


class TaskSchedule:
    """Begins and ends tasks, and draws some of those that run.

    Args:
        tasks: list of task keys.
        start, stop: {task key: first, last iteration}, counted from 1; a missing one is 1, and -1, which is never.
        per_step: tasks in an iteration, drawn anew each time, alike in all processes; 0 takes all that run.
    """

    def __init__(
        self,
        tasks: Sequence[str],
        start: Mapping[str, int] | None = None,
        stop: Mapping[str, int] | None = None,
        per_step: int = 0,
    ) -> None:
        self.tasks = list(tasks)
        self.start = {key: (start or {}).get(key, 1) for key in self.tasks}
        self.stop = {key: (stop or {}).get(key, -1) for key in self.tasks}
        self.per_step = per_step
        for key in self.tasks:
            first, last = self.start[key], self.stop[key]
            if last != -1 and last < first:
                raise UserError(
                    f"MULTITASK.STOP.{key.upper()} is {last}, before MULTITASK.START.{key.upper()}, {first}: the task "
                    "would never be trained; turn it off instead"
                )
        if per_step < 0:
            raise UserError(f"MULTITASK.TASKS_PER_STEP is {per_step}, but must not be negative")

    def active(self, iteration: int, seed: int = 0) -> list[str]:
        """Keys of the tasks whose losses count in an iteration of a run with that seed, in the tasks' order."""
        running = [
            key
            for key in self.tasks
            if self.start[key] <= iteration and (self.stop[key] == -1 or iteration <= self.stop[key])
        ]
        if not 0 < self.per_step < len(running):
            return running
        generator = torch.Generator().manual_seed((seed * 1_000_003 + iteration) % 2**63)
        drawn = torch.randperm(len(running), generator=generator)[: self.per_step].tolist()
        return [running[i] for i in sorted(drawn)]
