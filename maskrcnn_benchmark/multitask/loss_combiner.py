"""Loss balancing, many losses -> one step: the one place between the heads and the optimizer."""

import contextlib
import hashlib
import itertools
import math
import re
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from yacs.config import CfgNode

from maskrcnn_benchmark.config.check import check_options
from maskrcnn_benchmark.multitask.aggregations import AGGREGATIONS, Aggregation
from maskrcnn_benchmark.multitask.interactions import GradientStatistics, Interactions
from maskrcnn_benchmark.multitask.loss_normalizers import LossNormalizer, normalizers_of, whole
from maskrcnn_benchmark.multitask.task_gradients import GradientRows, GradientTap, own_parameters
from maskrcnn_benchmark.multitask.task_schedule import TaskSchedule
from maskrcnn_benchmark.multitask.weightings import WEIGHTINGS, FixedWeighting, Weighting
from maskrcnn_benchmark.utils.comm import average_over_ranks, get_world_size, message_device
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.ranges import Integer
from maskrcnn_benchmark.utils.resume_state import MOST_ITERATIONS
from maskrcnn_benchmark.utils.schema import Record

if TYPE_CHECKING:
    from maskrcnn_benchmark.tasks.task import Task


_PART = re.compile(r"_(stage|initial)\d+$")


def _alone(complete: Iterable[nn.Parameter]) -> contextlib.AbstractContextManager:
    """The `last_pass` of one process."""
    return contextlib.nullcontext()


@dataclass
class Combined:
    """What became of the losses of one step on this rank.

    Attributes:
        losses: {loss name: scalar tensor}, unweighted.
        tasks: {task key: scalar tensor}, times the fixed weights.
        weights: {task key: float or scalar tensor} of each task's loss, fixed weight included.
        backbone_weights: {task key: float} of each task's gradient on the backbone, where an aggregation chose them.
        total: scalar tensor that was minimised.
        gradients: `GradientStatistics`, in sampled iterations.
    """

    losses: dict[str, torch.Tensor] = field(default_factory=dict)
    tasks: dict[str, torch.Tensor] = field(default_factory=dict)
    weights: dict[str, float | torch.Tensor] = field(default_factory=dict)
    backbone_weights: dict[str, float] = field(default_factory=dict)
    total: torch.Tensor | float = 0.0
    gradients: GradientStatistics | None = None


def declared_loss(name: str, declared: Container[str]) -> str:
    """The loss, of those that tasks declare, that a head's loss is a part of: itself, or "loss_x" of "loss_x_stage2".

    A head that is several in a row has a loss for each, and one behind a task exchange "loss_x_initial0", ... of its
    initial predictions; they count as their sum. A loss that nobody declared stays.
    """
    whole_loss = _PART.sub("", name)
    return whole_loss if name not in declared and whole_loss in declared else name


class LossCombiner(nn.Module):
    """Adds the losses per task, weighs the tasks, and brings their gradients into the network's parameters.

    A step is `begin`, one `backward` per micro-batch, `finish`, and after the optimizer `learn`. All processes call
    them alike, also one whose images have no label at all. A task without labels in any of them is left out.

    Args:
        weights: {task: fixed weight}; also the list of tasks, each with its losses.
        weighting: `Weighting`; the plain sum by default.
        aggregation: `Aggregation` of the gradients on the backbone, or None for their sum.
        level: "features" or "parameters": where the gradients of tasks are taken, for an aggregation and for a
            weighting that wants their norms.
        loss_weights: {loss name: fixed weight} within its task; a missing one is 1.
        schedule: `TaskSchedule`; all tasks always by default.
        frozen: keys of the tasks whose gradients do not reach the backbone.
        log_period: sampled iterations, in which the tasks' gradients on the backbone's parameters are compared, are so
            many apart; 0 samples none.
        seed: of methods that draw.
    """

    def __init__(
        self,
        weights: Mapping["Task", float],
        weighting: Weighting | None = None,
        aggregation: Aggregation | None = None,
        level: str = "features",
        loss_weights: Mapping[str, float] | None = None,
        schedule: TaskSchedule | None = None,
        frozen: Iterable[str] = (),
        log_period: int = 0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if aggregation is not None and level not in aggregation.levels:
            raise UserError(
                f"MULTITASK.AGGREGATION: {type(aggregation).__name__} compares gradients of different images, which "
                "only those of the backbone's parameters allow; set MULTITASK.GRADIENTS_AT parameters"
            )
        self.weights = {task.key: weight for task, weight in weights.items()}
        self.tasks = list(self.weights)
        self._task_objects = tuple(weights)
        self._owners = {loss: task.key for task in weights for loss in task.losses}
        self.weighting = FixedWeighting(self.tasks) if weighting is None else weighting
        self.aggregation = aggregation
        self.level = level
        self.loss_weights = dict(loss_weights or {})
        self.schedule = TaskSchedule(self.tasks) if schedule is None else schedule
        self.frozen = frozenset(frozen)
        self.log_period = log_period if len(self.tasks) > 1 else 0  # one task alone makes no pair to compare
        self.seed = seed
        self.interactions = Interactions(self.tasks)
        self.register_buffer("_place", torch.zeros(()), persistent=False)  # where the combiner was moved
        self.iteration = 0
        self._tap: Any = None
        self._heads: list[nn.Parameter] = []
        self._own: dict[str, list[nn.Parameter]] = {}
        self._step: Any = None

    def attach(self, model: nn.Module) -> None:
        """Prepare for the gradients of a model's backbone, if any option needs them apart.

        Before the first step, and before a state is loaded, which may hold tensors beside the backbone's parameters. To
        attach the same model once more changes nothing.
        """
        is_new = self._tap is None or self._tap.backbone is not model.backbone
        learns = self.weighting.learns_from == "gradients"
        if is_new and (self.aggregation is not None or self.frozen or self.log_period or learns):
            self._tap = GradientTap(model)
        if self.aggregation is not None:
            self.aggregation.attach(self._tap.parameters)
        backbone = {id(p) for p in self.backbone_parameters()}
        self._heads = [p for p in model.parameters() if id(p) not in backbone]
        self._own = own_parameters(model, self._task_objects)

    @property
    def takes_apart(self) -> bool:
        """Whether some steps take the tasks' gradients one by one, once a model is attached."""
        return self._tap is not None

    def normalizers_of(self, micro_batches: Sequence[Sequence]) -> list[LossNormalizer]:
        """The `LossNormalizer` of each micro-batch of a step, see `loss_normalizers.normalizers_of`."""
        return normalizers_of(micro_batches, self._task_objects)

    def backbone_parameters(self) -> list[nn.Parameter]:
        """The backbone's parameters that are trained, where any option needs their gradients apart, else none: list."""
        return [] if self._tap is None else self._tap.parameters

    def learned_parameters(self) -> list[nn.Parameter]:
        """Parameters of the weighting that the network's optimizer moves: list."""
        return list(self.weighting.learned_parameters())

    def get_extra_state(self) -> dict[str, int]:
        return {"iteration": self.iteration, "seed": self.seed}

    def set_extra_state(self, state: Any) -> None:
        Record({"iteration": Integer(0, MOST_ITERATIONS), "seed": Integer(0, 2**64 - 1)}).check(state)
        self.iteration, self.seed = state["iteration"], state["seed"]

    def begin(self) -> None:
        """Begin a step, before the network's forward pass."""
        self.iteration += 1
        is_sampled = self.log_period > 0 and self.iteration % self.log_period == 0
        by_task = self.aggregation is not None or self.weighting.learns_from == "gradients"
        at_features = by_task and self.level == "features"
        at_parameters = is_sampled or (by_task and not at_features)
        active = self.schedule.active(self.iteration, self.seed)
        self._step = _Step(active, is_sampled, by_task, at_features, at_parameters, bool(self.weighting.learns_from))
        if self._tap is not None:
            self._tap.is_open = by_task or is_sampled or bool(self.frozen)
            if at_parameters:
                parts = 2 if self.aggregation is not None and self.aggregation.halves else 1
                self._step.parameter_rows = [GradientRows(self._tap.parameters) for _ in range(parts)]
                self._step.counted = [{} for _ in range(parts)]

    def backward(
        self,
        losses: dict[str, torch.Tensor],
        normalizer: LossNormalizer | None = None,
        scaler: torch.amp.GradScaler | None = None,
        last_pass: Callable[[Iterable[nn.Parameter]], contextlib.AbstractContextManager] = _alone,
        joint: torch.Tensor | None = None,
    ) -> None:
        """Bring the gradients of one micro-batch into the parameters' `grad`.

        Args:
            losses: {loss name: scalar with gradient}, with the losses that this micro-batch has labels for. In a step
                that takes the gradients by task it is emptied, so that each task's graph is freed once it was gone
                through.
            normalizer: the micro-batch's `LossNormalizer`; by default it is the only one.
            scaler: `torch.amp.GradScaler` or None.
            last_pass: function that gets an iterable of parameters and returns a context manager, as
                `GradientAverage.last_pass`: entered around the backward pass that completes the gradients of all
                parameters but those given, which are complete before. For the last micro-batch only.
            joint: a zero with a graph that the backward pass of the losses goes through as well, or alone where there
                is no loss; where gradients are taken by task it is left out.
        """
        step = self._step
        normalizer = whole(self.tasks) if normalizer is None else normalizer
        task_losses = self._task_losses(losses)
        factors, total = self._weigh(task_losses, normalizer, scaler)
        scaled = {}
        for key, loss in task_losses.items():
            factor = factors.get(key, 1.0)
            if normalizer.of_step[key] != 1.0:
                factor = factor * normalizer.of_step[key]
            scaled[key] = loss if isinstance(factor, float) and factor == 1.0 else loss * factor
        step.note(losses, task_losses, normalizer, factors, total, self._owners)
        if self._tap is None or not self._tap.is_open:
            self._backward_of_sum(scaled, scaler, last_pass, joint)
            return
        if step.by_task or step.is_sampled:
            step.count(task_losses, normalizer)
            losses.clear()
            task_losses.clear()
            self._backward_by_task(scaled, scaler, last_pass)
        else:
            self._backward_past_frozen(scaled, scaler, last_pass)
        self._tap.close()

    def finish(self, scaler: torch.amp.GradScaler | None = None) -> Combined:
        """Complete the gradients when all micro-batches are through; returns what the step did, `Combined`.

        Raises nothing for losses or gradients that are not finite: they are the caller's to find in the result.
        """
        step = self._step
        if step.at_parameters:
            self._finish_at_parameters(_scale_of(scaler))
        if self._tap is not None:
            self._tap.is_open = False
        combined = step.combined
        factors = {key: combined.weights.get(key, 1.0) for key in self.tasks if key in combined.tasks}
        combined.weights = {
            key: factor if self.weights[key] == 1.0 else self.weights[key] * factor for key, factor in factors.items()
        }
        return combined

    def settled(self) -> list[nn.Parameter]:
        """Parameters whose gradients `finish` itself makes and averages over all processes, from `begin` on: list."""
        return self._tap.parameters if self._step.at_parameters and not self._step.at_features else []

    def learn(self, again: Callable[[], Iterable[tuple[dict[str, torch.Tensor], LossNormalizer]]]) -> None:
        """After the optimizer's step: the weighting takes in what came of it.

        Args:
            again: function without arguments that gives the losses of this step's images anew, as a list of
                ({loss name: scalar}, `LossNormalizer`); called only if the weighting wants them.
        """
        step, wants = self._step, self.weighting.learns_from
        if step.is_sampled and step.combined.gradients is not None:
            self.interactions.record(step.combined.gradients)
        if not wants:
            return
        losses, told = self._over_ranks(step.sums), {}
        if wants == "gradients" and step.gramian is not None:
            told = GradientStatistics.of_gramian(step.gramian, self.tasks).norms
        if wants == "later":
            later: dict[str, torch.Tensor] = {}
            for found, normalizer in again():
                for key, loss in self._task_losses(found).items():
                    later[key] = later.get(key, 0.0) + loss.detach() * normalizer.of_step[key]
            told = self._over_ranks(later)
        if losses:
            self.weighting.learn(losses, told)

    def _task_losses(self, losses: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """{task key: scalar}, times the fixed weights, of the tasks that take part, in the tasks' order."""
        found: dict[str, torch.Tensor] = {}
        for name, loss in losses.items():
            declared = declared_loss(name, self._owners)
            key = self._owners.get(declared)
            if key is None:
                raise KeyError(
                    f"the loss {name!r} is of no task that this combiner was built for ({', '.join(self.tasks)}); turn "
                    "its task on, or add it to the losses of its task"
                )
            weight = self.weights[key] * self.loss_weights.get(declared, 1.0)
            loss = loss.float() if weight == 1.0 else loss.float() * weight
            found[key] = found[key] + loss if key in found else loss
        return {key: found[key] for key in self._step.active if key in found}

    def _weigh(self, task_losses, normalizer, scaler):
        """({task key: factor of its loss}, what is minimised or None for the plain sum of the losses)."""
        if type(self.weighting) is FixedWeighting:  # and not one of the user's own that builds on it
            return {}, None
        losses = {key: loss.detach() for key, loss in task_losses.items()}
        if self.weighting.reads_losses:
            losses = self._micro_batch_over_ranks(losses, normalizer.of_step)
        if not losses:
            return {}, None
        leaves = {key: loss.clone().requires_grad_() for key, loss in losses.items()}
        learned = self.learned_parameters()
        with _seeded(self.weighting.draws, self._place.device, self.seed, self.iteration), torch.enable_grad():
            total = self.weighting(leaves)
        gradients = torch.autograd.grad(total, [*leaves.values(), *learned], allow_unused=True)
        factors = {key: torch.zeros_like(losses[key]) if g is None else g for key, g in zip(leaves, gradients)}
        for parameter, gradient in zip(learned, gradients[len(leaves) :]):
            if gradient is not None:
                gradient = _scaled(gradient if normalizer.images == 1.0 else gradient * normalizer.images, scaler)
                parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient
        return factors, total.detach()

    def _micro_batch_over_ranks(self, losses, normalizers):
        """{task key: loss of this micro-batch over all processes}, of the tasks that any of them has."""
        if get_world_size() == 1:
            return losses
        zero = torch.zeros((), device=self._place.device)
        values = [losses[key] * normalizers[key] if key in losses else zero for key in self.tasks]
        known = torch.tensor(
            [normalizers[key] if key in losses else 0.0 for key in self.tasks], device=message_device()
        )
        message = torch.stack(values)
        average_over_ranks([message])
        average_over_ranks([known])
        return {key: message[i] / k for i, (key, k) in enumerate(zip(self.tasks, known.tolist())) if k > 0}

    def _over_ranks(self, sums: Mapping[str, torch.Tensor]) -> dict[str, float]:
        """{task key: float}, the mean over all processes of sums that count a missing task as zero."""
        values = torch.stack(list(sums.values())).double().tolist() if sums else []
        own = dict(zip(sums, values))
        if get_world_size() == 1:
            return own
        message = torch.zeros(2, len(self.tasks), dtype=torch.float64)
        for i, key in enumerate(self.tasks):
            if key in own:
                message[0, i], message[1, i] = own[key], 1.0
        message = message.to(message_device())
        average_over_ranks([message])
        values, known = message.tolist()
        return {key: value for key, value, k in zip(self.tasks, values, known) if k > 0}

    def _backward_of_sum(self, scaled, scaler, last_pass, joint):
        """The plain sum, in one pass through the whole network."""
        if joint is not None:
            scaled = {**scaled, "": joint}
        absent = (p for key, own in self._own.items() if key not in scaled for p in own)
        with last_pass(itertools.chain(self.learned_parameters(), absent)):
            if scaled:
                _scaled(_sum(scaled), scaler).backward()

    def _backward_past_frozen(self, scaled, scaler, last_pass):
        """The plain sum, but without the gradients of frozen tasks on the backbone."""
        frozen = {key: loss for key, loss in scaled.items() if key in self.frozen}
        free = {key: loss for key, loss in scaled.items() if key not in self.frozen}
        if frozen:
            _scaled(_sum(frozen), scaler).backward(retain_graph=bool(free))
            self._tap.take()
        if free:
            _scaled(_sum(free), scaler).backward()
        gradients = self._tap.take()
        with last_pass(self._beyond_tap()):
            self._tap.backward(gradients)

    def _backward_by_task(self, scaled, scaler, last_pass):
        step, tap = self._step, self._tap
        rows = GradientRows(tap.copies)
        while scaled:
            key = next(iter(scaled))
            self._backward_to_tap(_scaled(scaled.pop(key), scaler), retain_graph=bool(scaled))
            self._take_row(key, rows, retain_graph=bool(scaled) or step.at_features)
        # micro-batches go to the halves in turn
        step.parameter_rows.reverse()
        step.counted.reverse()
        if step.at_features:
            gramian = self._joint_gramian(rows, _scale_of(scaler))
            step.gramian = gramian if step.gramian is None else step.gramian + gramian
            joint = self._join(rows, gramian)
            rows.clear()
            with last_pass(self._beyond_tap()):
                tap.backward(joint)

    @staticmethod
    def _backward_to_tap(loss, retain_graph):
        # a function of its own, at whose end nothing holds the task's graph any more
        loss.backward(retain_graph=retain_graph)

    def _take_row(self, key, rows, retain_graph):
        """Keep of the gradients at the tap what the step needs: they are large, and there is a set for each task."""
        step, gradients = self._step, self._tap.take()
        if key in self.frozen:
            return
        if step.at_parameters:
            step.parameter_rows[0].add(key, self._tap.parameter_gradients(gradients, retain_graph))
        if step.at_features:
            rows.add(key, gradients)

    def _beyond_tap(self):
        """The parameters that a pass through the backbone does not reach."""
        return itertools.chain(self.learned_parameters(), self._heads)

    def _joint_gramian(self, rows, scale):
        """Inner products of the tasks' gradients over the features of all processes, on the CPU."""
        gramian = rows.gramian(self.tasks).to(message_device())
        average_over_ranks([gramian])
        # a process's gradients are those of the mean over all processes, times their number
        return gramian.cpu() / (scale**2 * get_world_size())

    def _finish_at_parameters(self, scale):
        step = self._step
        for rows in step.parameter_rows:
            rows.average_over_ranks(self.tasks, self._tap.parameters)
        rows, *halves = step.parameter_rows
        products = None
        for other in halves:
            products = self._products_of_means(rows, other) / scale**2
            rows.merge(other)
        gramian = rows.gramian(self.tasks) / scale**2
        if step.is_sampled:
            step.combined.gradients = GradientStatistics.of_gramian(gramian, self.tasks)
        if not step.at_features:
            step.gramian = gramian
            for parameter, gradient in zip(self._tap.parameters, self._join(rows, gramian, products, scale)):
                parameter.grad = gradient
        step.parameter_rows = []

    def _products_of_means(self, rows, other):
        """The products that `Aggregation.forward_halves` is given, for all tasks and times the squared loss scale."""
        counts = torch.tensor([[counted.get(key, 0.0) for key in self.tasks] for counted in self._step.counted])
        counts = counts.double().to(message_device())
        average_over_ranks([counts])
        first, second = counts.cpu()  # of a task's whole batch: its gradient over that is the one of a mean loss
        products = rows.gramian(self.tasks, other) / torch.outer(first, second)
        products[(first == 0) | (second == 0), :] = math.nan
        products[:, (first == 0) | (second == 0)] = math.nan
        return (products + products.T) / 2

    def _join(self, rows, gramian, products=None, scale=1.0):
        """The joint gradient of the tasks' rows, as `GradientRows.weighted_sum` returns it."""
        step = self._step
        # a gradient of zero cannot conflict, but some methods would give it all the weight
        keys = [key for i, key in enumerate(self.tasks) if gramian[i, i] > 0]
        everything = dict.fromkeys(rows.rows, 1.0)
        # with a gradient that is not finite there is nothing to choose: the step is refused, or skipped by the scaler
        if self.aggregation is None or not keys or not gramian.isfinite().all():
            return rows.weighted_sum(everything)
        step.joined += 1
        numbers = self.seed, self.iteration, step.joined
        with _seeded(self.aggregation.draws, self._place.device, *numbers), torch.no_grad():
            if self.aggregation.elementwise:
                return rows.elementwise(lambda matrix: self.aggregation(matrix, keys), keys)
            if self.aggregation.follows and self.aggregation.follow(rows, keys, scale):
                gramian = rows.gramian(self.tasks) / scale**2
            index = [self.tasks.index(key) for key in keys]
            gramian = gramian[index][:, index]
            if products is None:
                weights = self.aggregation(gramian, keys)
            else:
                weights = self.aggregation.forward_halves(gramian, products[index][:, index], keys)
        if get_world_size() > 1:
            weights = weights.to(message_device())
            torch.distributed.broadcast(weights, 0)  # solvers of different machines agree to a few digits only
        step.combined.backbone_weights = dict(zip(keys, weights.tolist()))
        return rows.weighted_sum({**everything, **step.combined.backbone_weights})


@dataclass
class _Step:
    """What is kept while a step runs."""

    active: list[str]
    is_sampled: bool
    by_task: bool
    at_features: bool
    at_parameters: bool
    learns: bool
    parameter_rows: list[GradientRows] = field(default_factory=list)  # of the whole batch, or of its halves
    counted: list[dict[str, float]] = field(default_factory=list)  # what of a task's batch they are of, by its key
    gramian: torch.Tensor | None = None
    joined: int = 0
    sums: dict[str, torch.Tensor] = field(default_factory=dict)
    combined: Combined = field(default_factory=Combined)

    def count(self, task_losses, normalizer):
        """Note what of the step's losses the gradients of a micro-batch are of."""
        for key in task_losses if self.counted else ():
            self.counted[0][key] = self.counted[0].get(key, 0.0) + normalizer.of_step[key]

    def note(self, losses, task_losses, normalizer, factors, total, owners):
        """Add up what a micro-batch had: for the report over this rank's images, for learning over those of all."""
        combined = self.combined
        for name, loss in losses.items():
            _add(combined.losses, name, loss.detach().float(), normalizer.of_rank[owners[declared_loss(name, owners)]])
        minimised = {}
        for key, loss in task_losses.items():
            value = loss.detach()
            if self.learns:
                _add(self.sums, key, value, normalizer.of_step[key])
            _add(minimised, key, value, normalizer.of_rank[key])
            _add(combined.tasks, key, minimised[key], 1.0)
        combined.weights.update(factors)
        if total is None:
            total = _sum(minimised) if minimised else 0.0
        elif normalizer.images != 1.0:
            total = total * normalizer.images
        combined.total = total if isinstance(combined.total, float) else combined.total + total


def _add(sums, key, value, factor):
    """Add `factor` times a scalar tensor to `sums[key]`, with no operation that changes nothing."""
    value = value if factor == 1.0 else value * factor
    sums[key] = sums[key] + value if key in sums else value


def _sum(losses):
    return torch.stack(list(losses.values())).sum()


def _scaled(loss, scaler):
    return loss if scaler is None else scaler.scale(loss)


@contextlib.contextmanager
def _seeded(wanted, device, *numbers):
    """If wanted, random numbers come from the numbers given; afterwards all go on as before, the device's too."""
    if not wanted:
        yield
        return
    digest = hashlib.blake2b("/".join(map(str, numbers)).encode(), digest_size=7).digest()
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(int.from_bytes(digest, "big"))
        yield


def _scale_of(scaler):
    return 1.0 if scaler is None else scaler.get_scale()


def build_loss_combiner(cfg: CfgNode, tasks: Iterable["Task"]) -> LossCombiner:
    """The combiner of `cfg.MULTITASK` for the tasks that are on; those without losses are left out."""
    check_options(cfg)
    node = cfg.MULTITASK
    tasks = [task for task in tasks if task.losses]
    keys = [task.key for task in tasks]
    known = [name.lower() for name in node.LOSS_WEIGHTS]
    unknown = [key for key in node.FREEZE_TRUNK if key not in known]
    if unknown:
        raise UserError(f"MULTITASK.FREEZE_TRUNK names {unknown[0]!r}; there are the tasks {', '.join(known)}")
    aggregation = AGGREGATIONS[node.AGGREGATION].from_config(node, keys) if node.AGGREGATION else None
    images = cfg.SOLVER.IMS_PER_BATCH // get_world_size()
    if aggregation is not None and aggregation.halves and min(images, cfg.SOLVER.ACCUMULATE_STEPS) < 2:
        raise UserError(
            f"MULTITASK.AGGREGATION {node.AGGREGATION} compares the gradients of two halves of a batch; set "
            "SOLVER.ACCUMULATE_STEPS 2, with at least two images for each process in SOLVER.IMS_PER_BATCH"
        )
    seed = max(0, cfg.SOLVER.SEED)
    start, stop = ({key: option[key.upper()] for key in keys} for option in (node.START, node.STOP))
    return LossCombiner(
        {task: node.LOSS_WEIGHTS[task.key.upper()] for task in tasks},
        WEIGHTINGS[node.WEIGHTING].from_config(node, keys),
        aggregation,
        node.GRADIENTS_AT,
        {name.lower(): weight for name, weight in node.SINGLE_LOSS_WEIGHTS.items()},
        TaskSchedule(keys, start, stop, node.TASKS_PER_STEP),
        node.FREEZE_TRUNK,
        node.LOG_PERIOD,
        seed,
    )
