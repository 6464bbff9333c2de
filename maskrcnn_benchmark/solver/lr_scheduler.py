"""Learning-rate schedules with a warm-up; each rate is a closed form of the iteration, so resuming is exact."""

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

WARMUP_METHODS = ("linear", "constant")


class _WarmupLR(LRScheduler):
    """Base rate times a warm-up factor times `decay(iteration)`.

    The warm-up factor is `warmup_factor` for a "constant" warm-up and rises from it to 1 for a "linear" one, over the
    first `warmup_iters` iterations.
    """

    decay: Callable[[int], float]

    def __init__(
        self, optimizer: Optimizer, warmup_factor: float, warmup_iters: int, warmup_method: str, last_epoch: int
    ) -> None:
        if warmup_method not in WARMUP_METHODS:
            raise ValueError(f"warmup_method must be one of {WARMUP_METHODS}, not {warmup_method!r}")
        self.warmup_factor = warmup_factor
        self.warmup_iters = warmup_iters
        self.warmup_method = warmup_method
        super().__init__(optimizer, last_epoch)

    def state_dict(self) -> dict[str, Any]:
        """The iteration alone: everything else is the config's, which may have changed when a run is resumed."""
        return {"last_epoch": self.last_epoch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on at an iteration, also from the fuller state that the original library saves."""
        self.last_epoch = state_dict["last_epoch"]
        self._last_lr = self.get_lr()
        for group, lr in zip(self.optimizer.param_groups, self._last_lr):
            group["lr"] = lr

    def get_lr(self) -> list[float | Tensor]:
        """The rate of each group of parameters at the current iteration."""
        factor = self._warmup(self.last_epoch) * self.decay(self.last_epoch)
        return [base_lr * factor for base_lr in self.base_lrs]

    def _warmup(self, iteration: int) -> float:
        if iteration >= self.warmup_iters:
            return 1.0
        if self.warmup_method == "constant":
            return self.warmup_factor
        done = iteration / self.warmup_iters
        return self.warmup_factor * (1 - done) + done


class WarmupMultiStepLR(_WarmupLR):
    """Warm-up, then the rate is multiplied by `gamma` at each of the increasing iterations `milestones`."""

    def __init__(
        self,
        optimizer: Optimizer,
        milestones: Sequence[int],
        gamma: float = 0.1,
        warmup_factor: float = 1.0 / 3,
        warmup_iters: int = 500,
        warmup_method: str = "linear",
        last_epoch: int = -1,
    ) -> None:
        if list(milestones) != sorted(milestones):
            raise ValueError(f"milestones must be increasing iterations, not {list(milestones)}")
        self.milestones = list(milestones)
        self.gamma = gamma
        super().__init__(optimizer, warmup_factor, warmup_iters, warmup_method, last_epoch)

    def decay(self, iteration: int) -> float:
        """`gamma` to the power of the milestones that are reached."""
        return self.gamma ** bisect_right(self.milestones, iteration)


class WarmupCosineLR(_WarmupLR):
    """Warm-up, under half a cosine that falls from the base rate at iteration 0 to zero at `max_iters`.

    Loshchilov and Hutter 2017, equation 5, with a single period and a least rate of zero.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_iters: int,
        warmup_factor: float = 1.0 / 3,
        warmup_iters: int = 500,
        warmup_method: str = "linear",
        last_epoch: int = -1,
    ) -> None:
        if max_iters <= 0:
            raise ValueError(f"max_iters must be positive, not {max_iters}")
        self.max_iters = max_iters
        super().__init__(optimizer, warmup_factor, warmup_iters, warmup_method, last_epoch)

    def decay(self, iteration: int) -> float:
        """The cosine's factor, from 1 to 0."""
        return 0.5 * (1 + math.cos(math.pi * min(iteration, self.max_iters) / self.max_iters))


class WarmupPolyLR(_WarmupLR):
    """Warm-up, under (1 - iteration / max_iters) to the power of `power` (Chen et al., DeepLab, 2018)."""

    def __init__(
        self,
        optimizer: Optimizer,
        max_iters: int,
        power: float = 0.9,
        warmup_factor: float = 1.0 / 3,
        warmup_iters: int = 500,
        warmup_method: str = "linear",
        last_epoch: int = -1,
    ) -> None:
        if max_iters <= 0:
            raise ValueError(f"max_iters must be positive, not {max_iters}")
        self.max_iters = max_iters
        self.power = power
        super().__init__(optimizer, warmup_factor, warmup_iters, warmup_method, last_epoch)

    def decay(self, iteration: int) -> float:
        """The power's factor, from 1 to 0."""
        return (1 - min(iteration, self.max_iters) / self.max_iters) ** self.power
