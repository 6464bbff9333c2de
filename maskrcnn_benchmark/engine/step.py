"""One optimizer step on one batch: forward, backward, agreement between ranks, checks, clipping, update."""

import contextlib
import math
from dataclasses import dataclass, field

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from maskrcnn_benchmark.engine.data_parallel import agree, average_gradients
from maskrcnn_benchmark.multitask.interactions import TrunkGradients
from maskrcnn_benchmark.multitask.shares import shares_of
from maskrcnn_benchmark.structures.image_list import ImageList
from maskrcnn_benchmark.structures.target_batch import TargetBatch
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
    """What a step reports, of this rank's images.

    Attributes:
        losses: {loss name: value}, unweighted.
        tasks: {task key: loss}, times the fixed weights.
        weights: {task key: weight of its loss}.
        trunk_weights: {task key: weight of its gradient on the trunk}, where an aggregation chose them.
        total: what was minimised.
        gradient_norm: norm over all parameters before clipping.
        stop: whether some rank asked to stop.
        trunk_gradients: `TrunkGradients`, in iterations that looked at them, else None.
    """

    losses: dict
    tasks: dict
    total: float
    gradient_norm: float
    stop: bool
    weights: dict = field(default_factory=dict)
    trunk_weights: dict = field(default_factory=dict)
    trunk_gradients: TrunkGradients | None = None


class TrainingStep:
    """Runs a batch through a model and moves its weights.

    Args:
        model: images, targets -> {loss name: scalar}.
        loss_combiner: `LossCombiner`.
        optimizer: over the parameters of the model and the learned ones of the combiner.
        device: where both are.
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
        loss_combiner.attach(model)

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
        bounds = _bounds(len(targets), self.accumulate)
        shares = shares_of([targets[first:last] for first, last in bounds], self.loss_combiner.tasks, self.device)
        random_state = self._random_state() if self.loss_combiner.weighting.learns_from == "later" else None
        self.loss_combiner.begin()
        for (first, last), share in zip(bounds, shares):
            self.loss_combiner.backward(self._losses(images, targets, first, last), share, self.scaler)
        combined = self.loss_combiner.finish(self.scaler)
        losses, tasks, weights, total = _numbers(combined)
        bad = [f"{name} is {value}" for name, value in losses.items() if not math.isfinite(value)]
        settled = {id(p) for p in self.loss_combiner.settled()}
        to_average = [p for p in self.to_average if id(p) not in settled]
        present, (any_bad, any_stop) = agree(to_average, [bool(bad), wants_stop()], self.device)
        if any_bad:
            raise UserError(_describe(bad, image_names))
        average_gradients(to_average, present)
        norm = self._update(image_names)
        self.loss_combiner.learn(lambda: self._losses_again(images, targets, bounds, shares, random_state))
        return StepOutcome(losses, tasks, total, norm, any_stop, weights, combined.trunk_weights, combined.gradients)

    def _losses(self, images, targets, first, last):
        """{loss name: scalar} of the images first..last-1; {} of no image."""
        if first == last:
            return {}
        portion = self._portion(images, first, last), self._moved(targets[first:last])
        with autocast(self.dtype, self.device):
            return self.model(*portion)

    def _losses_again(self, images, targets, bounds, shares, random_state):
        """[({loss name: scalar}, `Share`)] of the portions anew, with the moved weights and the same random choices."""
        with torch.no_grad(), _still_statistics(self.model), torch.random.fork_rng(self._random_devices()):
            torch.set_rng_state(random_state[0])
            for device, state in zip(self._random_devices(), random_state[1:]):
                torch.cuda.set_rng_state(state, device)
            losses = [self._losses(images, targets, first, last) for first, last in bounds]
        return list(zip(losses, shares))

    def _random_state(self):
        return [torch.get_rng_state(), *(torch.cuda.get_rng_state(device) for device in self._random_devices())]

    def _random_devices(self):
        return [self.device] if self.device.type == "cuda" else []

    def _portion(self, images, first, last):
        tensors = images.tensors[first:last].to(self.device, non_blocking=True)
        return ImageList(tensors, images.image_sizes[first:last])

    def _moved(self, targets):
        if isinstance(targets, TargetBatch):
            return targets.to(self.device, non_blocking=True)
        return [target.to(self.device) for target in targets]

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


@contextlib.contextmanager
def _still_statistics(model):
    """Batch norms normalise by the batch, as in training, but their running statistics stay."""
    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm) and m.track_running_stats]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta):
            norm.momentum = momentum


def _numbers(combined):
    """(losses, tasks, weights, total) of a `Combined` as numbers, in one transfer from the device."""
    groups = (combined.losses, combined.tasks, combined.weights, {"": combined.total})
    tensors = [value for group in groups for value in group.values() if isinstance(value, torch.Tensor)]
    values = iter(torch.stack([tensor.detach().float() for tensor in tensors]).tolist() if tensors else [])
    losses, tasks, weights, total = (
        {name: next(values) if isinstance(value, torch.Tensor) else value for name, value in group.items()}
        for group in groups
    )
    return losses, tasks, weights, total[""]


def _bounds(count, portions):
    """[(first, last), ...] that cut `count` images into `portions` runs of nearly equal length, some of them empty.

    Always as many, since processes with batches of different size communicate about each of them.
    """
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
