"""A batch of a worker comes whole, or its error does."""

import errno
import itertools
import os
import resource

import pytest
import torch
from torch.utils.data import DataLoader

from maskrcnn_benchmark.data.batches import Batches
from maskrcnn_benchmark.data.collate_batch import BatchCollator
from maskrcnn_benchmark.data.handover import HandedOver, shared_zeros
from maskrcnn_benchmark.utils.errors import UserError


class Images(torch.utils.data.Dataset):
    def __init__(self, at=lambda: None):
        self.at = at

    def __len__(self):
        return 8

    def __getitem__(self, index):
        self.at()
        return torch.full((3, 32, 32), index, dtype=torch.uint8), None, index


def go_through(dataset, collator, workers=2):
    with Batches(DataLoader(dataset, 2, num_workers=workers, collate_fn=HandedOver(collator))) as batches:
        return list(batches)


def refuse_shared_memory(*_):
    raise RuntimeError(f"unable to allocate shared memory(shm) for file </x>: No space left on device ({errno.ENOSPC})")


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.int64])
def test_memory_to_hand_over_is_shared_and_zero(dtype):
    tensor = shared_zeros(1000, dtype)
    assert tensor.is_shared() and tensor.shape == (1000,) and tensor.dtype == dtype and not tensor.any()
    assert shared_zeros(0, dtype).shape == (0,)
    tensor += 1
    assert tensor.sum() == 1000


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="this system has no memory files")
def test_batches_take_no_room_of_a_file_system(monkeypatch):
    """Where /dev/shm has no room, the batches come all the same."""
    monkeypatch.setattr(torch.UntypedStorage, "_new_shared", refuse_shared_memory)
    found = go_through(Images(), BatchCollator())
    assert [ids for _, _, ids in found] == [[0, 1], [2, 3], [4, 5], [6, 7]]
    assert all((images.tensors[0] == ids[0]).all() for images, _, ids in found)


def test_tensors_that_need_the_file_system_say_what_is_full(monkeypatch):
    monkeypatch.setattr(torch.UntypedStorage, "_share_fd_cpu_", refuse_shared_memory)
    with pytest.raises(UserError, match=r"no room is left in shared memory.*docker run --shm-size.*NUM_WORKERS"):
        go_through(Images(), lambda samples: [torch.ones(3)])


def test_what_cannot_be_pickled_is_an_error_and_not_a_lost_batch():
    with pytest.raises(AttributeError, match="pickle"):
        go_through(Images(), lambda samples: lambda: None)


def test_a_batch_without_workers_is_the_collators():
    marker = object()
    assert go_through(Images(), lambda samples: marker, workers=0) == [marker] * 4


@pytest.mark.parametrize("in_workers", [False, True])
def test_too_few_open_files_are_one_line_with_the_remedy(end_of, in_workers):
    def lower():
        taken = {int(number) for number in os.listdir("/proc/self/fd")}
        # five are free below the limit, also where those taken leave gaps
        limit = next(n for n in itertools.count(1) if n - sum(number < n for number in taken) == 4)
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))

    def main():
        if not in_workers:
            lower()
        go_through(Images(lower if in_workers else lambda: None), BatchCollator())

    code, said = end_of(main)
    assert code == 2 and "error: no more files can be opened" in said and "ulimit -n" in said
    assert "DATALOADER.NUM_WORKERS" in said and "Traceback" not in said
