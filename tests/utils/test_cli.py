"""How a tool ends."""

import os
import subprocess
import sys

import pytest

from maskrcnn_benchmark.data.preparation.index_file import DamagedIndex
from maskrcnn_benchmark.utils.cli import run_tool
from maskrcnn_benchmark.utils.errors import Interrupted, UserError
from maskrcnn_benchmark.utils.stop_signals import SIGNALS


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


def test_so_is_one_of_a_kind_of_its_own(capsys):
    text = "Caught DamagedIndex in DataLoader worker process 0.\n  File x\na.b.DamagedIndex: UserError: a is damaged\n"
    assert ending_of(raising(DamagedIndex(text)), capsys) == (2, "error: UserError: a is damaged\n")


def test_a_name_from_a_strange_file_does_not_steer_the_terminal(capsys):
    assert ending_of(raising(UserError("no \x1b[2J\u202e")), capsys) == (2, "error: no \\x1b[2J\\u202e\n")
    assert ending_of(raising(Interrupted("at \x1b]0;")), capsys) == (130, "at \\x1b]0;\n")


def test_an_interruption_is_130(capsys):
    assert ending_of(raising(Interrupted("stopped")), capsys) == (130, "stopped\n")
    assert ending_of(raising(KeyboardInterrupt()), capsys) == (130, "interrupted\n")


def test_a_fault_of_the_program_keeps_its_trace(capsys):
    with pytest.raises(ZeroDivisionError):
        run_tool(lambda: 1 / 0)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_request_to_stop_is_an_interruption(number, capsys):
    assert ending_of(lambda: os.kill(os.getpid(), number), capsys) == (130, "interrupted\n")


def test_a_tool_that_takes_a_request_itself_says_its_own_line(capsys):
    def main():
        try:
            os.kill(os.getpid(), SIGNALS[-1])
        except KeyboardInterrupt:
            raise Interrupted("what was done until then is written") from None

    assert ending_of(main, capsys) == (130, "what was done until then is written\n")


def test_a_lost_process_is_one_line(capsys):
    error = RuntimeError("[../third_party/gloo/gloo/transport/tcp/pair.cc:547] Connection closed by peer [127.0.0.1]")
    line = "error: another process of this run has ended; its last lines say why\n"
    assert ending_of(raising(error), capsys) == (2, line)


@pytest.mark.parametrize("error", [ZeroDivisionError("x"), AttributeError("x"), RuntimeError("x")])
def test_an_error_of_the_program_keeps_its_trace(error):
    with pytest.raises(type(error), match=r"^x$"):
        run_tool(raising(error))


def test_names_of_any_script_are_used_and_shown_in_an_ascii_locale(tmp_path):
    (tmp_path / "café 狗.txt").write_text("ü", encoding="utf-8")
    script = (
        "import sys; from pathlib import Path; from maskrcnn_benchmark.utils.cli import run_tool\n"
        "def main():\n"
        "    print(sys.argv[1], (Path(sys.argv[2]) / 'caf\\u00e9 \\u72d7.txt').read_text(encoding='utf-8'))\n"
        "run_tool(main)"
    )
    environment = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    command = [sys.executable, "-c", script, "straße", str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True)
    assert (done.returncode, done.stdout.decode(), done.stderr.decode()) == (0, "straße ü\n", "")


def test_what_a_screen_cannot_show_is_shown_as_its_escape(tmp_path):
    script = "from maskrcnn_benchmark.utils.cli import run_tool\nrun_tool(lambda: print('caf\\u00e9 \\u72d7 \\udcff'))"
    environment = {**os.environ, "PYTHONIOENCODING": "latin-1"}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True)
    assert (done.returncode, done.stdout) == (0, b"caf\xe9 \\u72d7 \\udcff\n")
