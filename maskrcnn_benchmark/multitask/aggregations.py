"""Gradient aggregation: what the shared trunk does with one gradient per task.

Nearly all methods choose weights of the tasks' gradients from nothing but their inner products, so they are given the
Gramian, an m x m matrix, wherever the gradients themselves lie. The methods are torchjd's (the extra "balancing") where
it has them; Nash-MTL and GradVac are written here, since torchjd's need the same tasks in every step. `AGGREGATIONS`
names them for the option MULTITASK.AGGREGATION.

All directions have the length of a sum, not of a mean, so that a learning rate found with the plain sum stays near what
suits: methods whose weights sum to 1 are multiplied by the number of tasks, and where tasks do not conflict, PCGrad,
GradVac, UPGrad and DualProj give the plain sum exactly.
"""

import importlib

import torch
from torch import nn

from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.registry import Registry

AGGREGATIONS = Registry("aggregation", "MULTITASK.AGGREGATION")


class Aggregation(nn.Module):
    """A way to join the tasks' gradients. Subclass it, write `forward`, register it, and name it in the config.

    Args:
        tasks: list of the task keys that can occur.

    Attributes:
        draws: `forward` uses torch's random numbers. They are then seeded alike in all processes.
        elementwise: `forward` takes the gradients themselves instead of their Gramian.
    """

    draws = False
    elementwise = False

    def __init__(self, tasks):
        super().__init__()
        self.tasks = list(tasks)

    @classmethod
    def from_config(cls, node, tasks):
        """The method with the options of `cfg.MULTITASK`."""
        return cls(tasks)

    def forward(self, gramian, keys):
        """Weights of the gradients.

        Args:
            gramian: float64 [m, m] on the CPU, the inner products of the gradients of the m tasks that this step has;
                none of them is zero. With `elementwise`: float [m, n], gradients, one row per task, in any pieces.
            keys: the tasks' keys, list of m.

        Returns:
            float64 [m]. With `elementwise`: float [n], the joint gradient.
        """
        raise NotImplementedError


def _torchjd():
    try:
        return importlib.import_module("torchjd.aggregation")
    except ImportError:
        raise UserError(
            'this MULTITASK.AGGREGATION needs torchjd: pip install "maskrcnn-benchmark[balancing]", or in a clone '
            'pip install -e ".[balancing]"'
        ) from None


class TorchJDAggregation(Aggregation):
    """A method of torchjd that reads the Gramian alone.

    Args:
        tasks: as above.
        weighting: torchjd's class of the method's weighting.
        of_mean: its weights are those of a mean of the gradients, not of a sum.
        options: arguments of the class.
    """

    def __init__(self, tasks, weighting, of_mean, **options):
        super().__init__(tasks)
        try:
            self.weighting = getattr(_torchjd(), weighting)(**options)
        except ImportError as error:
            raise UserError(f'MULTITASK.AGGREGATION: {error}; pip install -e ".[balancing]" installs them') from None
        self.of_mean = of_mean

    def forward(self, gramian, keys):
        # the methods do not depend on the scale, but some take a Gramian with a trace below 1e-4 for zero
        weights = self.weighting(gramian / gramian.trace())
        return weights * len(keys) if self.of_mean else weights


def _register_torchjd(name, weighting, of_mean, draws=False, doc="", options=lambda node: {}):
    """A class for a method of torchjd, under its name."""

    def __init__(self, tasks, **given):
        TorchJDAggregation.__init__(self, tasks, weighting, of_mean, **given)

    def from_config(cls, node, tasks):
        return cls(tasks, **options(node))

    members = {"__init__": __init__, "from_config": classmethod(from_config), "draws": draws, "__doc__": doc}
    AGGREGATIONS.register(name, type(weighting.removesuffix("Weighting"), (TorchJDAggregation,), members))


_register_torchjd("pcgrad", "PCGradWeighting", False, draws=True, doc="Gradient surgery, PCGrad (Yu et al. 2020).")
_register_torchjd(
    "cagrad",
    "CAGradWeighting",
    True,
    doc="Conflict-averse gradient descent (Liu et al. 2021); c: radius around the mean, in its norms.",
    # torchjd takes a direction of less than 1e-4 of the gradients' norm for zero, which one small gradient suffices for
    options=lambda node: {"c": node.CAGRAD.C, "norm_eps": 1e-7},
)
_register_torchjd("mgda", "MGDAWeighting", True, doc="The shortest vector in the hull of the gradients (Sener 2018).")
_register_torchjd("imtl_g", "IMTLGWeighting", True, doc="Equal projections on all gradients (IMTL-G, Liu et al. 2021).")
_register_torchjd("aligned_mtl", "AlignedMTLWeighting", True, doc="Independent component alignment (Senushkin 2023).")
_register_torchjd("upgrad", "UPGradWeighting", True, doc="Each gradient projected on the dual cone (Quinton 2024).")
_register_torchjd("dualproj", "DualProjWeighting", True, doc="Their mean projected on the dual cone (GEM, 2017).")


@AGGREGATIONS.register("config")
class ConFIG(Aggregation):
    """ConFIG (Liu et al. 2024): equal cosines with all gradients, the length of the sum of projections."""

    def __init__(self, tasks):
        super().__init__(tasks)
        self.aggregator = _torchjd().ConFIG()

    def forward(self, gramian, keys):
        # any matrix with this Gramian is the gradients in other coordinates, and the method does not see coordinates
        values, vectors = torch.linalg.eigh(gramian)
        rows = vectors * values.clamp_min(0).sqrt()
        return torch.linalg.pinv(rows.T) @ self.aggregator(rows)


@AGGREGATIONS.register("graddrop")
class GradDrop(Aggregation):
    """Gradient sign dropout (Chen et al. 2020): per entry, the gradients of one sign, drawn by its share."""

    draws = True
    elementwise = True

    def __init__(self, tasks):
        super().__init__(tasks)
        self.aggregator = _torchjd().GradDrop()

    def forward(self, gramian, keys):
        return self.aggregator(gramian)


@AGGREGATIONS.register("gradvac")
class GradVac(Aggregation):
    """Gradient vaccine (Wang et al. 2021): each pair's cosine is raised to its running mean.

    Unlike torchjd's, the means belong to pairs of task names, and pairs that a step lacks keep theirs. They begin at 0,
    where the method is PCGrad.

    Args:
        beta: share of the newest cosine in the running mean.
    """

    draws = True

    def __init__(self, tasks, beta=0.5):
        super().__init__(tasks)
        if not 0 <= beta <= 1:
            raise UserError(f"MULTITASK.GRADVAC.BETA is {beta}, but must be in 0..1")
        self.beta = beta
        self.register_buffer("target", torch.zeros(len(self.tasks), len(self.tasks), dtype=torch.float64))

    @classmethod
    def from_config(cls, node, tasks):
        return cls(tasks, node.GRADVAC.BETA)

    def forward(self, gramian, keys):
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

    They are the minimum of the convex w G w / 2 - sum of phi(w_i), phi'(w) = w^(-1/alpha), found by Newton's method in
    log w, and are then scaled to sum to the number of tasks: the length that the equation fixes depends on that of the
    gradients, which is another one at features than at parameters.
    """

    STEPS, TOLERANCE = 100, 1e-10
    RIDGE = 1e-8  # added to the unit diagonal: gradients may oppose one another exactly, and no weights would exist

    def __init__(self, tasks, alpha):
        super().__init__(tasks)
        if alpha <= 0:
            raise UserError(f"MULTITASK.FAIRGRAD.ALPHA is {alpha}, but must be above 0")
        self.alpha = alpha

    def forward(self, gramian, keys):
        count = len(keys)
        scale = gramian.diagonal().sqrt()
        unit = gramian / torch.outer(scale, scale) + self.RIDGE * torch.eye(count, dtype=torch.float64)
        # with w = v / scale: unit v = v^(-1/alpha) scale^(1/alpha - 1), up to a common factor
        power = 1 / self.alpha
        wanted = (scale / scale.mean()) ** (power - 1)
        logs = torch.zeros(count, dtype=torch.float64)

        def objective(logs):
            v = logs.exp()
            gain = logs if power == 1 else v ** (1 - power) / (1 - power)
            return v @ unit @ v / 2 - (wanted * gain).sum()

        for _ in range(self.STEPS):
            v = logs.exp()
            pull = v * (unit @ v) - wanted * v ** (1 - power)  # the gradient by log v
            if pull.abs().max() <= self.TOLERANCE * wanted.max():
                break
            curvature = torch.outer(v, v) * unit + torch.diag(v * (unit @ v) - (1 - power) * wanted * v ** (1 - power))
            logs = _descend(objective, logs, pull, curvature)
        weights = logs.exp() / scale
        return count * weights / weights.sum()


def _descend(objective, point, gradient, curvature):
    """A damped Newton step: shortened until the objective falls, along the gradient where curvature is not positive."""
    values, vectors = torch.linalg.eigh(curvature)
    step = vectors @ ((vectors.T @ gradient) / values.abs().clamp_min(1e-12))
    step = step / max(1.0, step.abs().max().item() / 2)
    start, slope, length = objective(point), gradient @ step, 1.0
    while objective(point - length * step) > start - 1e-4 * length * slope and length > 1e-12:
        length /= 2
    return point - length * step


@AGGREGATIONS.register("nash_mtl")
class NashMTL(AlphaFair):
    """Nash bargaining (Navon et al. 2022): G w = 1 / w, solved anew in every step; torchjd's is warm-started by row."""

    def __init__(self, tasks):
        super().__init__(tasks, 1.0)


@AGGREGATIONS.register("fairgrad")
class FairGrad(AlphaFair):
    """FairGrad (Ban and Ji 2024): G w = w^(-1/alpha), alpha = 2 in the paper's experiments."""

    def __init__(self, tasks, alpha=2.0):
        super().__init__(tasks, alpha)

    @classmethod
    def from_config(cls, node, tasks):
        return cls(tasks, node.FAIRGRAD.ALPHA)
