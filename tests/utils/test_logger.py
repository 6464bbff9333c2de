"""Logging to screen and file."""

import contextlib
import errno
import os
import sys

import pytest

from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.logger import setup_logger


def test_the_main_process_writes_to_the_file_once_even_if_set_up_twice(tmp_path):
    setup_logger("test_logger_main", str(tmp_path), 0)
    logger = setup_logger("test_logger_main", str(tmp_path), 0, filename="log.txt")
    logger.info("seven %d", 7)
    lines = (tmp_path / "log.txt").read_text().splitlines()
    assert len(lines) == 1 and lines[0].endswith("test_logger_main INFO: seven 7")


def test_other_processes_write_nothing(tmp_path, capsys):
    setup_logger("test_logger_other", str(tmp_path), 1).warning("hidden")
    assert list(tmp_path.iterdir()) == []
    assert capsys.readouterr() == ("", "")


def test_names_from_strange_files_do_not_steer_the_terminal(tmp_path, capsys):
    logger = setup_logger("test_logger_controls", str(tmp_path), 0)
    logger.info("table:\n%s", "a\x1b[2J\tb\u202e")
    try:
        raise ValueError("\x9b")
    except ValueError:
        logger.exception("fault")
    setup_logger("test_logger_controls", "", 0)
    text = (tmp_path / "log.txt").read_text()
    assert text == capsys.readouterr().out
    assert "INFO: table:\na\\x1b[2J\tb\\u202e\n" in text and "Traceback" in text and "ValueError: \\x9b\n" in text


def test_messages_reach_the_screen(capsys):
    setup_logger("test_logger_screen", "", 0).info("shown")
    assert "shown" in capsys.readouterr().out


def test_a_full_disk_is_said_once_on_the_screen_and_the_file_tells_its_gap(tmp_path, monkeypatch, capsys):
    logger = setup_logger("maskrcnn_benchmark", str(tmp_path), 0)
    logger.info("one")
    real = os.write

    def full(descriptor, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        logger.info("two")
        logger.info("three")
    assert os.write is real
    logger.info("four")
    setup_logger("maskrcnn_benchmark", "", 0)
    lines = (tmp_path / "log.txt").read_text().splitlines()
    assert [line.split(": ")[-1] for line in lines if "INFO" in line] == ["one", "four"]
    assert lines[1] == "(3 lines are missing here: the disk did not take them)"  # and the warning
    captured = capsys.readouterr()
    assert captured.out.count("WARNING") == 1 and "log.txt: No space left on device; free" in captured.out
    assert all(word in captured.out for word in ("one", "two", "three", "four")) and captured.err == ""


def test_a_screen_that_takes_nothing_is_a_warning_in_the_file(tmp_path, monkeypatch, capsys):
    with open("/dev/full", "w") as screen:
        monkeypatch.setattr(sys, "stdout", screen)
        logger = setup_logger("maskrcnn_benchmark", str(tmp_path), 0)
        logger.info("one")
        logger.info("two")
        monkeypatch.undo()
        setup_logger("maskrcnn_benchmark", "", 0)
        with contextlib.suppress(OSError):  # what it did not take
            screen.close()
    lines = (tmp_path / "log.txt").read_text().splitlines()
    assert sum("the screen does not take all lines" in line for line in lines) == 1
    assert [line.split(": ")[-1] for line in lines if "INFO" in line] == ["one", "two"]
    assert "Traceback" not in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_to_is_the_users_error(tmp_path):
    (tmp_path / "log.txt").mkdir()
    with pytest.raises(UserError, match=r"cannot write .*log\.txt: Is a directory"):
        setup_logger("test_logger_refused", str(tmp_path), 0)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot make the folder"):
        setup_logger("test_logger_refused", str(tmp_path / "file" / "run"), 0)


def test_a_record_that_cannot_be_put_into_words_still_shows_its_trace(tmp_path, capsys):
    logger = setup_logger("test_logger_wrong", str(tmp_path), 0)
    logger.propagate = False
    logger.info("%d", "no number")
    assert "TypeError" in capsys.readouterr().err
