"""A process under test: what the watch over it sees."""

import os
import signal
import sys
import threading

import pytest

from faults import child
from faults.child import Limits
from faults.inside import Settings

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks at /proc")


def run(tmp_path, function, **options):
    return child.run(function, tmp_path / "log.txt", **options)


def wait_for_ever():
    threading.Event().wait()


def test_what_it_returns_and_says(tmp_path):
    outcome = run(tmp_path, lambda: print("hello") or [1, 2])
    assert (outcome.code, outcome.value, outcome.output, outcome.stopped) == (0, [1, 2], "hello\n", "")


@pytest.mark.parametrize("code, seen", [(0, 0), (None, 0), (3, 3), ("words", 1)])
def test_it_ends_with_the_code_of_an_interpreter(tmp_path, code, seen):
    outcome = run(tmp_path, lambda: sys.exit(code))
    assert outcome.code == seen
    assert ("words" in outcome.output) == (code == "words")


def test_an_error_gives_its_trace(tmp_path):
    outcome = run(tmp_path, lambda: 1 / 0)
    assert outcome.code == 1 and "Traceback" in outcome.output and "ZeroDivisionError" in outcome.output


def test_a_wait_is_seen_and_ended(tmp_path):
    outcome = run(tmp_path, wait_for_ever, limits=Limits(idle=0.2))
    assert outcome.stopped.startswith("waited for more than") and outcome.code == -signal.SIGKILL


def test_work_without_end_is_seen_and_ended(tmp_path):
    def work():
        while True:
            pass

    assert run(tmp_path, work, limits=Limits(seconds=0.3)).stopped.startswith("ran for more than")


def test_growth_is_seen(tmp_path):
    def grow():
        kept = []
        while True:
            kept.append(bytearray(os.urandom(1 << 20)) * 8)

    assert run(tmp_path, grow, limits=Limits(growth=100 << 20)).stopped.startswith("took more than")
    outcome = run(tmp_path, lambda: len(bytearray(os.urandom(1 << 20)) * 64))
    assert outcome.growth > 60 << 20 and not outcome.stopped


def test_a_helper_that_is_left_is_seen_and_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(child, "_GRACE", 0.1)
    read, write = os.pipe()

    def leave_helper():
        if os.fork() == 0:
            os.close(read)
            wait_for_ever()

    outcome = run(tmp_path, leave_helper)
    os.close(write)
    with open(read, "rb") as pipe:
        assert pipe.read() == b""  # the helper, which held the other end, is gone
    assert outcome.left == 1 and outcome.code == 0


def test_a_kill_is_told_from_an_end(tmp_path):
    started = child.Child(wait_for_ever, tmp_path / "log.txt")
    assert started.alive()
    started.kill(signal.SIGTERM)
    assert started.wait().code == -signal.SIGTERM and not started.alive()


def test_changes_outside_are_told(tmp_path):
    allowed, other = tmp_path / "allowed", tmp_path / "other"
    allowed.mkdir()
    other.mkdir()

    def write():
        (allowed / "a").write_text("a")
        (other / "b").write_text("b")
        os.rename(allowed / "a", other / "c")
        (other / "b").read_text()

    settings = Settings(record=str(tmp_path / "record"), allowed=[str(allowed), str(tmp_path / "log.txt")])
    outcome = run(tmp_path, write, settings=settings)
    assert outcome.outside == [f"open {other / 'b'}", f"os.rename {other / 'c'}"]


def test_a_fresh_interpreter_is_watched_as_well(tmp_path):
    other = tmp_path / "other"
    settings = Settings(record=str(tmp_path / "record"), allowed=[str(tmp_path / "log.txt"), "/dev/null"])
    outcome = run(tmp_path, child.fresh(["-c", f"open({str(other)!r}, 'w').close()"], settings=settings))
    assert outcome.code == 0
    outcome = run(
        tmp_path, child.fresh(["-c", f"open({str(other)!r}, 'w').close()"], settings=settings), settings=settings
    )
    assert f"open {other}" in outcome.outside
