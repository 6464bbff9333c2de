"""Helpers for several processes, in one process and in two."""

import comm_processes
import pytest
import torch

from maskrcnn_benchmark.utils import comm
from maskrcnn_benchmark.utils.errors import UserError


def test_one_process_communicates_nothing():
    comm.synchronize()
    assert (comm.get_rank(), comm.get_world_size(), comm.is_main_process()) == (0, 1, True)
    assert comm.all_gather({"a": 1}) == [{"a": 1}]
    assert comm.reduce_dict({"loss": torch.tensor(2.0)}) == {"loss": torch.tensor(2.0)}
    assert comm.run_once(lambda: 7) == 7


def test_tensors_of_one_buffer_have_its_type_and_device():
    kinds = [("cpu", torch.float32)] * 3 + [("meta", torch.float32)] * 2 + [("cpu", torch.float64)]
    tensors = [torch.empty(4, device=device, dtype=dtype) for device, dtype in kinds]
    assert [len(bucket) for bucket in comm.buckets_of(tensors, 32)] == [2, 1, 2, 1]


def test_run_once_lets_the_users_error_through():
    def fail():
        raise UserError("no such file: x")

    with pytest.raises(UserError, match="no such file: x"):
        comm.run_once(fail)


def test_two_processes_gather_reduce_and_fail_together(tmp_path, in_two_processes):
    in_two_processes(comm_processes.main, str(tmp_path))
    first, second = (torch.load(tmp_path / f"{rank}.pth") for rank in (0, 1))
    assert first[0] == second[0] == ["x", "xx"]
    assert first[1]["b"] == 0.5 and first[1]["a"] == 3.0
    assert (first[2], second[2]) == ("ran", None)
    assert first[3] == second[3] == "rank 0 could not"
    assert first[4] == second[4] == "tried to allocate 9 GiB"


def test_a_process_that_works_is_waited_for_beyond_the_limit_of_collectives(tmp_path, in_two_processes):
    in_two_processes(comm_processes.wait_for_the_first, str(tmp_path))
    first, second = (torch.load(tmp_path / f"{rank}.pth") for rank in (0, 1))
    assert first[0] == "worked" and second == [None, "limit"]


def test_who_waits_for_a_process_that_has_ended_is_told_in_one_line(tmp_path, in_two_processes):
    in_two_processes(comm_processes.wait_for_one_that_ends, str(tmp_path))
    assert torch.load(tmp_path / "message.pth") == "another process of this run has ended; its last lines say why"
