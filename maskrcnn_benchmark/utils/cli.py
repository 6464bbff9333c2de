"""How command-line tools explain themselves and end: with a usual exit code, and one line instead of a stack trace."""

import argparse
import os
import re
import sys
import warnings
from collections.abc import Callable
from typing import Any, NoReturn

from maskrcnn_benchmark.utils.env import CUSTOM_MODULE_VARIABLE
from maskrcnn_benchmark.utils.errors import Interrupted, UserError, line_of
from maskrcnn_benchmark.utils.stop_signals import LINE, STOPPED, raised

PROGRAM = "maskrcnn-benchmark"


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


def parse_early(module_name: str, parse: Callable[[], object]) -> None:
    """Let a tool show its help, or refuse its command line, before it imports what takes seconds.

    A tool calls it below its `parse_arguments` and above these imports, and parses again in its `main`. Nothing is done
    in a module that is not the program, and where the file that TORCH_DETECTRON_ENV_MODULE names may add tasks to what
    there is to choose from.

    Args:
        module_name: `__name__` of the tool.
        parse: its function that parses `sys.argv`; it ends the process where help is asked for.
    """
    is_program = module_name == "__main__" or sys.argv[0].startswith(f"{PROGRAM} ")
    if is_program and not os.environ.get(CUSTOM_MODULE_VARIABLE):
        try:
            parse()
        except UserError as error:
            print(f"error: {line_of(error)}", file=sys.stderr)
            sys.exit(2)


def run_tool(main: Callable[[], int | None]) -> NoReturn:
    """Run `main()` and leave the process with its code, 2 after a `UserError`, or 130 after a request to stop.

    Such a request (SIGINT, SIGTERM or SIGHUP, see `utils.stop_signals`) is a KeyboardInterrupt in `main`, except where
    that takes it by itself, and one line here. An error that is nobody's wish or mistake keeps its trace, and code 1.
    """
    from maskrcnn_benchmark.utils.comm import get_world_size  # late: it imports PyTorch, see `parse_early`

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


def _code_of(main):
    from maskrcnn_benchmark.utils.comm import told_of_lost_processes

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
    from maskrcnn_benchmark.utils.comm import get_rank, get_world_size

    rank = f"[rank {get_rank()}] " if get_world_size() > 1 else ""
    print(f"{rank}{text}", file=sys.stderr, flush=True)


def _show_in_one_line(message, category, filename, lineno, file=None, line=None):
    print(f"warning: {line_of(message)}", file=file or sys.stderr)
