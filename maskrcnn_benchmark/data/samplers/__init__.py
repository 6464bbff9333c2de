"""Which images come in which batch, in which order, with which randomness."""

from maskrcnn_benchmark.data.samplers.distributed import DistributedSampler
from maskrcnn_benchmark.data.samplers.grouped_batch_sampler import GroupedBatchSampler
from maskrcnn_benchmark.data.samplers.iteration_based_batch_sampler import IterationBasedBatchSampler
from maskrcnn_benchmark.data.samplers.mixture import MixtureSampler
from maskrcnn_benchmark.data.samplers.repeat_factor import RepeatFactorSampler
from maskrcnn_benchmark.data.samplers.seeding import SeededBatchSampler, SeededDataset
from maskrcnn_benchmark.data.samplers.whole_batches import PartOfBatchSampler, WholeBatchSampler

__all__ = [
    "DistributedSampler",
    "GroupedBatchSampler",
    "IterationBasedBatchSampler",
    "MixtureSampler",
    "PartOfBatchSampler",
    "RepeatFactorSampler",
    "SeededBatchSampler",
    "SeededDataset",
    "WholeBatchSampler",
]
