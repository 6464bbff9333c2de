"""A question for help and a mistyped option are dealt with before anything is imported that takes seconds."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from maskrcnn_benchmark.__main__ import COMMANDS
from maskrcnn_benchmark.data.detail.class_sets import CLASS_SETS
from maskrcnn_benchmark.data.detail.dataset import SPLITS
from maskrcnn_benchmark.evaluation.protocols import DETECTION_PROTOCOLS, EDGE_CONVENTIONS
from maskrcnn_benchmark.experiments.ablation_plan import GROUPS
from maskrcnn_benchmark.experiments.dataset_arguments import add_dataset_arguments
from maskrcnn_benchmark.export.export import FORMATS
from maskrcnn_benchmark.prediction_files.layout import files_of
from maskrcnn_benchmark.structures.part_mask import PART_SET_ALIASES, PART_SETS
from maskrcnn_benchmark.tasks import TASKS, names
from maskrcnn_benchmark.utils.cli import ToolParser, parse_early

ROOT = Path(__file__).parents[2]
TOOLS = [*sorted(path.stem for path in (ROOT / "tools").glob("*.py")), "maskrcnn_benchmark.data.mini_detail"]
# Runs each tool as Python runs a script, or each command, and says in one line how it ended and what it imported
SCRIPT = """
import contextlib, io, json, runpy, sys
from maskrcnn_benchmark.__main__ import COMMANDS, main
tools, word = json.loads(sys.argv[1]), sys.argv[2]
sys.path.insert(0, "tools")

def run(tool):
    if "." in tool:
        sys.argv = [tool, word]
        runpy.run_module(tool, run_name="__main__")
    elif tool in COMMANDS:
        main([tool, word])
    else:
        sys.argv = [f"tools/{tool}.py", word]
        runpy.run_path(sys.argv[0], run_name="__main__")

ended = {}
for tool in tools:
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown), contextlib.redirect_stderr(shown):
        try:
            run(tool)
            code = None
        except SystemExit as end:
            code = end.code
    ended[tool] = [code, shown.getvalue(), [name for name in ("torch", "numba", "cv2") if name in sys.modules]]
print(json.dumps(ended))
"""


def run(tools, word):
    command = [sys.executable, "-c", SCRIPT, json.dumps(tools), word]
    return json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout)


def test_help_of_every_tool_and_command_imports_no_torch():
    for tool, (code, shown, imported) in run([*TOOLS, *COMMANDS], "--help").items():
        assert (code, imported) == (0, []), (tool, shown)
        assert shown.startswith("usage: "), tool


def test_a_mistyped_option_is_told_before_torch_is_imported():
    for tool, (code, shown, imported) in run(TOOLS, "--no-such-option").items():
        assert (code, imported) == (2, []), (tool, shown)
        assert "error: " in shown and "Traceback" not in shown, (tool, shown)


def test_an_imported_tool_does_not_read_the_command_line_of_the_program(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["pytest", "--no-such-option"])
    parse_early("train_net", lambda: pytest.fail("parsed"))
    monkeypatch.setenv("TORCH_DETECTRON_ENV_MODULE", "adds_a_task.py")  # whose options are not known yet
    parse_early("__main__", lambda: pytest.fail("parsed"))


def test_what_help_says_of_the_tasks_is_what_they_say_themselves():
    keys = [key for key in TASKS if not TASKS[key].is_added]
    for tool, (_, shown, _) in run(["evaluate", "predict", "export_model", "ablate_tasks"], "--help").items():
        assert f"of {', '.join(keys)}" in " ".join(shown.split()), tool
    own = files_of(TASKS[key] for key in keys)
    assert list(names.OWN_FILES) == [(f.key, f.option, f.metavar, f.text) for f in own]


def test_choices_are_those_of_what_is_chosen_from():
    parser = ToolParser("")
    add_dataset_arguments(parser, "val", "")
    choices = {action.dest: tuple(action.choices) for action in parser._actions if action.choices}
    assert choices["split"] == tuple(SPLITS) and set(choices["classes"]) == set(CLASS_SETS)
    assert set(choices["parts"]) == {*PART_SETS, *PART_SET_ALIASES}
    for tool, expected in {
        "export_model": [f"--format {{{','.join([*FORMATS, 'both'])}}}"],
        "detail_to_coco": [f"--split {{{','.join(SPLITS)}}}"],
        "ablate_tasks": [", ".join(GROUPS)],
        "evaluate": [
            f"--edge-conventions {{{','.join(EDGE_CONVENTIONS)}}}",
            f"--detection-protocol {{{','.join(DETECTION_PROTOCOLS)}}}",
        ],
    }.items():
        shown = " ".join(run([tool], "--help")[tool][1].split())
        assert all(text in shown for text in expected), tool


def test_defaults_of_benchmarks_are_the_sizes_of_what_they_measure(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    from benchmarks import subjects
    from benchmarks.coco_size import IMAGES
    from benchmarks.evaluation import VAL_IMAGES

    defaults = {}
    for subject in ("coco", "evaluation"):
        parser = ToolParser("")
        subjects.SUBJECTS[subject].add_arguments(parser)
        defaults |= {action.dest: action.default for action in parser._actions}
    assert (defaults["full_size"], defaults["images"]) == (IMAGES, VAL_IMAGES)
