"""One run at a time in an OUTPUT_DIR: who holds it, who may take it over, and what the second is told."""

import errno
import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from maskrcnn_benchmark.experiments import run_lock as module
from maskrcnn_benchmark.experiments.run_lock import LOCK, RunLock, describe_owner, run_lock
from maskrcnn_benchmark.utils.errors import UserError

ROOT = Path(__file__).parents[2]

# Takes a folder, says so, and lives until its standard input says a word
HOLDER = """
import os, sys
from maskrcnn_benchmark.experiments.run_lock import run_lock
with run_lock(sys.argv[1]) as taken_from:
    print(f"held {taken_from}", flush=True)
    if not sys.stdin.readline():
        os._exit(9)
"""


@pytest.fixture
def holder(tmp_path):
    """A process that holds `tmp_path`; what it said first is its attribute `said`."""
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
    process.said = process.stdout.readline().strip()
    yield process
    process.kill()
    process.communicate()


@pytest.fixture
def owned(tmp_path):
    """Write a lock file as its owner left it, with changes."""

    def write(**changes):
        (tmp_path / LOCK).write_text(json.dumps({**describe_owner(), **changes}))

    return write


def test_it_is_held_in_the_block_and_gone_after_it(tmp_path):
    with run_lock(tmp_path) as taken_from:
        owner = json.loads((tmp_path / LOCK).read_text())
        assert owner["process"]["id"] == os.getpid() and taken_from == ""
        assert {"host", "boot", "namespace", "command", "since"} <= owner.keys()
    assert os.listdir(tmp_path) == []
    with pytest.raises(ZeroDivisionError), run_lock(tmp_path):
        raise ZeroDivisionError
    assert os.listdir(tmp_path) == []


def test_the_second_is_told_who_where_since_when_and_what_to_do(tmp_path, holder):
    owner = json.loads((tmp_path / LOCK).read_text())
    with pytest.raises(UserError) as caught, run_lock(tmp_path):
        pass
    line = str(caught.value)
    for words in (str(tmp_path), f"process {holder.pid} on {owner['host']}", owner["since"], "another OUTPUT_DIR"):
        assert words in line
    assert "\n" not in line and holder.said == "held"
    holder.communicate("end\n")
    with run_lock(tmp_path) as taken_from:
        assert taken_from == ""


def test_a_killed_owner_is_named_and_taken_over_from(tmp_path, holder):
    holder.kill()
    holder.wait()
    assert (tmp_path / LOCK).exists()
    with run_lock(tmp_path) as taken_from:
        assert taken_from.startswith(f"process {holder.pid} on ")
    assert os.listdir(tmp_path) == []


def test_its_children_do_not_keep_it(tmp_path):
    lock = RunLock(tmp_path)
    end, other_end = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(other_end)
        lock.release()  # which is not the child's business
        os.read(end, 1)
        os._exit(0)
    assert (tmp_path / LOCK).exists()
    lock.release()
    with run_lock(tmp_path):
        pass
    os.close(other_end)
    os.waitpid(child, 0)
    os.close(end)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"host": "elsewhere", "boot": "its own"}, "on elsewhere"),
        ({"host": "elsewhere", "boot": None}, "if it has ended, remove"),
    ],
)
def test_an_owner_on_another_machine_is_believed_until_its_file_is_removed(tmp_path, owned, changes, words):
    owned(**changes)
    with pytest.raises(UserError, match=words), run_lock(tmp_path):
        pass
    (tmp_path / LOCK).unlink()
    with run_lock(tmp_path):
        pass


@pytest.mark.parametrize(
    "changes",
    [
        {"process": {"id": 2**22 + 1, "born": 1}},
        {"process": {"id": os.getpid(), "born": 1}},  # the number is another process's now
        {"boot": "an earlier start of this machine"},
        {"host": "a container that is gone", "namespace": "pid:[1]"},  # the kernel, which is the same, knows no lock
    ],
)
def test_an_owner_that_has_ended_is_not(tmp_path, owned, changes):
    if describe_owner()["boot"] is None or describe_owner()["process"]["born"] is None:
        pytest.skip("this system does not tell when it or a process was started")
    owned(**changes)
    with run_lock(tmp_path) as taken_from:
        assert "process" in taken_from


def test_another_runs_lock_is_left_alone(tmp_path, owned):
    with run_lock(tmp_path):
        (tmp_path / LOCK).unlink()
        owned(host="elsewhere", boot="its own")
    assert "elsewhere" in (tmp_path / LOCK).read_text()


def test_this_process_takes_a_folder_once(tmp_path):
    with run_lock(tmp_path):
        with pytest.raises(UserError, match=f"in use by process {os.getpid()}"), run_lock(tmp_path):
            pass
        assert (tmp_path / LOCK).exists()
        # and what is asked for in vain gives nothing back: the system still keeps other processes out
        attempt = "import fcntl, sys; fcntl.lockf(open(sys.argv[1], 'r+'), fcntl.LOCK_EX | fcntl.LOCK_NB)"
        command = [sys.executable, "-c", attempt, str(tmp_path / LOCK)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 1 and "BlockingIOError" in done.stderr
    with run_lock(tmp_path):
        pass


@pytest.mark.parametrize("text", ["", "{", '{"process": 3}', "\0" * 9])
def test_a_file_that_names_nobody_is_taken_where_the_system_tells(tmp_path, text):
    (tmp_path / LOCK).write_text(text)
    with run_lock(tmp_path) as taken_from:
        assert taken_from == ""


def test_where_the_file_system_has_no_locks_the_file_tells(tmp_path, owned, monkeypatch):
    def refuse(*arguments):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "lockf", refuse)
    with run_lock(tmp_path), pytest.raises(UserError, match="wait for its end"), run_lock(tmp_path):
        pass
    owned(process={"id": 2**22 + 1, "born": 1})
    with run_lock(tmp_path) as taken_from:
        assert taken_from
    owned(host="a container", namespace="pid:[1]")
    with pytest.raises(UserError, match=f"remove {tmp_path / LOCK}"), run_lock(tmp_path):
        pass
    (tmp_path / LOCK).write_text("")
    with pytest.raises(UserError, match=f"remove {tmp_path / LOCK}"), run_lock(tmp_path):
        pass


def test_a_lock_that_is_removed_while_it_is_asked_for_is_asked_for_again(tmp_path, monkeypatch):
    opened, original = [], module._open

    def open_and_lose(path):
        opened.append(path)
        file = original(path)
        if len(opened) == 1:
            path.unlink()
        return file

    monkeypatch.setattr(module, "_open", open_and_lose)
    with run_lock(tmp_path):
        assert len(opened) == 2 and (tmp_path / LOCK).exists()


def test_a_folder_that_cannot_be_written_into_is_the_users_error(tmp_path, monkeypatch):
    def refuse(*arguments):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(module.os, "open", refuse)
    with pytest.raises(
        UserError, match=r"cannot write into OUTPUT_DIR .*: Permission denied; choose another OUTPUT_DIR"
    ):
        RunLock(tmp_path)


def test_a_full_disk_leaves_nothing_behind(tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module.os, "pwrite", full)
    with pytest.raises(UserError, match="No space left on device"):
        RunLock(tmp_path)
    assert os.listdir(tmp_path) == []


def test_a_planted_link_is_not_followed(tmp_path):
    (tmp_path / "precious").write_text("precious")
    (tmp_path / LOCK).symlink_to(tmp_path / "precious")
    with pytest.raises(UserError, match="cannot write into OUTPUT_DIR"):
        RunLock(tmp_path)
    assert (tmp_path / "precious").read_text() == "precious"
