"""Faults that are put into a process: a kill at a change, a full disk, a function that raises."""

import errno
import os
import signal
import sys

import pytest

from faults import child
from faults.inside import Settings

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks at /proc")


@pytest.fixture
def out(tmp_path):
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def run(out, function, **settings):
    settings = Settings(counted=str(out), **settings)
    return child.run(function, out.with_name("log.txt"), settings)


def test_killed_before_a_change(out):
    def write():
        for name in "abc":
            (out / name).write_text(name)

    count = out.with_name("count")
    assert run(out, write, kill_at=3, count=str(count)).code == -signal.SIGKILL
    assert sorted(path.name for path in out.iterdir()) == ["a", "b"] and count.stat().st_size == 3


def no_space(function):
    try:
        function()
    except OSError as error:
        return error.errno == errno.ENOSPC
    return False


def test_a_disk_that_is_full_after_some_bytes(out):
    def write():
        (out.parent / "elsewhere").write_bytes(bytes(1000))
        full = [no_space(lambda name=name: (out / name).write_text("x" * 40)) for name in "abc"]
        descriptor = os.open(out / "d", os.O_WRONLY | os.O_CREAT)
        return [*full, no_space(lambda: os.write(descriptor, bytes(40)))]

    assert run(out, write, full="write", full_after=100).value == [False, False, True, True]


def test_a_disk_that_is_full_for_events_alone(out):
    def write():
        return [no_space(lambda name=name: (out / name).write_bytes(bytes(9))) for name in ("a", "out.tfevents.1")]

    assert run(out, write, full="events").value == [False, True]


@pytest.mark.parametrize("kind", ["fsync", "rename"])
def test_a_disk_that_is_full_when_it_is_asked_to_keep(out, kind):
    def write():
        with open(out / "a", "wb") as file:
            file.write(b"a")
            synced = no_space(lambda: os.fsync(file.fileno()))
        return [synced, no_space(lambda: os.replace(out / "a", out / "b"))]

    assert run(out, write, full=kind).value == [kind == "fsync", kind == "rename"]


def test_a_function_that_raises_from_a_call_on(out):
    def call():
        import textwrap

        assert textwrap.dedent(" a") == "a"
        textwrap.dedent("a")

    outcome = run(out, call, broken="textwrap:dedent", error="AttributeError", broken_at=2)
    assert outcome.code == 1 and "AttributeError: injected" in outcome.output


def test_a_program_that_is_started_is_told(out):
    record = str(out.with_name("record"))
    outcome = run(out, lambda: os.system("true") and None, record=record, allowed=[str(out.parent)])
    assert outcome.outside == ["os.system true"]
