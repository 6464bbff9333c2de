"""How command-line tools explain themselves and end: with a usual exit code, and one line instead of a stack trace."""

import argparse
import difflib
import io
import os
import re
import sys
import warnings
from collections.abc import Callable
from typing import Any, NoReturn

from maskrcnn_benchmark.utils.arguments import ARGUMENTS, name_of_ours
from maskrcnn_benchmark.utils.env import CUSTOM_MODULE_VARIABLE
from maskrcnn_benchmark.utils.errors import Interrupted, UserError, line_of
from maskrcnn_benchmark.utils.stop_signals import LINE, STOPPED, raised

PROGRAM = "maskrcnn-benchmark"
_FLAGS = re.compile(r"(?<!\S)--?[A-Za-z][\w-]*")


class ToolParser(argparse.ArgumentParser):
    """The parser of a tool, which describes itself by the tool's docstring as it is written, examples included.

    Examples read `python tools/NAME.py ...`; called as a command of `maskrcnn-benchmark`, the tool shows that instead.

    Args:
        doc: the docstring.
        takes_options: whether KEY VALUE can be given, where no argument of that name says so.
    """

    def __init__(self, doc: str, takes_options: bool = False, **options: Any) -> None:
        self.takes_options = takes_options
        name = os.path.basename(sys.argv[0])
        examples = re.sub(r"python tools/\w+\.py", name, doc) if " " in name else doc
        super().__init__(name, description=examples, formatter_class=argparse.RawDescriptionHelpFormatter, **options)

    def error(self, message: str) -> NoReturn:
        """A wrong argument is a user's mistake like any other: one line, and exit code 2."""
        flags = _FLAGS.findall(message) if message.startswith("unrecognized arguments") else []
        hints = [f"; {hint}" for hint in map(self._hint, flags) if hint]
        raise UserError(f"{message}{''.join(hints)}; --help says more")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        """As argparse's own, which would take `--conf 0.5`, a threshold elsewhere, for the beginning of another."""
        words = list(sys.argv[1:] if args is None else args)
        number = next((word for word in zip(words, [*words[1:], ""]) if _is_confidence(*word)), None)
        if number is not None and "--conf" not in self._option_string_actions:
            self.error(f"unrecognized arguments: {' '.join(number)}".rstrip())
        return super().parse_known_args(words, namespace)

    def _hint(self, flag):
        """What to give instead of a flag that the tool does not have, or ""."""
        ours = name_of_ours(flag, self._has)
        if ours is None:
            near = difflib.get_close_matches(flag.lower().replace("_", "-"), self._option_string_actions, 1, 0.75)
            return f"did you mean {near[0]}?" if near else ""
        is_option = " " not in ours and not ours.startswith("--") and ours not in ARGUMENTS
        return f"in place of {flag} give {ours}{' VALUE' if is_option else ''}"

    def _has(self, name):
        """Whether one can give a flag, an argument of that name, or an option of the config."""
        named = {action.metavar for action in self._get_positional_actions()}
        if name.startswith("--") or name in ARGUMENTS:
            return name in self._option_string_actions or name in named
        return self.takes_options or "KEY VALUE" in named


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
    if is_program:
        _leave_ascii()  # before there is much to do again
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


def _is_confidence(word, value):
    """Whether two words, or the first alone, are --conf with a number."""
    flag, _, joined = word.partition("=")
    return flag == "--conf" and re.fullmatch(r"\d*\.?\d+", joined or value) is not None


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
