"""A request to stop: in a program that is being imported, in a tool at work, and in programs that are not ours."""

import os
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

from maskrcnn_benchmark.utils.stop_signals import SIGNALS, handled_by, raised

ROOT = Path(__file__).parents[2]


BEGINNING = """
import os, signal, sys
from maskrcnn_benchmark.utils import stop_signals

def ask(number):
    os.kill(os.getpid(), number)
"""


def run_program(code):
    """(exit code, standard output, standard error) of a Python program that begins as above."""
    command = [sys.executable, "-c", BEGINNING + textwrap.dedent(code)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("number", SIGNALS)
def test_a_request_runs_what_puts_things_in_order(number):
    before = [signal.getsignal(each) for each in SIGNALS]
    done = []
    with pytest.raises(KeyboardInterrupt), raised():
        try:
            os.kill(os.getpid(), number)
        finally:
            done.append("in order")
    assert done == ["in order"] and [signal.getsignal(each) for each in SIGNALS] == before


@pytest.mark.parametrize("second", SIGNALS)
def test_the_second_request_ends_the_process_at_once(second):
    code, out, _ = run_program(
        f"""
        with stop_signals.raised():
            try:
                ask(signal.SIGINT)
            finally:
                print("begun", flush=True)
                ask({int(second)})
                print("not reached")
        """
    )
    assert (code, out) == (-second, "begun\n")


def test_one_wish_that_comes_twice_is_one():
    code, out, _ = run_program(
        """
        def sleep(seconds):  # in the handler: the group's signal comes right after the process's own
            ask(signal.SIGTERM)
            ask(signal.SIGINT)
        stop_signals.time.sleep = sleep
        try:
            with stop_signals.raised():
                ask(signal.SIGTERM)
        except KeyboardInterrupt:
            print("in order")
        """
    )
    assert (code, out) == (0, "in order\n")


def test_what_is_ignored_at_the_start_stays_ignored():
    code, out, _ = run_program(
        """
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # nohup
        stop_signals.end_at_once()
        ask(signal.SIGHUP)
        with stop_signals.raised():
            ask(signal.SIGHUP)
        print("still here")
        """
    )
    assert (code, out) == (0, "still here\n")


def test_a_request_that_a_destructor_swallowed_is_raised_again():
    code, out, errors = run_program(
        """
        import time
        class Loader:
            def __del__(self):
                ask(signal.SIGTERM)
        try:
            with stop_signals.raised():
                loader = Loader()
                del loader
                time.sleep(30)
        except KeyboardInterrupt:
            print("stopped")
        """
    )
    assert (code, out, errors) == (0, "stopped\n", "")


def test_a_fork_leaves_ctrl_c_to_its_parent_and_dies_of_terminate():
    with raised():
        child = os.fork()
        if child == 0:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGHUP)
            os.kill(os.getpid(), signal.SIGTERM)
            os._exit(0)
        _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGTERM


def test_another_thread_sets_no_handler():
    seen = []

    def work():
        with raised(), handled_by(None) as former:
            seen.append(former)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [{}]


# Read by Python when it starts: a signal as soon as the program asks for what takes long to import
SIGNALLED_AT_IMPORT = """
    import builtins, os, signal

    original = builtins.__import__

    def watched(name, *rest, **options):
        if name in ("torch", "numpy"):
            os.kill(os.getpid(), signal.{name})
        return original(name, *rest, **options)

    builtins.__import__ = watched
"""
# What a command line must hold to be taken, which it is before the imports
REQUIRED = {
    "ablate_tasks": "--config-file a.yaml --output out",
    "benchmark": "detector",
    "benchmark_table": "a",
    "compare_runs": "a",
    "convert_weights": "--config-file a.yaml a.pth b.pth",
    "detail_to_coco": "--annotations a.json --out out",
    "detail_to_ppp": "--annotations a.json --out out",
    "export_model": "a.pth --output out",
    "make_full_size": "--out out",
    "ppp_to_detail": "--labels a --out out",
    "predict": "a.pth a.jpg",
    "prepare_detail": "--annotations a.json",
}
TOOLS = sorted(path.name for path in (ROOT / "tools").glob("*.py"))


def run_signalled(tmp_path, words, name="SIGINT"):
    (tmp_path / "sitecustomize.py").write_text(textwrap.dedent(SIGNALLED_AT_IMPORT.format(name=name)))
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    command = [sys.executable, *map(str, words)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("tool", TOOLS)
def test_each_tool_ends_with_a_line_while_it_imports_what_takes_long(tmp_path, tool):
    words = [*REQUIRED.get(tool.removesuffix(".py"), "").split()]
    assert run_signalled(tmp_path, [ROOT / "tools" / tool, *words]) == (130, "", "interrupted\n")


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
@pytest.mark.parametrize("words", [[ROOT / "tools" / "train_net.py"], ["-m", "maskrcnn_benchmark", "train"]])
def test_so_does_the_command_by_whichever_signal(tmp_path, words, name):
    assert run_signalled(tmp_path, words, name) == (130, "", "interrupted\n")


def test_any_other_program_that_imports_the_package_keeps_its_handlers(tmp_path):
    (tmp_path / "own.py").write_text("from maskrcnn_benchmark.engine import trainer")
    code, _, errors = run_signalled(tmp_path, [tmp_path / "own.py"])
    assert code == -signal.SIGINT and "KeyboardInterrupt" in errors


@pytest.mark.parametrize(("last", "code"), [("main()", -signal.SIGINT), ("run_tool(main)", 130)])
def test_a_script_of_ones_own_among_the_tools_keeps_its_handlers(tmp_path, last, code):
    for folder in ("tools", "package/utils"):
        (tmp_path / folder).mkdir(parents=True)
    shutil.copy(ROOT / "maskrcnn_benchmark" / "utils" / "stop_signals.py", tmp_path / "package" / "utils")
    start = "from package.utils.stop_signals import end_at_once_in_tools\nend_at_once_in_tools()\n"
    (tmp_path / "package" / "__init__.py").write_text(start)
    (tmp_path / "tools" / "own.py").write_text(f"import package\nimport numpy\n{last}\n")
    found, _, errors = run_signalled(tmp_path, [tmp_path / "tools" / "own.py"])
    assert found == code and ("KeyboardInterrupt" in errors) == (code < 0)
