"""A sampler that draws from several data sets in given shares."""

import hashlib
import math
from collections.abc import Iterator, Sequence
from fractions import Fraction

import torch
from torch.utils.data.sampler import Sampler

from maskrcnn_benchmark.utils.comm import get_rank, get_world_size


class MixtureSampler(Sampler):
    """The indices of one process among several, drawn from data sets that are joined one after the other.

    An epoch is as long as all of them together. Each data set is gone through in whole shuffled passes, which go on
    from epoch to epoch: none of its images comes twice before all came once. So a data set with a large share starts
    over within an epoch, and one with a small share takes several.

    Processes take turns along one order, so that passes are whole whoever draws, and what all processes draw in a step
    is what one process with the batch of all would. An epoch that does not divide by their number is made longer.

    Args:
        sizes: number of images of each data set.
        ratios: what each one's share is proportional to: numbers of 0 or more, of which one is more.
        num_replicas, rank: number of processes and number of this one; None takes them from torch.distributed.
        seed: of the orders.

    Raises:
        ValueError: for sizes and ratios that no image can be drawn from.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        ratios: Sequence[float],
        num_replicas: int | None = None,
        rank: int | None = None,
        seed: int = 0,
    ) -> None:
        if len(sizes) != len(ratios) or not all(math.isfinite(ratio) and ratio >= 0 for ratio in ratios):
            raise ValueError(f"{len(sizes)} data sets need as many ratios of 0 or more, not {tuple(ratios)}")
        if not sum(ratios) or any(ratio and not size for size, ratio in zip(sizes, ratios)):
            raise ValueError(f"nothing can be drawn from {tuple(sizes)} images with the ratios {tuple(ratios)}")
        self.sizes = list(sizes)
        total = sum(map(Fraction, ratios))
        self.shares = [Fraction(ratio) / total for ratio in ratios]
        self.num_replicas = get_world_size() if num_replicas is None else num_replicas
        self.rank = get_rank() if rank is None else rank
        if not 0 <= self.rank < self.num_replicas:
            raise ValueError(f"rank {self.rank} is not among {self.num_replicas} processes")
        self.num_samples = -(-sum(self.sizes) // self.num_replicas)
        self.seed = seed
        self.epoch = 0

    def __iter__(self) -> Iterator[int]:
        number = self.num_samples * self.num_replicas
        first, last = (self._drawn(number * epoch) for epoch in (self.epoch, self.epoch + 1))
        counts = torch.tensor([stop - start for start, stop in zip(first, last)])
        source = torch.repeat_interleave(torch.arange(len(counts)), counts)
        source = source[torch.randperm(number, generator=self._generator("order", self.epoch))]
        indices = torch.empty(number, dtype=torch.int64)
        for k, (start, stop) in enumerate(zip(first, last)):
            indices[source == k] = self._images(k, start, stop) + sum(self.sizes[:k])
        return iter(indices[self.rank :: self.num_replicas].tolist())

    def __len__(self) -> int:
        return self.num_samples

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch: the same epoch and seed give the same order in every process."""
        self.epoch = epoch

    def _drawn(self, number: int) -> list[int]:
        """How many of the first `number` images come from each data set.

        The k-th image of a share s is due at (k - 1/2) / s and images come as they are due, which is Sainte-Lague's
        way to apportion seats: however long a run, no share is off by more than about an image, and a larger number
        never takes one away.
        """
        # what is due by then for certain, so that only the last few are counted out
        drawn = [max(0, math.floor(share * (number - len(self.shares))) - 1) for share in self.shares]
        for _ in range(number - sum(drawn)):
            due = [((2 * k + 1) / share, i) for i, (k, share) in enumerate(zip(drawn, self.shares)) if share]
            drawn[min(due)[1]] += 1
        return drawn

    def _images(self, k: int, start: int, stop: int) -> torch.Tensor:
        """int64 [stop - start]: the images that data set k gives when drawn from for the times `start` to `stop`."""
        size = self.sizes[k]
        if start == stop:
            return torch.empty(0, dtype=torch.int64)
        passes = range(start // size, -(-stop // size))
        order = torch.cat([torch.randperm(size, generator=self._generator("pass", k, each)) for each in passes])
        return order[start - passes.start * size :][: stop - start]

    def _generator(self, *key: str | int) -> torch.Generator:
        digest = hashlib.blake2b("/".join(map(str, (self.seed, *key))).encode(), digest_size=8).digest()
        generator = torch.Generator()
        generator.manual_seed(int.from_bytes(digest, "big") >> 1)
        return generator
