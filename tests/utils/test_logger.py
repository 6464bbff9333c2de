"""Logging to screen and file."""

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


def test_messages_reach_the_screen(capsys):
    setup_logger("test_logger_screen", "", 0).info("shown")
    assert "shown" in capsys.readouterr().out
