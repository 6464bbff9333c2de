"""Many losses -> one number to minimise: the one place between the heads and the optimizer."""

import torch
from torch import nn

from maskrcnn_benchmark.multitask.tasks import enabled_tasks, task_of_loss
from maskrcnn_benchmark.utils.errors import UserError


class FixedWeighting(nn.Module):
    """The plain sum of the tasks' losses."""

    def __init__(self, task_keys):
        super().__init__()

    def forward(self, task_losses):
        """{task key: scalar} -> scalar."""
        return torch.stack(list(task_losses.values())).sum()


class UncertaintyWeighting(nn.Module):
    """Learnt weights by homoscedastic uncertainty (Kendall et al. 2018): sum of L / (2 e^s) + s / 2, s = log variance.

    Each task has its own s. A task without a loss in this step leaves its s alone.
    """

    INITIAL_LOG_VARIANCE = -0.5  # as in LibMTL

    def __init__(self, task_keys):
        super().__init__()
        self.log_variance = nn.ParameterDict(
            {key: nn.Parameter(torch.tensor(self.INITIAL_LOG_VARIANCE)) for key in task_keys}
        )

    def forward(self, task_losses):
        """{task key: scalar} -> scalar."""
        terms = [
            loss / (2 * self.log_variance[key].exp()) + self.log_variance[key] / 2 for key, loss in task_losses.items()
        ]
        return torch.stack(terms).sum()


WEIGHTINGS = {"fixed": FixedWeighting, "uncertainty": UncertaintyWeighting}


class LossCombiner(nn.Module):
    """Adds a step's losses per task, weighs the tasks, and reports what it did.

    Args:
        weights: {task key: fixed weight}; also the list of tasks.
        weighting: module {task key: scalar} -> scalar.
    """

    def __init__(self, weights, weighting):
        super().__init__()
        self.weights = dict(weights)
        self.weighting = weighting

    def forward(self, losses):
        """Combine the losses of one step; a task that the batch lacks is simply not there.

        Args:
            losses: {loss name: scalar with gradient}.

        Returns:
            The scalar to minimise (None when there is no loss at all), and {task key: its weighted loss, detached}.
        """
        task_losses = {}
        for name, loss in losses.items():
            key = task_of_loss(name).key
            if key not in self.weights:
                raise KeyError(f"loss {name!r} belongs to task {key!r}, which this combiner was not built for")
            loss = loss.float() * self.weights[key]
            task_losses[key] = task_losses[key] + loss if key in task_losses else loss
        if not task_losses:
            return None, {}
        return self.weighting(task_losses), {key: loss.detach() for key, loss in task_losses.items()}


def build_loss_combiner(cfg):
    """The combiner of `cfg.MULTITASK` for the tasks that the config turns on."""
    node = cfg.MULTITASK
    if node.WEIGHTING not in WEIGHTINGS:
        raise UserError(f"MULTITASK.WEIGHTING {node.WEIGHTING!r} is unknown; there are {', '.join(WEIGHTINGS)}")
    keys = [task.key for task in enabled_tasks(cfg)]
    weights = {key: getattr(node.LOSS_WEIGHTS, key.upper()) for key in keys}
    return LossCombiner(weights, WEIGHTINGS[node.WEIGHTING](keys))
