"""All metadata is in pyproject.toml; this adds the folders beside the package that an installed command needs."""

import os

from setuptools import find_packages, setup

# `maskrcnn-benchmark train` runs tools/train_net.py with a file of configs/: both travel inside the package, and with
# them tools/benchmarks, whose networks and clocks `maskrcnn-benchmark check` uses
FOLDERS = [folder for top in ("tools", "configs") for folder, *_ in os.walk(top) if not folder.endswith("__")]
BESIDE = {f"maskrcnn_benchmark.{folder.replace(os.sep, '.')}": folder for folder in FOLDERS}

setup(
    packages=[*find_packages(include=["maskrcnn_benchmark*"]), *BESIDE],
    package_dir=BESIDE,
    package_data={"": ["*.yaml", "py.typed"]},
)
