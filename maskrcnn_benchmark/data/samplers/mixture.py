"""A sampler that draws from several data sets in given shares."""

import bisect
import hashlib
import math
from collections.abc import Iterator, Sequence
from fractions import Fraction

import torch
from torch.utils.data.sampler import Sampler

from maskrcnn_benchmark.data.samplers.repeat_factor import checked_factors, repeated
from maskrcnn_benchmark.utils.comm import get_rank, get_world_size


class MixtureSampler(Sampler):
    """The indices of one process among several, drawn from data sets that are joined one after the other.

    An epoch is as long as all of them together. Each data set is gone through in whole shuffled passes, which go on
    from epoch to epoch: none of its images comes twice before all came once, unless it is to come more often. So a data
    set with a large share starts over within an epoch, and one with a small share takes several.

    Processes take turns along one order, so that passes are whole whoever draws, and what all processes draw in a step
    is what one process with the batch of all would. An epoch that does not divide by their number is made longer.

    Args:
        sizes: number of images of each data set.
        ratios: what each one's share is proportional to: numbers of 0 or more, of which one is more.
        num_replicas, rank: number of processes and number of this one; None takes them from torch.distributed.
        seed: of the orders.
        factors: of each image of all data sets how often it comes in a pass, see `RepeatFactorSampler`; an epoch is as
            long as their sum. None: once.

    Raises:
        ValueError: for factors below 1, and for sizes and ratios that no image can be drawn from.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        ratios: Sequence[float],
        num_replicas: int | None = None,
        rank: int | None = None,
        seed: int = 0,
        factors: Sequence[float] | None = None,
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
        self.factors = None if factors is None else checked_factors(factors).split(self.sizes)
        number = sum(self.sizes) if factors is None else round(sum(float(part.sum()) for part in self.factors or ()))
        self.num_samples = -(-number // self.num_replicas)
        self._ends: list[list[int]] = [[] for _ in self.sizes]  # of the passes of each data set, where they are drawn
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
        if start == stop:
            return torch.empty(0, dtype=torch.int64)
        number, begin = self._pass_at(k, start)
        orders, end = list[torch.Tensor](), begin
        while end < stop:
            orders.append(self._pass(k, number + len(orders)))
            end += len(orders[-1])
        return torch.cat(orders)[start - begin :][: stop - start]

    def _pass(self, k: int, number: int) -> torch.Tensor:
        """int64, the images of a pass through data set k in their order."""
        images = self._images_of_pass(k, number)
        return images[torch.randperm(len(images), generator=self._generator("pass", k, number))]

    def _images_of_pass(self, k: int, number: int) -> torch.Tensor:
        if self.factors is None:
            return torch.arange(self.sizes[k])
        return repeated(self.factors[k], self._generator("repeats", k, number))

    def _pass_at(self, k: int, start: int) -> tuple[int, int]:
        """(number of the pass of data set k in which its `start`-th image is, how many come before that pass)."""
        if self.factors is None:
            return start // self.sizes[k], start // self.sizes[k] * self.sizes[k]
        ends = self._ends[k]
        while not ends or ends[-1] <= start:
            ends.append((ends[-1] if ends else 0) + len(self._images_of_pass(k, len(ends))))
        number = bisect.bisect_right(ends, start)
        return number, ends[number - 1] if number else 0

    def _generator(self, *key: str | int) -> torch.Generator:
        digest = hashlib.blake2b("/".join(map(str, (self.seed, *key))).encode(), digest_size=8).digest()
        generator = torch.Generator()
        generator.manual_seed(int.from_bytes(digest, "big") >> 1)
        return generator
