"""What a gradient aggregation is, and the table of them for the option MULTITASK.AGGREGATION."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import nn
from yacs.config import CfgNode

from maskrcnn_benchmark.config.defaults import BALANCING
from maskrcnn_benchmark.config.method_registry import MethodRegistry
from maskrcnn_benchmark.config.options import Option

if TYPE_CHECKING:
    from maskrcnn_benchmark.multitask.task_gradients import GradientRows

AGGREGATIONS = MethodRegistry("aggregation", "MULTITASK.AGGREGATION", BALANCING)


class Aggregation(nn.Module):
    """A way to join the tasks' gradients. Subclass it, write `forward`, register it, and name it in the config.

    Args:
        tasks: list of the task keys that can occur.

    Attributes:
        draws: `forward` uses torch's random numbers. They are then seeded alike in all processes.
        elementwise: `forward` takes the gradients themselves instead of their Gramian.
        levels: the values of MULTITASK.GRADIENTS_AT that it can do with. What compares a step's gradients with those
            of other images needs the parameters: a feature map belongs to its image.
        halves: instead of `forward`, `forward_halves` is called, which is also given the inner products between the
            gradients of two halves of the batch, which have no image in common. Needs two micro-batches
            (SOLVER.ACCUMULATE_STEPS) and the parameters.
        follows: `follow` is called before `forward`. At the parameters only.
        options: the records of its options, such as "MULTITASK.CAGRAD.C", which `from_config` reads.
    """

    draws = False
    elementwise = False
    levels: Sequence[str] = ("features", "parameters")
    halves = False
    follows = False
    options: Sequence[Option] = ()

    def __init__(self, tasks: Sequence[str]) -> None:
        super().__init__()
        self.tasks = list(tasks)

    @classmethod
    def from_config(cls, node: CfgNode, tasks: Sequence[str]) -> "Aggregation":
        """The method with the options of `cfg.MULTITASK`."""
        return cls(tasks)

    def attach(self, parameters: Sequence[torch.Tensor]) -> None:
        """Prepare for the gradients of these parameters of a backbone; before a state is loaded."""

    def follow(self, rows: "GradientRows", keys: Sequence[str], scale: float) -> bool:
        """Take in a step's gradients, and put in their place what is to be joined instead.

        Args:
            rows: the gradients, the mean over all processes, times `scale`.
            keys: the tasks that `forward` will be given.
            scale: the loss scale of float16, else 1.

        Returns:
            whether the rows have changed.
        """
        raise NotImplementedError

    def forward(self, gramian: torch.Tensor, keys: Sequence[str]) -> torch.Tensor:
        """Weights of the gradients.

        Args:
            gramian: float64 [m, m] on the CPU, the inner products of the gradients of the m tasks that this step has;
                none of them is zero. With `elementwise`: float [m, n], gradients, one row per task, in any pieces.
            keys: the tasks' keys, list of m.

        Returns:
            float64 [m]. With `elementwise`: float [n], the joint gradient.
        """
        raise NotImplementedError

    def forward_halves(self, gramian: torch.Tensor, products: torch.Tensor, keys: Sequence[str]) -> torch.Tensor:
        """Weights of the gradients, with `halves` instead of `forward`.

        Args:
            gramian: of the whole batch, as above.
            products: float64 [m, m] on the CPU, symmetric: the inner products of the gradient of a task's mean loss
                over one half with that of another's over the other half, the mean of both ways round; nan for a task
                that one half has no label of.
            keys: as above.

        Returns:
            float64 [m].
        """
        raise NotImplementedError
