"""Gradient aggregation: what the shared backbone does with one gradient per task.

Nearly all methods choose weights of the tasks' gradients from nothing but their inner products, so they are given the
Gramian, an m x m matrix, wherever the gradients themselves lie. `AGGREGATIONS` names them for the option
MULTITASK.AGGREGATION.

Tasks' gradients differ in length by orders of magnitude, and one of a hundredth of the largest must not count as zero.
PCGrad, CAGrad, Aligned-MTL, GradDrop and the projection of UPGrad and DualProj are torchjd's (the extra "balancing"),
the latter on unit gradients. What there depends on the lengths, or on the same tasks in every step, is solved here.

All directions have the length of a sum, not of a mean, so that a learning rate found with the plain sum stays near what
suits: methods whose weights sum to 1 are multiplied by the number of tasks, and where tasks do not conflict, PCGrad,
GradVac, UPGrad and DualProj give the plain sum exactly.
"""

import importlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.optimize
import torch
from yacs.config import CfgNode

from maskrcnn_benchmark.config.defaults import FRACTION
from maskrcnn_benchmark.config.options import Option
from maskrcnn_benchmark.multitask import learning_aggregations  # registers its methods
from maskrcnn_benchmark.multitask.aggregation import AGGREGATIONS, Aggregation
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.ranges import Number

__all__ = ["AGGREGATIONS", "Aggregation", "learning_aggregations"]

FLOOR = 1e-8  # of the eigenvalues of cosines; in float32 inner products they may be just below 0 where gradients oppose
RESOLUTION = 1e-6  # and those below this are rounding, not a direction


def _torchjd(name: str, part: str = "aggregation", **options: Any) -> Any:
    """An instance of the class `name` of torchjd."""
    try:
        module = importlib.import_module(f"torchjd.{part}")
    except ImportError:
        raise UserError(
            'this MULTITASK.AGGREGATION needs torchjd: pip install "maskrcnn-benchmark[balancing]", or in a clone '
            'pip install -e ".[balancing]"'
        ) from None
    try:
        return getattr(module, name)(**options)
    except ImportError as error:
        raise UserError(f'MULTITASK.AGGREGATION: {error}; pip install -e ".[balancing]" installs them') from None


def _units(gramian: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(norms [m], cosines [m, m], made positive definite) of the gradients with this Gramian."""
    norms = gramian.diagonal().sqrt()
    values, vectors = torch.linalg.eigh(gramian / torch.outer(norms, norms))
    return norms, vectors * values.clamp_min(FLOOR) @ vectors.T


class TorchJDAggregation(Aggregation):
    """A method of torchjd that reads the Gramian alone.

    Args:
        tasks: as above.
        weighting: torchjd's class of the method's weighting.
        options: arguments of the class.

    Attributes:
        of_mean: its weights are those of a mean of the gradients, not of a sum.
    """

    of_mean = True

    def __init__(self, tasks: Sequence[str], weighting: str, **options: Any) -> None:
        super().__init__(tasks)
        self.weighting = _torchjd(weighting, **options)

    def forward(self, gramian: torch.Tensor, keys: Sequence[str]) -> torch.Tensor:
        # the methods do not depend on the scale, but some take a Gramian with a trace below 1e-4 for zero
        weights = self.weighting(gramian / gramian.trace())
        return weights * len(keys) if self.of_mean else weights


@AGGREGATIONS.register("pcgrad")
class PCGrad(TorchJDAggregation):
    """Gradient surgery (Yu et al. 2020): each gradient loses what is against the others, one by one in random order."""

    draws = True
    of_mean = False

    def __init__(self, tasks: Sequence[str]) -> None:
        super().__init__(tasks, "PCGradWeighting")


@AGGREGATIONS.register("cagrad")
class CAGrad(TorchJDAggregation):
    """Conflict-averse gradient descent (Liu et al. 2021): the best for the worst-off task within a ball.

    Args:
        c: radius of the ball around the mean gradient, in norms of that gradient.
    """

    options = (
        Option(
            "MULTITASK.CAGRAD.C",
            0.5,
            Number(0, 1000),
            "CAGrad: radius of its ball around the mean gradient, in norms of that gradient",
        ),
    )

    def __init__(self, tasks: Sequence[str], c: float = 0.5) -> None:
        if c < 0:
            raise UserError(f"MULTITASK.CAGRAD.C is {c}, but must not be negative")
        # a direction below norm_eps counts as zero, and one short gradient suffices for 1e-4 of them all, its default
        super().__init__(tasks, "CAGradWeighting", c=c, norm_eps=1e-7)

    @classmethod
    def from_config(cls, node: CfgNode, tasks: Sequence[str]) -> "Aggregation":
        return cls(tasks, node.CAGRAD.C)


@AGGREGATIONS.register("aligned_mtl")
class AlignedMTL(TorchJDAggregation):
    """Independent component alignment (Senushkin et al. 2023): the gradients' system gets the condition number 1."""

    def __init__(self, tasks: Sequence[str]) -> None:
        super().__init__(tasks, "AlignedMTLWeighting")


class DualCone(Aggregation):
    """Gradients projected on the dual cone, the directions in which no task's loss rises: g_i . d >= 0 for all i.

    The cone does not depend on the gradients' lengths, so the projection is solved for unit gradients; torchjd's
    aggregators add 1e-4 of the trace to the diagonal, beside which a short gradient's conflicts are not seen.
    """

    def __init__(self, tasks: Sequence[str]) -> None:
        super().__init__(tasks)
        self.projector = _torchjd("QuadprogProjector", "linalg", norm_eps=0.0, reg_eps=0.0)

    def forward(self, gramian: torch.Tensor, keys: Sequence[str]) -> torch.Tensor:
        norms, cosines = _units(gramian)
        return self.project(norms / norms.max(), cosines) * norms.max() / norms

    def project(self, norms: torch.Tensor, cosines: torch.Tensor) -> torch.Tensor:
        """Weights of the unit gradients [m]."""
        raise NotImplementedError


@AGGREGATIONS.register("upgrad")
class UPGrad(DualCone):
    """The sum of the gradients after each is projected on the dual cone (Quinton and Rey 2024)."""

    def project(self, norms: torch.Tensor, cosines: torch.Tensor) -> torch.Tensor:
        return self.projector(torch.diag(norms), cosines).sum(0)


@AGGREGATIONS.register("dualproj")
class DualProj(DualCone):
    """The sum of the gradients projected on the dual cone (GEM, Lopez-Paz and Ranzato 2017)."""

    def project(self, norms: torch.Tensor, cosines: torch.Tensor) -> torch.Tensor:
        return self.projector(norms, cosines)


@AGGREGATIONS.register("mgda")
class MGDA(Aggregation):
    """The shortest vector in the hull of the gradients, times their number (Sener and Koltun 2018).

    Exactly, as the non-negative least squares |sum of w_i g_i|^2 + (1 - sum of w_i)^2, whose minimum lies in the same
    direction. The paper's Frank-Wolfe iteration ends far from it where lengths differ.
    """

    def forward(self, gramian: torch.Tensor, keys: Sequence[str]) -> torch.Tensor:
        count = len(keys)
        norms, cosines = _units(gramian)
        rows = torch.linalg.cholesky(cosines) * (norms / norms.min())[:, None]
        system = np.vstack([rows.numpy().T, np.ones(count)])
        weights, _ = scipy.optimize.nnls(system, np.eye(count + 1)[count], maxiter=100 * count)
        return count * torch.from_numpy(weights / weights.sum())


def _equal_projections(gramian: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(norms [m], cosines [m, m], weights [m] of unit gradients whose sum has the projection 1 on each of them).

    The weights are 0 where gradients oppose one another so that no direction is any better for one than for another.
    """
    norms, cosines = _units(gramian)
    weights = torch.linalg.pinv(cosines, rtol=RESOLUTION, hermitian=True).sum(1)
    return norms, cosines, weights if weights.norm() > RESOLUTION else torch.zeros_like(weights)


@AGGREGATIONS.register("imtl_g")
class IMTLG(Aggregation):
    """Equal projections on all unit gradients (IMTL-G, Liu et al. 2021).

    The paper's weights sum to 1. Where some are negative that sum may come close to 0 or below it, which would lengthen
    the direction without bound or turn it uphill for all tasks: here it is their absolute values that sum to m.
    """

    def forward(self, gramian: torch.Tensor, keys: Sequence[str]) -> torch.Tensor:
        norms, _, weights = _equal_projections(gramian)
        weights = weights / norms
        return len(keys) * weights / weights.abs().sum() if weights.any() else weights


@AGGREGATIONS.register("config")
class ConFIG(Aggregation):
    """ConFIG (Liu et al. 2024): equal cosines with all gradients, the length of the sum of projections."""

    def forward(self, gramian: torch.Tensor, keys: Sequence[str]) -> torch.Tensor:
        norms, cosines, weights = _equal_projections(gramian)
        if not weights.any():
            return weights
        projections = cosines @ weights
        return weights / norms * (norms @ projections) / (weights @ projections)


@AGGREGATIONS.register("graddrop")
class GradDrop(Aggregation):
    """Gradient sign dropout (Chen et al. 2020): per entry, the gradients of one sign, drawn by its share."""

    draws = True
    elementwise = True

    def __init__(self, tasks: Sequence[str]) -> None:
        super().__init__(tasks)
        self.aggregator = _torchjd("GradDrop")

    def forward(self, gramian: torch.Tensor, keys: Sequence[str]) -> torch.Tensor:
        return self.aggregator(gramian)


@AGGREGATIONS.register("gradvac")
class GradVac(Aggregation):
    """Gradient vaccine (Wang et al. 2021): each pair's cosine is raised to its running mean.

    Unlike torchjd's, the means belong to pairs of task names, and pairs that a step lacks keep theirs. They begin at 0,
    where the method is PCGrad.

    Args:
        beta: share of the newest cosine in the running mean.
    """

    options = (
        Option("MULTITASK.GRADVAC.BETA", 0.5, FRACTION, "GradVac: share of the newest cosine in the running mean"),
    )

    draws = True
    target: torch.Tensor

    def __init__(self, tasks: Sequence[str], beta: float = 0.5) -> None:
        super().__init__(tasks)
        if not 0 <= beta <= 1:
            raise UserError(f"MULTITASK.GRADVAC.BETA is {beta}, but must be in 0..1")
        self.beta = beta
        self.register_buffer("target", torch.zeros(len(self.tasks), len(self.tasks), dtype=torch.float64))

    @classmethod
    def from_config(cls, node: CfgNode, tasks: Sequence[str]) -> "Aggregation":
        return cls(tasks, node.GRADVAC.BETA)

    def forward(self, gramian: torch.Tensor, keys: Sequence[str]) -> torch.Tensor:
        count = len(keys)
        rows = [self.tasks.index(key) for key in keys]
        target = self.target.cpu()
        norms = gramian.diagonal().sqrt()
        mixed = torch.eye(count, dtype=torch.float64)  # row i: what the gradients of i has become, in the given ones
        for i in range(count):
            for j in torch.randperm(count).tolist():
                if i == j:
                    continue
                norm = (mixed[i] @ gramian @ mixed[i]).clamp_min(0).sqrt()
                cosine = (mixed[i] @ gramian[j] / (norm * norms[j])).clamp(-1, 1) if norm > 0 else norm
                wanted = target[rows[i], rows[j]].clone()
                if cosine < wanted < 1:
                    sines = (1 - cosine**2).sqrt(), (1 - wanted**2).sqrt()
                    mixed[i, j] += norm * (wanted * sines[0] - cosine * sines[1]) / (norms[j] * sines[1])
                target[rows[i], rows[j]] += self.beta * (cosine - wanted)
        self.target.copy_(target)
        return mixed.sum(0)


class AlphaFair(Aggregation):
    """Weights with G w = w^(-1/alpha): the tasks' utilities g_i . d are shared alpha-fairly.

    They are the minimum of the convex w G w / 2 - sum of phi(w_i), phi'(w) = w^(-1/alpha), found by Newton's method.
    They are then scaled to sum to the number of tasks: the length that the equation fixes depends on that of the
    gradients, which is another one at features than at parameters.
    """

    STEPS, TOLERANCE = 200, 1e-10  # with alpha below 0.5 and lengths that differ by 1e4, double precision ends first

    def __init__(self, tasks: Sequence[str], alpha: float) -> None:
        super().__init__(tasks)
        if alpha <= 0:
            raise UserError(f"MULTITASK.FAIRGRAD.ALPHA is {alpha}, but must be above 0")
        self.alpha = alpha

    def forward(self, gramian: torch.Tensor, keys: Sequence[str]) -> torch.Tensor:
        norms, cosines = _units(gramian)
        # with w = v / norms: cosines v = wanted v^(-1/alpha), up to a common factor
        power = 1 / self.alpha
        wanted = (norms / norms.mean()) ** (power - 1)

        def excess(v):
            """(the gradient for changes relative to v, what of it the right side is): float [m] each."""
            due = wanted * v ** (1 - power)
            return v * (cosines @ v) - due, due

        v = wanted ** (1 / (1 + power))  # the solution for gradients at right angles
        for _ in range(self.STEPS):
            pull, due = excess(v)
            if (pull.abs() <= self.TOLERANCE * due).all():
                break
            step = _scaled_solve(torch.outer(v, v) * cosines + torch.diag(power * due), pull)
            kept = 1 - step * min(1.0, 0.9 / step.max().clamp_min(1e-300).item())  # v stays above 0
            # a step is too long where the slope along it has turned and is nearly as steep as at its start
            while (excess(v * kept)[0] / kept) @ step < -0.9 * (pull @ step):
                kept = (1 + kept) / 2
            v = v * kept
        weights = v / norms
        return len(keys) * weights / weights.sum()


def _scaled_solve(matrix: torch.Tensor, vector: torch.Tensor) -> torch.Tensor:
    """Solve a positive definite system whose diagonal may span many powers of ten."""
    scale = matrix.diagonal().sqrt()
    return torch.linalg.solve(matrix / torch.outer(scale, scale), vector / scale) / scale


@AGGREGATIONS.register("nash_mtl")
class NashMTL(AlphaFair):
    """Nash bargaining (Navon et al. 2022): G w = 1 / w, solved anew in every step; torchjd's is warm-started by row."""

    def __init__(self, tasks: Sequence[str]) -> None:
        super().__init__(tasks, 1.0)


@AGGREGATIONS.register("fairgrad")
class FairGrad(AlphaFair):
    """FairGrad (Ban and Ji 2024): G w = w^(-1/alpha), alpha = 2 in the paper's experiments."""

    options = (
        Option(
            "MULTITASK.FAIRGRAD.ALPHA",
            2.0,
            Number(0, 1000, above=True),
            "FairGrad: 1 is proportional fairness (Nash-MTL), larger is nearer to max-min",
        ),
    )

    def __init__(self, tasks: Sequence[str], alpha: float = 2.0) -> None:
        super().__init__(tasks, alpha)

    @classmethod
    def from_config(cls, node: CfgNode, tasks: Sequence[str]) -> "Aggregation":
        return cls(tasks, node.FAIRGRAD.ALPHA)
