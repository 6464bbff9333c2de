"""Gradient conflicts between tasks: norms of their gradients on the backbone, and the cosines between them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.schema import TEXT, ListOf, Record, Tensor

INTERACTIONS = "interactions"  # the summary's entry in results.json, and the module's prefix in a combiner's state
EXTRA_STATE = Record({"tasks": ListOf(TEXT, 0, 1000)})


@dataclass
class GradientStatistics:
    """The tasks' gradients on the backbone in one sampled iteration.

    Attributes:
        norms: {task key: norm}, weights included.
        cosines: {(task key, task key): cosine} of the pairs that both have a gradient, in the tasks' order.
    """

    norms: dict[str, float]
    cosines: dict[tuple[str, str], float]

    @classmethod
    def of_gramian(cls, gramian: torch.Tensor, tasks: Sequence[str]) -> "GradientStatistics":
        """From inner products float64 [K, K] of the tasks' gradients; zero gradients are left out."""
        gramian = gramian.cpu()
        norms = gramian.diagonal().clamp_min(0).sqrt()
        present = [i for i in range(len(tasks)) if norms[i] > 0 and math.isfinite(norms[i])]
        cosines = {
            (tasks[i], tasks[j]): (gramian[i, j] / (norms[i] * norms[j])).clamp(-1, 1).item()
            for place, i in enumerate(present)
            for j in present[place + 1 :]
        }
        return cls({tasks[i]: norms[i].item() for i in present}, cosines)


class Interactions(nn.Module):
    """The mean over the sampled iterations of a training; it lies in the checkpoint.

    Args:
        tasks: list of task keys.
    """

    cosines: torch.Tensor
    conflicts: torch.Tensor
    together: torch.Tensor
    norms: torch.Tensor
    seen: torch.Tensor

    def __init__(self, tasks: Sequence[str]) -> None:
        super().__init__()
        self.tasks = list(tasks)
        count = len(self.tasks)
        for name in ("cosines", "conflicts", "together"):
            self.register_buffer(name, torch.zeros(count, count, dtype=torch.float64))
        for name in ("norms", "seen"):
            self.register_buffer(name, torch.zeros(count, dtype=torch.float64))

    @classmethod
    def of_state(cls, state: Mapping[str, Any]) -> "Interactions | None":
        """Those that a `LossCombiner.state_dict()` holds, such as a checkpoint's; None if it holds none.

        Raises `Unfit` for what no such state holds.
        """
        Record().check(state)
        prefix = f"{INTERACTIONS}."
        names = [name for name in state if isinstance(name, str) and name.startswith(prefix)]
        own = {name.removeprefix(prefix): state[name] for name in names}
        if "_extra_state" not in own:
            return None
        EXTRA_STATE.check(own["_extra_state"])
        tasks = own["_extra_state"]["tasks"]
        square, row = (len(tasks), len(tasks)), (len(tasks),)
        shapes = {"cosines": square, "conflicts": square, "together": square, "norms": row, "seen": row}
        buffers = {name: Tensor(torch.float64, shape) for name, shape in shapes.items()}
        Record({"_extra_state": EXTRA_STATE, **buffers}, closed=True).check(own)
        interactions = cls(tasks)
        interactions.load_state_dict(own)
        return interactions

    def get_extra_state(self) -> dict[str, Any]:
        return {"tasks": self.tasks}

    def set_extra_state(self, state: Any) -> None:
        EXTRA_STATE.check(state)
        if state["tasks"] != self.tasks:
            raise UserError(
                f"the checkpoint was trained on the tasks {', '.join(state['tasks'])}, and this config turns on "
                f"{', '.join(self.tasks)}; choose another OUTPUT_DIR"
            )

    def record(self, gradients: GradientStatistics) -> None:
        """Take in the gradient statistics of a sampled iteration."""
        new = {name: torch.zeros_like(buffer, device="cpu") for name, buffer in self.named_buffers()}
        for key, norm in gradients.norms.items():
            new["norms"][self.tasks.index(key)] = norm
            new["seen"][self.tasks.index(key)] = 1
        for (a, b), cosine in gradients.cosines.items():
            i, j = self.tasks.index(a), self.tasks.index(b)
            for place in ((i, j), (j, i)):
                new["cosines"][place] = cosine
                new["conflicts"][place] = cosine < 0
                new["together"][place] = 1
        for name, buffer in self.named_buffers():
            buffer += new[name].to(buffer.device)

    def summary(self) -> dict[str, list] | None:
        """What was seen, as plain lists and numbers, or None without a sampled iteration.

        Returns:
            {"tasks": [K keys], "looks": [K] numbers of sampled iterations with a gradient of the task, "norm": [K] mean
            norms, "cosine": [K][K] mean cosines, "conflict": [K][K] fraction of iterations with a negative cosine}; nan
            where two tasks were never seen together, 1 and 0 on the diagonal.
        """
        if not self.seen.any():
            return None
        cosine, conflict = (self.cosines / self.together).cpu(), (self.conflicts / self.together).cpu()
        for i in range(len(self.tasks)):
            cosine[i, i], conflict[i, i] = 1.0, 0.0
        return {
            "tasks": list(self.tasks),
            "looks": [int(n) for n in self.seen],
            "norm": (self.norms / self.seen).tolist(),
            "cosine": cosine.tolist(),
            "conflict": conflict.tolist(),
        }
