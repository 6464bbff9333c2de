"""What `make` would run, told by make itself: where PyTorch comes from, and that no word of a variable is lost."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")


def commands(target, tmp_path, **variables):
    """The lines that a target would run in an environment that is not there yet."""
    given = [f"{name}={value}" for name, value in {"VENV": tmp_path / "env", **variables}.items()]
    done = subprocess.run(["make", "-n", target, *given], cwd=ROOT, capture_output=True, text=True, check=True)
    return [line for line in done.stdout.replace(str(tmp_path / "env"), "ENV").splitlines() if "ENV" in line]


def test_torch_comes_from_the_index_that_is_named_before_the_rest_is_installed(tmp_path):
    lines = commands("train", tmp_path, TORCH_INDEX="https://example.org/cpu")
    installs = [line.partition(" install ")[2] for line in lines if " pip install " in line]
    asked = [re.sub(r"-qq --disable-pip-version-check ", "", line) for line in installs]
    assert asked == [
        "--upgrade pip setuptools wheel",
        '--index-url "https://example.org/cpu" torch torchvision',
        "--editable .",
    ]


def test_without_an_index_torch_is_one_of_the_requirements(tmp_path):
    assert not any("--index-url" in line for line in commands("train", tmp_path))


def test_the_environment_can_see_the_packages_of_the_machine(tmp_path):
    lines = commands("train", tmp_path, VENV_ARGS="--system-site-packages", PYTHON="python3.12")
    assert "python3.12 -m venv --system-site-packages ENV" in lines


def test_training_is_started_with_its_configuration_and_options(tmp_path):
    lines = commands("train", tmp_path, CONFIG="a.yaml", ARGS="SOLVER.BASE_LR 0.01", NGPUS=2)
    assert lines[-1].startswith("ENV/bin/torchrun --nproc_per_node=2 --nnodes=1")
    assert lines[-1].endswith("tools/train_net.py --config-file a.yaml SOLVER.BASE_LR 0.01")
