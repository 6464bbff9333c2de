"""Batch samplers for training on any number of processes: the same batches, each process taking its part of each."""

from collections.abc import Iterable, Iterator

from torch.utils.data.sampler import BatchSampler


class WholeBatchSampler(BatchSampler):
    """Batches of one size, over as many epochs as `num_iterations` of them take.

    What is left over at the end of an epoch begins the batches of the next one, so that every batch is whole and can be
    shared out evenly. Batches come in the order in which they are filled.

    Args:
        sampler: indices of one epoch. If it has `set_epoch`, it is told the number of each epoch.
        batch_size: indices in a batch.
        num_iterations: number of the last batch.
        start_iter: batches that were seen before: they are gone through without being yielded, so that a run that
            resumes here sees what one that never stopped would.
        group_ids: group of each index of the data set; a batch's indices are then all of one group. None is one group.

    Raises:
        ValueError: while iterating, for a sampler without an index.
    """

    def __init__(
        self,
        sampler: Iterable[int],
        batch_size: int,
        num_iterations: int,
        start_iter: int = 0,
        group_ids: Iterable[int] | None = None,
    ) -> None:
        self.sampler = sampler
        self.batch_size = batch_size
        self.num_iterations = num_iterations
        self.start_iter = start_iter
        self.group_ids = None if group_ids is None else [int(group) for group in group_ids]

    def __iter__(self) -> Iterator[list[int]]:
        iteration, open_batches = 0, dict[int, list[int]]()
        for index in self._indices():
            if iteration == self.num_iterations:
                return
            batch = open_batches.setdefault(0 if self.group_ids is None else self.group_ids[index], [])
            batch.append(index)
            if len(batch) < self.batch_size:
                continue
            iteration += 1
            if iteration > self.start_iter:
                yield list(batch)
            batch.clear()

    def __len__(self) -> int:
        return self.num_iterations

    def _indices(self) -> Iterator[int]:
        epoch = 0
        while True:
            if hasattr(self.sampler, "set_epoch"):
                self.sampler.set_epoch(epoch)
            index = None
            for index in self.sampler:
                yield index
            if index is None:
                raise ValueError("the sampler yields no index, so no batch can be made")
            epoch += 1


class PartOfBatchSampler(BatchSampler):
    """Of each batch, the part of one process: the `rank`-th of `num_replicas` runs of equal length.

    Args:
        batch_sampler: batches of all processes together, each a multiple of their number long.
        num_replicas, rank: number of processes and number of this one.
    """

    def __init__(self, batch_sampler: BatchSampler, num_replicas: int, rank: int) -> None:
        if not 0 <= rank < num_replicas:
            raise ValueError(f"rank {rank} is not among {num_replicas} processes")
        self.batch_sampler = batch_sampler
        self.num_replicas = num_replicas
        self.rank = rank

    def __iter__(self) -> Iterator[list[int]]:
        for batch in self.batch_sampler:
            yield batch[len(batch) * self.rank // self.num_replicas : len(batch) * (self.rank + 1) // self.num_replicas]

    def __len__(self) -> int:
        return len(self.batch_sampler)
