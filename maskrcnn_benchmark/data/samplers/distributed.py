"""A sampler that gives each process its share of the data set."""

from collections.abc import Iterator, Sized

import torch
from torch.utils.data.sampler import Sampler

from maskrcnn_benchmark.utils.comm import get_rank, get_world_size


class DistributedSampler(Sampler):
    """The indices of one process among several, all of them drawn from one order.

    Args:
        dataset: anything with a length.
        num_replicas, rank: number of processes and number of this one; None takes them from torch.distributed.
        shuffle: a new order for each epoch; otherwise ascending.
        pad: give every process as many, by handing out some indices twice (training). False hands out each index
            exactly once, so that shares may differ by one (testing).
        seed: of the orders.
    """

    def __init__(
        self,
        dataset: Sized,
        num_replicas: int | None = None,
        rank: int | None = None,
        shuffle: bool = True,
        pad: bool = True,
        seed: int = 0,
    ) -> None:
        self.dataset = dataset
        self.num_replicas = get_world_size() if num_replicas is None else num_replicas
        self.rank = get_rank() if rank is None else rank
        if not 0 <= self.rank < self.num_replicas:
            raise ValueError(f"rank {self.rank} is not among {self.num_replicas} processes")
        self.shuffle = shuffle
        self.seed = seed
        self.epoch = 0
        number = len(dataset)
        if pad:
            self.num_samples = -(-number // self.num_replicas)
            self.total_size = self.num_samples * self.num_replicas
            self.offset = self.num_samples * self.rank
        else:
            self.total_size = number
            self.offset = number * self.rank // self.num_replicas
            self.num_samples = number * (self.rank + 1) // self.num_replicas - self.offset

    def __iter__(self) -> Iterator[int]:
        number = len(self.dataset)
        if self.shuffle:
            generator = torch.Generator()
            generator.manual_seed((self.seed * 1_000_003 + self.epoch) % 2**63)
            indices = torch.randperm(number, generator=generator)
        else:
            indices = torch.arange(number)
        if number and self.total_size > number:
            indices = indices.repeat(-(-self.total_size // number))
        return iter(indices[self.offset : self.offset + self.num_samples].tolist())

    def __len__(self) -> int:
        return self.num_samples

    def set_epoch(self, epoch: int) -> None:
        """Choose the order: the same epoch and seed give the same order in every process."""
        self.epoch = epoch
