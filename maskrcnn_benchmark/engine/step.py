"""One optimizer step on one batch: forward, backward, agreement between ranks, checks, clipping, update."""

import contextlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from maskrcnn_benchmark.engine.data_parallel import GradientAverage, JointBackward, has_synchronized_norms
from maskrcnn_benchmark.engine.precision import autocast
from maskrcnn_benchmark.layers import SyncBatchNorm2d
from maskrcnn_benchmark.multitask.interactions import GradientStatistics
from maskrcnn_benchmark.multitask.loss_combiner import LossCombiner
from maskrcnn_benchmark.multitask.task_gradients import WANTED_BY
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.image_list import ImageList
from maskrcnn_benchmark.structures.target_batch import TargetBatch
from maskrcnn_benchmark.structures.tensors import sent
from maskrcnn_benchmark.utils.comm import BUCKET_BYTES, all_gather, get_world_size
from maskrcnn_benchmark.utils.errors import UserError


@dataclass
class StepOutcome:
    """What a step reports, of this rank's images.

    Attributes:
        losses: {loss name: value}, unweighted.
        tasks: {task key: loss}, times the fixed weights.
        weights: {task key: weight of its loss}.
        backbone_weights: {task key: weight of its gradient on the backbone}, where an aggregation chose them.
        total: what was minimised.
        gradient_norm: norm over all parameters before clipping.
        stop: whether some rank asked to stop.
        gradient_statistics: `GradientStatistics` of a sampled iteration, else None.
    """

    losses: dict[str, float]
    tasks: dict[str, float]
    total: float
    gradient_norm: float
    stop: bool
    weights: dict[str, float] = field(default_factory=dict)
    backbone_weights: dict[str, float] = field(default_factory=dict)
    gradient_statistics: GradientStatistics | None = None

    @property
    def is_skipped(self) -> bool:
        """Whether no weight was moved, for the scaled gradient had overflowed float16: alike in all processes."""
        return not math.isfinite(self.gradient_norm)


class TrainingStep:
    """Runs a batch through a model and moves its weights.

    Args:
        model: images, targets -> {loss name: scalar}.
        loss_combiner: `LossCombiner`.
        optimizer: over the parameters of the model and the learned ones of the combiner.
        device: where both are.
        dtype: "float32", "float16" or "bfloat16".
        accumulate: number of micro-batches that a batch is run in.
        clip_norm: largest norm of the gradient; 0 does not clip.
        bucket_bytes: of the messages in which several processes average their gradients.
    """

    def __init__(
        self,
        model: nn.Module,
        loss_combiner: LossCombiner,
        optimizer: torch.optim.Optimizer,
        device: torch.device | str,
        dtype: str = "float32",
        accumulate: int = 1,
        clip_norm: float = 0.0,
        bucket_bytes: int = BUCKET_BYTES,
    ) -> None:
        self.model = model
        self.loss_combiner = loss_combiner
        self.optimizer = optimizer
        self.device = torch.device(device)
        self.dtype = dtype
        self.accumulate = accumulate
        self.clip_norm = clip_norm
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=dtype == "float16")
        self.parameters = [p for group in optimizer.param_groups for p in group["params"]]
        loss_combiner.attach(model)
        self.average = self._gradient_average(bucket_bytes) if get_world_size() > 1 else None
        self.joint = JointBackward(model) if self.average is not None and has_synchronized_norms(model) else None
        if self.joint is not None and loss_combiner.takes_apart and _norms_of_config(model):
            raise UserError(
                f"{WANTED_BY} run backward passes of single tasks, which processes with different labels do not have "
                "alike, and norms over all processes (SyncBN) wait for one another in each; choose BN or GN, or leave "
                "those options at their defaults"
            )

    def __call__(
        self,
        images: ImageList,
        targets: Sequence[ImageAnnotations] | TargetBatch,
        image_names: Callable[[], list[str]],
        wants_stop: Callable[[], bool] = lambda: False,
    ) -> StepOutcome:
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
        normalizers = self.loss_combiner.normalizers_of([targets[first:last] for first, last in bounds])
        random_state = self._random_state() if self.loss_combiner.weighting.learns_from == "later" else None
        self.loss_combiner.begin()
        self._backward(images, targets, bounds, normalizers)
        combined = self.loss_combiner.finish(self.scaler)
        used = [p for p in self.parameters if p.grad is not None]
        norm = self._norm(used)
        (losses, tasks, weights, total), norm, any_bad, any_stop = self._numbers(combined, norm, wants_stop())
        if any_bad:
            bad = [f"{name} is {value}" for name, value in losses.items() if not math.isfinite(value)]
            raise UserError(_describe(bad, image_names))
        # in float16 an overflow is part of the game: the scaler skips the step and lowers its scale
        if not self.scaler.is_enabled() and not math.isfinite(norm):
            raise UserError(_describe(["the gradient is not finite although the losses are"], image_names))
        self._update(used, norm)
        self.loss_combiner.learn(lambda: self._losses_again(images, targets, bounds, normalizers, random_state))
        return StepOutcome(losses, tasks, total, norm, any_stop, weights, combined.backbone_weights, combined.gradients)

    def _gradient_average(self, bucket_bytes):
        """The `GradientAverage` over the parameters in the order of the network, the combiner's last."""
        others = {id(p): p for p in self.parameters}
        of_model = [others.pop(id(p)) for p in self.model.parameters() if id(p) in others]
        if isinstance(self.model, DistributedDataParallel):
            of_model = []  # it has averaged its own by the end of the backward pass
        backbone = {id(p) for p in self.loss_combiner.backbone_parameters()}
        heads = [p for p in of_model if id(p) not in backbone]
        groups = [*heads, *others.values()], [p for p in of_model if id(p) in backbone]
        return GradientAverage(groups, not has_synchronized_norms(self.model), bucket_bytes)

    def _backward(self, images, targets, bounds, normalizers):
        """The gradients of all micro-batches; with several processes their means are on their way when this returns."""
        if self.average is None:
            for (first, last), normalizer in zip(bounds, normalizers):
                self.loss_combiner.backward(self._losses(images, targets, first, last), normalizer, self.scaler)
            return
        self.average.begin()
        for (first, last), normalizer in zip(bounds[:-1], normalizers):
            losses, joint = self._joint_losses(images, targets, first, last)
            self.loss_combiner.backward(losses, normalizer, self.scaler, joint=joint)
        losses, joint = self._joint_losses(images, targets, *bounds[-1])
        self.loss_combiner.backward(losses, normalizers[-1], self.scaler, self.average.last_pass, joint)
        self.average.send_rest(self.loss_combiner.settled())

    def _joint_losses(self, images, targets, first, last):
        """`_losses`, and the zero that makes the backward pass alike in all processes, or None."""
        if self.joint is None:
            return self._losses(images, targets, first, last), None
        self.joint.begin()
        losses = self._losses(images, targets, first, last)
        return losses, self.joint.zero()

    def _losses(self, images, targets, first, last):
        """{loss name: scalar} of the images first..last-1; {} of no image."""
        if first == last:
            return {}
        micro_batch = self._micro_batch(images, first, last), self._moved(targets[first:last])
        with autocast(self.dtype, self.device):
            return self.model(*micro_batch)

    def _losses_again(self, images, targets, bounds, normalizers, random_state):
        """[({loss name: scalar}, `LossNormalizer`)] anew, with the moved weights and the same random choices."""
        with torch.no_grad(), _still_statistics(self.model), torch.random.fork_rng(self._random_devices()):
            torch.set_rng_state(random_state[0])
            for device, state in zip(self._random_devices(), random_state[1:]):
                torch.cuda.set_rng_state(state, device)
            losses = [self._losses(images, targets, first, last) for first, last in bounds]
        return list(zip(losses, normalizers))

    def _random_state(self):
        return [torch.get_rng_state(), *(torch.cuda.get_rng_state(device) for device in self._random_devices())]

    def _random_devices(self):
        return [self.device] if self.device.type == "cuda" else []

    def _micro_batch(self, images, first, last):
        tensors = images.tensors[first:last].to(self.device, non_blocking=True)
        return ImageList(tensors, images.image_sizes[first:last])

    def _moved(self, targets):
        if isinstance(targets, TargetBatch):
            return targets.to(self.device, non_blocking=True)
        return [target.to(self.device) for target in targets]

    def _norm(self, used):
        """The gradients' norm before clipping, a scalar tensor, when they are there; 0.0 without any."""
        if self.average is not None:
            self.average.wait()
        if not used:
            return 0.0
        self.scaler.unscale_(self.optimizer)
        return torch.nn.utils.get_total_norm([p.grad for p in used], foreach=True)

    def _numbers(self, combined, norm, wants_stop):
        """What the host has to know of a step, in one transfer from the device.

        Returns:
            ((losses, tasks, weights, total) of the `Combined` as numbers, the norm, whether a loss of any process is
            not finite, whether any process wants to stop).
        """
        groups = (combined.losses, combined.tasks, combined.weights, {"total": combined.total, "norm": norm})
        tensors = [value for group in groups for value in group.values() if isinstance(value, torch.Tensor)]
        values = torch.stack([value.detach().float() for value in tensors]) if tensors else None
        if self.average is None:
            numbers = [] if values is None else values.tolist()
        else:
            flags = self._flags_of_all(None if values is None else values[: len(combined.losses)], wants_stop)
            numbers = torch.cat([flags] if values is None else [values, flags]).tolist()
        found = iter(numbers)
        losses, tasks, weights, rest = (
            {name: next(found) if isinstance(value, torch.Tensor) else value for name, value in group.items()}
            for group in groups
        )
        if self.average is None:
            any_bad = not all(math.isfinite(loss) for loss in losses.values())
        else:
            any_bad, wants_stop, *present = (flag > 0 for flag in found)
            self.average.leave_unused(present)
        return (losses, tasks, weights, rest["total"]), rest["norm"], any_bad, wants_stop

    def _flags_of_all(self, losses, wants_stop):
        """float [2 + parameters], above 0 where it holds in any process: a bad loss, a stop, a gradient."""
        flags = torch.tensor([0.0, wants_stop, *self.average.present()])
        flags = sent(flags, self.device)
        if losses is not None:
            flags[0] = ~losses.isfinite().all()
        dist.all_reduce(flags, op=dist.ReduceOp.MAX)
        return flags

    def _update(self, used, norm):
        """Move the weights by the gradients of the parameters that had one, clipped by their norm."""
        if not used:
            self.optimizer.step()  # moves nothing, but the schedule wants to see that it was called
            return
        if 0 < self.clip_norm < norm < math.inf:
            torch._foreach_mul_([p.grad for p in used if p.grad is not None], self.clip_norm / (norm + 1e-6))
        self.scaler.step(self.optimizer)
        self.scaler.update()


def _norms_of_config(model):
    return any(isinstance(module, SyncBatchNorm2d) for module in model.modules())


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


def _bounds(count, pieces):
    """[(first, last), ...] that cut `count` images into `pieces` runs of nearly equal length, some of them empty.

    Always as many, since processes with batches of different size communicate about each of them.
    """
    return [(count * i // pieces, count * (i + 1) // pieces) for i in range(pieces)]


def _describe(faults, image_names):
    """One line on what is wrong with this batch, over all ranks."""
    gathered = all_gather((faults, image_names()))
    faults = dict.fromkeys(fault for rank_faults, _ in gathered for fault in rank_faults)
    images = [name for _, rank_images in gathered for name in rank_images]
    return (
        f"{', '.join(faults)} on the images {', '.join(images)}; no weight was changed. Lower SOLVER.BASE_LR, lengthen "
        "SOLVER.WARMUP_ITERS or set SOLVER.CLIP_GRADIENT_NORM, and look at these images' annotations"
    )
