"""Arguments of tools as they are typed after `make`."""

import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("SOLVER.STEPS (180,230)", ["SOLVER.STEPS", "(180,230)"]),
        ("SOLVER.STEPS=(1,2) SOLVER.SEED=1", ["SOLVER.STEPS=(1,2)", "SOLVER.SEED=1"]),
        ("SOLVER.STEPS '(180, 230)' MODEL.MASK_ON false", ["SOLVER.STEPS", "(180, 230)", "MODEL.MASK_ON", "false"]),
        ('SOLVER.STEPS "(1, 2)"', ["SOLVER.STEPS", "(1, 2)"]),
        ("", []),
    ],
)
def test_tuples_need_no_quotes(words, expected, tmp_path):
    (tmp_path / ".base").touch()
    command = ["make", "--no-print-directory", "-n", "-o", f"{tmp_path}/.base", "train"]
    command += [f"VENV={tmp_path}", f"ARGS={words}"]
    line = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    # as the shell takes it apart: where a parenthesis of its own was left, it would refuse the line
    parsed = subprocess.run(["sh", "-n", "-c", line], capture_output=True, text=True, check=False)
    assert parsed.returncode == 0, parsed.stderr
    assert shlex.split(line)[-len(expected) - 1 :] == ["auto", *expected]
