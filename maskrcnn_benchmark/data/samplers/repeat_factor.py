"""A sampler that draws some images more often than others (Gupta et al. 2019, LVIS)."""

from collections.abc import Iterator, Sequence

import torch
from torch.utils.data.sampler import Sampler


class RepeatFactorSampler(Sampler):
    """All indices of a data set in an order that is new in each epoch, an index with the factor r about r times.

    It comes floor(r) times, and once more with the probability of the rest, drawn anew in each epoch: epochs differ in
    length, and are as long as the sum of the factors on average.

    Args:
        factors: of each image, 1 or more.
        seed: of the orders.

    Raises:
        ValueError: for a factor below 1 or that is not finite.
    """

    def __init__(self, factors: Sequence[float], seed: int = 0) -> None:
        self.factors = checked_factors(factors)
        self.seed = seed
        self.epoch = 0

    def __iter__(self) -> Iterator[int]:
        generator = self._generator()
        indices = repeated(self.factors, generator)
        return iter(indices[torch.randperm(len(indices), generator=generator)].tolist())

    def __len__(self) -> int:
        """Of this epoch."""
        return len(repeated(self.factors, self._generator()))

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch: the same epoch and seed give the same order in every process."""
        self.epoch = epoch

    def _generator(self) -> torch.Generator:
        generator = torch.Generator()
        generator.manual_seed((self.seed * 1_000_003 + self.epoch) % 2**63)
        return generator


def checked_factors(factors: Sequence[float]) -> torch.Tensor:
    """Factors as float64 [N]; raises `ValueError` for one below 1 or that is not finite."""
    checked = torch.as_tensor(factors, dtype=torch.float64)
    if not bool((checked.isfinite() & (checked >= 1)).all()):
        raise ValueError("a factor is how often an image comes in an epoch: 1 or more, and finite")
    return checked


def repeated(factors: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Each factor's index floor(factor) times, and once more with the probability of the rest: int64, ascending."""
    whole = factors.floor()
    chance = torch.rand(len(factors), generator=generator, dtype=torch.float64)
    counts = whole.long() + (chance < factors - whole)
    return torch.repeat_interleave(torch.arange(len(factors)), counts)
