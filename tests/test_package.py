"""What `pip install .` brings: tools and configs inside the package, and the libraries that training uses."""

import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
EXTRAS = ("gradio", "onnx", "onnxruntime", "onnxscript", "mkdocs", "torchjd", "playwright", "nbclient", "pytest")


def test_a_wheel_holds_the_tools_and_all_configs(tmp_path):
    copied = tmp_path / "project"
    for name in ("maskrcnn_benchmark", "tools", "configs"):
        shutil.copytree(ROOT / name, copied / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copied)
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-q",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        str(tmp_path),
        ".",
    ]
    subprocess.run(command, cwd=copied, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    configs = {f"maskrcnn_benchmark/{p.relative_to(copied)}" for p in (copied / "configs").rglob("*.yaml")}
    assert len(configs) > 60 and configs <= names
    assert {"maskrcnn_benchmark/tools/train_net.py", "maskrcnn_benchmark/tools/predict.py"} <= names
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    script = "import sys; sys.argv = ['x', 'train', '--config-file', 'configs/gone.yaml']\n"
    script += "from maskrcnn_benchmark.__main__ import main, script_of; print(script_of('train')); main()"
    paths = f"{tmp_path / 'site'}:{sysconfig.get_paths()['purelib']}"
    done = subprocess.run(
        [sys.executable, "-S", "-c", script], cwd=tmp_path, env={"PYTHONPATH": paths}, capture_output=True, text=True
    )
    assert done.stdout.strip() == str(tmp_path / "site" / "maskrcnn_benchmark" / "tools" / "train_net.py")
    assert done.stderr.startswith("error: no such config file: configs/gone.yaml")
    script = "from maskrcnn_benchmark.__main__ import main; main(['check', '--list'])"
    done = subprocess.run(
        [sys.executable, "-S", "-c", script], cwd=tmp_path, env={"PYTHONPATH": paths}, capture_output=True, text=True
    )
    assert done.stdout.startswith("versions "), done.stderr


def test_training_testing_and_predicting_import_no_extra():
    script = (
        "import sys, maskrcnn_benchmark.experiments.run, maskrcnn_benchmark.predict.predictor\n"
        f"print([name for name in {EXTRAS!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
