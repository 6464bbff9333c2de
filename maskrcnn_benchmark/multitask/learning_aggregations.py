"""Gradient aggregations that learn from step to step: weights or gradients that are averaged, weights that descend.

What they keep is kept under the task's key: a step without a task leaves it alone, and the others are weighed among
themselves as if it did not exist. The weights of a simplex are multiplied by the number of tasks, as those of
`multitask.aggregations`.

Where a paper's weights move by inner products of gradients, these are divided by the trace of the Gramian here: as in
the papers' formulas the step would depend on the unit of the losses (their code makes each gradient as long as its
loss, or divides by the mean norm). A step of at most 1 then goes downhill.
"""

from collections.abc import Callable, Sequence

import torch
from yacs.config import CfgNode

from maskrcnn_benchmark.config.defaults import NAME, PERIOD, STRENGTH
from maskrcnn_benchmark.config.options import Option
from maskrcnn_benchmark.multitask.aggregation import AGGREGATIONS, Aggregation
from maskrcnn_benchmark.multitask.task_gradients import GradientRows, KeptRows
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.ranges import Integer, Number


def project_onto_simplex(values: torch.Tensor) -> torch.Tensor:
    """The nearest point with no number below 0 and a sum of 1 (Duchi et al. 2008): float [m] -> float [m]."""
    falling = values.sort(descending=True).values
    excess = (falling.cumsum(0) - 1) / torch.arange(1, len(values) + 1, dtype=values.dtype)
    return (values - excess[(falling > excess).sum() - 1]).clamp_min(0)


@AGGREGATIONS.register("cr_mogm")
class CRMOGM(Aggregation):
    """CR-MOGM (Zhou et al. 2022): another method's weights, averaged over the steps.

    w = alpha w_before + (1 - alpha) w_now, for each task over the steps that have it; it begins with the first w_now.
    The average depends less on the step's own images, from which the bias of stochastic gradient manipulation comes.
    The paper lets alpha rise towards 1 as the learning rate falls (Corollary 1); here it is constant.

    Args:
        of: name of the method, one that chooses weights from the inner products of this step's gradients.
        alpha: share of the weights before (0.9, as is usual for running means).
    """

    options = (
        Option(
            "MULTITASK.CR_MOGM.OF",
            "mgda",
            NAME,
            "CR-MOGM: the aggregation whose weights are averaged over the iterations",
        ),
        Option(
            "MULTITASK.CR_MOGM.ALPHA",
            0.9,
            Number(0, 1, below=True),
            "CR-MOGM: share of the weights before in the running mean",
        ),
    )

    mean: torch.Tensor
    seen: torch.Tensor

    def __init__(self, tasks: Sequence[str], of: Aggregation, alpha: float = 0.9) -> None:
        super().__init__(tasks)
        if not 0 <= alpha < 1:
            raise UserError(f"MULTITASK.CR_MOGM.ALPHA is {alpha}, but must be at least 0 and below 1")
        if of.elementwise or of.halves or of.follows or isinstance(of, CRMOGM):
            raise UserError(
                f"MULTITASK.CR_MOGM.OF names {type(of).__name__}, which has no weights of a single step to average; "
                "name a method such as mgda, cagrad or pcgrad"
            )
        self.of, self.alpha, self.draws = of, alpha, of.draws
        self.register_buffer("mean", torch.zeros(len(self.tasks), dtype=torch.float64))
        self.register_buffer("seen", torch.zeros(len(self.tasks), dtype=torch.bool))

    @classmethod
    def from_config(cls, node: CfgNode, tasks: Sequence[str]) -> "Aggregation":
        if node.CR_MOGM.OF not in AGGREGATIONS:
            raise UserError(
                f"MULTITASK.CR_MOGM.OF: there is no aggregation named {node.CR_MOGM.OF!r}; name one that "
                "MULTITASK.AGGREGATION takes, such as mgda"
            )
        if AGGREGATIONS[node.CR_MOGM.OF] is cls:
            raise UserError("MULTITASK.CR_MOGM.OF names cr_mogm itself; name the method to average, such as mgda")
        return cls(tasks, AGGREGATIONS[node.CR_MOGM.OF].from_config(node, tasks), node.CR_MOGM.ALPHA)

    def forward(self, gramian: torch.Tensor, keys: Sequence[str]) -> torch.Tensor:
        now = self.of(gramian, keys)
        index = [self.tasks.index(key) for key in keys]
        before = torch.where(self.seen.cpu()[index], self.mean.cpu()[index], now)
        mean = self.alpha * before + (1 - self.alpha) * now
        self.mean[index] = mean.to(self.mean)
        self.seen[index] = True
        return mean


class OnSimplex(Aggregation):
    """Methods with one weight per task that moves over the simplex from step to step.

    The weights have the mean 1 over all tasks and begin there. Those of a step are moved among themselves: their sum
    stays, so that the weights of the others do.
    """

    weights: torch.Tensor

    def __init__(self, tasks: Sequence[str]) -> None:
        super().__init__(tasks)
        self.register_buffer("weights", torch.ones(len(self.tasks), dtype=torch.float64))

    def move(self, keys: Sequence[str], step: Callable[[torch.Tensor], torch.Tensor]) -> None:
        """Replace the weights of `keys` by `step(weights)`, both float64 [m] of sum 1."""
        index = [self.tasks.index(key) for key in keys]
        kept = self.weights.cpu()[index]
        if index and kept.sum() > 0:  # where a step's tasks all have no weight, there is none to share out
            self.weights[index] = (kept.sum() * step(kept / kept.sum())).to(self.weights)

    def of(self, keys: Sequence[str]) -> torch.Tensor:
        """The weights of the tasks of a step, in proportion: float64 [m] of sum 1."""
        kept = self.weights.cpu()[[self.tasks.index(key) for key in keys]]
        return kept / kept.sum() if kept.sum() > 0 else torch.full_like(kept, 1 / len(keys))


def _known_products(
    gramian: torch.Tensor, products: torch.Tensor, keys: Sequence[str]
) -> tuple[list[str], torch.Tensor]:
    """(the keys that both halves have, their products over the trace of the step's Gramian)."""
    known = products.diagonal().isfinite().nonzero()[:, 0]
    return [keys[i] for i in known.tolist()], products[known[:, None], known] / gramian.trace()


@AGGREGATIONS.register("modo")
class MoDo(OnSimplex):
    """MoDo (Chen et al. 2023, "Three-way trade-off in multi-objective learning"), with its two samples.

    w <- the projection on the simplex of w - gamma (G1' G2 + rho I) w, then the direction is (G1 + G2) / 2 w. G1 and G2
    are the gradients on two independent samples, whose products, unlike those of one sample with itself, are without
    bias. Here they are the two halves of the batch, whose products in both ways round are averaged, and the direction
    is that of the whole batch.

    Args:
        gamma: length of the step, in inner products over their trace (0.1).
        rho: pull towards equal weights (0.1 in LibMTL).
    """

    options = (
        Option("MULTITASK.MODO.GAMMA", 0.1, STRENGTH, "MoDo: step of its weights; up to 1 it goes downhill"),
        Option("MULTITASK.MODO.RHO", 0.1, Number(0, 1000), "MoDo: pull towards equal weights"),
    )

    levels = ("parameters",)
    halves = True

    def __init__(self, tasks: Sequence[str], gamma: float = 0.1, rho: float = 0.1) -> None:
        super().__init__(tasks)
        if gamma < 0 or rho < 0:
            raise UserError(f"MULTITASK.MODO: GAMMA {gamma} and RHO {rho} must not be negative")
        self.gamma, self.rho = gamma, rho

    @classmethod
    def from_config(cls, node: CfgNode, tasks: Sequence[str]) -> "Aggregation":
        return cls(tasks, node.MODO.GAMMA, node.MODO.RHO)

    def forward_halves(self, gramian: torch.Tensor, products: torch.Tensor, keys: Sequence[str]) -> torch.Tensor:
        known, system = _known_products(gramian, products, keys)
        self.move(known, lambda w: project_onto_simplex(w - self.gamma * (system @ w + self.rho * w)))
        return len(keys) * self.of(keys)


@AGGREGATIONS.register("sdmgrad")
class SDMGrad(OnSimplex):
    """SDMGrad (Xiao et al. 2023): the direction G w + lambda g0, near to the mean gradient g0.

    w is the minimum over the simplex of |G w + lambda g0|^2, towards which go `iterations` steps of projected gradient
    descent, w <- projection of w - lr G1' (G2 w + lambda g0), G1 and G2 being of independent samples and w beginning
    where the step before ended. The paper takes a third sample for the direction, so that it is independent of the
    weights. Here G1 and G2 are the two halves of the batch, the same in all iterations as in the authors' code (the
    paper draws anew), and the direction is that of the whole batch with the w of the steps before, which is as
    independent of it. Lambda is relative to the weights' sum of 1, and the direction is divided by 1 + lambda.

    Args:
        lambda_: pull towards the mean gradient (0.3 in the authors' experiments); 0 is MGDA, large ones the plain sum.
        lr: length of a step, in inner products over their trace. (The authors' 10 in squares of the mean norm is too
            long to converge.)
        iterations: steps for each batch (20 in the authors' code).
    """

    options = (
        Option("MULTITASK.SDMGRAD.LAMBDA", 0.3, Number(0, 1e6), "SDMGrad: pull towards the mean gradient"),
        Option("MULTITASK.SDMGRAD.LR", 0.5, STRENGTH, "SDMGrad: step of its weights; up to 1 it goes downhill"),
        Option("MULTITASK.SDMGRAD.ITERATIONS", 20, Integer(1, 10**4), "SDMGrad: steps of its weights for each batch"),
    )

    levels = ("parameters",)
    halves = True

    def __init__(self, tasks: Sequence[str], lambda_: float = 0.3, lr: float = 0.5, iterations: int = 20) -> None:
        super().__init__(tasks)
        if lambda_ < 0 or lr < 0 or iterations < 1:
            raise UserError(
                f"MULTITASK.SDMGRAD: LAMBDA {lambda_} and LR {lr} must not be negative, and ITERATIONS {iterations} at "
                "least 1"
            )
        self.lambda_, self.lr, self.iterations = lambda_, lr, iterations

    @classmethod
    def from_config(cls, node: CfgNode, tasks: Sequence[str]) -> "Aggregation":
        return cls(tasks, node.SDMGRAD.LAMBDA, node.SDMGRAD.LR, node.SDMGRAD.ITERATIONS)

    def forward_halves(self, gramian: torch.Tensor, products: torch.Tensor, keys: Sequence[str]) -> torch.Tensor:
        weights = (len(keys) * self.of(keys) + self.lambda_) / (1 + self.lambda_)
        known, system = _known_products(gramian, products, keys)

        def descend(w: torch.Tensor) -> torch.Tensor:
            for _ in range(self.iterations):
                w = project_onto_simplex(w - self.lr * (system @ (w + self.lambda_ / len(w))))
            return w

        self.move(known, descend)
        return weights


@AGGREGATIONS.register("moco")
class MoCo(OnSimplex):
    """MoCo (Fernando et al. 2023, "Mitigating gradient bias in multi-objective learning"): running gradients.

    y_k <- y_k - beta_t (y_k - g_k) follows each task's gradient, w <- the projection on the simplex of
    w - gamma_t (Y' Y + rho I) w, and the direction is Y w. beta_t = beta / t^decay and gamma_t = gamma / t^decay, t
    being the number of steps that the task, or any, had; y_k begins with the first gradient.

    Args:
        beta, gamma, decay, rho: 0.5, 0.1, 0.5 and 0 in the authors' code.
    """

    options = (
        Option(
            "MULTITASK.MOCO.BETA",
            0.5,
            Number(0, 1, above=True),
            "MoCo: share of the newest gradient in the running one, at first",
        ),
        Option("MULTITASK.MOCO.GAMMA", 0.1, STRENGTH, "MoCo: step of its weights at first; up to 1 it goes downhill"),
        Option(
            "MULTITASK.MOCO.DECAY",
            0.5,
            Number(0, 1),
            "MoCo: BETA and GAMMA are divided by the number of the iteration to this power",
        ),
        Option("MULTITASK.MOCO.RHO", 0.0, Number(0, 1000), "MoCo: pull towards equal weights"),
    )

    levels = ("parameters",)
    follows = True
    seen: torch.Tensor
    steps: torch.Tensor

    def __init__(
        self, tasks: Sequence[str], beta: float = 0.5, gamma: float = 0.1, decay: float = 0.5, rho: float = 0.0
    ) -> None:
        super().__init__(tasks)
        if not 0 < beta <= 1:
            raise UserError(f"MULTITASK.MOCO.BETA is {beta}, but must be above 0 and at most 1")
        if min(gamma, decay, rho) < 0:
            raise UserError(f"MULTITASK.MOCO: GAMMA {gamma}, DECAY {decay} and RHO {rho} must not be negative")
        self.beta, self.gamma, self.decay, self.rho = beta, gamma, decay, rho
        self.running = KeptRows(self.tasks)
        self.register_buffer("seen", torch.zeros(len(self.tasks), dtype=torch.float64))
        self.register_buffer("steps", torch.zeros((), dtype=torch.float64))

    @classmethod
    def from_config(cls, node: CfgNode, tasks: Sequence[str]) -> "Aggregation":
        return cls(tasks, node.MOCO.BETA, node.MOCO.GAMMA, node.MOCO.DECAY, node.MOCO.RHO)

    def attach(self, parameters: Sequence[torch.Tensor]) -> None:
        self.running.attach(parameters)

    def follow(self, rows: GradientRows, keys: Sequence[str], scale: float) -> bool:
        index = [self.tasks.index(key) for key in keys]
        self.seen[index] += 1
        for key, times in zip(keys, self.seen[index].tolist()):
            _follow(self.running, rows, key, scale, 1.0 if times == 1 else self.beta / times**self.decay)
        return True

    def forward(self, gramian: torch.Tensor, keys: Sequence[str]) -> torch.Tensor:
        self.steps += 1
        gamma, system = self.gamma / self.steps.item() ** self.decay, gramian / gramian.trace()
        self.move(keys, lambda w: project_onto_simplex(w - gamma * (system @ w + self.rho * w)))
        return len(keys) * self.of(keys)


def _follow(kept: KeptRows, rows: GradientRows, key: str, scale: float, rate: float) -> None:
    """Let the kept tensors of a task follow its gradients at this rate, and put them in the gradients' place."""

    def moved(index: int, gradient: torch.Tensor) -> torch.Tensor:
        mean = kept.of(key, index)
        mean += rate * (gradient / scale - mean)
        return mean * scale

    rows.change(key, moved)


@AGGREGATIONS.register("db_mtl")
class DBMTL(Aggregation):
    """The gradient half of DB-MTL (Lin et al. 2023, "Dual-balancing for multi-task learning").

    Each task's gradient is averaged, m_k <- beta m_k + (1 - beta) g_k from 0 on, and all averages are made as long as
    the longest of them, then added. The other half is the weighting "log": the losses' logarithms.

    Args:
        beta: of the average (0.9 in LibMTL; the paper chooses it by data set).
    """

    options = (
        Option(
            "MULTITASK.DB_MTL.BETA", 0.9, Number(0, 1, below=True), "DB-MTL: share of the running gradient that is kept"
        ),
    )

    levels = ("parameters",)
    follows = True

    def __init__(self, tasks: Sequence[str], beta: float = 0.9) -> None:
        super().__init__(tasks)
        if not 0 <= beta < 1:
            raise UserError(f"MULTITASK.DB_MTL.BETA is {beta}, but must be at least 0 and below 1")
        self.beta = beta
        self.running = KeptRows(self.tasks)

    @classmethod
    def from_config(cls, node: CfgNode, tasks: Sequence[str]) -> "Aggregation":
        return cls(tasks, node.DB_MTL.BETA)

    def attach(self, parameters: Sequence[torch.Tensor]) -> None:
        self.running.attach(parameters)

    def follow(self, rows: GradientRows, keys: Sequence[str], scale: float) -> bool:
        for key in keys:
            _follow(self.running, rows, key, scale, 1 - self.beta)
        return True

    def forward(self, gramian: torch.Tensor, keys: Sequence[str]) -> torch.Tensor:
        norms = gramian.diagonal().sqrt()
        return norms.max() / norms.clamp_min(1e-300)


@AGGREGATIONS.register("excess_mtl")
class ExcessMTL(Aggregation):
    """ExcessMTL (He et al. 2024, "Robust multi-task learning with excess risks"): weight to what can still be learnt.

    A task's excess risk, how far its loss is above the lowest that can be had, is estimated by g' H^-1 g, H being
    AdaGrad's diagonal: the root of the sum of all squared gradients so far (and 1e-7). Over its mean in the task's
    first `warmup` steps it multiplies the task's weight by exp(step_size * excess); the weights are a softmax. Losses
    that stay high because their labels are noisy thus get no more weight.

    Weights are equal at first, and a task's stays while it has had fewer steps. A step's excess counts beside the mean
    of its tasks, which changes nothing where all are there and keeps one that is often absent from falling behind. The
    paper's weights are those of the losses; here the backbone alone feels them.

    Args:
        step_size: of the weights' logarithms (0.01 in LibMTL).
        warmup: steps (the paper: three epochs; the authors' code: 1).
    """

    options = (
        Option("MULTITASK.EXCESS_MTL.STEP_SIZE", 0.01, STRENGTH, "ExcessMTL: step of its weights' logarithms"),
        Option(
            "MULTITASK.EXCESS_MTL.WARMUP",
            100,
            PERIOD,
            "ExcessMTL: iterations that a task's first excess risk is averaged over",
        ),
    )

    levels = ("parameters",)
    follows = True
    EPSILON = 1e-7
    logits: torch.Tensor
    first: torch.Tensor
    seen: torch.Tensor

    def __init__(self, tasks: Sequence[str], step_size: float = 0.01, warmup: int = 100) -> None:
        super().__init__(tasks)
        if step_size < 0 or warmup < 1:
            raise UserError(
                f"MULTITASK.EXCESS_MTL: STEP_SIZE {step_size} must not be negative and WARMUP {warmup} at least 1"
            )
        self.step_size, self.warmup = step_size, warmup
        self.squares = KeptRows(self.tasks)
        for name in ("logits", "first", "seen"):
            self.register_buffer(name, torch.zeros(len(self.tasks), dtype=torch.float64))

    @classmethod
    def from_config(cls, node: CfgNode, tasks: Sequence[str]) -> "Aggregation":
        return cls(tasks, node.EXCESS_MTL.STEP_SIZE, node.EXCESS_MTL.WARMUP)

    def attach(self, parameters: Sequence[torch.Tensor]) -> None:
        self.squares.attach(parameters)

    def follow(self, rows: GradientRows, keys: Sequence[str], scale: float) -> bool:
        excess = torch.stack([self._excess(rows, key, scale) for key in keys]).cpu()
        index = [self.tasks.index(key) for key in keys]
        seen, first, logits = (buffer.cpu()[index] for buffer in (self.seen, self.first, self.logits))
        fresh = seen < self.warmup
        seen += fresh
        first = torch.where(fresh, first + (excess - first) / seen, first)
        if not fresh.all():
            relative = excess[~fresh] / first[~fresh].clamp_min(1e-300)
            logits[~fresh] += self.step_size * (relative - relative.mean())
        for buffer, value in ((self.seen, seen), (self.first, first), (self.logits, logits)):
            buffer[index] = value.to(buffer)
        return False

    def forward(self, gramian: torch.Tensor, keys: Sequence[str]) -> torch.Tensor:
        return len(keys) * self.logits.cpu()[[self.tasks.index(key) for key in keys]].softmax(0)

    def _excess(self, rows: GradientRows, key: str, scale: float) -> torch.Tensor:
        """float64 scalar, and the task's sums of squares with this step's."""
        parts: list[torch.Tensor] = []

        def take(index: int, gradient: torch.Tensor) -> torch.Tensor:
            squares = (gradient / scale).square()
            total = self.squares.of(key, index).add_(squares)
            parts.append((squares / (total + self.EPSILON).sqrt()).sum(dtype=torch.float64))
            return gradient

        rows.change(key, take)
        return torch.stack(parts).sum()
