"""What a report of a fault needs to say about the machine."""

import platform
from importlib import metadata

import torch

PACKAGES = ("torchvision", "numpy", "pillow", "opencv-python-headless", "pycocotools", "scipy", "yacs")


def collect_env_info():
    """Versions and devices, one per line."""
    lines = [
        f"Python {platform.python_version()} on {platform.platform()}",
        f"PyTorch {torch.__version__} (CUDA {torch.version.cuda or 'none'}), {torch.get_num_threads()} threads",
        ", ".join(f"{package} {_version(package)}" for package in PACKAGES),
    ]
    for index in range(torch.cuda.device_count()):
        device = torch.cuda.get_device_properties(index)
        lines.append(f"GPU {index}: {device.name}, {device.total_memory / 2**30:.0f} GiB")
    return "\n".join(lines)


def _version(package):
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "missing"
