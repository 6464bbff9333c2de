"""A function of every image of a data set, computed in worker processes."""

import multiprocessing

import cv2
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from maskrcnn_benchmark.engine.interruption import leave_signals_to_parent
from maskrcnn_benchmark.utils.errors import UserError

_CHUNK = 8  # images per message of a worker


def each_image(function, dataset, indices, workers=0, description="", chunk=_CHUNK):
    """Yield `function(dataset, index)` of each index, in order, with a progress bar.

    Args:
        function: what it returns is sent between processes; a `UserError` of it is raised here.
        dataset: where processes are forked, the workers share it with this one.
        indices: list of int.
        workers: number of processes; 0 computes in this one.
        description: of the progress bar.
        chunk: images that a worker computes before it sends them.
    """
    how = {}
    if workers:
        method = "fork" if "fork" in multiprocessing.get_all_start_methods() else "spawn"
        how = {"multiprocessing_context": method, "worker_init_fn": leave_signals_to_parent}
    loader = DataLoader(_Each(function, dataset, indices), chunk, num_workers=workers, collate_fn=list, **how)
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # a fork would wait for OpenCV's threads, which do not live on in it
    try:
        with tqdm(total=len(indices), desc=description, unit="image", disable=None) as bar:
            for results in loader:
                yield from results
                bar.update(len(results))
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise UserError("a worker was ended from outside, most likely for lack of memory: use fewer workers") from None
    finally:
        cv2.setNumThreads(threads)


class _Each(Dataset):
    def __init__(self, function, dataset, indices):
        self.function, self.dataset, self.indices = function, dataset, indices

    def __len__(self):
        return len(self.indices)

    def __getitem__(self, place):
        return self.function(self.dataset, self.indices[place])
