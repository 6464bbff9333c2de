"""Processes that differ, end or are stopped: each ends, with a line that says why."""

import os

import pytest
import ranks_apart
import torch

from maskrcnn_benchmark.engine.rank_agreement import check_same, check_same_command, digest, source_digests
from maskrcnn_benchmark.experiments.run_folder import read_run


@pytest.fixture(scope="module")
def seen(tmp_path_factory, in_two_processes):
    """What each of two processes was told in each case of `ranks_apart.differ`."""
    folder = tmp_path_factory.mktemp("differ")
    in_two_processes(ranks_apart.differ, str(folder))
    return [torch.load(folder / f"rank{rank}.pth") for rank in (0, 1)]


def notes(folder):
    return [(folder / f"rank{rank}.txt").read_text() for rank in (0, 1)]


@pytest.mark.parametrize("case", ranks_apart.DIFFERENT)
def test_another_option_is_named_on_both_with_both_values(seen, case):
    key, value = ranks_apart.DIFFERENT[case]
    first, second = (each[case] for each in seen)
    assert first == second
    assert first.startswith(f"rank 1 has {key} {value!r}, rank 0 ")
    assert first.endswith(": start all processes with the same command, code and packages")


def test_other_code_is_named_by_its_file(seen):
    for each in seen:
        assert each["code"].startswith("rank 1 has maskrcnn_benchmark/engine/step.py 'changed here', rank 0 ")


@pytest.mark.parametrize("case", [*ranks_apart.ALIKE, "nothing"])
def test_what_belongs_to_a_machine_may_differ(seen, case):
    assert [each[case] for each in seen] == ["", ""]


def test_two_processes_with_one_number_are_told_apart_from_none(seen):
    for each in seen:
        assert each["places"].startswith("rank 0 and rank 1 both have LOCAL_RANK 0 on ")


def test_a_single_process_agrees_with_itself():
    check_same({"a": 1}, "")
    check_same_command(None, torch.device("cpu"))


def test_digests_tell_contents_apart():
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1}) != digest({"a": 1, "b": 3})
    found = source_digests()
    assert "maskrcnn_benchmark/engine/step.py" in found and len(set(found.values())) > 100


def test_the_first_process_alone_takes_the_folder_and_gives_it_back(tmp_path, in_two_processes):
    output = tmp_path / "output"
    in_two_processes(ranks_apart.start, str(tmp_path), str(output))
    assert all("run.lock" in note for note in notes(tmp_path))
    assert os.listdir(output) == ["log.txt"]


def test_a_folder_that_is_in_use_is_refused_in_both(tmp_path, in_two_processes):
    with ranks_apart.start_run(ranks_apart.make_cfg(tmp_path / "output")):
        in_two_processes(ranks_apart.start, str(tmp_path), str(tmp_path / "output"))
    first, second = notes(tmp_path)
    assert first == second and f"in use by process {os.getpid()} on " in first


def test_one_that_is_stopped_amid_an_evaluation_loses_no_step(tmp_path, in_two_processes):
    in_two_processes(ranks_apart.stop_one_amid_its_evaluation, str(tmp_path))
    first, second = notes(tmp_path)
    assert first == "LostProcess: another process of this run has ended; its last lines say why"
    assert second.startswith("Interrupted: stopped amid the evaluation after iteration 3 of 6")
    assert (tmp_path / "stopped" / "last_checkpoint").read_text().endswith("model_0000003.pth")
    in_two_processes(ranks_apart.go_on, str(tmp_path))
    assert notes(tmp_path) == ["True", "True"]


def test_a_killed_first_process_ends_the_other_and_is_seen_in_the_record(tmp_path, in_two_processes):
    in_two_processes(ranks_apart.kill_the_first, str(tmp_path))
    assert (tmp_path / "rank1.txt").read_text() == "another process of this run has ended; its last lines say why"
    run = read_run(tmp_path)
    assert (run.record["state"], run.state) == ("running", "killed")
    assert (tmp_path / "last_checkpoint").read_text().endswith("model_0000002.pth")
