"""Randomness of each item from its place in the stream alone: neither workers nor what ran before change it."""

import hashlib
import random
from collections.abc import Iterator
from typing import Any

from torch.utils.data import Dataset
from torch.utils.data.sampler import BatchSampler


class SeededBatchSampler(BatchSampler):
    """Turns batches of indices into batches of (index, seed).

    Args:
        batch_sampler: yields lists of indices.
        seed: of the run.
        rank: of this process; processes draw differently.
        start_iter: number of batches that went before the first one yielded.
    """

    def __init__(self, batch_sampler: BatchSampler, seed: int, rank: int = 0, start_iter: int = 0) -> None:
        self.batch_sampler = batch_sampler
        self.seed = seed
        self.rank = rank
        self.start_iter = start_iter

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:  # type: ignore[override]
        for iteration, batch in enumerate(self.batch_sampler, self.start_iter):
            yield [(index, item_seed(self.seed, self.rank, iteration, slot)) for slot, index in enumerate(batch)]

    def __len__(self) -> int:
        return len(self.batch_sampler)


class WrappedDataset(Dataset):
    """A data set that changes how another's items are had, and is that one in all else."""

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getattr__(self, name: str) -> Any:
        if name == "dataset":  # not set yet, while unpickling
            raise AttributeError(name)
        return getattr(self.dataset, name)


class SeededDataset(WrappedDataset):
    """A data set indexed by (index, seed): `random` is seeded for the item and restored afterwards."""

    def __getitem__(self, key: tuple[int, int]) -> Any:
        index, seed = key
        state = random.getstate()
        random.seed(seed)
        try:
            return self.dataset[index]
        finally:
            random.setstate(state)


def item_seed(seed: int, rank: int, iteration: int, slot: int) -> int:
    """64-bit seed of the item in place `slot` of batch `iteration` of process `rank`."""
    digest = hashlib.blake2b(f"{seed}/{rank}/{iteration}/{slot}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big")
