"""How a tool ends."""

import pytest

from maskrcnn_benchmark.utils.cli import run_tool
from maskrcnn_benchmark.utils.errors import Interrupted, UserError


def ending_of(main, capsys):
    with pytest.raises(SystemExit) as caught:
        run_tool(main)
    return caught.value.code, capsys.readouterr().err


def raising(error):
    def main():
        raise error

    return main


def test_success_is_zero_and_silent(capsys):
    assert ending_of(lambda: None, capsys) == (0, "")


def test_the_users_error_is_one_line_and_two(capsys):
    assert ending_of(raising(UserError("no such file:\n x")), capsys) == (2, "error: no such file: x\n")


def test_an_error_from_a_loader_worker_is_one_line_too(capsys):
    text = (
        "Caught UserError in DataLoader worker process 0.\nOriginal Traceback (most recent call last):\n  File x\n"
        "maskrcnn_benchmark.utils.errors.UserError: no such image: a.jpg\n"
    )
    assert ending_of(raising(UserError(text)), capsys) == (2, "error: no such image: a.jpg\n")


def test_an_interruption_is_130(capsys):
    assert ending_of(raising(Interrupted("stopped")), capsys) == (130, "stopped\n")
    assert ending_of(raising(KeyboardInterrupt()), capsys) == (130, "interrupted\n")


def test_a_fault_of_the_program_keeps_its_trace(capsys):
    with pytest.raises(ZeroDivisionError):
        run_tool(lambda: 1 / 0)
