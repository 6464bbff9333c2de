"""Whatever happens to a loader's workers, the process ends: with a trace, or with one line; and a stop is heard."""

import contextlib
import multiprocessing
import os
import signal
import threading
from multiprocessing.connection import wait

import pytest
import torch
from torch.utils.data import DataLoader

from maskrcnn_benchmark.data.batches import Batches, StopWaiting, end_workers, ending_workers
from maskrcnn_benchmark.data.collate_batch import BatchCollator
from maskrcnn_benchmark.data.handover import HandedOver
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.workers import leave_signals_to_parent


class Images(torch.utils.data.Dataset):
    """Images 3x4x4 of their index; `at(index)` is called before one is made, in a worker."""

    def __init__(self, at=lambda index: None):
        self.at = at

    def __len__(self):
        return 12

    def __getitem__(self, index):
        self.at(index)
        return torch.full((3, 4, 4), index, dtype=torch.uint8), None, index


def make_loader(dataset, collator=None, workers=2, **more):
    return DataLoader(
        dataset,
        batch_size=2,
        num_workers=workers,
        collate_fn=HandedOver(collator or BatchCollator()),
        worker_init_fn=lambda _: leave_signals_to_parent(),
        persistent_workers=workers > 0,
        **more,
    )


def go_through(loader, with_each=lambda number: None):
    with Batches(loader) as batches:
        for number, _ in enumerate(batches):
            with_each(number)


def fail(*_):
    return 1 // 0


def fail_at_third(number):
    return 1 // (2 - number)


def kill_a_worker(*_):
    os.kill(multiprocessing.active_children()[0].pid, signal.SIGKILL)
    threading.Event().wait(60)  # PyTorch's error comes as soon as the signal of the child's end


def stop_the_workers_and_fail(*_):
    for worker in multiprocessing.active_children():
        os.kill(worker.pid, signal.SIGSTOP)
    fail()


@pytest.mark.parametrize("workers", [0, 2])
def test_all_batches_in_order_and_again(workers):
    loader = make_loader(Images(), workers=workers)
    with ending_workers(loader):
        for _ in range(2):
            with Batches(loader) as batches:
                assert len(batches) == 6
                found = [(images.tensors[:, 0, 0, 0].tolist(), ids) for images, _, ids in batches]
            assert found == [([first, first + 1], [first, first + 1]) for first in range(0, 12, 2)]
        assert len(multiprocessing.active_children()) == workers
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize(
    "dataset, collator, with_each",
    [
        (Images(), None, fail_at_third),
        (Images(fail_at_third), None, lambda number: None),
        (Images(), fail, lambda number: None),
        (Images(), None, stop_the_workers_and_fail),
    ],
    ids=["loop", "data set", "collator", "workers that stand still"],
)
def test_a_programming_error_ends_the_process_with_its_trace(end_of, dataset, collator, with_each):
    code, said = end_of(lambda: go_through(make_loader(dataset, collator), with_each))
    assert code == 1 and "ZeroDivisionError" in said and "return 1 //" in said


def test_an_error_beside_workers_that_wait_for_their_next_iteration(end_of):
    def main():
        loader = make_loader(Images())
        go_through(loader)
        fail()

    code, said = end_of(main)
    assert code == 1 and "ZeroDivisionError" in said


@pytest.mark.parametrize("where", ["loop", "data set"])
def test_a_killed_worker_is_one_line_with_the_remedy(end_of, where):
    def end_oneself(index):
        if index == 5:
            os.kill(os.getpid(), signal.SIGKILL)

    dataset, with_each = (Images(), kill_a_worker) if where == "loop" else (Images(end_oneself), lambda number: None)
    code, said = end_of(lambda: go_through(make_loader(dataset), with_each))
    assert code == 2 and len(said.splitlines()) == 1
    assert "SIGKILL" in said and "lower DATALOADER.NUM_WORKERS" in said


class WaitsForADeath:
    """Batches, of which the second is told once a worker has ended: a loader asks for several when it starts."""

    def __len__(self):
        return 6

    def __iter__(self):
        yield [0, 1]
        wait([worker.sentinel for worker in multiprocessing.active_children()])
        yield from ([first, first + 1] for first in range(2, 12, 2))


def test_a_worker_that_is_killed_before_the_loader_has_begun_is_one_line_too(end_of):
    dataset = Images(lambda index: os.kill(os.getpid(), signal.SIGKILL))
    loader = DataLoader(dataset, batch_sampler=WaitsForADeath(), num_workers=2, collate_fn=HandedOver(BatchCollator()))
    code, said = end_of(lambda: go_through(loader))
    assert code == 2 and len(said.splitlines()) == 1
    assert "lower DATALOADER.NUM_WORKERS" in said


def test_what_a_killed_worker_had_sent_is_lost_with_it():
    worker = multiprocessing.get_context("fork").Process(target=os._exit, args=(3,))
    worker.start()

    class OfDeadWorkers:
        _workers = [worker]

        def __next__(self):
            raise ConnectionRefusedError("of the socket that would hand its files over")

        def _shutdown_workers(self):
            pass

    class Loader:
        def __iter__(self):
            return OfDeadWorkers()

    line = rf"^worker {worker.pid} has ended by itself \(exit code 3\)"
    with pytest.raises(UserError, match=line), Batches(Loader()) as batches:
        next(batches)


def test_a_killed_worker_of_another_loader_is_one_line_too(end_of):
    def main():
        test, training = make_loader(Images(), workers=1), make_loader(Images(), workers=1)
        with ending_workers(test, training):
            go_through(test)
            go_through(training, kill_a_worker)

    code, said = end_of(main)
    assert code == 2 and len(said.splitlines()) == 1 and "lower DATALOADER.NUM_WORKERS" in said


def test_a_stop_is_heard_while_no_batch_comes():
    never = multiprocessing.Event()
    loader = make_loader(Images(lambda index: never.wait() if index >= 2 else None), workers=1)
    asked = []
    with Batches(loader, lambda: bool(asked)) as batches:
        assert next(batches)[2] == [0, 1]
        asked.append(True)
        with pytest.raises(StopWaiting):
            next(batches)
    end_workers(loader)


def test_a_batch_that_comes_is_taken_before_a_stop():
    loader = make_loader(Images())
    with ending_workers(loader), Batches(loader, lambda: True, patience=60) as batches:
        assert [ids for _, _, ids in batches] == [[first, first + 1] for first in range(0, 12, 2)]


def test_an_error_ends_the_workers_and_the_loader_can_be_used_again():
    loader = make_loader(Images())
    with contextlib.suppress(ZeroDivisionError):
        go_through(loader, fail)
    assert multiprocessing.active_children() == []
    go_through(loader)
    end_workers(loader)
    assert multiprocessing.active_children() == []


def test_anything_can_be_gone_through():
    with Batches([1, 2]) as batches:
        assert list(batches) == [1, 2] and len(batches) == 2
    end_workers([1, 2])
