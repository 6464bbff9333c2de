"""A batch sampler that keeps images of different shape apart."""

from collections.abc import Iterable, Iterator

from torch.utils.data.sampler import BatchSampler, Sampler


class GroupedBatchSampler(BatchSampler):
    """Batches whose indices all belong to one group, as near to the sampler's order as that allows.

    Within a group the sampler's order is kept; batches are ordered by their first index. An index that comes twice from
    the sampler comes twice here.

    Args:
        sampler: the base sampler, over indices of the data set or a part of them.
        group_ids: group of each index of the data set.
        batch_size: indices in a batch.
        drop_uneven: leave out batches that are smaller, at the end of each group.
    """

    def __init__(self, sampler: Sampler, group_ids: Iterable[int], batch_size: int, drop_uneven: bool = False) -> None:
        if not isinstance(sampler, Sampler):
            raise ValueError(f"sampler must be a torch.utils.data.Sampler, not {sampler!r}")
        self.sampler = sampler
        self.group_ids = [int(group) for group in group_ids]
        self.batch_size = batch_size
        self.drop_uneven = drop_uneven
        self._prepared: list[list[int]] | None = None  # batches counted by len() and not handed out yet

    def __iter__(self) -> Iterator[list[int]]:
        batches = self._prepare_batches() if self._prepared is None else self._prepared
        self._prepared = None
        return iter(batches)

    def __len__(self) -> int:
        """Number of batches of the next pass; with a random sampler it varies, so that pass is then fixed."""
        if self._prepared is None:
            self._prepared = self._prepare_batches()
        return len(self._prepared)

    def _prepare_batches(self):
        batches, open_batch = [], {}
        for index in self.sampler:
            group = self.group_ids[index]
            batch = open_batch.get(group)
            if batch is None or len(batch) == self.batch_size:
                batch = open_batch[group] = []
                batches.append(batch)  # entered when begun, so batches are in the order of their first index
            batch.append(index)
        if self.drop_uneven:
            batches = [batch for batch in batches if len(batch) == self.batch_size]
        return batches
