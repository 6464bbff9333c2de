"""One optimizer step on one batch: forward, backward, agreement between ranks, checks, clipping, update."""

import contextlib
import math
from dataclasses import dataclass

import torch
from torch.nn.parallel import DistributedDataParallel

from maskrcnn_benchmark.engine.data_parallel import agree, average_gradients
from maskrcnn_benchmark.structures.image_list import ImageList
from maskrcnn_benchmark.utils.comm import all_gather
from maskrcnn_benchmark.utils.errors import UserError

PRECISIONS = {"float32": None, "float16": torch.float16, "bfloat16": torch.bfloat16}


def autocast(dtype, device):
    """The context of a forward pass in the precision that the option DTYPE names; nothing at all for "float32"."""
    if dtype not in PRECISIONS:
        raise UserError(f"DTYPE is {dtype!r}, but must be one of {', '.join(PRECISIONS)}")
    if PRECISIONS[dtype] is None:
        return contextlib.nullcontext()
    return torch.autocast(torch.device(device).type, PRECISIONS[dtype])


@dataclass
class StepOutcome:
    """What a step reports.

    Attributes:
        losses: {loss name: value of this rank's images}, unweighted.
        tasks: {task key: weighted loss}.
        total: what was minimised.
        gradient_norm: norm over all parameters before clipping.
        stop: whether some rank asked to stop.
    """

    losses: dict
    tasks: dict
    total: float
    gradient_norm: float
    stop: bool


class TrainingStep:
    """Runs a batch through a model and moves its weights.

    Args:
        model: images, targets -> {loss name: scalar}.
        loss_combiner: {loss name: scalar} -> (scalar or None, {task key: scalar}).
        optimizer: over the parameters of both.
        device: where the model is.
        dtype: "float32", "float16" or "bfloat16".
        accumulate: number of portions that a batch is run in.
        clip_norm: largest norm of the gradient; 0 does not clip.
    """

    def __init__(self, model, loss_combiner, optimizer, device, dtype="float32", accumulate=1, clip_norm=0.0):
        self.model = model
        self.loss_combiner = loss_combiner
        self.optimizer = optimizer
        self.device = torch.device(device)
        self.dtype = dtype
        self.accumulate = accumulate
        self.clip_norm = clip_norm
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=dtype == "float16")
        self.parameters = [p for group in optimizer.param_groups for p in group["params"]]
        # DistributedDataParallel, if the caller chose it, has averaged its own parameters by the end of backward
        wrapped = {id(p) for p in model.parameters()} if isinstance(model, DistributedDataParallel) else set()
        self.to_average = [p for p in self.parameters if id(p) not in wrapped]

    def __call__(self, images, targets, image_names, wants_stop=lambda: False):
        """Move the weights by one batch.

        Args:
            images: `ImageList`.
            targets: list of `ImageAnnotations`, one per image.
            image_names: function without arguments that names the batch's images; called only if something is wrong.
            wants_stop: function without arguments: does this rank want to stop after this step?

        Returns:
            `StepOutcome`.

        Raises:
            UserError: on all ranks alike and before any weight has moved, if a loss or the gradient is not finite.
        """
        self.optimizer.zero_grad(set_to_none=True)
        losses, tasks, total = self._run_portions(images, targets)
        bad = [f"{name} is {value}" for name, value in losses.items() if not math.isfinite(value)]
        present, (any_bad, any_stop) = agree(self.to_average, [bool(bad), wants_stop()], self.device)
        if any_bad:
            raise UserError(_describe(bad, image_names))
        average_gradients(self.to_average, present)
        norm = self._update(image_names)
        return StepOutcome(losses, tasks, total, norm, any_stop)

    def _run_portions(self, images, targets):
        """Forward and backward over the portions; returns the losses, the tasks' losses and the total as numbers."""
        sums = {}
        for first, last in _bounds(len(targets), self.accumulate):
            share = (last - first) / len(targets)
            portion = self._portion(images, first, last), [t.to(self.device) for t in targets[first:last]]
            with autocast(self.dtype, self.device):
                losses = self.model(*portion)
            total, tasks = self.loss_combiner(losses)
            if total is None:
                continue
            self.scaler.scale(total * share).backward()
            for kind, values in (("losses", losses), ("tasks", tasks), ("total", {"": total})):
                for name, value in values.items():
                    sums[kind, name] = sums.get((kind, name), 0.0) + value.detach().float() * share
        # one transfer from the device for all of them
        values = torch.stack(list(sums.values())).tolist() if sums else []
        numbers = {"losses": {}, "tasks": {}, "total": {"": 0.0}}
        for (kind, name), value in zip(sums, values):
            numbers[kind][name] = value
        return numbers["losses"], numbers["tasks"], numbers["total"][""]

    def _portion(self, images, first, last):
        tensors = images.tensors[first:last].to(self.device, non_blocking=True)
        return ImageList(tensors, images.image_sizes[first:last])

    def _update(self, image_names):
        """Move the weights by the gradients, if there are any; returns the gradients' norm before clipping."""
        used = [p for p in self.parameters if p.grad is not None]
        if not used:
            self.optimizer.step()  # moves nothing, but the schedule wants to see that it was called
            return 0.0
        self.scaler.unscale_(self.optimizer)
        norm = torch.nn.utils.get_total_norm([p.grad for p in used])
        # in float16 an overflow is part of the game: the scaler skips the step and lowers its scale
        if not self.scaler.is_enabled() and not torch.isfinite(norm):
            raise UserError(_describe(["the gradient is not finite although the losses are"], image_names))
        if self.clip_norm > 0:
            torch.nn.utils.clip_grads_with_norm_(used, self.clip_norm, norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return norm.item()


def _bounds(count, portions):
    """[(first, last), ...] that cut `count` images into at most `portions` runs of nearly equal length."""
    portions = min(portions, count)
    return [(count * i // portions, count * (i + 1) // portions) for i in range(portions)]


def _describe(faults, image_names):
    """One line on what is wrong with this batch, over all ranks."""
    gathered = all_gather((faults, image_names()))
    faults = dict.fromkeys(fault for rank_faults, _ in gathered for fault in rank_faults)
    images = [name for _, rank_images in gathered for name in rank_images]
    return (
        f"{', '.join(faults)} on the images {', '.join(images)}; no weight was changed. Lower SOLVER.BASE_LR, lengthen "
        "SOLVER.WARMUP_ITERS or set SOLVER.CLIP_GRADIENT_NORM, and look at these images' annotations"
    )
