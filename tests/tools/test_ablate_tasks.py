"""The command line of ablations, and one real one."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from maskrcnn_benchmark.data.mini_detail.writing import write_mini_detail
from maskrcnn_benchmark.utils.cli import run_tool
from maskrcnn_benchmark.utils.imports import import_file

ROOT = Path(__file__).parents[2]
MINI = str(ROOT / "configs" / "detail" / "mini_R_18_FPN.yaml")
ablate_tasks = import_file("ablate_tasks", ROOT / "tools" / "ablate_tasks.py")


@pytest.fixture
def call(monkeypatch, capsys, tmp_path):
    """call(word, ...) -> (exit code, screen, errors)."""

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["tool", "--config-file", MINI, "--output", str(tmp_path / "out"), *words])
        with pytest.raises(SystemExit) as caught:
            run_tool(ablate_tasks.main)
        return caught.value.code, *capsys.readouterr()

    return run


def test_options_of_the_config_may_stand_anywhere():
    words = ["--config-file", "f.yaml", "--output", "o", "--tasks", "single", "a+b", "SOLVER.MAX_ITER", "300"]
    words += ["DTYPE", "bfloat16", "--seeds", "0", "1", "MODEL.RESNETS.RES2_OUT_CHANNELS", "8", "--dry-run"]
    arguments, options = ablate_tasks.parse_arguments(words)
    assert (arguments.tasks, arguments.seeds, arguments.dry_run) == (["single", "a+b"], [0, 1], True)
    assert options == ["SOLVER.MAX_ITER", "300", "DTYPE", "bfloat16", "MODEL.RESNETS.RES2_OUT_CHANNELS", "8"]


def test_defaults_and_variants():
    words = ["--config-file", "f.yaml", "--output", "o", "--variant", "a", "A.B 1", "--variant", "b", "A.B 2 A.C x"]
    arguments, options = ablate_tasks.parse_arguments(words)
    assert (arguments.tasks, arguments.methods, arguments.seeds) == (["single", "all"], ["fixed"], [0])
    assert arguments.variant == [["a", "A.B 1"], ["b", "A.B 2 A.C x"]] and options == []


def test_a_dry_run_lists_the_runs_and_touches_nothing(call, tmp_path):
    words = ("--methods", "fixed", "uncertainty", "--variant", "edges", "MULTITASK.LOSS_WEIGHTS.BOUNDARY 15.0")
    code, screen, _ = call("--dry-run", "--seeds", "0", "1", *words, "SOLVER.MAX_ITER", "300")
    assert code == 0 and not (tmp_path / "out").exists()
    lines = screen.splitlines()
    assert lines[0] == "22 runs, of which 0 are done; 1 at a time"
    assert sum("SOLVER.MAX_ITER 300" in line for line in lines) == 22
    (edges,) = [line for line in lines if line.startswith("all/edges/seed1")]
    assert edges.endswith("MULTITASK.LOSS_WEIGHTS.BOUNDARY 15.0 SOLVER.SEED 1")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--tasks", "flow"], "--tasks flow: there is no task 'flow'"),
        (["--methods", "pcgrd"], "--methods pcgrd: there is no method 'pcgrd'"),
        (["--jobs", "0"], "argument --jobs: '0' is not an integer from 1 to 512"),
        (["--gpus", "0", "MODEL.DEVICE", "cpu"], "--gpus: MODEL.DEVICE is cpu"),
        (["--variant", "x", "weights"], "--variant x: give its options in quotes"),
        (["--baseline", "gone.json"], "the single-task results cannot be used: cannot read gone.json"),
        (["SOLVER.MAX_ITERS", "3"], "did you mean SOLVER.MAX_ITER?"),
        (["SOLVER.MAX_ITER"], "options come in pairs"),
        (["SOLVER.SEED", "3"], "give --seeds in its place"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(call, tmp_path, words, message):
    code, _, errors = call(*words)
    assert code == 2 and errors.startswith("error: ") and errors.count("\n") == 1 and message in errors
    assert not (tmp_path / "out" / "runs").exists()


@pytest.mark.slow
def test_two_subsets_of_two_iterations(tmp_path):
    write_mini_detail(tmp_path / "data" / "mini_detail", num_train=4, num_val=2, seed=1)
    small = [
        "MODEL.DEVICE",
        "cpu",
        "MODEL.RESNETS.STEM_OUT_CHANNELS",
        "8",
        "MODEL.RESNETS.RES2_OUT_CHANNELS",
        "8",
        "SOLVER.MAX_ITER",
        "2",
    ]
    small += ["INPUT.MIN_SIZE_TRAIN", "(64,)", "INPUT.MIN_SIZE_TEST", "64", "SOLVER.IMS_PER_BATCH", "2"]
    words = ["--config-file", MINI, "--output", "out", "--tasks", "semantic", "semantic+classification", "--jobs", "2"]
    command = [sys.executable, str(ROOT / "tools" / "ablate_tasks.py"), *words, *small, "DATASETS.DATA_DIR", "data"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    figures = json.loads((tmp_path / "out" / "ablation.json").read_text())
    assert set(figures["networks"]) == {"semantic/alone", "semantic+classification/fixed"}
    folder = tmp_path / "out" / "runs" / "semantic+classification" / "fixed" / "seed0"
    assert not (folder / "pictures.html").exists() and not list(folder.rglob("trivial.json"))
    results = json.loads((folder / "results.json").read_text())
    assert list(results) == ["semantic", "classification"] and results["semantic"]["trivial"] == {}
