"""How command-line tools explain themselves and end: with a usual exit code, and one line instead of a stack trace."""

import argparse
import io
import os
import re
import sys
import warnings
from collections.abc import Callable
from typing import Any, NoReturn

from maskrcnn_benchmark.utils.comm import get_rank, get_world_size, told_of_lost_processes
from maskrcnn_benchmark.utils.errors import Interrupted, UserError, line_of
from maskrcnn_benchmark.utils.stop_signals import LINE, STOPPED, raised


class ToolParser(argparse.ArgumentParser):
    """The parser of a tool, which describes itself by the tool's docstring as it is written, examples included.

    Examples read `python tools/NAME.py ...`; called as a command of `maskrcnn-benchmark`, the tool shows that instead.

    Args:
        doc: the docstring.
    """

    def __init__(self, doc: str, **options: Any) -> None:
        name = os.path.basename(sys.argv[0])
        examples = re.sub(r"python tools/\w+\.py", name, doc) if " " in name else doc
        super().__init__(name, description=examples, formatter_class=argparse.RawDescriptionHelpFormatter, **options)

    def error(self, message: str) -> NoReturn:
        """A wrong argument is a user's mistake like any other: one line, and exit code 2."""
        raise UserError(f"{message}; --help says more")


def run_tool(main: Callable[[], int | None]) -> NoReturn:
    """Run `main()` and leave the process with its code, 2 after a `UserError`, or 130 after a request to stop.

    Such a request (SIGINT, SIGTERM or SIGHUP, see `utils.stop_signals`) is a KeyboardInterrupt in `main`, except where
    that takes it by itself, and one line here. An error that is nobody's wish or mistake keeps its trace, and code 1.
    """
    _leave_ascii()
    warnings.showwarning = _show_in_one_line
    try:
        with raised():
            code = _code_of(main)
    except KeyboardInterrupt:
        _say(LINE)
        code = STOPPED
    if code and get_world_size() > 1:
        _leave_at_once(code)
    sys.exit(code)


def _leave_ascii():
    """Start anew in Python's UTF-8 mode where a locale without any other character keeps names of files from use."""
    if sys.getfilesystemencoding().lower() in ("ascii", "us-ascii") and os.environ.get("PYTHONUTF8") != "1":
        sys.stdout.flush()
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, "PYTHONUTF8": "1"})
    for stream in (sys.stdout, sys.stderr):  # what a screen's encoding lacks is shown as its escape
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _code_of(main):
    try:
        with told_of_lost_processes():
            return main() or 0
    except UserError as error:
        _say(f"error: {line_of(error)}")
        return 2
    except Interrupted as stop:
        _say(line_of(stop))
        return STOPPED


def _leave_at_once(code):
    """End without taking Python down: a thread that waits for another process would end this one by a signal then."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _say(text):
    rank = f"[rank {get_rank()}] " if get_world_size() > 1 else ""
    print(f"{rank}{text}", file=sys.stderr, flush=True)


def _show_in_one_line(message, category, filename, lineno, file=None, line=None):
    print(f"warning: {line_of(message)}", file=file or sys.stderr)
