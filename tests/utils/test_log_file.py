"""A log that its program can do without."""

import errno
import os

import pytest

from maskrcnn_benchmark.utils.log_file import LogFile


@pytest.fixture
def disk(monkeypatch):
    """disk(number of bytes) is all that can still be written; disk(None) ends that."""
    real = os.write
    room = [None]

    def write(descriptor, data):
        if room[0] is None:
            return real(descriptor, data)
        if not room[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        taken = real(descriptor, data[: room[0]])
        room[0] -= taken
        return taken

    monkeypatch.setattr(os, "write", write)

    def disk(number):
        room[0] = number

    return disk


def test_a_full_disk_is_one_warning_and_the_log_goes_on_when_there_is_room_again(tmp_path, disk, caplog):
    log = LogFile(tmp_path / "new" / "log.txt", "line")
    assert log.append(b"one\n")
    disk(2)
    assert not log.append(b"two\n") and not log.append(b"three\n")
    assert log.path.read_bytes() == b"one\n"  # no half of an entry
    disk(None)
    assert log.append(b"four\n")
    disk(0)
    assert not log.append(b"five\n")
    log.close()
    assert log.path.read_bytes() == b"one\nfour\n"
    (line,) = [message for message in caplog.messages if str(tmp_path) in message]  # not of another test's log
    assert line.startswith(f"cannot write {log.path}: No space left on device; free some space")
    assert line.endswith("The run goes on without it, and tries again with every line")


def test_a_folder_that_cannot_be_made_is_a_warning_as_well(tmp_path, caplog):
    (tmp_path / "file").write_bytes(b"")
    log = LogFile(tmp_path / "file" / "log", "report")
    assert not log.append(b"1") and not log.append(b"2")
    log.close()
    assert len(caplog.messages) == 1 and "cannot make the folder" in caplog.messages[0]


def test_a_disk_that_says_only_at_the_end_what_it_did_not_take_is_a_warning(tmp_path, monkeypatch, caplog):
    log = LogFile(tmp_path / "log", "line")
    log.append(b"1")
    real = os.close

    def close(descriptor):
        real(descriptor)
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    monkeypatch.setattr(os, "close", close)
    log.close()
    monkeypatch.undo()
    assert len(caplog.messages) == 1 and "Disk quota exceeded; your quota is used up" in caplog.messages[0]
