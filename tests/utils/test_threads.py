"""How many threads are chosen, from what the machine says, and that a person's choice stands."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from maskrcnn_benchmark.utils import threads

ROOT = Path(__file__).parents[2]
CHOSEN = "import maskrcnn_benchmark, os; print([os.environ.get(name) for name in {!r}])"
NAMES = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT", threads.CHOICE_VARIABLE)


def in_fresh_process(code, **variables):
    """What a program prints whose environment has only these variables about threads."""
    about = (*threads.COUNT_VARIABLES, *threads.WAIT_VARIABLES, threads.CHOICE_VARIABLE)
    environment = {name: value for name, value in os.environ.items() if name not in about}
    words = [sys.executable, "-c", code]
    done = subprocess.run(words, env={**environment, **variables}, cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_the_package_chooses_before_torch_is_loaded_and_imports_none():
    number, policy, spins, choice = eval(in_fresh_process(CHOSEN.format(NAMES)))
    assert 1 <= int(number) <= threads.allowed_cores() and (policy, spins, choice) == ("PASSIVE", "1000", number)
    assert in_fresh_process("import maskrcnn_benchmark, sys; print('torch' in sys.modules)") == "False"
    assert in_fresh_process("import maskrcnn_benchmark, torch; print(torch.get_num_threads())") != ""


@pytest.mark.parametrize(
    ("given", "left"),
    [
        ({"OMP_NUM_THREADS": "7"}, ["7", "PASSIVE", "1000", None]),
        ({"MKL_NUM_THREADS": "3"}, [None, "PASSIVE", "1000", None]),
        ({"OMP_WAIT_POLICY": "ACTIVE", "OMP_NUM_THREADS": "2"}, ["2", "ACTIVE", None, None]),
        ({"GOMP_SPINCOUNT": "9", "OMP_NUM_THREADS": "2"}, ["2", None, "9", None]),
        ({"KMP_BLOCKTIME": "0", "OMP_NUM_THREADS": "2"}, ["2", None, None, None]),
    ],
)
def test_what_the_user_chose_stands(given, left):
    assert eval(in_fresh_process(CHOSEN.format(NAMES), **given)) == left


def test_nothing_is_chosen_where_torch_is_loaded_already():
    assert eval(in_fresh_process("import torch; " + CHOSEN.format(NAMES))) == [None, None, None, None]


@pytest.fixture
def machine(monkeypatch):
    """Makes this a machine with so many cores, of which some are busy, and a quota; returns what is chosen there."""

    def choose(cores, busy, quota=None):
        monkeypatch.setattr(threads.os, "environ", {})
        monkeypatch.delitem(sys.modules, "torch")
        monkeypatch.setattr(threads, "_physical_cores", lambda: set(range(cores)))
        monkeypatch.setattr(threads, "cgroup_quota", lambda: quota)
        monkeypatch.setattr(threads, "busy_cores", lambda: busy)
        threads.choose_threads()
        chosen = int(os.environ["OMP_NUM_THREADS"])
        monkeypatch.undo()
        return chosen

    return choose


def test_threads_are_the_cores_that_are_free_within_the_quota(machine):
    assert machine(2, busy=0.2) == 2 and machine(2, busy=1.1) == 1 and machine(2, busy=2.0) == 1
    assert machine(64, busy=32.3) == 32 and machine(64, busy=32.3, quota=4.0) == 4
    assert machine(64, busy=0.0, quota=1.5) == 1 and machine(8, busy=0.0, quota=0.5) == 1


def test_a_core_is_busy_that_is_so_now_and_was_lately(monkeypatch):
    ticks = iter([[(100, 1000), (50, 1000)], [(110, 1010), (55, 1010)]])
    monkeypatch.setattr(threads, "_ticks", lambda: next(ticks))
    monkeypatch.setattr(threads.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(threads.os, "getloadavg", lambda: (5.0, 0.0, 0.0), raising=False)
    assert threads.busy_cores() == 1.5
    ticks = iter([[(0, 0)], [(0, 0)]])  # a machine that does not count
    assert threads.busy_cores() == 5.0
    monkeypatch.setattr(threads.os, "getloadavg", lambda: (0.4, 9.0, 9.0), raising=False)
    assert threads.busy_cores() == 0.0


@pytest.mark.parametrize(
    ("cgroup", "files", "quota"),
    [
        ("0::/a/b\n", {"a/cpu.max": "250000 100000", "a/b/cpu.max": "max 100000"}, 2.5),
        ("0::/\n", {"cpu.max": "50000 100000"}, 0.5),
        ("0::/gone\n", {}, None),
        (
            "4:cpu,cpuacct:/c\n1:memory:/c\n0::/\n",
            {"cpu,cpuacct/c/cpu.cfs_quota_us": "400000", "cpu,cpuacct/c/cpu.cfs_period_us": "100000"},
            4.0,
        ),
        ("4:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None),
    ],
)
def test_the_quota_of_a_container_is_read(tmp_path, monkeypatch, cgroup, files, quota):
    for name, text in {
        "proc/self/cgroup": cgroup,
        **{f"sys/fs/cgroup/{k}": v + "\n" for k, v in files.items()},
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(threads, "Path", lambda path: tmp_path / str(path).lstrip("/"))
    assert threads.cgroup_quota() == quota


def test_a_resumed_training_computes_with_the_threads_that_it_began_with(monkeypatch):
    before = torch.get_num_threads()
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(threads, "allowed_cores", lambda: before + 1)
    try:
        assert threads.keep_threads(before) == ""
        fewer = threads.keep_threads(before + 2)
        assert f"goes on with {before}, for this process may use {before + 1} core" in fewer
        assert torch.get_num_threads() == before
        assert threads.keep_threads(before + 1).startswith(f"computing with {before + 1} instead of {before} thread")
        assert torch.get_num_threads() == before + 1 and "set by the program" in threads.describe_threads()
        monkeypatch.setenv("OMP_NUM_THREADS", str(before + 1))
        assert "another number of threads, 1, and" in threads.keep_threads(1) and torch.get_num_threads() == before + 1
        assert threads.describe_threads().endswith(f", by OMP_NUM_THREADS={before + 1}")
        monkeypatch.setenv(threads.CHOICE_VARIABLE, str(before + 1))
        assert "those that were free at the start" in threads.describe_threads()
    finally:
        torch.set_num_threads(before)


def test_a_forked_child_of_a_process_that_has_computed_computes_with_one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        threads.keep_forks_alive()
        child = os.fork()
        if child == 0:
            os._exit(torch.get_num_threads())
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1 and torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
