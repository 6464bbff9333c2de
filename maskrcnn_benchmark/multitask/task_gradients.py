"""The tasks' gradients apart from one another: where the network is cut, and how rows of gradients are kept."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from maskrcnn_benchmark.utils.comm import average_over_ranks, get_world_size, message_device
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.precision import float32_precision

if TYPE_CHECKING:
    from maskrcnn_benchmark.tasks.task import Task

# What a message calls those who want gradients by task
WANTED_BY = "MULTITASK.AGGREGATION, FREEZE_TRUNK, LOG_PERIOD and the weighting gradnorm"
CHUNK = 2**20  # entries of each gradient that are taken together: little memory, whatever the gradients' size


def own_parameters(model: nn.Module, tasks: Iterable["Task"]) -> dict[str, list[nn.Parameter]]:
    """{task key: list of a network's parameters that no other task and no shared layer uses}, for every task.

    A parameter under two names, such as those of region features that masks read from the box head, is one of both
    tasks, and so of neither.
    """
    tasks = list(tasks)
    owners: dict[int, set[str | None]] = {}
    parameters: dict[int, nn.Parameter] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        name = name.removeprefix("module.")  # as DistributedDataParallel has it
        keys = {task.key for task in tasks if name.startswith(task.parameter_prefixes)}
        owners.setdefault(id(parameter), set()).update(keys or {None})
        parameters[id(parameter)] = parameter
    own: dict[str, list[nn.Parameter]] = {task.key: [] for task in tasks}
    for place, users in owners.items():
        (first, *others) = users
        if first is not None and not others:
            own[first].append(parameters[place])
    return own


class GradientTap:
    """The place between a network's backbone and its heads, which is open while a step wants the gradients apart.

    While it is open, the heads read copies of the backbone's features that no gradient passes: a task's backward pass
    ends there, at ∂loss/∂features, and the backbone's is run from the tap. Each feature map is a place of its own, so
    that a level made from another one (a pyramid's P6 from P5) is not counted twice.

    Args:
        model: has the backbone as `backbone`, whose forward returns a tensor, or a list, tuple or dict of them.
    """

    def __init__(self, model: nn.Module) -> None:
        if isinstance(model, DistributedDataParallel):
            raise UserError(
                f"{WANTED_BY} do not go with DistributedDataParallel; hand over the model unwrapped, and training "
                "averages its gradients by itself"
            )
        backbone = getattr(model, "backbone", None)
        if not isinstance(backbone, nn.Module):
            raise UserError(f"gradients by task need a network with a `backbone`; {type(model).__name__} has none")
        self.parameters = [p for p in backbone.parameters() if p.requires_grad]
        if not self.parameters:
            raise UserError(
                f"{WANTED_BY} need a backbone that learns, but all of its parameters are frozen; lower "
                "MODEL.BACKBONE.FREEZE_CONV_BODY_AT or leave those options at their defaults"
            )
        self.backbone = backbone
        self.is_open = False
        self.features: list[torch.Tensor] = []
        self.copies: list[torch.Tensor] = []
        backbone.register_forward_hook(self._cut)

    def _cut(self, module, inputs, output):
        if not (self.is_open and torch.is_grad_enabled()):
            return None
        self.features, self.copies = [], []
        return self._copied(output)

    def _copied(self, output):
        if isinstance(output, dict):
            return type(output)((key, self._copied(value)) for key, value in output.items())
        if isinstance(output, list | tuple):
            return type(output)(self._copied(value) for value in output)
        if not (isinstance(output, torch.Tensor) and output.requires_grad):
            return output
        copy = output.detach().requires_grad_()
        self.features.append(output)
        self.copies.append(copy)
        return copy

    def take(self) -> list[torch.Tensor | None]:
        """The gradients that have come to the tap: one per feature map or None; it is then free for the next."""
        gradients = [copy.grad for copy in self.copies]
        for copy in self.copies:
            copy.grad = None
        return gradients

    def parameter_gradients(
        self, gradients: Sequence[torch.Tensor | None], retain_graph: bool = True
    ) -> Sequence[torch.Tensor | None]:
        """Gradients of the backbone's parameters, None for one not reached, from those at the tap."""
        reached = [(f, g) for f, g in zip(self.features, gradients) if g is not None]
        if not reached:
            return [None] * len(self.parameters)
        features, gradients = zip(*reached)
        return torch.autograd.grad(features, self.parameters, gradients, retain_graph=retain_graph, allow_unused=True)

    def backward(self, gradients: Sequence[torch.Tensor | None]) -> None:
        """The backward pass through the backbone, from gradients at the tap into the parameters' `grad`."""
        reached = [(f, g) for f, g in zip(self.features, gradients) if g is not None]
        if reached:
            torch.autograd.backward([f for f, _ in reached], [g for _, g in reached])

    def close(self) -> None:
        """Let go of the features."""
        self.features, self.copies = [], []


class GradientRows:
    """One gradient per task, with respect to the same tensors.

    Args:
        tensors: the tensors, whose shapes and layouts the gradients have.
    """

    def __init__(self, tensors: Sequence[torch.Tensor]) -> None:
        self.shapes = [tensor.shape for tensor in tensors]
        self.last = [t.ndim == 4 and t.is_contiguous(memory_format=torch.channels_last) for t in tensors]
        self.rows: dict[str, list[Any]] = {}  # {task key: flat gradients, None for a missing one}

    def add(self, key: str, gradients: Sequence[torch.Tensor | None]) -> None:
        """Add gradients, one per tensor or None, to a task's."""
        flat = [None if g is None else self._flat(g, last) for g, last in zip(gradients, self.last)]
        before = self.rows.get(key, [None] * len(flat))
        self.rows[key] = [new if old is None else old if new is None else old + new for old, new in zip(before, flat)]

    def average_over_ranks(self, tasks: Sequence[str], tensors: Sequence[torch.Tensor]) -> None:
        """Replace the gradients by their means over all processes, a missing one counting as zero.

        Args:
            tasks: list of all task keys.
            tensors: those that the gradients are of. One that nobody has a gradient of keeps none.
        """
        if get_world_size() == 1:
            return
        known = [[float(g is not None) for g in self.rows[key]] if key in self.rows else None for key in tasks]
        used = torch.tensor([[0.0] * len(tensors) if row is None else row for row in known], device=message_device())
        average_over_ranks([used])
        filled: dict[str, list[Any]] = {}  # in the order of the tasks, so that all processes add up in the same one
        for key, row in zip(tasks, used.tolist()):
            if any(row):
                own = self.rows.get(key, [None] * len(tensors))
                filled[key] = [
                    (t.new_zeros(t.numel()) if g is None else g) if u else None for g, u, t in zip(own, row, tensors)
                ]
        self.rows = filled
        average_over_ranks([g for row in filled.values() for g in row if g is not None])

    def clear(self) -> None:
        """Let go of the gradients."""
        self.rows = {}

    def gramian(self, tasks: Sequence[str], other: "GradientRows | None" = None) -> torch.Tensor:
        """Inner products: float64 [K, K] on the CPU, for the tasks in this order, 0 for one without a gradient.

        With `other`, gradients with respect to the same tensors, those of each task here with each task there.
        """
        other = self if other is None else other
        sums: dict[tuple[tuple[int, ...], tuple[int, ...]], torch.Tensor] = {}  # by who has a gradient of a tensor
        for index in range(len(self.shapes)):
            known, there = self._known(tasks, index), other._known(tasks, index)
            if not (known and there):
                continue
            rows = zip(*(self.rows[tasks[i]][index].split(CHUNK) for i in known))
            columns = zip(*(other.rows[tasks[i]][index].split(CHUNK) for i in there))
            for pieces, facing in zip(rows, columns):
                chunk = torch.stack(pieces).float()
                against = chunk if other is self else torch.stack(facing).float()
                with float32_precision(False):  # whatever the step computes in: an angle takes every digit
                    product = (chunk @ against.T).double()
                place = known, there
                sums[place] = sums[place].add_(product) if place in sums else product
        total = torch.zeros(len(tasks), len(tasks), dtype=torch.float64)
        if not sums:
            return total
        found = torch.cat([each.reshape(-1) for each in sums.values()]).cpu()  # in one transfer
        for (known, there), part in zip(sums, found.split([len(a) * len(b) for a, b in sums])):
            total[torch.tensor(known)[:, None], torch.tensor(there)] += part.view(len(known), len(there))
        return total

    def merge(self, other: "GradientRows") -> None:
        """Add the gradients of `other`, with respect to the same tensors, and leave it empty."""
        for key in list(other.rows):
            theirs = other.rows.pop(key)
            own = self.rows.get(key, [None] * len(theirs))
            self.rows[key] = [b if a is None else a if b is None else a + b for a, b in zip(own, theirs)]

    def change(self, key: str, function: Callable[[int, torch.Tensor], torch.Tensor]) -> None:
        """Replace a task's gradients by `function(index of the tensor, gradient in that tensor's shape)`."""
        for index, flat in enumerate(self.rows[key]):
            if flat is not None:
                self.rows[key][index] = self._flat(function(index, self._shaped(flat, index)), self.last[index])

    def _known(self, tasks: Sequence[str], index: int) -> tuple[int, ...]:
        """The places of the tasks that have a gradient of a tensor."""
        return tuple(i for i, key in enumerate(tasks) if key in self.rows and self.rows[key][index] is not None)

    def weighted_sum(self, weights: Mapping[str, float]) -> list[torch.Tensor | None]:
        """sum of weights[key] * gradient[key], weights being floats: list of tensors or None, in their own shapes."""
        joint: list[Any] = [None] * len(self.shapes)
        for key, weight in weights.items():
            row = self.rows.get(key, [None] * len(joint))
            begun = [i for i, flat in enumerate(row) if flat is not None and joint[i] is not None]
            new = [i for i, flat in enumerate(row) if flat is not None and joint[i] is None]
            if begun:
                torch._foreach_add_([joint[i] for i in begun], [row[i] for i in begun], alpha=weight)
            if new:
                for i, flat in zip(new, torch._foreach_mul([row[i] for i in new], weight)):
                    joint[i] = flat
        return [self._shaped(flat, index) for index, flat in enumerate(joint)]

    def elementwise(
        self, join: Callable[[torch.Tensor], torch.Tensor], keys: Sequence[str]
    ) -> list[torch.Tensor | None]:
        """`join(matrix [m, n]) -> [n]`, piece by piece over the gradients of `keys`: as `weighted_sum` returns."""
        joint: list[torch.Tensor | None] = []
        for index in range(len(self.shapes)):
            flat = [self.rows[key][index] if key in self.rows else None for key in keys]
            some = next((f for f in flat if f is not None), None)
            if some is None:
                joint.append(None)
                continue
            filled = [torch.zeros_like(some) if f is None else f for f in flat]
            total = torch.cat([join(torch.stack(pieces)) for pieces in zip(*(f.split(CHUNK) for f in filled))])
            joint.append(self._shaped(total, index))
        return joint

    @staticmethod
    def _flat(gradient, channels_last):
        # in the order in which the entries lie, so that nothing is moved
        return (gradient.permute(0, 2, 3, 1) if channels_last else gradient).reshape(-1)

    def _shaped(self, flat, index):
        if flat is None:
            return None
        shape = self.shapes[index]
        if not self.last[index]:
            return flat.view(shape)
        n, c, h, w = shape
        return flat.view(n, h, w, c).permute(0, 3, 1, 2)


class KeptRows(nn.Module):
    """For each task a tensor beside every parameter of the backbone that lasts from step to step, and in checkpoints.

    They begin as zeros, in float32 where the parameters are: as much memory, and as large a part of a checkpoint, as a
    backbone for each task.

    Args:
        tasks: list of task keys.
    """

    def __init__(self, tasks: Sequence[str]) -> None:
        super().__init__()
        self.tasks = list(tasks)

    def attach(self, parameters: Sequence[torch.Tensor]) -> None:
        """Make the tensors, before a state is loaded. Those that are there for the same parameters stay."""
        for key in self.tasks:
            for index, parameter in enumerate(parameters):
                kept = getattr(self, f"{key}_{index}", None)
                if kept is None or kept.shape != parameter.shape or kept.device != parameter.device:
                    self.register_buffer(f"{key}_{index}", torch.zeros_like(parameter, requires_grad=False))

    def of(self, key: str, index: int) -> torch.Tensor:
        """A task's tensor beside a parameter."""
        return getattr(self, f"{key}_{index}")
