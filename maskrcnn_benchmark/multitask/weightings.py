"""Loss weighting: how much each task's loss counts in a step.

A method is a class that maps the tasks' losses to the scalar to minimise; the derivative of that scalar by a loss is
the loss's weight. `WEIGHTINGS` names them for the option MULTITASK.WEIGHTING.
"""

import copy
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import nn
from yacs.config import CfgNode

from maskrcnn_benchmark.config.defaults import BALANCING, ITERATIONS, PERIOD
from maskrcnn_benchmark.config.method_registry import MethodRegistry
from maskrcnn_benchmark.config.options import Option
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.optimizers import Adam
from maskrcnn_benchmark.utils.ranges import Number
from maskrcnn_benchmark.utils.resume_state import check_optimizer_state

WEIGHTINGS = MethodRegistry("weighting", "MULTITASK.WEIGHTING", BALANCING)

SMALLEST_LOSS = 1e-8  # what a loss of 0 counts as where its logarithm or its inverse is taken


class Weighting(nn.Module):
    """A way to weigh losses. Subclass it, write `forward`, register it, and name it in the config.

    Every method that keeps something for a task keeps it under the task's key, so that a step without that task leaves
    it alone. What lies in parameters, buffers and extra state goes into the checkpoint. Parameters that no optimizer
    of the method's own moves are learnt along with the network: list them in `learned_parameters`.

    Args:
        tasks: list of the task keys that can occur.

    Attributes:
        reads_losses: `forward` depends on the losses' values, not on the tasks' names alone. With several processes
            they are then averaged first, at the cost of one small message.
        draws: `forward` uses torch's random numbers. They are then seeded alike in all processes.
        learns_from: what `learn` is told after a step: "" nothing (it is not called), "losses", "gradients" (the norm
            of each task's gradient where MULTITASK.GRADIENTS_AT says, which costs as much as an aggregation), or
            "later" (the losses of the same images after the step, which costs a second forward pass).
        options: the records of its options, such as "MULTITASK.DWA.PERIOD", which `from_config` reads.
    """

    reads_losses = True
    draws = False
    learns_from = ""
    options: Sequence[Option] = ()

    def __init__(self, tasks: Sequence[str]) -> None:
        super().__init__()
        self.tasks = list(tasks)

    @classmethod
    def from_config(cls, node: CfgNode, tasks: Sequence[str]) -> "Weighting":
        """The method with the options of `cfg.MULTITASK`."""
        return cls(tasks)

    def forward(self, losses: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """{task key: scalar, float32} of the tasks that this step has, at least one -> scalar to minimise."""
        raise NotImplementedError

    def learned_parameters(self) -> Iterable[nn.Parameter]:
        """Parameters for the network's optimizer: iterable."""
        return ()

    def learn(self, losses: Mapping[str, float], told: Mapping[str, float]) -> None:
        """Take in a step that went well.

        Args:
            losses: {task key: float}, the step's losses, fixed weights included, the mean over all processes.
            told: {task key: float}: gradient norms or later losses as `learns_from` says; {} for "losses".
        """

    def _by_task(self, numbers: Mapping[str, float]) -> torch.Tensor:
        """{task key: float} as float [2, K], beside the first buffer: the numbers, 0 for a missing one, and whether."""
        rows = [[numbers.get(key, 0.0) for key in self.tasks], [float(key in numbers) for key in self.tasks]]
        return torch.tensor(rows).to(next(self.buffers()).device, non_blocking=True)


@WEIGHTINGS.register("fixed")
class FixedWeighting(Weighting):
    """The plain sum."""

    reads_losses = False

    def forward(self, losses: Mapping[str, torch.Tensor]) -> torch.Tensor:
        return torch.stack(list(losses.values())).sum()


class _PerTaskScalar(Weighting):
    """Methods that learn one number per task along with the network."""

    START = 0.0

    def __init__(self, tasks: Sequence[str]) -> None:
        super().__init__(tasks)
        self.scalar = nn.ParameterDict({key: nn.Parameter(torch.tensor(self.START)) for key in tasks})

    def learned_parameters(self) -> Iterable[nn.Parameter]:
        return self.scalar.values()


@WEIGHTINGS.register("uncertainty")
class UncertaintyWeighting(_PerTaskScalar):
    """Homoscedastic uncertainty (Kendall et al. 2018): sum of L / (2 e^s) + s / 2, s = log variance."""

    START = -0.5  # as in LibMTL

    def forward(self, losses: Mapping[str, torch.Tensor]) -> torch.Tensor:
        s = torch.stack([self.scalar[key] for key in losses])
        return (torch.stack(list(losses.values())) / (2 * s.exp()) + s / 2).sum()


@WEIGHTINGS.register("imtl_l")
class ImpartialWeighting(_PerTaskScalar):
    """IMTL-L (Liu et al. 2021, "Towards impartial multi-task learning"): sum of e^s L - s."""

    def forward(self, losses: Mapping[str, torch.Tensor]) -> torch.Tensor:
        s = torch.stack([self.scalar[key] for key in losses])
        return (s.exp() * torch.stack(list(losses.values())) - s).sum()


@WEIGHTINGS.register("random")
class RandomWeighting(Weighting):
    """Random loss weighting (Lin et al. 2022): K softmax(N(0, 1)), drawn anew in every step."""

    reads_losses = False
    draws = True

    def forward(self, losses: Mapping[str, torch.Tensor]) -> torch.Tensor:
        # drawn on the CPU, so that any device sees the same; numbers are handed to a device without waiting for it
        weights = dict(zip(self.tasks, (len(self.tasks) * torch.randn(len(self.tasks)).softmax(0)).tolist()))
        return torch.stack([weights[key] * loss for key, loss in losses.items()]).sum()


@WEIGHTINGS.register("geometric_mean")
class GeometricMean(Weighting):
    """Geometric loss strategy (Chennupati et al. 2019): the geometric mean of the losses that the step has."""

    def forward(self, losses: Mapping[str, torch.Tensor]) -> torch.Tensor:
        return torch.stack(list(losses.values())).clamp_min(SMALLEST_LOSS).log().mean().exp()


@WEIGHTINGS.register("log")
class LogarithmWeighting(Weighting):
    """The sum of log L: a step lowers every loss by its proportion, whatever its unit (and its fixed weight).

    The loss half of DB-MTL (Lin et al. 2023, "Dual-balancing for multi-task learning"), whose other half is the
    aggregation "db_mtl".
    """

    def forward(self, losses: Mapping[str, torch.Tensor]) -> torch.Tensor:
        return torch.stack(list(losses.values())).clamp_min(SMALLEST_LOSS).log().sum()


class _BesideNadir(Weighting):
    """Methods that compare losses with their nadir, the mean over the first `warmup` steps that had them."""

    learns_from = "losses"
    nadir: torch.Tensor
    seen: torch.Tensor

    def __init__(self, tasks: Sequence[str], warmup: int) -> None:
        super().__init__(tasks)
        self.warmup = warmup
        self.register_buffer("nadir", torch.zeros(len(self.tasks)))
        self.register_buffer("seen", torch.zeros(len(self.tasks)))

    def _nadir_of(self, keys: Iterable[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """(nadirs [m], whether all are complete: a tensor, so that nothing waits for the device)."""
        index = [self.tasks.index(key) for key in keys]
        seen, nadir = (torch.stack([buffer[i] for i in index]) for buffer in (self.seen, self.nadir))
        return nadir.clamp_min(SMALLEST_LOSS), (seen >= self.warmup).all()

    def learn(self, losses: Mapping[str, float], told: Mapping[str, float]) -> None:
        values, has = self._by_task(losses)
        fresh = has * (self.seen < self.warmup)
        self.seen += fresh
        self.nadir += fresh * (values - self.nadir) / self.seen.clamp_min(1)


@WEIGHTINGS.register("stch")
class SmoothTchebycheff(_BesideNadir):
    """Smooth Tchebycheff scalarisation (Lin et al. 2024): K mu log(sum of exp(l_i / mu)), a smooth maximum.

    l_i is log(L_i / n_i) against a nadir n, the mean of the loss over the first `warmup` steps that had it; until all
    tasks of a step have one, the scalar is the sum of log L. K is the number of tasks in the step.

    Args:
        mu: smoothness; towards 0 only the worst task counts.
        warmup: steps.
    """

    options = (
        Option("MULTITASK.STCH.MU", 1.0, Number(1e-6, 1e6), "Smooth Tchebycheff: smoothness"),
        Option(
            "MULTITASK.STCH.WARMUP", 100, PERIOD, "Smooth Tchebycheff: iterations that a task's nadir is averaged over"
        ),
    )

    def __init__(self, tasks: Sequence[str], mu: float = 1.0, warmup: int = 100) -> None:
        super().__init__(tasks, warmup)
        if mu <= 0 or warmup < 1:
            raise UserError(f"MULTITASK.STCH: MU {mu} must be above 0 and WARMUP {warmup} at least 1")
        self.mu = mu

    @classmethod
    def from_config(cls, node: CfgNode, tasks: Sequence[str]) -> "Weighting":
        return cls(tasks, node.STCH.MU, node.STCH.WARMUP)

    def forward(self, losses: Mapping[str, torch.Tensor]) -> torch.Tensor:
        nadir, is_known = self._nadir_of(losses)
        logs = torch.stack(list(losses.values())).clamp_min(SMALLEST_LOSS).log()
        smooth = len(losses) * self.mu * torch.logsumexp((logs - nadir.log()) / self.mu, 0)
        return torch.where(is_known, smooth, logs.sum())


@WEIGHTINGS.register("pbi")
class PenaltyBoundaryIntersection(_BesideNadir):
    """Penalty-based boundary intersection (Zhang and Li 2007, "MOEA/D"): sqrt(K) (d1 + theta d2).

    d1 is how far the losses r_i = L_i / n_i lie along the line on which all are equal, d2 how far beside it, seen from
    the ideal point 0. n is a nadir, the mean of the loss over the first `warmup` steps that had it; until all tasks of
    a step have one, the scalar is the sum of log L. With a warmup of 0 n is 1, and the line is where the losses times
    their fixed weights are equal: these are the preference then. K is the number of tasks in the step.

    The derivative by a loss that is far below the others is negative (never with theta below 1 / sqrt(K - 1)), and
    going down it would raise that loss, also where no other gains from that. It counts as 0 here: the loss waits.

    Args:
        theta: the penalty (5 in the paper). 0 gives the sum of r.
        warmup: steps.
    """

    options = (
        Option(
            "MULTITASK.PBI.THETA",
            5.0,
            Number(0, 1e6),
            "Penalty boundary intersection: what losses that lie beside the line of equal losses cost",
        ),
        Option(
            "MULTITASK.PBI.WARMUP",
            100,
            ITERATIONS,
            "Penalty boundary intersection: iterations that a task's nadir is averaged over; 0 compares the losses "
            "times their fixed weights as they are",
        ),
    )

    def __init__(self, tasks: Sequence[str], theta: float = 5.0, warmup: int = 100) -> None:
        super().__init__(tasks, warmup)
        if theta < 0 or warmup < 0:
            raise UserError(f"MULTITASK.PBI: THETA {theta} and WARMUP {warmup} must not be negative")
        self.theta = theta

    @classmethod
    def from_config(cls, node: CfgNode, tasks: Sequence[str]) -> "Weighting":
        return cls(tasks, node.PBI.THETA, node.PBI.WARMUP)

    def forward(self, losses: Mapping[str, torch.Tensor]) -> torch.Tensor:
        nadir, is_known = self._nadir_of(losses)
        values = torch.stack(list(losses.values()))
        relative = values / nadir if self.warmup else values
        beside = (relative - relative.mean()).detach()
        distance = (beside.square().sum() + 1e-12).sqrt()  # as in torchjd: on the line the slope is 0, not 0 / 0
        penalty = self.theta * math.sqrt(len(losses))
        slopes = (1 + penalty * beside / distance).clamp_min(0)
        scalar = relative.detach().sum() + penalty * distance
        weighed = slopes @ relative
        return torch.where(is_known, scalar + weighed - weighed.detach(), values.clamp_min(SMALLEST_LOSS).log().sum())


@WEIGHTINGS.register("dwa")
class DynamicWeightAverage(Weighting):
    """Dynamic weight average (Liu et al. 2019, "End-to-end multi-task learning with attention").

    K softmax(r / T), r = a task's mean loss in the last period over that in the one before; 1 in the first two periods.
    A task that a period lacks keeps its means.

    Args:
        period: steps that the means are taken over (the paper's epoch).
        temperature: T.
    """

    options = (
        Option("MULTITASK.DWA.PERIOD", 100, PERIOD, "Dynamic weight average: iterations that losses are averaged over"),
        Option("MULTITASK.DWA.TEMPERATURE", 2.0, Number(1e-3, 1e6), "Dynamic weight average: temperature"),
    )

    reads_losses = False
    learns_from = "losses"
    sums: torch.Tensor
    counts: torch.Tensor
    last: torch.Tensor
    before: torch.Tensor
    steps: torch.Tensor

    def __init__(self, tasks: Sequence[str], period: int = 100, temperature: float = 2.0) -> None:
        super().__init__(tasks)
        if period < 1 or temperature <= 0:
            raise UserError(f"MULTITASK.DWA: PERIOD {period} must be at least 1 and TEMPERATURE {temperature} above 0")
        self.period, self.temperature = period, temperature
        for name in ("sums", "counts", "last", "before"):
            self.register_buffer(name, torch.zeros(len(self.tasks)))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    @classmethod
    def from_config(cls, node: CfgNode, tasks: Sequence[str]) -> "Weighting":
        return cls(tasks, node.DWA.PERIOD, node.DWA.TEMPERATURE)

    def weights(self) -> torch.Tensor:
        """float [K], in the order of the tasks."""
        known = self.before > 0
        ratios = torch.where(known, self.last / self.before.clamp_min(SMALLEST_LOSS), torch.ones_like(self.last))
        return len(self.tasks) * (ratios / self.temperature).softmax(0)

    def forward(self, losses: Mapping[str, torch.Tensor]) -> torch.Tensor:
        weights = self.weights()
        chosen = torch.stack([weights[self.tasks.index(key)] for key in losses])
        return chosen @ torch.stack(list(losses.values()))

    def learn(self, losses: Mapping[str, float], told: Mapping[str, float]) -> None:
        values, has = self._by_task(losses)
        self.sums += values
        self.counts += has
        self.steps += 1
        ends = self.steps % self.period == 0  # a tensor, so that nothing waits for the device
        moves = ends & (self.counts > 0)
        self.before = torch.where(moves, self.last, self.before)
        self.last = torch.where(moves, self.sums / self.counts.clamp_min(1), self.last)
        self.sums, self.counts = (torch.where(ends, 0.0, total) for total in (self.sums, self.counts))


class _OwnLogits(Weighting):
    """Methods whose weights are a softmax of logits that an Adam of their own moves after each step."""

    def __init__(self, tasks: Sequence[str], lr: float, weight_decay: float, option: str) -> None:
        super().__init__(tasks)
        if lr < 0 or weight_decay < 0:
            raise UserError(f"{option}: LR {lr} and WEIGHT_DECAY {weight_decay} must not be negative")
        self.logits = nn.ParameterDict({key: nn.Parameter(torch.zeros(())) for key in tasks})
        self.optimizer = Adam(self.logits.values(), lr=lr, weight_decay=weight_decay)

    def _move(self, gradients: Mapping[str, torch.Tensor]) -> None:
        """A step of Adam; a task without a gradient keeps its logit and its moments."""
        logits = [self.logits[key] for key in gradients]
        for logit, gradient in zip(logits, torch.stack(list(gradients.values())).to(logits[0]).unbind()):
            logit.grad = gradient
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def _softmax(self, keys: Sequence[str]) -> dict[str, torch.Tensor]:
        """{key: weight}, over the given tasks alone."""
        weights = torch.stack([self.logits[key].detach() for key in keys]).softmax(0)
        return dict(zip(keys, weights))

    def get_extra_state(self) -> dict[str, Any]:
        return self.optimizer.state_dict()

    def set_extra_state(self, state: Any) -> None:
        check_optimizer_state(state, self.optimizer)
        state = copy.deepcopy(state)  # it would keep, and then change, the tensors given
        # rate and decay are the config's, which may have changed
        self.optimizer.load_state_dict({**state, "param_groups": self.optimizer.state_dict()["param_groups"]})


@WEIGHTINGS.register("famo")
class FAMO(_OwnLogits):
    """Fast adaptive multitask optimisation (Liu et al. 2023): all losses fall at the same rate.

    c times the sum of z log L, z = softmax(w), c = 1 / (sum of z / L). After the step w moves by what each log L lost
    on the same images.

    Args:
        lr, weight_decay: of w (0.025 and 0.001 in the paper).
    """

    options = (
        Option("MULTITASK.FAMO.LR", 0.025, Number(0, 1000), "FAMO: rate of its own weights"),
        Option("MULTITASK.FAMO.WEIGHT_DECAY", 0.001, Number(0, 1000), "FAMO: decay of its own weights"),
    )

    learns_from = "later"

    def __init__(self, tasks: Sequence[str], lr: float = 0.025, weight_decay: float = 0.001) -> None:
        super().__init__(tasks, lr, weight_decay, "MULTITASK.FAMO")

    @classmethod
    def from_config(cls, node: CfgNode, tasks: Sequence[str]) -> "Weighting":
        return cls(tasks, node.FAMO.LR, node.FAMO.WEIGHT_DECAY)

    def forward(self, losses: Mapping[str, torch.Tensor]) -> torch.Tensor:
        z = torch.stack(list(self._softmax(list(losses)).values()))
        values = torch.stack(list(losses.values())) + SMALLEST_LOSS
        return (z * values.log()).sum() / (z / values.detach()).sum()

    def learn(self, losses: Mapping[str, float], told: Mapping[str, float]) -> None:
        # a step may have thrown a loss out of the range of its precision; the logits would never recover from that
        keys = [key for key in losses if math.isfinite(told.get(key, math.nan))]
        if not keys:
            return
        z = torch.stack(list(self._softmax(keys).values())).double()
        before, later = (
            torch.tensor([values[key] for key in keys], dtype=torch.float64, device=z.device) + SMALLEST_LOSS
            for values in (losses, told)
        )
        fall = before.log() - later.log()
        self._move(dict(zip(keys, z * (fall - (z * fall).sum()))))  # the softmax's Jacobian times the fall


@WEIGHTINGS.register("gradnorm")
class GradNorm(_OwnLogits):
    """GradNorm (Chen et al. 2018): tasks that learn slowly get larger gradients on the shared layers.

    Weights K softmax(s). After the step they move towards |g_i| = mean |g| r_i^alpha, r_i being the loss relative to
    the first one seen, divided by the mean of that over the tasks.

    Args:
        alpha: strength of the pull towards equal training rates (1.5 in the paper).
        lr: of s (0.025 in the paper).
    """

    options = (
        Option("MULTITASK.GRADNORM.ALPHA", 1.5, Number(0, 1000), "GradNorm: pull towards equal training rates"),
        Option("MULTITASK.GRADNORM.LR", 0.025, Number(0, 1000), "GradNorm: rate of its own weights"),
    )

    reads_losses = False
    learns_from = "gradients"
    first: torch.Tensor

    def __init__(self, tasks: Sequence[str], alpha: float = 1.5, lr: float = 0.025) -> None:
        super().__init__(tasks, lr, 0.0, "MULTITASK.GRADNORM")
        if alpha < 0:
            raise UserError(f"MULTITASK.GRADNORM.ALPHA is {alpha}, but must not be negative")
        self.alpha = alpha
        self.register_buffer("first", torch.full((len(self.tasks),), math.nan))

    @classmethod
    def from_config(cls, node: CfgNode, tasks: Sequence[str]) -> "Weighting":
        return cls(tasks, node.GRADNORM.ALPHA, node.GRADNORM.LR)

    def forward(self, losses: Mapping[str, torch.Tensor]) -> torch.Tensor:
        weights = self._softmax(self.tasks)
        chosen = torch.stack([weights[key] for key in losses])
        return len(self.tasks) * (chosen @ torch.stack(list(losses.values())))

    def learn(self, losses: Mapping[str, float], told: Mapping[str, float]) -> None:
        values, has = self._by_task(losses)
        self.first = torch.where(self.first.isnan() & (has > 0), values.clamp_min(SMALLEST_LOSS), self.first)
        keys = [key for key in losses if told.get(key, 0.0) > 0]
        if len(keys) < 2:
            return
        norms = torch.tensor([told[key] for key in keys], dtype=torch.float64)
        values = torch.tensor([max(losses[key], SMALLEST_LOSS) for key in keys], dtype=torch.float64)
        first, shares = torch.stack([self.first, torch.stack(list(self._softmax(self.tasks).values()))]).cpu().double()
        rates = values / first[[self.tasks.index(key) for key in keys]]
        target = norms.mean() * (rates / rates.mean()) ** self.alpha
        # |g_i| is the weight times what does not depend on it; d weight_i / d s_j = weight_i (1[i = j] - softmax_j)
        pull = torch.sign(norms - target) * norms
        share = {key: shares[self.tasks.index(key)] for key in keys}
        self._move({key: pull[i] - share[key] * pull.sum() for i, key in enumerate(keys)})
