"""The command `maskrcnn-benchmark COMMAND`, also `python -m maskrcnn_benchmark`: each is a script of tools/."""

import argparse
import ast
import difflib
import sys
from collections.abc import Sequence
from pathlib import Path

from maskrcnn_benchmark import __version__
from maskrcnn_benchmark.utils.cli import PROGRAM, run_tool
from maskrcnn_benchmark.utils.imports import import_file
from maskrcnn_benchmark.utils.stop_signals import end_at_once

COMMANDS = {
    "train": "train_net",
    "test": "test_net",
    "predict": "predict",
    "evaluate": "evaluate",
    "prepare": "prepare_data",
    "explore": "explore_dataset",
    "compare": "compare_runs",
    "table": "benchmark_table",
    "export": "export_model",
    "demo": "demo",
    "ablate": "ablate_tasks",
    "convert": "convert_weights",
    "check": "check_device",
}


def main(words: Sequence[str] | None = None) -> None:
    """Run the command that the words name; leaves the process with its exit code, 2 where there is no such command."""
    if words is None:  # as a program of its own, whose signals are this package's business
        end_at_once()
        words = sys.argv[1:]
    if not words or words[0] in ("-h", "--help"):
        print(describe_commands())
        sys.exit(0)
    if words[0] == "--version":
        print(f"{PROGRAM} {__version__}")
        sys.exit(0)
    if words[0] not in COMMANDS:
        near = difflib.get_close_matches(words[0], COMMANDS, 1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(COMMANDS)}"
        print(f"error: there is no command {words[0]!r}; {hint}", file=sys.stderr)
        sys.exit(2)
    script = script_of(words[0])
    sys.argv = [f"{PROGRAM} {words[0]}", *words[1:]]
    sys.path.insert(0, str(script.parent))  # as for any script that Python runs: it may import its neighbours
    run_tool(import_file(script.stem, script, make_importable=True).main)


def describe_commands() -> str:
    """The help: a line for each command, which is the first of its script."""
    parser = argparse.ArgumentParser(PROGRAM, description="One network for the eight tasks of PASCAL in Detail.")
    lines = [f"  {name:<10}{summary_of(script_of(name))}" for name in COMMANDS]
    parser.usage = f"{PROGRAM} COMMAND ..."
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = "\n".join(["commands:", *lines, "", f"{PROGRAM} COMMAND --help says more, with an example."])
    return parser.format_help().rstrip()


def script_of(command: str) -> Path:
    """`Path` of a command's script: inside an installed package, beside the package in a checkout."""
    package = Path(__file__).resolve().parent
    name = f"tools/{COMMANDS[command]}.py"
    return package / name if (package / name).is_file() else package.parent / name


def summary_of(script: Path) -> str:
    """The first sentence of a script's docstring, without running it."""
    return (ast.get_docstring(ast.parse(script.read_text(encoding="utf-8"))) or "").partition("\n")[0]


if __name__ == "__main__":
    main()
