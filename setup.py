"""All metadata is in pyproject.toml; this adds the folders beside the package that an installed command needs."""

from pathlib import Path

from setuptools import find_packages, setup

# `maskrcnn-benchmark train` runs tools/train_net.py with a file of configs/: both travel inside the package
BESIDE = {"maskrcnn_benchmark.tools": "tools", "maskrcnn_benchmark.configs": "configs"}
CONFIGS = [str(path.relative_to("configs")) for path in sorted(Path("configs").rglob("*.yaml"))]

setup(
    packages=[*find_packages(include=["maskrcnn_benchmark*"]), *BESIDE],
    package_dir=BESIDE,
    package_data={"maskrcnn_benchmark.configs": CONFIGS},
)
