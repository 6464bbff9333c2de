"""The command line of training and testing: which config, and one line for every mistake."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from maskrcnn_benchmark.data.mini_detail.writing import write_mini_detail
from maskrcnn_benchmark.utils.cli import run_tool
from maskrcnn_benchmark.utils.devices import resolve_device
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.imports import import_file

ROOT = Path(__file__).parents[2]
MINI = str(ROOT / "configs" / "detail" / "mini_R_18_FPN.yaml")
train_net = import_file("train_net", ROOT / "tools" / "train_net.py")
test_net = import_file("test_net", ROOT / "tools" / "test_net.py")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("datasets")
    write_mini_detail(folder / "mini_detail", num_train=2, num_val=2, seed=1)
    return str(folder)


def test_a_mistake_is_one_line_and_exit_code_2_for_a_shell(tmp_path):
    command = [sys.executable, str(ROOT / "tools" / "train_net.py"), "--config-file", MINI, "SOLVER.BASE_LRR", "1"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ") and "did you mean SOLVER.BASE_LR?" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("tool", "arguments", "message"),
    [
        (train_net, ["--config-file", "gone.yaml"], "no such config file: gone.yaml"),
        (train_net, ["SOLVER.MAX_ITER"], "options come in pairs"),
        (train_net, [MINI], "give a file with --config-file FILE"),
        (train_net, ["--conf", "0.4"], "in place of --conf give MODEL.ROI_HEADS.SCORE_THRESH VALUE"),
        (train_net, ["--lr", "0.1"], "in place of --lr give SOLVER.BASE_LR VALUE"),
        (train_net, ["--batch-size=4"], "in place of --batch-size give SOLVER.IMS_PER_BATCH N for training"),
        (train_net, ["--epochs", "3"], "in place of --epochs give SOLVER.MAX_EPOCHS VALUE"),
        (train_net, ["--resume"], "the same command goes on from OUTPUT_DIR's last checkpoint"),
        (train_net, ["--num-gpus", "2"], "torchrun --nproc_per_node=N"),
        (train_net, ["--eval-only"], "give tools/test_net.py"),
        (train_net, ["--device", "cpu"], "in place of --device give MODEL.DEVICE VALUE"),
        (train_net, ["--skip_test"], "did you mean --skip-test?"),
        (test_net, ["--weights", "a.pth"], "in place of --weights give --ckpt;"),
        (train_net, ["--config-file", MINI, "DATASETS.TRAIN", "('mini_detial_train',)"], "mini_detail_train"),
        (train_net, ["--config-file", MINI, "MODEL.DEVICE", "gpu"], "MODEL.DEVICE is 'gpu'"),
        (train_net, ["--config-file", MINI, "MODEL.WEIGHT", "gone.pth"], "no such checkpoint: gone.pth"),
        (train_net, ["--config-file", MINI, "DTYPE", "float8"], "error: the command line: DTYPE is 'float8'"),
        (train_net, ["--config-file", MINI, "TEST.DTYPE", "float8"], "TEST.DTYPE is 'float8'"),
        (train_net, ["--config-file", MINI, "--sweep", "SOLVER.BASE_LRR=1,2"], "did you mean SOLVER.BASE_LR?"),
        (train_net, ["--config-file", MINI, "--sweep", "SOLVER.SEED=1,x"], "SOLVER.SEED takes an integer from -1 to"),
        (
            train_net,
            ["--config-file", MINI, "--sweep", "SOLVER.SEED=1", "--jobs", "0"],
            "argument --jobs: '0' is not an integer from 1 to 512",
        ),
        (
            train_net,
            ["--config-file", MINI, "--sweep", "SOLVER.SEED=1", "--gpus", "0", "MODEL.DEVICE", "cpu"],
            "--gpus: MODEL.DEVICE is cpu",
        ),
        (train_net, ["--config-file", MINI, "--dry-run"], "belong to --sweep"),
        (test_net, ["--config-file", MINI, "--ckpt", "gone.pth"], "no such checkpoint: gone.pth"),
        (test_net, ["--config-file", MINI, "MODEL.WEIGHT", "gone.pth"], "no such checkpoint: gone.pth"),
        (test_net, ["--config-file", MINI], "no weights to test"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(tmp_path, monkeypatch, capsys, data, tool, arguments, message):
    monkeypatch.chdir(tmp_path)
    options = ["DATASETS.DATA_DIR", data, "OUTPUT_DIR", "out"]
    options += [] if "MODEL.DEVICE" in arguments else ["MODEL.DEVICE", "cpu"]
    monkeypatch.setattr(sys, "argv", ["tool", *arguments] if len(arguments) == 1 else ["tool", *arguments, *options])
    with pytest.raises(SystemExit) as caught:
        run_tool(tool.main)
    errors = capsys.readouterr().err
    assert caught.value.code == 2
    assert errors.startswith("error: ") and errors.count("\n") == 1 and message in errors


def test_flags_of_the_original_are_understood():
    arguments = train_net.parse_arguments(["--config-file", "x.yaml", "--local_rank", "3", "--skip-test", "A.B", "1"])
    assert (arguments.config_file, arguments.local_rank, arguments.skip_test) == ("x.yaml", 3, True)
    assert arguments.opts == ["A.B", "1"]
    assert train_net.parse_arguments(["SOLVER.SEED", "4"]).config_file == "auto"


def test_auto_says_which_config_and_why(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RANK", raising=False)
    cfg = train_net.read_config("auto", ["DATASETS.DATA_DIR", str(tmp_path), "SOLVER.SEED", "4"])
    assert cfg.DATASETS.TRAIN == ("mini_detail_train",) and cfg.SOLVER.SEED == 4
    out = capsys.readouterr().out
    assert out.count("\n") == 1 and "mini_R_18_FPN.yaml" in out and str(tmp_path / "detail/annotations.json") in out


@pytest.mark.parametrize(
    ("there", "options", "place"),
    [
        (True, [], "on cuda:0"),
        (True, ["MODEL.DEVICE", "cuda:1"], "on cuda:1"),
        (True, ["MODEL.DEVICE", "cpu"], "on the CPU"),
        (False, [], "on the CPU"),
    ],
)
def test_auto_takes_the_gpu_for_the_embedded_data_set_and_says_so(tmp_path, capsys, monkeypatch, there, options, place):
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    cfg = train_net.read_config("auto", ["DATASETS.DATA_DIR", str(tmp_path), *options])
    assert cfg.DATASETS.TRAIN == ("mini_detail_train",)
    line = capsys.readouterr().out
    assert line.endswith(f", {place}\n") and line.count("\n") == 1
    named = resolve_device(cfg.MODEL.DEVICE)
    assert place == ("on the CPU" if named.type == "cpu" else f"on {named}")


def test_a_sweep_is_listed_before_it_starts(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RANK", raising=False)
    words = [
        "--config-file",
        MINI,
        "--sweep",
        "SOLVER.STEPS=(10,20),(20,30)",
        "--sweep",
        "SOLVER.SEED=0,1",
        "--dry-run",
    ]
    assert train_net.main([*words, "SOLVER.MAX_ITER", "9", "OUTPUT_DIR", "out"]) == 0
    first, *others = capsys.readouterr().out.splitlines()
    assert first == "4 runs in out, of which 0 are done; 1 at a time"
    assert [line.split(" ")[0] for line in others] == [
        f"SOLVER.STEPS_{steps}+SOLVER.SEED_{seed}" for seed in (0, 1) for steps in ("10-20", "20-30")
    ]
    assert others[0].endswith("(to do): SOLVER.MAX_ITER 9 SOLVER.STEPS '(10, 20)' SOLVER.SEED 0")
    assert not Path("out").exists()


def test_a_sweep_is_not_for_torchrun(monkeypatch):
    monkeypatch.setenv("RANK", "0")
    with pytest.raises(UserError, match="call it without torchrun"):
        train_net.main(["--config-file", MINI, "--sweep", "SOLVER.SEED=0,1"])


@pytest.mark.slow
def test_a_sweep_of_two_iterations_that_is_stopped_and_goes_on(tmp_path, data):
    small = ["MODEL.RESNETS.STEM_OUT_CHANNELS", "8", "MODEL.RESNETS.RES2_OUT_CHANNELS", "8", "SOLVER.MAX_ITER", "2"]
    small += ["INPUT.MIN_SIZE_TRAIN", "(64,)", "INPUT.MIN_SIZE_TEST", "64", "SOLVER.IMS_PER_BATCH", "2"]
    small += ["TEST.TRIVIAL", "False", "TEST.NUM_PICTURES", "0", "MODEL.DEVICE", "cpu"]
    words = ["--config-file", MINI, "--sweep", "SOLVER.SEED=0,1", "--jobs", "2", *small, "DATASETS.DATA_DIR", data]
    command = [sys.executable, str(ROOT / "tools" / "train_net.py"), *words, "OUTPUT_DIR", "out"]
    environment = {name: value for name, value in os.environ.items() if name != "RANK"}
    process = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    while not list((tmp_path / "out").glob("*/sweep.log")):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)  # which also those hear that a shell started in the background
    process.communicate(timeout=120)
    assert process.returncode == 130
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "±" in done.stdout and (tmp_path / "out" / "comparison.html").is_file()
    records = [json.loads((tmp_path / f"out/SOLVER.SEED_{seed}/run.json").read_text()) for seed in (0, 1)]
    assert [(record["state"], record["starts"][-1]["seed"]) for record in records] == [("finished", 0), ("finished", 1)]
    assert "--sweep" not in records[0]["starts"][-1]["command"]
