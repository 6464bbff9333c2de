"""A batch sampler that goes on for a number of iterations, over as many epochs as that takes."""

from collections.abc import Iterator
from typing import Any

from torch.utils.data.sampler import BatchSampler


class IterationBasedBatchSampler(BatchSampler):
    """Batches of `batch_sampler`, epoch after epoch, until `num_iterations`.

    Args:
        batch_sampler: batches of one epoch. If its `sampler` has `set_epoch`, it is told the number of each epoch.
        num_iterations: number of the last batch.
        start_iter: batches that were seen before: they are gone through without being yielded, so that a run that
            resumes here sees what one that never stopped would.
    """

    def __init__(self, batch_sampler: BatchSampler, num_iterations: int, start_iter: int = 0) -> None:
        self.batch_sampler = batch_sampler
        self.num_iterations = num_iterations
        self.start_iter = start_iter

    def __iter__(self) -> Iterator[list[int]]:
        iteration, epoch = 0, 0
        while iteration < self.num_iterations:
            sampler: Any = getattr(self.batch_sampler, "sampler", None)
            if hasattr(sampler, "set_epoch"):
                sampler.set_epoch(epoch)
            before = iteration
            for batch in self.batch_sampler:
                iteration += 1
                if iteration > self.start_iter:
                    yield batch
                if iteration >= self.num_iterations:
                    return
            if iteration == before:
                raise ValueError("the batch sampler yields no batch, so no number of iterations can be reached")
            epoch += 1

    def __len__(self) -> int:
        return self.num_iterations
